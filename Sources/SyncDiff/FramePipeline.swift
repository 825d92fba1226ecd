// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipeline of one frame: find faces, encode the audio, warp, encode, denoise, decode, blend. The audio determines
// the shape of the mouth, the person's own pixels are warped to it, and a latent diffusion model (SyncDiff, arXiv
// 2503.13371, figure 2, frame by frame) paints what no warp can know, such as the inside of the mouth. Twin of
// Sources/Training/evaluate/frame_pipeline.py. Frames come in as views; nothing here imports GStreamer.

import Diffusion
public import Faces
public import Speech
public import Tensors

/// The timed stages of a frame, in order.
public enum Stage: String, CaseIterable, Sendable {
  case find, hear, warp, encode, denoise, decode, blend
}

/// The faces in a frame, and whether it begins a new shot.
public struct FrameFaces: Sendable {
  /// The faces to paint, including those that fade out.
  public var faces: [Face]
  /// All faces in view.
  public var trackedFaces: [TrackedFace]
  /// Whether a face is selected but none shows enough of its mouth to be painted (`Visibility`).
  public var isHidden: Bool
  /// Whether a new shot begins here, and how different the frame is from the previous one, 0 ... 1.
  public var isCut: Bool
  public var difference: Float
}

/// One stream's state. Every frame goes through `find`; a frame with a face and audio then through `paint` (or
/// `repaint`), any other frame is reported with `skip`.
public struct FramePipeline {
  /// What is remembered of a face between frames.
  struct FaceState {
    var neutral: Neutral
    var expression: Expression
    var mouths = MouthMemory<SeenMouth>()
    /// The widest opening seen so far, outer eye distances.
    var widest: Float = 0
    var visibility = Visibility()
    /// It is no longer seen and fades out where it was last; nothing is learned from it.
    var isLost = false
    /// 0 ... 1: opacity that falls over three frames when the mouth becomes obstructed, at once when something covers it,
    /// and rises over three when it is clear again.
    var clearOpacity: Float?
    /// Its geometry in the last frame; nil if it has no pose.
    var observed: ObservedFace?
    /// The latent painted for the previous frame.
    var previous: Tensor?
    /// The mouth painted in the previous frame.
    var mouth: Mouth?
  }

  /// A face's geometry in one frame.
  struct ObservedFace {
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

  private static let fade: Float = 1 / 3  // step of `clearOpacity` for each frame
  private static let anyMouth: Float = 0.14  // outer eye distances, an opening that any mouth may have
  private static let wider: Float = 1.15  // times the widest opening seen, the limit for a mouth

  let model: Model
  let presenter: Presenter?
  /// The presenter's mouths, converted to the format of this kind of frame.
  package private(set) var presenterMouths: (kind: FrameView.Kind, mouths: MouthMemory<SeenMouth>)?
  /// The id of the face taken for the presenter's.
  var presenterFaceID: Int?
  let threads: Int
  private var extractor: AudioFeatureExtractor
  var tracker: FaceTracker
  var cuts = CutDetector()
  var last: RunningTime?  // of the last frame passed to `find`
  /// By the face's id.
  var faceStates: [Int: FaceState] = [:]
  var noise: (seed: UInt64, values: Tensor)?
  var mark: (settings: MarkSettings, pattern: Watermark)?
  var schedule: (steps: Int, times: Schedule)?
  var cachedSilence: [Float]?
  /// For timing: called at the end of each stage, on the thread that called `find` or `paint`.
  public var stageEnded: ((Stage) -> Void)?

  /// `presenter`: known mouths of the first face chosen in every shot, or of the largest of several. `threads`: for the
  /// work on one frame, including the calling thread; 0: all processors.
  public init(model: Model, presenter: Presenter? = nil, threads: Int = 0) {
    (self.model, self.presenter, self.threads, extractor) = (model, presenter, threads, model.featureExtractor)
    tracker = FaceTracker(detector: model.detector, mesh: model.mesh)
  }

