// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Preconditioning, written once (twin of `Denoiser` in Sources/Training/model.py): x_t = (1 - t) z + t noise, velocity
// v = noise - z (flow matching, Lipman et al. 2023), and v = x_t - identity - F, so that an untrained network (F = 0)
// copies the identity frame at t = 1.

import Tensors

public struct Denoiser: Sendable {
  package let unet: UNet

  public init(_ w: Weights, _ name: String, _ config: Configuration) { unet = UNet(w, "\(name).unet", config) }

  /// All that one frame's latent is made from, prepared for the steps of a schedule.
  public struct Frame: Sendable {
    let seen: Tensor  // [24, 24, 4 + 1 + 4], masked latent, mask, identity latent
    let identity: Tensor  // [24, 24, 4]
    let steps: Int
    let context: UNet.Context
  }

  /// `masked` and `mask` are `Encoder.masked` of the frame's window, `identity` the latent `[24, 24, 4]` of a whole
  /// window of the same face, `tokens` the audio encoder's, `prior` the bottleneck's values of the latent made for the
  /// frame before: nil at the start and after a cut.
  public func prepare(
    masked: Tensor, mask: Tensor, identity: Tensor, tokens: Tensor, prior: Tensor?, schedule: Schedule
  ) -> Frame {
    Frame(
      seen: concat(concat(masked, mask), identity), identity: identity, steps: schedule.times.count,
      context: unet.prepare(tokens: tokens, prior: prior, times: schedule.embedded))
  }

  /// The velocity at x `[24, 24, 4]` and the time of a step.
  public func callAsFunction(_ x: Tensor, step: Int, _ frame: Frame) -> Tensor {
    let f = unet(concat(x, frame.seen), step: step, frame.context)
    return x.map { $1 - frame.identity.values[$0] - f.values[$0] }
  }
}
