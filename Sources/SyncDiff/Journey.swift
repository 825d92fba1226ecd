// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One frame's journey: find, align, hear, encode, remember, denoise, decode, composite (SyncDiff, arXiv 2503.13371,
// figure 2, frame after frame). Pictures and sound come in as views and stacks; no GStreamer here.

import Diffusion
public import Faces
public import Speech
public import Tensors

/// What may change from frame to frame.
public struct PaintSettings: Equatable, Sendable {
  public var steps: Int  // denoising steps, at least 1
  public var strength: Float  // 0 ... 1, blend of the new mouth over the old one
  public var seed: UInt64  // of the noise
  /// How far the sound leads away from silence; 1: as in training, at half of the cost.
  public var guidance: Float

  public init(steps: Int, strength: Float = 1, seed: UInt64 = 0, guidance: Float = 1) {
    (self.steps, self.strength, self.seed, self.guidance) = (steps, strength, seed, guidance)
  }
}

/// The parts of a frame's time, in their order.
public enum Stage: String, CaseIterable, Sendable {
  case find, align, hear, encode, denoise, decode, blend
}

/// Which faces a frame is searched for.
public struct FindSettings: Equatable, Sendable {
  public var selection = FaceSelection.largest(1)
  /// 0 ... 1, difference from which two frames count as two shots (`CutDetector`); 0: never.
  public var sceneThreshold: Float = 0.4

  public init() {}
}

/// What is found in a frame.
public struct Scene: Sendable {
  /// The faces to paint, with those that fade out.
  public var faces: [Face]
  /// All faces in view.
  public var sightings: [Sighting]
  /// Whether a new shot begins here, and how different it is, 0 ... 1.
  public var isCut: Bool
  public var difference: Float
}

/// One stream's state. The frames of the stream go through `find`, and those with a face and sound on through `paint`;
/// every other one is told with `skip`.
public struct Journey {
  /// What is kept of a face from frame to frame.
  struct Memory {
    /// The identity frame `I_rand` of the paper: the latent of the first frame in which the face was painted.
    var identity: Tensor?
    /// The latent that was made for the frame before.
    var previous: Tensor?
    /// The mouth that it wore in the frame before, `[96, 96, 3]`, -1 ... 1.
    var mouth: Tensor?
  }

  let model: Model
  let threads: Int
  var tracker: FaceTracker
  var cuts = CutDetector()
  /// By the face's id.
  var memories: [Int: Memory] = [:]
  var noise: (seed: UInt64, values: Tensor)?
  var schedule: (steps: Int, times: Schedule)?
  var silent: Tensor?
  /// A stopwatch: called whenever a stage of a frame ends, on the thread that called `find` or `paint`.
  public var stageEnded: ((Stage) -> Void)?

  /// `threads` for the work on one frame, the caller's included; 0: all processors.
  public init(model: Model, threads: Int = 0) {
    (self.model, self.threads) = (model, threads)
    tracker = FaceTracker(detector: model.detector, mesh: model.mesh)
  }

  /// What is in a frame, shown at `time`. Without faces it is to go on untouched.
  public mutating func find(
    _ frame: FrameView, at time: RunningTime, _ settings: FindSettings = FindSettings()
  ) -> Scene {
    let (difference, isCut) = cuts(frame, threshold: settings.sceneThreshold)
    if isCut { forget() }
    let faces = ThreadPool.shared.limited(to: threads) {
      tracker.track(frame, at: Double(time.nanoseconds) / 1e9, selecting: settings.selection)
    }
    memories = memories.filter { memory in faces.contains { $0.id == memory.key } }
    stageEnded?(.find)
    return Scene(faces: faces, sightings: tracker.sightings, isCut: isCut, difference: difference)
  }

