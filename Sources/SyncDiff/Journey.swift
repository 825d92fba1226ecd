// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One frame's journey: find, hear, warp, encode, denoise, decode, blend. The sound says how the mouth is shaped, the person's own
// pixels are moved there, and a latent diffusion (SyncDiff, arXiv 2503.13371, figure 2, frame after frame) paints what no warp
// can know. Twin of Sources/Training/evaluate/journey.py. Pictures come in as views; no GStreamer here.

import Diffusion
public import Faces
public import Speech
public import Tensors

/// What may change from frame to frame.
public struct PaintSettings: Equatable, Sendable {
  public var steps: Int  // denoising steps, at least 1
  public var strength: Float  // 0 ... 1, blend of the new mouth over the old one
  public var seed: UInt64  // of the noise
  /// How far the sound leads the lips away from where they are in silence; 1: as in training.
  public var guidance: Float
  /// In what is painted; nil: none.
  public var mark: MarkSettings?

  public init(
    steps: Int, strength: Float = 1, seed: UInt64 = 0, guidance: Float = 1, mark: MarkSettings? = nil
  ) {
    (self.steps, self.strength, self.seed, self.guidance) = (steps, strength, seed, guidance)
    self.mark = mark
  }
}

/// The mark that says who painted.
public struct MarkSettings: Equatable, Sendable {
  /// Whoever has it can read the mark; nil: everybody can.
  public var key: String?
  public var payload: MarkPayload

  public init(key: String? = nil, payload: MarkPayload) { (self.key, self.payload) = (key, payload) }
}

/// The parts of a frame's time, in their order.
public enum Stage: String, CaseIterable, Sendable {
  case find, hear, warp, encode, denoise, decode, blend
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
  /// Whether there is a chosen face, but none that shows enough of its mouth (`Visibility`).
  public var isHidden: Bool
  /// Whether a new shot begins here, and how different it is, 0 ... 1.
  public var isCut: Bool
  public var difference: Float
}

/// One stream's state. The frames of the stream go through `find`, and those with a face and sound on through `paint`;
/// every other one is told with `skip`.
public struct Journey {
  /// What is kept of a face from frame to frame.
  struct Memory {
    var neutral: Neutral
    var expression: Expression
    var mouths = MouthMemory<SeenMouth>()
    /// Outer eye distances: the widest that it was seen open.
    var widest: Float = 0
    var visibility = Visibility()
    /// It fades out where it was last: nothing is learned of it.
    var isLost = false
    /// 0 ... 1: falls over three frames when something is in the way, rises over three when it is gone.
    var clearness: Float?
    /// The face in the last frame that was searched; nil if it has no pose.
    var sight: Sight?
    /// The latent that was made for the frame before.
    var previous: Tensor?
    /// The mouth that it wore in the frame before.
    var mouth: Mouth?
  }

  /// How a face looks in a frame.
  struct Sight {
    let pose: Pose
    let shape: FaceShape
    let mesh: RingedMesh
    /// The coefficients of its own mouth.
    let own: [Float]
    /// Since the frame before.
    let seconds: Double
  }

  /// What a face is given: the coefficients of its mouth, and what the networks add to the warped window.
  struct Mouth {
    let coefficients: [Float]
    let difference: Tensor
  }

  private static let fade: Float = 1 / 3  // of the clearness, a frame
  private static let anyMouth: Float = 0.14  // outer eye distances, an opening that every mouth may have
  private static let wider: Float = 1.15  // times as wide as it was seen, a mouth may open

  let model: Model
  let presenter: Presenter?
  /// The presenter's mouths as frames of this kind would show them.
  package private(set) var presented: (kind: FrameView.Kind, mouths: MouthMemory<SeenMouth>)?
  /// The id of the face that is the presenter's.
  var introduced: Int?
  let threads: Int
  private var listener: Listener
  var tracker: FaceTracker
  var cuts = CutDetector()
  var last: RunningTime?  // of the frame that was searched last
  /// By the face's id.
  var memories: [Int: Memory] = [:]
  var noise: (seed: UInt64, values: Tensor)?
  var mark: (settings: MarkSettings, pattern: Watermark)?
  var schedule: (steps: Int, times: Schedule)?
  var silent: [Float]?
  /// A stopwatch: called whenever a stage of a frame ends, on the thread that called `find` or `paint`.
  public var stageEnded: ((Stage) -> Void)?

