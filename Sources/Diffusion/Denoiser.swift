// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The denoiser's preconditioning (twin of `Denoiser` in Sources/Training/networks/model.py). Flow matching (Lipman et
// al. 2023): x_t = (1 - t) z + t noise, with velocity v = noise - z. The U-Net F predicts what to add to the identity
// frame's latent: v = (x_t - identity - F) / t. An untrained network (F = 0) therefore reproduces the identity frame.

import Tensors

public struct Denoiser: Sendable {
  package let unet: UNet

  public init(_ w: Weights, _ name: String, _ config: Configuration) { unet = UNet(w, "\(name).unet", config) }

  /// Everything that conditions one frame's latent, for the steps of one schedule.
  public struct Conditioning: Sendable {
    let inputs: Tensor  // [20, 20, 4 + 2 + 4]: masked latent, lips, identity latent
    let identity: Tensor  // [20, 20, 4]
    let times: [Float]  // one for each step, above 0
    let context: UNet.Context
  }

  /// The conditioning on audio and on the previous frame. `tokens` come from the audio encoder; `prior` is the
  /// bottleneck's output for the previous frame's latent, nil at the start and after a cut.
  package func context(tokens: Tensor, prior: Tensor?, schedule: Schedule) -> UNet.Context {
    unet.prepare(tokens: tokens, prior: prior, times: schedule.embedded)
  }

  /// Assembles a frame's conditioning. `identity` is the latent `[20, 20, 4]` of the warped frame's crop, `masked` the
  /// same latent after `masked(_:lips:)`, `lips` `[20, 20, 2]` the target position of the lips, and `context` must be
  /// of the same schedule.
  package func prepare(
    masked: Tensor, lips: Tensor, identity: Tensor, _ context: UNet.Context, schedule: Schedule
  ) -> Conditioning {
    Conditioning(
      inputs: concat(concat(masked, lips), identity), identity: identity, times: schedule.times, context: context)
  }

  /// The velocity at x `[20, 20, 4]` and the time of `step`.
  public func callAsFunction(_ x: Tensor, step: Int, _ conditioning: Conditioning) -> Tensor {
    let f = unet(concat(x, conditioning.inputs), step: step, conditioning.context)
    let t = conditioning.times[step]
    return x.map { ($1 - conditioning.identity.values[$0] - f.values[$0]) / t }
  }
}

/// The masked frame: a warped frame's latent `[h, w, 4]` with zeros wherever the lips `[h, w, 2]` reach, and within two
/// latent pixels of that (a 5 x 5 neighbourhood), because the encoder has leaked the old mouth that far.
public func masked(_ latent: Tensor, lips: Tensor) -> Tensor {
  let (h, w, channels) = (latent.shape[0], latent.shape[1], latent.shape[2])
  precondition(lips.shape == [h, w, 2], "lips of the latent's size")
  let (near, reached) = (2, lips.values)
  func isReached(_ i: Int) -> Bool {
    let (y, x) = (i / w, i % w)
    return (max(y - near, 0)...min(y + near, h - 1)).contains { y in
      (max(x - near, 0)...min(x + near, w - 1)).contains { x in reached[2 * (y * w + x) + 1] > 0 }
    }
  }
  let hidden = (0..<h * w).map(isReached)
  return latent.map { hidden[$0 / channels] ? 0 : $1 }
}
