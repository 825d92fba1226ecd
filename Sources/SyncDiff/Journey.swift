// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipeline of one frame: find faces, encode the audio, warp, encode, denoise, decode, blend. The audio determines
// the shape of the mouth, the person's own pixels are warped to it, and a latent diffusion model (SyncDiff, arXiv
// 2503.13371, figure 2, frame by frame) paints what no warp can know, such as the inside of the mouth. Twin of
// Sources/Training/evaluate/journey.py. Frames come in as views; nothing here imports GStreamer.

import Diffusion
public import Faces
public import Speech
public import Tensors

/// Settings that may change between frames.
public struct PaintSettings: Equatable, Sendable {
  public var steps: Int  // denoising steps, at least 1
  public var strength: Float  // 0 ... 1, opacity of the new mouth over the old one
  public var seed: UInt64  // of the noise
  /// Scales the coefficients' distance from those of silence; 1: as in training.
  public var guidance: Float
  /// The watermark in the painted pixels; nil: none.
  public var mark: MarkSettings?

  public init(
    steps: Int, strength: Float = 1, seed: UInt64 = 0, guidance: Float = 1, mark: MarkSettings? = nil
  ) {
    (self.steps, self.strength, self.seed, self.guidance) = (steps, strength, seed, guidance)
    self.mark = mark
  }
}

/// The invisible watermark that identifies the software and the user.
public struct MarkSettings: Equatable, Sendable {
  /// Only holders of the key can read the mark; nil: everybody can.
  public var key: String?
  public var payload: MarkPayload

  public init(key: String? = nil, payload: MarkPayload) { (self.key, self.payload) = (key, payload) }
}

/// The timed stages of a frame, in order.
public enum Stage: String, CaseIterable, Sendable {
  case find, hear, warp, encode, denoise, decode, blend
}

/// Which faces to look for in a frame.
public struct FindSettings: Equatable, Sendable {
  public var selection = FaceSelection.largest(1)
  /// 0 ... 1, the difference from which on a frame begins a new shot (`CutDetector`); 0: never.
  public var sceneThreshold: Float = 0.4

  public init() {}
}

/// The faces in a frame, and whether it begins a new shot.
public struct Scene: Sendable {
  /// The faces to paint, including those that fade out.
  public var faces: [Face]
  /// All faces in view.
  public var sightings: [Sighting]
  /// Whether a face is selected but none shows enough of its mouth to be painted (`Visibility`).
  public var isHidden: Bool
  /// Whether a new shot begins here, and how different the frame is from the previous one, 0 ... 1.
  public var isCut: Bool
  public var difference: Float
}

/// One stream's state. Every frame goes through `find`; a frame with a face and audio then through `paint` (or
/// `repaint`), any other frame is reported with `skip`.
public struct Journey {
  /// What is remembered of a face between frames.
  struct Memory {
    var neutral: Neutral
    var expression: Expression
    var mouths = MouthMemory<SeenMouth>()
    /// The widest opening seen so far, outer eye distances.
    var widest: Float = 0
    var visibility = Visibility()
    /// It is no longer seen and fades out where it was last; nothing is learned from it.
    var isLost = false
    /// 0 ... 1: opacity that falls over three frames when the mouth becomes obstructed and rises over three when it is
    /// clear again.
    var clearness: Float?
    /// Its geometry in the last frame; nil if it has no pose.
    var sight: Sight?
    /// The latent painted for the previous frame.
    var previous: Tensor?
    /// The mouth painted in the previous frame.
    var mouth: Mouth?
  }

  /// A face's geometry in one frame.
  struct Sight {
    let pose: Pose
    let shape: FaceShape
    let mesh: RingedMesh
    /// The coefficients of its mouth in the original frame.
    let own: [Float]
    /// Since the previous frame.
    let seconds: Double
  }

  /// A painted mouth: its coefficients, and what the networks added to the warped crop.
  struct Mouth {
    let coefficients: [Float]
    let difference: Tensor
  }

  private static let fade: Float = 1 / 3  // step of the clearness for each frame
  private static let anyMouth: Float = 0.14  // outer eye distances, an opening that any mouth may have
  private static let wider: Float = 1.15  // times the widest opening seen, the limit for a mouth

  let model: Model
  let presenter: Presenter?
  /// The presenter's mouths, converted to the format of this kind of frame.
  package private(set) var presented: (kind: FrameView.Kind, mouths: MouthMemory<SeenMouth>)?
  /// The id of the face taken for the presenter's.
  var introduced: Int?
  let threads: Int
  private var listener: Listener
  var tracker: FaceTracker
  var cuts = CutDetector()
  var last: RunningTime?  // of the last frame passed to `find`
  /// By the face's id.
  var memories: [Int: Memory] = [:]
  var noise: (seed: UInt64, values: Tensor)?
  var mark: (settings: MarkSettings, pattern: Watermark)?
  var schedule: (steps: Int, times: Schedule)?
  var silent: [Float]?
  /// For timing: called at the end of each stage, on the thread that called `find` or `paint`.
  public var stageEnded: ((Stage) -> Void)?