  /// `presenter`: what is known of the face that is chosen first in every shot; of several the largest. `threads` for the work on one
  /// frame, the caller's included; 0: all processors.
  public init(model: Model, presenter: Presenter? = nil, threads: Int = 0) {
    (self.model, self.presenter, self.threads, listener) = (model, presenter, threads, model.listener)
    tracker = FaceTracker(detector: model.detector, mesh: model.mesh)
  }

  /// What is in a frame, shown at `time`. Without faces it is to go on untouched.
  public mutating func find(
    _ frame: FrameView, at time: RunningTime, _ settings: FindSettings = FindSettings()
  ) -> Scene {
    let (difference, isCut) = cuts(frame, threshold: settings.sceneThreshold)
    if isCut { forget() }
    if let presenter, presented?.kind != frame.kind {
      presented = ThreadPool.shared.limited(to: threads) { (frame.kind, presenter.memory(like: frame)) }
    }
    let faces = ThreadPool.shared.limited(to: threads) {
      tracker.track(frame, at: Double(time.nanoseconds) / 1e9, selecting: settings.selection)
    }
    memories = memories.filter { memory in faces.contains { $0.id == memory.key } }
    let elapsed = last.map { Double(time.nanoseconds) - Double($0.nanoseconds) } ?? 0
    ThreadPool.shared.limited(to: threads) {
      let isNew = introduced.map { memories[$0] == nil && faces.count == 1 } ?? true
      if isNew, let first = faces.min(by: { $0.window.scale < $1.window.scale }) { introduce(first) }
      for face in faces {
        memories[face.id]?.isLost = face.isLost
        if !face.isLost { see(face, in: frame, after: elapsed / 1e9) }
      }
    }
    last = time
    stageEnded?(.find)
    let clear = faces.compactMap { face in
      var face = face
      face.presence *= memories[face.id]?.clearness ?? 1
      return face.presence > 0 ? face : nil
    }
    for face in faces where memories[face.id]?.clearness == 0 { skip(face.id) }
    let sightings = tracker.sightings.map { sighting in
      memories[sighting.id]?.visibility.obstacle.map { sighting.hidden(by: $0) } ?? sighting
    }
    return Scene(
      faces: clear, sightings: sightings, isHidden: clear.isEmpty && !faces.isEmpty, isCut: isCut,
      difference: difference)
  }

  /// What is known of the presenter belongs to this face for as long as it is followed; then to the only face in view.
  private mutating func introduce(_ face: Face) {
    guard let presenter, let presented else { return }
    memories[face.id] = Memory(
      neutral: presenter.neutral, expression: Expression(model.geometry), mouths: presented.mouths,
      widest: presenter.widest)
    introduced = face.id
  }

  /// Remembers how a face looks and how it shows its mouth.
  private mutating func see(_ face: Face, in frame: FrameView, after seconds: Double) {
    let geometry = model.geometry
    var memory = memories[face.id] ?? Memory(neutral: Neutral(geometry), expression: Expression(geometry))
    memory.sight = nil
    if let pose = Pose(of: face.points, canonical: geometry.canonical),
      let shape = FaceShape(pose.unposed(face.points)), let mesh = RingedMesh(face.points)
    {
      let (turn, step) = ((pose.turn * pose.turn).sum().squareRoot(), Self.fade)
      let obstacle = memory.visibility(frame, face.points, turn: turn, at: face.window, after: seconds)
      let target: Float = obstacle == nil ? 1 : 0
      memory.clearness = memory.clearness.map { min(max(target, $0 - step), $0 + step) } ?? target
      // The mouths of the old look are another's.
      if memory.visibility.isNewLook { (memory.mouths, memory.widest) = (MouthMemory(), 0) }
      memory.widest = max(memory.widest, shape.opening)
      let closed = memory.neutral(shape, after: seconds)
      memory.sight = Sight(
        pose: pose, shape: shape, mesh: mesh, own: geometry.coefficients(shape, closed), seconds: seconds)
      if obstacle == nil {
        memory.mouths.remember(MouthKey(shape, pose), light: memory.visibility.light) { most in
          SeenMouth(frame, mesh, unit: Float(pose.scale), most: most).map { ($0, $0.bytes) }
        }
      }
    }
    memories[face.id] = memory
  }

