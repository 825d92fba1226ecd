// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// From noise to a latent (twin of `SyncDiff.sample` in Sources/Training/model.py): Euler's method from t = 1 to 0 in
// equal steps.

import Tensors

/// The times of a number of steps, 1, 1 - 1/n, ... 1/n, and what the network knows of them. Made once, used for every
/// frame. Fewer steps than one count as one.
public struct Schedule: Sendable {
  public struct Time: Sendable {
    public let t: Float
    let embedding: Tensor  // [1, E]
  }

  public let times: [Time]

  public init(steps: Int, of denoiser: Denoiser) {
    let steps = max(steps, 1)
    times = (0..<steps).map { i in
      let t = Float(1 - Double(i) / Double(steps))
      return Time(t: t, embedding: denoiser.unet.time(t))
    }
  }
}

/// The latents `[24, 24, 4]` after each step of one frame; the last is the frame's.
public struct Sampler: Sequence, IteratorProtocol {
  let denoiser: Denoiser
  let frame: Denoiser.Frame
  let schedule: Schedule
  var x: Tensor
  var step = 0

  /// `noise` `[24, 24, 4]` is normal.
  public init(_ denoiser: Denoiser, _ frame: Denoiser.Frame, _ schedule: Schedule, noise: Tensor) {
    (self.denoiser, self.frame, self.schedule, x) = (denoiser, frame, schedule, noise)
  }

  public mutating func next() -> Tensor? {
    guard step < schedule.times.count else { return nil }
    let velocity = denoiser(x, schedule.times[step], frame)
    for i in x.values.indices { x.values[i] -= velocity.values[i] / Float(schedule.times.count) }
    step += 1
    return x
  }
}