  /// Finds the faces in the frame shown at `time`. A frame without faces to paint must be passed on unchanged.
  public mutating func find(
    _ frame: FrameView, at time: RunningTime, _ settings: FindSettings = FindSettings()
  ) -> FrameFaces {
    let (difference, isCut) = cuts(frame, threshold: settings.sceneThreshold)
    if isCut { forget() }
    if let presenter, presenterMouths?.kind != frame.kind {
      presenterMouths = ThreadPool.shared.limited(to: threads) { (frame.kind, presenter.memory(like: frame)) }
    }
    let faces = ThreadPool.shared.limited(to: threads) {
      tracker.track(frame, at: Double(time.nanoseconds) / 1e9, selecting: settings.selection)
    }
    faceStates = faceStates.filter { entry in faces.contains { $0.id == entry.key } }
    // After a jump back as much has changed as after one forward.
    let elapsed = last.map { abs(Double(time.nanoseconds) - Double($0.nanoseconds)) } ?? 0
    ThreadPool.shared.limited(to: threads) {
      let isNew = presenterFaceID.map { faceStates[$0] == nil && faces.count == 1 } ?? true
      if isNew, let first = faces.min(by: { $0.alignment.scale < $1.alignment.scale }) { assignPresenter(first) }
      for face in faces {
        faceStates[face.id]?.isLost = face.isLost
        if !face.isLost { observe(face, in: frame, after: elapsed / 1e9) }
      }
    }
    last = time
    stageEnded?(.find)
    let clear = faces.compactMap { face in
      var face = face
      face.opacity *= faceStates[face.id]?.clearOpacity ?? 1
      return face.opacity > 0 ? face : nil
    }
    for face in faces where faceStates[face.id]?.clearOpacity == 0 { skip(face.id) }
    let trackedFaces = tracker.trackedFaces.map { face in
      faceStates[face.id]?.visibility.obstacle.map { face.hidden(by: $0) } ?? face
    }
    return FrameFaces(
      faces: clear, trackedFaces: trackedFaces, isHidden: clear.isEmpty && !faces.isEmpty, isCut: isCut,
      difference: difference)
  }

  /// Gives the face the presenter's mouths for as long as it is tracked. When it is lost, the next face that is alone
  /// in view takes over.
  private mutating func assignPresenter(_ face: Face) {
    guard let presenter, let presenterMouths else { return }
    faceStates[face.id] = FaceState(
      neutral: presenter.neutral, expression: Expression(model.geometry), mouths: presenterMouths.mouths,
      widest: presenter.widest)
    presenterFaceID = face.id
  }

  /// Updates what is remembered of a face from the frame.
  private mutating func observe(_ face: Face, in frame: FrameView, after seconds: Double) {
    let geometry = model.geometry
    var state = faceStates[face.id] ?? FaceState(neutral: Neutral(geometry), expression: Expression(geometry))
    state.observed = nil
    if let pose = Pose(of: face.points, canonical: geometry.canonical),
      let shape = FaceShape(pose.unposed(face.points)), let mesh = RingedMesh(face.points)
    {
      let turn = (pose.turn * pose.turn).sum().squareRoot()
      let obstacle = state.visibility(frame, face.points, turn: turn, at: face.alignment, after: seconds)
      let (target, step): (Float, Float) = (obstacle == nil ? 1 : 0, obstacle == .covered ? 1 : Self.fade)
      state.clearOpacity = state.clearOpacity.map { min(max(target, $0 - step), $0 + step) } ?? target
      // The mouths remembered so far show the old look.
      if state.visibility.isNewLook { (state.mouths, state.widest) = (MouthMemory(), 0) }
      state.widest = max(state.widest, shape.opening)
      let closed = state.neutral(shape, after: seconds)
      state.observed = ObservedFace(
        pose: pose, shape: shape, mesh: mesh, own: geometry.coefficients(shape, closed), seconds: seconds)
      if obstacle == nil {
        state.mouths.remember(MouthKey(shape, pose), light: state.visibility.light) { most in
          SeenMouth(frame, mesh, unit: Float(pose.scale), most: most).map { ($0, $0.bytes) }
        }
      }
    }
    faceStates[face.id] = state
  }

