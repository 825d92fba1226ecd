// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One frame's journey: find, align, hear, encode, remember, denoise, decode, composite (SyncDiff, arXiv 2503.13371,
// figure 2, frame after frame). Pictures and sound come in as views and stacks; no GStreamer here.

import Diffusion
public import Faces
public import Tensors

/// What may change from frame to frame.
public struct PaintSettings: Equatable, Sendable {
  public var steps: Int  // denoising steps, at least 1
  public var strength: Float  // 0 ... 1, blend of the new mouth over the old one
  public var seed: UInt64  // of the noise

  public init(steps: Int, strength: Float = 1, seed: UInt64 = 0) {
    (self.steps, self.strength, self.seed) = (steps, strength, seed)
  }
}

/// The parts of a frame's time, in their order.
public enum Stage: String, CaseIterable, Sendable {
  case find, align, hear, encode, denoise, decode, blend
}

/// One stream's state. The frames of the stream go through `find`, and those with a face and sound on through `paint`;
/// every other one is told with `skip`.
public struct Journey {
  let model: Model
  let threads: Int
  var tracker: FaceTracker
  /// The identity frame `I_rand` of the paper: the latent of the first face of the shot.
  var identity: Tensor?
  /// The latent that was made for the frame before.
  var previous: Tensor?
  var noise: (seed: UInt64, values: Tensor)?
  var schedule: (steps: Int, times: Schedule)?
  /// A stopwatch: called whenever a stage of a frame ends, on the thread that called `find` or `paint`.
  public var stageEnded: ((Stage) -> Void)?

  /// `threads` for the work on one frame, the caller's included; 0: all processors.
  public init(model: Model, threads: Int = 0) {
    (self.model, self.threads) = (model, threads)
    tracker = FaceTracker(detector: model.detector, mesh: model.mesh)
  }

  /// The face of a frame; nil when there is none, and the frame is to go on untouched.
  public mutating func find(_ frame: FrameView) -> Face? {
    let face = ThreadPool.shared.limited(to: threads) { tracker.track(frame) }
    if face?.isNew == true { (identity, previous) = (nil, nil) }
    stageEnded?(.find)
    return face
  }

  /// Gives the face of `frame` the mouth that speaks `sound`: stacks `[T, 104]` around the frame's running time
  /// (`SoundTimeline.stacks`). Only bytes in the mouth's region change.
  public mutating func paint(_ frame: MutableFrameView, face: Face, sound: Tensor, settings: PaintSettings) {
    ThreadPool.shared.limited(to: threads) { painted(frame, face, sound, settings) }
  }

  private mutating func painted(_ frame: MutableFrameView, _ face: Face, _ sound: Tensor, _ settings: PaintSettings) {
    let config = model.configuration
    let window = crop(frame.view, face.window)
    stageEnded?(.align)
    let tokens = model.hearing(sound)
    stageEnded?(.hear)
    let (masked, mask) = model.encoder.masked(window)
    let identity = self.identity ?? model.encoder(window)
    stageEnded?(.encode)
    let prior = previous.map { model.bottleneck($0) }
    let conditions = model.denoiser.prepare(
      masked: masked, mask: mask, identity: identity, tokens: tokens, prior: prior)
    var latent = noise(settings.seed, [config.latentSide, config.latentSide, config.latentChannels])
    for step in Sampler(model.denoiser, conditions, schedule(settings.steps), noise: latent) { latent = step }
    stageEnded?(.denoise)
    let mouth = model.decoder(latent)
    stageEnded?(.decode)
    blend(into: frame, mouth: mouth, original: window, window: face.window, strength: settings.strength)
    stageEnded?(.blend)
    (self.identity, previous) = (identity, latent)
  }

  /// A frame went on untouched: the next one has no frame before it.
  public mutating func skip() {
    previous = nil
  }

  /// A new scene, size or place in the stream: nothing of what was seen counts any more.
  public mutating func reset() {
    tracker.reset()
    (identity, previous) = (nil, nil)
  }

  /// One noise for all frames of a stream, so that the picture does not boil.
  private mutating func noise(_ seed: UInt64, _ shape: [Int]) -> Tensor {
    if let noise, noise.seed == seed { return noise.values }
    var generator = GaussianNoise(seed: seed)
    let values = Tensor(shape, generator.fill(shape.reduce(1, *)))
    noise = (seed, values)
    return values
  }

  private mutating func schedule(_ steps: Int) -> Schedule {
    if let schedule, schedule.steps == steps { return schedule.times }
    let times = Schedule(steps: steps, of: model.denoiser)
    schedule = (steps, times)
    return times
  }
}