  /// Gives the face of `frame` the mouth that speaks `sound`: stacks `[T, 104]` around the frame's running time
  /// (`SoundTimeline.stacks`). Only bytes in the mouth's region change.
  public mutating func paint(_ frame: MutableFrameView, face: Face, sound: Tensor, settings: PaintSettings) {
    ThreadPool.shared.limited(to: threads) { painted(frame, face, sound, settings) }
  }

  private mutating func painted(_ frame: MutableFrameView, _ face: Face, _ sound: Tensor, _ settings: PaintSettings) {
    let config = model.configuration
    let memory = memories[face.id] ?? Memory()
    let window = crop(frame.view, model.window, at: face.window)
    stageEnded?(.align)
    let tokens = model.hearing(sound)
    stageEnded?(.hear)
    let (masked, mask) = model.encoder.masked(window)
    let identity = memory.identity ?? model.encoder(window)
    stageEnded?(.encode)
    let prior = memory.previous.map { model.bottleneck($0) }
    let schedule = schedule(settings.steps)
    func conditions(_ tokens: Tensor) -> Denoiser.Frame {
      model.denoiser.prepare(
        masked: masked, mask: mask, identity: identity, tokens: tokens, prior: prior, schedule: schedule)
    }
    let guidance =
      settings.guidance == 1 ? nil : Sampler.Guidance(settings.guidance, from: conditions(silence()))
    var latent = noise(settings.seed, [config.latentSide, config.latentSide, config.latentChannels])
    for step in Sampler(model.denoiser, conditions(tokens), noise: latent, guidance: guidance) { latent = step }
    stageEnded?(.denoise)
    let mouth = model.decoder(latent)
    stageEnded?(.decode)
    let strength = settings.strength * face.presence
    blend(into: frame, mouth: mouth, original: window, model.window, at: face.window, strength: strength)
    stageEnded?(.blend)
    memories[face.id] = Memory(identity: identity, previous: latent, mouth: mouth)
  }

  /// Whether there is a mouth that the face wore in the frame before.
  public func remembersMouth(of face: Face) -> Bool { memories[face.id]?.mouth != nil }

  /// Gives the face of `frame` the mouth that it wore in the frame before, if there is one, which costs next to nothing.
  public mutating func repaint(_ frame: MutableFrameView, face: Face, strength: Float) {
    guard let mouth = memories[face.id]?.mouth else { return }
    ThreadPool.shared.limited(to: threads) {
      let window = crop(frame.view, model.window, at: face.window)
      blend(
        into: frame, mouth: mouth, original: window, model.window, at: face.window, strength: strength * face.presence)
    }
  }

  /// A frame went on untouched: the next one has no frame before it.
  public mutating func skip() {
    for id in memories.keys {
      memories[id]?.previous = nil
      memories[id]?.mouth = nil
    }
  }

  /// A new size or place in the stream: nothing of what was seen counts any more.
  public mutating func reset() {
    cuts = CutDetector()
    forget()
  }

  private mutating func forget() {
    tracker.reset()
    memories = [:]
  }

  /// One noise for all frames of a stream, so that the picture does not boil.
  private mutating func noise(_ seed: UInt64, _ shape: [Int]) -> Tensor {
    if let noise, noise.seed == seed { return noise.values }
    var generator = GaussianNoise(seed: seed)
    let values = Tensor(shape, generator.fill(shape.reduce(1, *)))
    noise = (seed, values)
    return values
  }

  /// What the model hears in digital silence.
  private mutating func silence() -> Tensor {
    if let silent { return silent }
    let (tokens, width) = (model.configuration.tokens, Filterbank.stack * Filterbank.bands)
    let heard = model.hearing(Tensor([tokens, width], [Float](repeating: Filterbank.silence, count: tokens * width)))
    silent = heard
    return heard
  }

  private mutating func schedule(_ steps: Int) -> Schedule {
    if let schedule, schedule.steps == steps { return schedule.times }
    let times = Schedule(steps: steps, of: model.denoiser)
    schedule = (steps, times)
    return times
  }
}