  /// Copies the audio for the frame at `time`, see `AudioFeatureExtractor.capture`. Cheap, because the timeline may be locked
  /// meanwhile.
  @discardableResult
  public mutating func capture(
    from timeline: inout AudioTimeline, at time: RunningTime, lookahead: RunningTime? = nil, _ silence: Silence? = nil
  ) -> Bool {
    extractor.capture(from: &timeline, atRow: time.row, lookahead: lookahead, silence)
  }

  /// The features of the audio that `capture` copied, as `paint` takes them, see `AudioFeatureExtractor.features`.
  public mutating func audioFeatures(gated: Bool = true) -> Tensor {
    ThreadPool.shared.limited(to: threads) { extractor.features(gated: gated) }
  }

  /// Paints on `frame` the mouth that speaks the audio of `features`, `[T, C]` from `audioFeatures`. Only bytes of the lower
  /// face and around it change.
  public mutating func paint(_ frame: MutableFrameView, face: Face, features: Tensor, settings: PaintSettings) {
    ThreadPool.shared.limited(to: threads) { painted(frame, face, features, settings) }
  }

  private mutating func painted(
    _ frame: MutableFrameView, _ face: Face, _ features: Tensor, _ settings: PaintSettings
  ) {
    let config = model.configuration
    if faceStates[face.id]?.observed == nil, !face.isLost { observe(face, in: frame.view, after: 0) }
    let tokens = model.encodeAudio(features)
    let silent = silenceCoefficients()
    let predicted = zip(model.lips(tokens), silent).map { $1 + settings.guidance * ($0 - $1) }
    let coefficients = withExpression(model.geometry.decided(predicted), of: face)
    stageEnded?(.hear)
    guard let (patch, mesh) = warped(frame.view, face, coefficients) else { return }
    let window = crop(patch, model.window, at: face.alignment)
    stageEnded?(.warp)
    let (model, previous, schedule) = (model, faceStates[face.id]?.previous, schedule(settings.steps))
    let (identity, context) = ThreadPool.shared.both {
      model.encoder(window)
    } and: {
      model.denoiser.context(tokens: tokens, prior: previous.map { model.bottleneck($0) }, schedule: schedule)
    }
    let lips = model.window.lips(mesh, at: face.alignment)
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
    faceStates[face.id]?.previous = latent
    faceStates[face.id]?.mouth = Mouth(coefficients: coefficients, difference: difference)
    blend(patch, marked(difference, over: window, settings.mark), into: frame, face, settings.strength)
    stageEnded?(.blend)
  }

  /// The frame's pixels with the mouth warped to `coefficients`, and the mesh it has then; nil if the face has no pose
  /// or lies outside the frame.
  private mutating func warped(
    _ frame: FrameView, _ face: Face, _ coefficients: [Float]
  ) -> (patch: Patch, mesh: RingedMesh)? {
    guard let observed = faceStates[face.id]?.observed, let shape = targetShape(of: face, coefficients) else {
      return nil
    }
    let (unit, triangles) = (Float(observed.pose.scale), model.geometry.triangles)
    let mouths = faceStates[face.id]?.mouths.choose(MouthKey(shape, observed.pose)) ?? []
    guard let moved = observed.mesh.moved(to: observed.pose.posed(shape.points)),
      let mesh = moved.unfolded(from: observed.mesh, triangles, unit: unit),
      let face = MovedFace(
        observed.mesh, to: mesh, triangles: triangles, unit: unit, model.window, at: face.alignment),
      let patch = face.patch(of: frame, mouths)
    else { return nil }
    return (patch, mesh)
  }

