// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The painter's work on one frame: find the face, wait for the audio, paint. If anything is missing, the frame leaves in the
// very buffer that it came in.

import CGStreamer
import Faces
import GstSyncDiff
import Speech
import SyncDiff
import Tensors

/// State owned by the painting thread. Not `Sendable`: other threads reach it only through `Order`s.
final class Painter {
  enum Order {
    /// The video was flushed: what was seen before does not continue.
    case flush
    /// The caps of the frames to come; nil if they cannot be parsed.
    case caps(GstVideoInfo?)
    /// The stream was stopped: none of it continues.
    case forget
  }

  unowned let stream: Stream  // retained by the thread
  private var memory = FrameMemory()
  private var pipeline: FramePipeline?
  private var fade = Fade()
  private var faceSettings = FaceSettings()
  private var disclosure = Disclosure()
  private var announcements = Announcements()
  private var statisticsPosted: RunningTime?
  /// The queue's generation when the current item was taken.
  private var generation = 0

  init(of stream: Stream) { self.stream = stream }

  // MARK: Items

  /// One turn of the thread: processes the next item. False when the thread must end.
  func takeTurn() -> Bool {
    let next: (item: Item, orders: [Order], isDead: Bool)? = stream.state.wait { state in
      guard !state.flushing else {
        // A thread that waits for this one may release the element as soon as it has ended.
        stream.log(GST_LEVEL_DEBUG, "the painting thread ends")
        state.thread.ends(self)
        return .done(nil)
      }
      guard let item = state.queue.takeForPainter() else {
        guard state.queue.framesHeld == 0, state.waiting.starvingSince == nil else { return .wait(until: nil) }
        state.waiting.starvingSince = stream.now
        return .again
      }
      generation = state.queue.generation
      if item.frame != nil { state.waiting.starvingSince = nil }
      return .done((item, state.thread.takeOrders(), state.downstream.isDead))
    }
    guard let next else { return false }
    for order in next.orders { obey(order) }
    switch next.item {
    case .event(let event): handle(event)
    case .frame(let frame) where next.isDead:
      stream.log(GST_LEVEL_LOG, "dropped \(frame): downstream has refused the one before, or that was lost")
      gst_buffer_unref(frame.buffer)
      stream.frameLeft(GST_FLOW_OK)
    case .frame(let frame):
      let result = withStandardArithmetic { deliver(frame) }
      guard result != GST_FLOW_OK else { break }
      stream.log(GST_LEVEL_DEBUG, "lost \(frame): \(result.name)")
      stream.state.change { if generation == $0.queue.generation { $0.downstream.isBroken = true } }
      makeReady(.lost(result))
    case .query, .lost: break
    }
    return true
  }

  private func obey(_ order: Order) {
    switch order {
    case .flush:
      statisticsPosted = nil
      newShot()
    case .caps(let info):
      memory.info = info
      newShot()
    case .forget:
      memory = FrameMemory()
      pipeline = nil
      fade = Fade()
      faceSettings = FaceSettings()
      disclosure = Disclosure()
      announcements = Announcements()
      statisticsPosted = nil
    }
  }

  /// The frames to come do not continue those before.
  private func newShot() {
    pipeline?.reset()
    fade = Fade()
  }

  /// Lets the current item go on, unless the stream was flushed meanwhile.
  private func makeReady(_ item: Item) {
    guard !stream.state.change({ $0.queue.makeReady(item, of: generation) }) else { return }
    stream.log(GST_LEVEL_LOG, "dropped what was in the painter's hands during a flush")
    item.discard()
  }

  private func handle(_ event: UnsafeMutablePointer<GstEvent>) {
    switch event.pointee.type {
    case GST_EVENT_CAPS: obey(.caps(event.videoInfo))
    case GST_EVENT_STREAM_START: disclosure = Disclosure()
    case GST_EVENT_EOS: stream.tellLack(atEnd: true, stream.settings)
    case GST_EVENT_TAG:
      makeReady(.event(disclosure.added(to: event, stream)))
      return
    default: break
    }
    makeReady(.event(event))
  }

  // MARK: A frame

