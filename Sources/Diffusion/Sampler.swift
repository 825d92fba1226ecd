// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The sampler, from noise to a latent (twin of `SyncDiff.sample` in Sources/Training/networks/model.py). It integrates
// from t = 1 to 0 in equal steps with the two-step Adams-Bashforth method, whose first step is Euler's.

import Tensors

/// The times of n steps, 1, 1 - 1/n, ... 1/n, and their embeddings. Made once and used for every frame. n below 1
/// counts as 1.
public struct Schedule: Sendable {
  public let times: [Float]
  let embedded: Tensor  // [steps, E]

  public init(steps: Int, of denoiser: Denoiser) {
    let steps = max(steps, 1)
    times = (0..<steps).map { Float(1 - Double($0) / Double(steps)) }
    embedded = denoiser.unet.embedded(times)
  }
}

/// The latents `[20, 20, 4]` of one frame after each step; the last one is the result.
public struct Sampler: Sequence, IteratorProtocol {
  let denoiser: Denoiser
  let conditioning: Denoiser.Conditioning
  var x: Tensor
  var before: Tensor?  // velocity of the previous step
  var step = 0

  /// `noise`: `[20, 20, 4]`, standard normal.
  public init(_ denoiser: Denoiser, _ conditioning: Denoiser.Conditioning, noise: Tensor) {
    (self.denoiser, self.conditioning, x) = (denoiser, conditioning, noise)
  }

  public mutating func next() -> Tensor? {
    guard step < conditioning.times.count else { return nil }
    let velocity = denoiser(x, step: step, conditioning)
    let before = self.before ?? velocity
    x = x.map { $1 - (1.5 * velocity.values[$0] - 0.5 * before.values[$0]) / Float(conditioning.times.count) }
    self.before = velocity
    step += 1
    return x
  }
}