  /// The predicted coefficients with the face's expression added.
  private mutating func withExpression(_ predicted: [Float], of face: Face) -> [Float] {
    // A lost face shows nothing new.
    guard let observed = faceStates[face.id]?.observed,
      let expression = faceStates[face.id]?.expression(
        own: observed.own, predicted: predicted, after: face.isLost ? 0 : observed.seconds)
    else { return predicted }
    return zip(predicted, expression).map { $0 + $1 }
  }

  /// The face's shape with the mouth it is to have; nil if the face has no pose.
  private func targetShape(of face: Face, _ coefficients: [Float]) -> FaceShape? {
    guard let state = faceStates[face.id], let observed = state.observed else { return nil }
    // Limited, because the inside of a mouth that opens much wider than was ever seen is a guess, in which teeth would
    // grow.
    let wanted = model.geometry.limited(coefficients, to: max(Self.anyMouth, Self.wider * state.widest))
    return model.geometry.shape(
      observed.shape, from: observed.own, to: wanted, facing: model.geometry.facing(observed.pose))
  }

  /// For the mouth painted in the previous frame: the opening of the original mouth, and the one that was aimed at,
  /// outer eye distances. nil if none was painted.
  package func openings(of face: Face) -> (own: Float, wanted: Float)? {
    guard let state = faceStates[face.id], let observed = state.observed, let mouth = state.mouth else { return nil }
    return targetShape(of: face, mouth.coefficients).map { (observed.shape.opening, $0.opening) }
  }

  private func blend(
    _ patch: Patch, _ difference: Tensor, into frame: MutableFrameView, _ face: Face, _ strength: Float
  ) {
    let place = model.window.transform(face.alignment)
    apply(patch, Difference(difference, at: place), to: frame, strength: strength * face.opacity)
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
    faceStates[face.id].flatMap { Presenter($0.neutral, $0.mouths) }
  }

  /// Bytes that the remembered mouths of a face occupy.
  package func bytesRemembered(of face: Face) -> Int { faceStates[face.id]?.mouths.bytes ?? 0 }

  /// Whether the previous frame painted a mouth on this face.
  public func remembersMouth(of face: Face) -> Bool { faceStates[face.id]?.mouth != nil }

  /// Paints the previous frame's mouth again, if there is one, without running any network on it.
  public mutating func repaint(
    _ frame: MutableFrameView, face: Face, strength: Float, mark: MarkSettings? = nil
  ) {
    guard let mouth = faceStates[face.id]?.mouth else { return }
    ThreadPool.shared.limited(to: threads) {
      guard let (patch, _) = warped(frame.view, face, mouth.coefficients) else { return }
      let window = model.window
      let made = marked(mouth.difference, over: crop(patch, window, at: face.alignment), mark)
      blend(patch, made, into: frame, face, strength)
    }
  }

  /// Reports a frame that was passed on unchanged: the next frame has no predecessor.
  public mutating func skip() {
    for id in faceStates.keys { skip(id) }
  }

  private mutating func skip(_ id: Int) {
    faceStates[id]?.previous = nil
    faceStates[id]?.mouth = nil
    faceStates[id]?.mouths.interrupt()
  }

  /// Discards everything learned so far: after a seek or a new frame size.
  public mutating func reset() {
    cuts = CutDetector()
    forget()
  }

  private mutating func forget() {
    tracker.reset()
    (faceStates, last, presenterFaceID) = ([:], nil, nil)
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
  private mutating func silenceCoefficients() -> [Float] {
    if let cachedSilence { return cachedSilence }
    let mouth = model.lips(model.encodeAudio(model.featureExtractor.silence))
    cachedSilence = mouth
    return mouth
  }

  private mutating func schedule(_ steps: Int) -> Schedule {
    if let schedule, schedule.steps == steps { return schedule.times }
    let times = Schedule(steps: steps, of: model.denoiser)
    schedule = (steps, times)
    return times
  }
}