  /// `presenter`: known mouths of the first face chosen in every shot, or of the largest of several. `threads`: for the
  /// work on one frame, including the calling thread; 0: all processors.
  public init(model: Model, presenter: Presenter? = nil, threads: Int = 0) {
    (self.model, self.presenter, self.threads, listener) = (model, presenter, threads, model.listener)
    tracker = FaceTracker(detector: model.detector, mesh: model.mesh)
  }

  /// Finds the faces in the frame shown at `time`. A frame without faces to paint must be passed on unchanged.
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

  /// Gives the face the presenter's mouths for as long as it is tracked. When it is lost, the next face that is alone
  /// in view takes over.
  private mutating func introduce(_ face: Face) {
    guard let presenter, let presented else { return }
    memories[face.id] = Memory(
      neutral: presenter.neutral, expression: Expression(model.geometry), mouths: presented.mouths,
      widest: presenter.widest)
    introduced = face.id
  }

  /// Updates what is remembered of a face from the frame.
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
      // The mouths remembered so far show the old look.
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

  /// Copies the audio for the frame at `time`, see `Listener.listen`. Cheap, because the timeline may be locked
  /// meanwhile.
  @discardableResult
  public mutating func listen(
    to timeline: inout SoundTimeline, at time: RunningTime, lookahead: RunningTime? = nil, _ silence: Silence? = nil
  ) -> Bool {
    listener.listen(to: &timeline, atRow: time.row, lookahead: lookahead, silence)
  }

  /// The features of the audio that `listen` copied, as `paint` takes them, see `Listener.heard`.
  public mutating func heard(gated: Bool = true) -> Tensor {
    ThreadPool.shared.limited(to: threads) { listener.heard(gated: gated) }
  }

  /// Paints on `frame` the mouth that speaks `sound`, `[T, C]` from `heard`. Only bytes of the lower face and around it
  /// change.
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

  /// The frame's pixels with the mouth warped to `coefficients`, and the mesh it has then; nil if the face has no pose
  /// or lies outside the frame.
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

  /// The predicted coefficients with the face's expression added.
  private mutating func expressed(_ told: [Float], by face: Face) -> [Float] {
    guard let sight = memories[face.id]?.sight,
      let expression = memories[face.id]?.expression(own: sight.own, told: told, after: sight.seconds)
    else { return told }
    return zip(told, expression).map { $0 + $1 }
  }

  /// The face's shape with the mouth it is to have; nil if the face has no pose.
  private func wanted(of face: Face, _ coefficients: [Float]) -> FaceShape? {
    guard let memory = memories[face.id], let sight = memory.sight else { return nil }
    // Limited, because the inside of a mouth that opens much wider than was ever seen is a guess, in which teeth would
    // grow.
    let wanted = model.geometry.limited(coefficients, to: max(Self.anyMouth, Self.wider * memory.widest))
    return model.geometry.shape(
      sight.shape, from: sight.own, to: wanted, facing: model.geometry.facing(sight.pose))
  }

  /// For the mouth painted in the previous frame: the opening of the original mouth, and the one that was aimed at,
  /// outer eye distances. nil if none was painted.
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

  /// Adds the watermark to a difference that is about to be added to `window`.
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

  /// What has been learned of a face, ready for a presenter file; nil if no mouth was seen.
  package func presenter(of face: Face) -> Presenter? {
    memories[face.id].flatMap { Presenter($0.neutral, $0.mouths) }
  }

  /// Bytes that the remembered mouths of a face occupy.
  package func bytesRemembered(of face: Face) -> Int { memories[face.id]?.mouths.bytes ?? 0 }

  /// Whether the previous frame painted a mouth on this face.
  public func remembersMouth(of face: Face) -> Bool { memories[face.id]?.mouth != nil }

  /// Paints the previous frame's mouth again, if there is one, without running any network on it.
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

  /// Reports a frame that was passed on unchanged: the next frame has no predecessor.
  public mutating func skip() {
    for id in memories.keys { skip(id) }
  }

  private mutating func skip(_ id: Int) {
    memories[id]?.previous = nil
    memories[id]?.mouth = nil
    memories[id]?.mouths.interrupt()
  }

  /// Discards everything learned so far: after a seek or a new frame size.
  public mutating func reset() {
    cuts = CutDetector()
    forget()
  }

  private mutating func forget() {
    tracker.reset()
    (memories, last, introduced) = ([:], nil, nil)
  }

  /// The same noise for all frames of a stream, so that the result does not flicker.
  private mutating func noise(_ seed: UInt64, _ shape: [Int]) -> Tensor {
    if let noise, noise.seed == seed { return noise.values }
    var generator = GaussianNoise(seed: seed)
    let values = Tensor(shape, generator.fill(shape.reduce(1, *)))
    noise = (seed, values)
    return values
  }

  /// The coefficients predicted for digital silence.
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