  /// Gets ready to hear the sound that belongs to a frame, see `Listener.listen`: cheap, for the timeline may be locked.
  @discardableResult
  public mutating func listen(
    to timeline: inout SoundTimeline, at time: RunningTime, lookahead: RunningTime? = nil, _ silence: Silence? = nil
  ) -> Bool {
    listener.listen(to: &timeline, atRow: time.row, lookahead: lookahead, silence)
  }

  /// The sound that `listen` was called for as `paint` wants it, see `Listener.heard`.
  public mutating func heard(gated: Bool = true) -> Tensor {
    ThreadPool.shared.limited(to: threads) { listener.heard(gated: gated) }
  }

  /// Gives the face of `frame` the mouth that speaks `sound`: what is `heard` around the frame's running time, `[T, C]`. Only
  /// bytes of the lower face and around it change.
  public mutating func paint(_ frame: MutableFrameView, face: Face, sound: Tensor, settings: PaintSettings) {
    ThreadPool.shared.limited(to: threads) { painted(frame, face, sound, settings) }
  }

  private mutating func painted(_ frame: MutableFrameView, _ face: Face, _ sound: Tensor, _ settings: PaintSettings) {
    let config = model.configuration
    if memories[face.id]?.sight == nil, !face.isLost { see(face, in: frame.view, after: 0) }
    let tokens = model.hearing(sound)
    let quiet = silence()
    let told = zip(model.lips(tokens), quiet).map { $1 + settings.guidance * ($0 - $1) }
    let coefficients = expressed(told, by: face)
    stageEnded?(.hear)
    guard let (patch, mesh) = moved(frame.view, face, coefficients) else { return }
    let window = crop(patch, model.window, at: face.window)
    stageEnded?(.warp)
    let (model, previous, schedule) = (model, memories[face.id]?.previous, schedule(settings.steps))
    let (identity, context) = ThreadPool.shared.both {
      model.encoder(window)
    } and: {
      model.denoiser.context(tokens: tokens, prior: previous.map { model.bottleneck($0) }, schedule: schedule)
    }
    let lips = model.window.lips(mesh, at: face.window)
    let conditions = model.denoiser.prepare(
      masked: masked(identity, lips: lips), lips: lips, identity: identity, context, schedule: schedule)
    stageEnded?(.encode)
    let noise = noise(settings.seed, [config.latentSide, config.latentSide, config.latentChannels])
    let (latent, decoded) = ThreadPool.shared.both {
      Sampler(model.denoiser, conditions, noise: noise).reduce(noise) { $1 }
    } and: {
      model.decoder(inner(identity))
    }
    stageEnded?(.denoise)
    let difference = model.window.difference(model.decoder(inner(latent)), decoded)
    stageEnded?(.decode)
    memories[face.id]?.previous = latent
    memories[face.id]?.mouth = Mouth(coefficients: coefficients, difference: difference)
    blend(patch, marked(difference, over: window, settings.mark), into: frame, face, settings.strength)
    stageEnded?(.blend)
  }

  /// The frame's pixels with the face's mouth moved, and where its mesh is then; nil when the face has no pose or lies outside of
  /// the frame.
  private mutating func moved(
    _ frame: FrameView, _ face: Face, _ coefficients: [Float]
  ) -> (patch: Patch, mesh: RingedMesh)? {
    guard let sight = memories[face.id]?.sight, let shape = wanted(of: face, coefficients) else { return nil }
    let (unit, triangles) = (Float(sight.pose.scale), model.geometry.triangles)
    let mouths = memories[face.id]?.mouths.choose(MouthKey(shape, sight.pose)) ?? []
    guard let moved = sight.mesh.moved(to: sight.pose.posed(shape.points)),
      let mesh = moved.unfolded(from: sight.mesh, triangles, unit: unit),
      let face = MovedFace(
        sight.mesh, to: mesh, triangles: triangles, unit: unit, model.window, at: face.window),
      let patch = face.patch(of: frame, mouths)
    else { return nil }
    return (patch, mesh)
  }

  /// The coefficients of a mouth that speaks and keeps the face's expression.
  private mutating func expressed(_ told: [Float], by face: Face) -> [Float] {
    guard let sight = memories[face.id]?.sight,
      let expression = memories[face.id]?.expression(own: sight.own, told: told, after: sight.seconds)
    else { return told }
    return zip(told, expression).map { $0 + $1 }
  }