  /// Makes a frame ready to be pushed, painted or unchanged. Takes ownership of the buffer. Any result but OK: the frame is
  /// lost.
  private func deliver(_ frame: Frame) -> GstFlowReturn {
    if frame.stamps.streamTime != .max { gst_object_sync_values(stream.object, frame.stamps.streamTime) }
    if let tag = disclosure.tag(stream) { makeReady(.event(tag)) }
    let settings = stream.settings
    defer { postStatistics(frame, settings) }
    guard let time = frame.time, settings.strength > 0, !settings.passthrough else {
      return pass(frame, .bypassed, settings)
    }
    guard stream.mayPaint(settings) else {
      stream.state.change { $0.soundCheck.lacks(.unlinked, at: time) }
      stream.tellLack(settings)
      return pass(frame, .unlinked, settings)
    }
    guard let model = prepare(settings), !stream.lacksAudio(time, settings) else {
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    return dub(frame, time, settings, model)
  }

  /// The model, with a frame pipeline for this stream; nil if it cannot be loaded, which has been reported.
  private func prepare(_ settings: Settings) -> Model? {
    if pipeline == nil {
      guard stream.load(settings) else { return nil }
      let (model, presenter) = stream.state.read { ($0.model?.model, $0.presenter?.presenter) }
      pipeline = model.map { FramePipeline(model: $0, presenter: presenter, threads: settings.threads) }
      stream.refreshLiveness()
    }
    return pipeline == nil ? nil : stream.state.read { $0.model?.model }
  }

  private func dub(_ frame: Frame, _ time: RunningTime, _ settings: Settings, _ model: Model) -> GstFlowReturn {
    let began = stream.now
    let work = stream.plan(frame, time, settings, steps: settings.steps ?? model.configuration.steps)
    guard work != .pass || fade.isShowing else {
      stream.watchAudio(of: time, settings)
      return pass(frame, .overloaded, settings)
    }
    let scene = find(in: frame.buffer, at: time, settings)
    if let scene { announcements.announce(scene, frame, settings, stream) }
    guard !lacksFace(scene, time, settings) else {
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    if scene?.isCut == true { fade = Fade() }
    guard let scene, !scene.faces.isEmpty else {
      return pass(frame, scene?.isHidden == true ? .hidden : .faceless, settings)
    }
    let searched = stream.now - began
    let sound = awaitAudio(of: time, settings)
    stream.tellLack(settings)
    let isThere: Bool
    switch sound {
    case .heard, .silence: isThere = true
    case .none: isThere = false
    case .missing, .flushing:
      gst_buffer_unref(frame.buffer)
      return stream.state.read { $0.flushing } ? GST_FLOW_FLUSHING : GST_FLOW_ERROR
    }

    // Without audio, or time to paint, the previous mouth fades out, if one was showing.
    let paints = if case .paint = work { isThere } else { false }
    let shows = paints || scene.faces.contains { pipeline?.remembersMouth(of: $0) == true }
    let share = shows ? fade.next(painting: isThere && work != .pass) : 0
    guard share > 0 else { return pass(frame, isThere ? .overloaded : .soundless, settings) }
    let resumed = stream.now
    var frame = frame
    frame.buffer = memory.writable(frame.buffer)
    let steps: Int? = if case .paint(let steps) = work { steps } else { nil }
    let strength = Float(settings.strength * share)
    guard let outcome = draw(on: frame.buffer, scene.faces, sound, steps: steps, strength, settings, model) else {
      return pass(frame, .bypassed, settings)
    }
    if outcome == .painted { stream.measured(searched + stream.now - resumed) }
    return send(frame, outcome, settings)
  }

  /// Paints mouths that speak the audio, or, without audio or steps, the mouths of the previous frame. Nil if the frame's
  /// memory cannot be written.
  private func draw(
    on buffer: UnsafeMutablePointer<GstBuffer>, _ faces: [Face], _ sound: Sound, steps: Int?, _ strength: Float,
    _ settings: Settings, _ model: Model
  ) -> Statistics.Outcome? {
    let mark = markSettings(settings, model)
    return memory.withPicture(of: buffer, stream) { view in
      guard let steps, let features = features(of: sound, model) else {
        for face in faces { pipeline?.repaint(view, face: face, strength: strength, mark: mark) }
        return .reused
      }
      let paint = PaintSettings(
        steps: steps, strength: strength, seed: settings.seed, guidance: settings.guidance, mark: mark)
      for face in faces { pipeline?.paint(view, face: face, features: features, settings: paint) }
      return .painted
    }
  }

  /// Nil if the frame cannot be read.
  private func find(
    in buffer: UnsafeMutablePointer<GstBuffer>, at time: RunningTime, _ settings: Settings
  ) -> FrameFaces? {
    let find = faceSettings.find(settings, memory.info, in: buffer, stream)
    return memory.withView(of: buffer, stream) { pipeline?.find($0, at: time, find) }
  }

  /// Whether there is no face and that is an error, which has then been posted.
  private func lacksFace(_ scene: FrameFaces?, _ time: RunningTime, _ settings: Settings) -> Bool {
    guard let scene, settings.noFace == GST_SYNC_DIFF_NO_FACE_ERROR,
      !scene.trackedFaces.contains(where: { $0.isChosen || $0.obstacle != nil })
    else { return false }
    stream.postError(
      .stream(GST_STREAM_ERROR_FAILED), "There is no face to paint in the frame, and no-face=error.",
      debug: "At \(time.nanoseconds / 1_000_000) ms. With no-face=passthrough such frames pass through unchanged.")
    return true
  }

  private func pass(_ frame: Frame, _ outcome: Statistics.Outcome, _ settings: Settings) -> GstFlowReturn {
    switch outcome {
    case .bypassed, .unlinked: fade = Fade()  // no fade is expected
    case .faceless, .hidden: break  // a face that is found, or seen again, fades in by itself
    default: fade.cease()
    }
    pipeline?.skip()
    let running = frame.stamps.runningTime
    let time = frame.time ?? (running == .max ? nil : RunningTime(nanoseconds: UInt64(running)))
    if let time { stream.state.change { $0.waiting.sync.passed(time) } }  // frees older audio
    return send(frame, outcome, settings)
  }

  /// Makes a frame ready to be pushed, and records its outcome and whether it is in time.
  private func send(_ frame: Frame, _ outcome: Statistics.Outcome, _ settings: Settings) -> GstFlowReturn {
    guard let buffer = memory.packed(frame.buffer, stream) else {
      stream.postError(
        .resource(GST_RESOURCE_ERROR_NO_SPACE_LEFT), "Cannot allocate memory for a frame.",
        debug: "Downstream does not support GstVideoMeta, so frames with their own strides are copied.")
      return GST_FLOW_ERROR
    }
    let left: Int64? = stream.state.change { state in
      state.counts.count(outcome)
      let isLive = state.waiting.liveLatency != nil
      let degrades = settings.degrades(live: isLive)
      guard isLive || degrades,
        let departure = stream.due(frame.time, after: state.waiting.departure, playing: state.playing)
      else { return nil }
      let left = departure.left
      if left < 0 { state.counts.late &+= 1 }
      if degrades, outcome != .bypassed, outcome != .unlinked { state.overload.finished(left: left) }
      return left
    }
    stream.log(
      GST_LEVEL_LOG,
      "\(frame): \(outcome.rawValue)" + (left.map { ", \(seconds(nanoseconds: $0)) before it has to leave" } ?? ""))
    if outcome == .overloaded { stream.postQoS(frame, late: Int64(0).subtractingClamped(left ?? 0), settings) }
    var frame = frame
    frame.buffer = buffer
    makeReady(.frame(frame))
    return GST_FLOW_OK
  }

  // MARK: Statistics

  /// Posts `syncdiff-stats` if it is due.
  private func postStatistics(_ frame: Frame, _ settings: Settings) {
    guard let interval = settings.statsInterval, settings.posts(GST_SYNC_DIFF_MESSAGES_STATS), let time = frame.time
    else { return }
    let since = statisticsPosted ?? time
    if statisticsPosted == nil || time < since { statisticsPosted = time }
    guard time > since, time.nanoseconds - since.nanoseconds >= interval else { return }
    statisticsPosted = time
    stream.post(stream.statistics(), at: frame.stamps)
  }

  // MARK: Sound

  private enum Sound {
    case heard(gated: Bool)  // by the frame pipeline
    case silence
    case none
    case missing  // an error, which has been posted
    case flushing
  }

  /// The audio features for the model.
  private func features(of sound: Sound, _ model: Model) -> Tensor? {
    switch sound {
    case .heard(let gated): pipeline?.audioFeatures(gated: gated)
    case .silence: model.featureExtractor.silence
    case .none, .missing, .flushing: nil
    }
  }

  /// What interrupts the wait for audio, to be done without the lock.
  private enum Pause {
    case over(Sound)
    case warn(ahead: Int64?)
    case fail(why: String)
    case setTimer(Deadline)
  }

  /// Waits until a frame's audio is there, and passes it to the model.
  private func awaitAudio(of time: RunningTime, _ settings: Settings) -> Sound {
    var wait = Waiting.FrameWait(frame: time, now: stream.now)
    var timer: DeadlineTimer?
    var isTold = false
    stream.state.change { state in
      state.apply(settings)
      state.waiting.sync.passed(time)
    }
    defer { stream.state.change { $0.waiting.ended(wait, last: $0.queue.lastTime) } }
    while true {
      let pause: Pause = stream.state.wait { turn(&wait, &isTold, timer, &$0, settings) }
      switch pause {
      case .over(let sound):
        if isTold { stream.log(GST_LEVEL_LOG, "the frame at \(seconds(time)) no longer waits: \(sound)") }
        return sound
      case .warn(let ahead): stream.warnStalled(time, ahead: ahead, settings)
      case .fail(let why):
        stream.postMissing(why)
        return .missing
      case .setTimer(let deadline): timer = DeadlineTimer(deadline, waking: stream)
      }
    }
  }

  private func turn(
    _ wait: inout Waiting.FrameWait, _ isTold: inout Bool, _ timer: DeadlineTimer?, _ state: inout StreamState,
    _ settings: Settings
  ) -> Turn<Pause> {
    guard !state.flushing, generation == state.queue.generation else { return .done(.over(.flushing)) }
    let deadline = stream.due(wait.frame, after: state.waiting.deadline, playing: state.playing)
    let (left, playing, isAhead) = (deadline?.left, state.playing, state.queue.isAhead)
    let around = Waiting.Surroundings(now: stream.now, timeout: settings.stallTimeout) { [stream] in
      stream.restsInPaused(playing: playing) || isAhead
    }
    switch state.waiting.next(&wait, left: left, around) {
    case .paint: return .done(.over(listen(at: wait.frame, &state, settings)))
    case .pass: return .done(.over(.none))
    case .fail: return .done(.fail(why: state.lackOfAudio))
    case .warn(let ahead): return .done(.warn(ahead: ahead))
    case .makeRoom:
      stream.log(GST_LEVEL_DEBUG, "the audio lags behind the video: up to \(Waiting.wideSlack / 1_000_000) ms are held")
      return .again
    case .wait(let until):
      if !isTold {
        stream.log(GST_LEVEL_LOG, state.waiting.account(of: wait, left: left, until: until, around))
        isTold = true
      }
      if let deadline, timer?.time != deadline.time { return .done(.setTimer(deadline)) }
      return .wait(until: until)
    }
  }

  /// Reads the audio at a frame's time, zeros where there is none; returns none if frames pass unchanged in silence.
  private func listen(at frame: RunningTime, _ state: inout StreamState, _ settings: Settings) -> Sound {
    let passes = settings.silence == GST_SYNC_DIFF_SILENCE_PASSTHROUGH
    let sync = state.waiting.sync
    guard sync.linked, let time = sync.audioTime(of: frame) else { return passes ? .none : .silence }
    state.soundCheck.lacks(.sound, at: frame, passes: passes)
    let silent = pipeline?.capture(
      from: &state.timeline, at: time, lookahead: RunningTime(nanoseconds: UInt64(clamping: sync.lookahead)),
      Silence(threshold: settings.silenceThreshold, hold: settings.silenceHold))
    return passes && silent == true ? .none : .heard(gated: !passes)
  }
}