  /// The shape of a face with the mouth that it is to have; nil when the face has no pose.
  private func wanted(of face: Face, _ coefficients: [Float]) -> FaceShape? {
    guard let memory = memories[face.id], let sight = memory.sight else { return nil }
    // What lies in a mouth that opens much wider than it was ever seen is a guess, and teeth would grow.
    let wanted = model.geometry.limited(coefficients, to: max(Self.anyMouth, Self.wider * memory.widest))
    return model.geometry.shape(
      sight.shape, from: sight.own, to: wanted, facing: model.geometry.facing(sight.pose))
  }

  /// How far the mouth that a face wore in the frame before was to open, and its own, outer eye distances; nil if it wore none.
  package func openings(of face: Face) -> (own: Float, wanted: Float)? {
    guard let memory = memories[face.id], let sight = memory.sight, let mouth = memory.mouth else { return nil }
    return wanted(of: face, mouth.coefficients).map { (sight.shape.opening, $0.opening) }
  }

  private func blend(
    _ patch: Patch, _ difference: Tensor, into frame: MutableFrameView, _ face: Face, _ strength: Float
  ) {
    let place = model.window.transform(face.window)
    apply(patch, Difference(difference, at: place), to: frame, strength: strength * face.presence)
  }

  /// A difference with the mark, for a window that it is to be added to.
  private mutating func marked(
    _ difference: Tensor, over window: @autoclosure () -> Tensor, _ settings: MarkSettings?
  ) -> Tensor {
    guard let settings else { return difference }
    if mark?.settings != settings {
      let key = settings.key ?? Watermark.publicKey
      mark = (settings, Watermark(key: key, settings.payload, model.window))
    }
    return mark?.pattern.added(to: difference, over: window()) ?? difference
  }

  /// What is known of a face, as a file would hold it; nil without a mouth.
  package func presenter(of face: Face) -> Presenter? {
    memories[face.id].flatMap { Presenter($0.neutral, $0.mouths) }
  }

  /// Bytes of the mouths that are remembered of a face.
  package func bytesRemembered(of face: Face) -> Int { memories[face.id]?.mouths.bytes ?? 0 }

  /// Whether there is a mouth that the face wore in the frame before.
  public func remembersMouth(of face: Face) -> Bool { memories[face.id]?.mouth != nil }

  /// Gives the face of `frame` the mouth that it wore in the frame before, if there is one: no network runs.
  public mutating func repaint(
    _ frame: MutableFrameView, face: Face, strength: Float, mark: MarkSettings? = nil
  ) {
    guard let mouth = memories[face.id]?.mouth else { return }
    ThreadPool.shared.limited(to: threads) {
      guard let (patch, _) = moved(frame.view, face, mouth.coefficients) else { return }
      let window = model.window
      let made = marked(mouth.difference, over: crop(patch, window, at: face.window), mark)
      blend(patch, made, into: frame, face, strength)
    }
  }

  /// A frame went on untouched: the next one has no frame before it.
  public mutating func skip() {
    for id in memories.keys { skip(id) }
  }

  private mutating func skip(_ id: Int) {
    memories[id]?.previous = nil
    memories[id]?.mouth = nil
    memories[id]?.mouths.interrupt()
  }

  /// A new size or place in the stream: nothing of what was seen counts any more.
  public mutating func reset() {
    cuts = CutDetector()
    forget()
  }

  private mutating func forget() {
    tracker.reset()
    (memories, last, introduced) = ([:], nil, nil)
  }

  /// One noise for all frames of a stream, so that the picture does not boil.
  private mutating func noise(_ seed: UInt64, _ shape: [Int]) -> Tensor {
    if let noise, noise.seed == seed { return noise.values }
    var generator = GaussianNoise(seed: seed)
    let values = Tensor(shape, generator.fill(shape.reduce(1, *)))
    noise = (seed, values)
    return values
  }

  /// The coefficients of the mouth in digital silence.
  private mutating func silence() -> [Float] {
    if let silent { return silent }
    let mouth = model.lips(model.hearing(model.listener.silence))
    silent = mouth
    return mouth
  }

  private mutating func schedule(_ steps: Int) -> Schedule {
    if let schedule, schedule.steps == steps { return schedule.times }
    let times = Schedule(steps: steps, of: model.denoiser)
    schedule = (steps, times)
    return times
  }
}
