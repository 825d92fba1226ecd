// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One frame in the painter's hands: find the face, wait for the sound, paint. Whatever is missing, the frame goes out as the
// very buffer that came in.

import CGStreamer
import Faces
import GstSyncDiff
import Speech
import SyncDiff
import Tensors

extension Stream {
  /// Makes a frame ready to be pushed, painted or as it came. Takes the buffer. Anything but OK: the frame is lost.
  func deliver(_ frame: Frame) -> GstFlowReturn {
    if frame.moment.streamTime != .max { gst_object_sync_values(object, frame.moment.streamTime) }
    disclose()
    let settings = Settings(of: element)
    defer { postStatistics(frame, settings) }
    guard let time = frame.time, settings.strength > 0, !settings.passthrough else {
      return pass(frame, .bypassed, settings)
    }
    guard mayPaint(settings) else {
      monitor.locked { soundCheck.lacks(.unlinked, at: time) }
      tellLack(settings)
      return pass(frame, .unlinked, settings)
    }
    if journey == nil, load(settings), let model = model?.model {
      journey = Journey(model: model, presenter: presenter?.presenter, threads: settings.threads)
      refreshLiveness()
    }
    guard journey != nil, let model = model?.model else {
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    guard !lacksSound(time, settings) else {
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    let began = g_get_monotonic_time()
    let work = plan(frame, time, settings, steps: settings.steps ?? model.configuration.steps)
    guard work != .pass || fade.isShowing else {
      watchSound(of: time, settings)
      return pass(frame, .overloaded, settings)
    }
    let scene = find(in: frame.buffer, at: time, settings)
    if let scene { announce(scene, frame, settings) }
    if let scene, settings.noFace == GST_SYNC_DIFF_NO_FACE_ERROR,
      !scene.sightings.contains(where: { $0.isChosen || $0.obstacle != nil })
    {
      postError(
        .stream(GST_STREAM_ERROR_FAILED), "There is no face to paint in the picture, and no-face=error.",
        debug: "At \(time.nanoseconds / 1_000_000) ms. With no-face=passthrough such frames go on untouched.")
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    if scene?.isCut == true { fade = Fade() }
    guard let scene, !scene.faces.isEmpty else {
      return pass(frame, scene?.isHidden == true ? .hidden : .faceless, settings)
    }
    let searched = g_get_monotonic_time() - began
    let sound = awaitSound(of: time, settings)
    tellLack(settings)
    let isThere: Bool
    switch sound {
    case .heard, .silence: isThere = true
    case .none: isThere = false
    case .missing, .flushing:
      gst_buffer_unref(frame.buffer)
      return monitor.locked { flushing } ? GST_FLOW_FLUSHING : GST_FLOW_ERROR
    }

    // A mouth that has nothing to say, or no time to be made, fades out as it was, if it was there.
    let paints = if case .paint = work { isThere } else { false }
    let shows = paints || scene.faces.contains { journey?.remembersMouth(of: $0) == true }
    let share = shows ? fade.next(painting: isThere && work != .pass) : 0
    guard share > 0 else { return pass(frame, isThere ? .overloaded : .soundless, settings) }
    let strength = Float(settings.strength * share)
    let resumed = g_get_monotonic_time()
    var frame = frame
    frame.buffer = writable(frame.buffer)
    let mark = self.mark(settings, model)
    let outcome: Statistics.Outcome? = drawing(on: frame.buffer) { view in
      guard case .paint(let steps) = work, let sound = heard(sound, model) else {
        for face in scene.faces { journey?.repaint(view, face: face, strength: strength, mark: mark) }
        return .reused
      }
      let paint = PaintSettings(
        steps: steps, strength: strength, seed: settings.seed, guidance: settings.guidance, mark: mark)
      for face in scene.faces { journey?.paint(view, face: face, sound: sound, settings: paint) }
      return .painted
    }
    guard let outcome else { return pass(frame, .bypassed, settings) }
    if outcome == .painted { measured(searched + g_get_monotonic_time() - resumed) }
    return send(frame, outcome, settings)
  }

  /// Whether frames of this stream can be painted at all.
  func mayPaint(_ settings: Settings) -> Bool {
    settings.missingAudio != .pass || monitor.locked { pairing.linked }
  }

  private func pass(_ frame: Frame, _ outcome: Statistics.Outcome, _ settings: Settings) -> GstFlowReturn {
    switch outcome {
    case .bypassed, .unlinked: fade = Fade()  // nobody asked for a fade
    case .faceless, .hidden: break  // a face that is found, or seen again, fades in by itself
    default: fade.cease()
    }
    journey?.skip()
    let running = frame.moment.runningTime
    let time = frame.time ?? (running == .max ? nil : RunningTime(nanoseconds: UInt64(running)))
    if let time { monitor.locked { passed(time) } }
    return send(frame, outcome, settings)
  }

  /// A frame is on its way: older sound makes room. Under the monitor.
  private func passed(_ time: RunningTime) {
    pairing.passed(time)
    monitor.broadcast()
  }

  /// Makes a frame ready to be pushed, and notes what became of it and whether it is in time.
  private func send(_ frame: Frame, _ outcome: Statistics.Outcome, _ settings: Settings) -> GstFlowReturn {
    guard let buffer = packed(frame.buffer) else {
      postError(
        .resource(GST_RESOURCE_ERROR_NO_SPACE_LEFT), "There is no memory for a frame.",
        debug: "Downstream does not know GstVideoMeta, so frames with strides of their own are copied.")
      return GST_FLOW_ERROR
    }
    let left: Int64? = monitor.locked {
      counts.count(outcome)
      let degrades = settings.degrades(live: liveLatency != nil)
      guard liveLatency != nil || degrades, let left = frame.time.flatMap(departure)?.left else { return nil }
      if left < 0 { counts.late &+= 1 }
      if degrades, outcome != .bypassed, outcome != .unlinked { overload.finished(left: left) }
      return left
    }
    if outcome == .overloaded { postQoS(frame, late: Int64(0).subtractingClamped(left ?? 0), settings) }
    var frame = frame
    frame.buffer = buffer
    makeReady(.frame(frame))
    return GST_FLOW_OK
  }

  // MARK: Load

  /// How much is done to a frame: all, unless time is short.
  private func plan(_ frame: Frame, _ time: RunningTime, _ settings: Settings, steps: Int) -> Overload.Work {
    let (work, change): (Overload.Work, Overload.Change?) = monitor.locked {
      guard settings.degrades(live: liveLatency != nil) else { return (.paint(steps: steps), overload.off()) }
      return overload.plan(
        time, left: departure(of: time)?.left ?? .max, interval: Int64(clamping: frameDuration ?? Self.usualFrame),
        steps: steps)
    }
    guard let change else { return work }
    log(GST_LEVEL_INFO, "overload level \(change.level.rawValue): \(change.reason.rawValue), \(change.late) ns late")
    if settings.posts(GST_SYNC_DIFF_MESSAGES_DEGRADE) {
      let message = Structure("syncdiff-degrade")
      message.set("level", Int32(clamping: change.level.rawValue))
      message.set("reason", change.reason.rawValue)
      message.set("late-ns", change.late)
      post(message, at: frame.moment)
    }
    postQoS(frame, late: change.late, settings)
    return work
  }

  /// Finding and painting a face took this many microseconds.
  private func measured(_ microseconds: gint64) {
    let nanoseconds = UInt64(clamping: microseconds) * 1000
    let changed: Bool = monitor.locked {
      overload.took(Int64(clamping: nanoseconds))
      return overload.level == .full && computeTime.add(nanoseconds)
    }
    if changed { refreshLatency() }
  }

  /// Quality is 1,000,000 at full level, 0 at pass-through.
  private func postQoS(_ frame: Frame, late: Int64, _ settings: Settings) {
    guard settings.qos else { return }
    let (live, level, counts): (Bool, Overload.Level, Statistics) = monitor.locked {
      (liveLatency != nil, overload.level, self.counts)
    }
    let (moment, pass) = (frame.moment, Overload.Level.passThrough.rawValue)
    let message = gst_message_new_qos(
      object, live ? 1 : 0, moment.runningTime, moment.streamTime, moment.timestamp, moment.duration)
    gst_message_set_qos_values(message, GstClockTimeDiff(late), 1, gint(1_000_000 / pass * (pass - level.rawValue)))
    gst_message_set_qos_stats(message, GST_FORMAT_BUFFERS, guint64(counts.processed), guint64(counts.passed))
    gst_element_post_message(base, message)
  }

  // MARK: Pictures

  /// Nil if the frame cannot be read.
  private func find(
    in buffer: UnsafeMutablePointer<GstBuffer>, at time: RunningTime, _ settings: Settings
  ) -> Scene? {
    let findSettings = findSettings(settings, buffer)
    guard var map = map(buffer, GST_MAP_READ) else { return nil }
    defer { gst_video_frame_unmap(&map) }
    guard let view = FrameView(map) else { return nil }
    return journey?.find(view, at: time, findSettings)
  }

  /// The same buffer if nobody else holds it, otherwise a copy. Takes the buffer.
  private func writable(_ buffer: UnsafeMutablePointer<GstBuffer>) -> UnsafeMutablePointer<GstBuffer> {
    let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
    guard gst_mini_object_is_writable(object) == 0, let copy = gst_mini_object_copy(object) else { return buffer }
    gst_buffer_unref(buffer)
    return UnsafeMutableRawPointer(copy).assumingMemoryBound(to: GstBuffer.self)
  }

  /// The same buffer if downstream knows where its lines are, otherwise a copy with the lines where the caps have them.
  /// Nil if there is no memory for it. Takes the buffer.
  private func packed(_ buffer: UnsafeMutablePointer<GstBuffer>) -> UnsafeMutablePointer<GstBuffer>? {
    guard monitor.locked({ stridesKnown == false }), var info, let meta = gst_buffer_get_video_meta(buffer),
      !meta.pointee.isLaid(as: info), var from = map(buffer, GST_MAP_READ)
    else { return buffer }
    defer { gst_buffer_unref(buffer) }
    defer { gst_video_frame_unmap(&from) }
    guard let copy = gst_buffer_new_allocate(nil, info.size, nil) else { return nil }
    var to = GstVideoFrame()
    guard gst_video_frame_map(&to, &info, copy, GST_MAP_WRITE) != 0 else {
      gst_buffer_unref(copy)
      return nil
    }
    gst_video_frame_copy(&to, &from)
    gst_video_frame_unmap(&to)
    let all = GST_BUFFER_COPY_FLAGS.rawValue | GST_BUFFER_COPY_TIMESTAMPS.rawValue | GST_BUFFER_COPY_META.rawValue
    gst_buffer_copy_into(copy, buffer, GstBufferCopyFlags(rawValue: all), 0, gsize.max)
    if let meta = gst_buffer_get_video_meta(copy) {
      gst_buffer_remove_meta(copy, UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstMeta.self))
    }
    return copy
  }

  /// What `body` makes of the buffer's picture; nil if that cannot be reached.
  private func drawing<Result>(
    on buffer: UnsafeMutablePointer<GstBuffer>, _ body: (MutableFrameView) -> Result?
  ) -> Result? {
    guard var map = map(buffer, GstMapFlags(GST_MAP_READ.rawValue | GST_MAP_WRITE.rawValue)) else { return nil }
    defer { gst_video_frame_unmap(&map) }
    return MutableFrameView(map).flatMap(body)
  }

  private func map(_ buffer: UnsafeMutablePointer<GstBuffer>, _ flags: GstMapFlags) -> GstVideoFrame? {
    guard var info else { return nil }
    var map = GstVideoFrame()
    if gst_video_frame_map(&map, &info, buffer, flags) != 0 { return map }
    if !warnedUnmappable {
      warnedUnmappable = true
      postWarning(.resource(GST_RESOURCE_ERROR_READ), "A frame's memory cannot be reached, so it passes untouched.")
    }
    return nil
  }

  // MARK: Sound

  private enum Sound {
    case heard(gated: Bool)  // by the journey
    case silence
    case none
    case missing  // an error, which has been posted
    case flushing
  }

  /// What the model takes in.
  private func heard(_ sound: Sound, _ model: Model) -> Tensor? {
    switch sound {
    case .heard(let gated): journey?.heard(gated: gated)
    case .silence: model.listener.silence
    case .none, .missing, .flushing: nil
    }
  }

  /// Waits until the sound of a frame is there, and listens to it.
  private func awaitSound(of time: RunningTime, _ settings: Settings) -> Sound {
    var began = g_get_monotonic_time()
    var alarm: Alarm?
    monitor.lock()
    defer {
      let last = items.last { $0.frame?.time != nil }?.frame?.time ?? time
      soundLags = soundLags && !pairing.reaches(last)
      monitor.unlock()
    }
    pair(settings)
    passed(time)
    while !flushing, taken == cleared {
      let deadline = deadline(of: time)
      let left = deadline?.left
      let late = left.map { $0 <= 0 } ?? false
      var verdict = pairing.verdict(for: time)
      let paused = verdict == .wait && (liveLatency == nil ? isPaused || isAhead : deadline == nil)
      let limit = paused ? nil : patience(since: began, left: left, settings)
      if verdict == .wait, let limit, g_get_monotonic_time() >= limit {
        if pairing.stall(at: time) {
          let ahead = late ? nil : left
          monitor.unlock()
          warnStalled(time, ahead: ahead, settings)
          monitor.lock()
        }
        continue
      }
      if verdict == .wait, late { verdict = pairing.verdict(for: time, late: true) }
      switch verdict {
      case .paint: return sound(of: time, settings)
      case .pass: return .none
      case .fail:
        let why = missing
        monitor.unlock()
        postMissing(why)
        monitor.lock()
        return .missing
      case .wait: break
      }
      let lag = liveLatency == nil && !paused && !soundLags ? max(began, soundMoved).addingClamped(Self.longWait) : .max
      if g_get_monotonic_time() >= lag {
        soundLags = true
        monitor.broadcast()  // there is room for more frames
        continue
      }
      if let deadline, alarm?.time != deadline.time {
        monitor.unlock()
        alarm = Alarm(deadline, waking: element)
        monitor.lock()
      } else {
        let next = min(limit ?? .max, lag)
        if next < .max { monitor.wait(until: next) } else { monitor.wait() }
        if paused { began = g_get_monotonic_time() }
      }
    }
    return .flushing
  }

  /// A frame that passes for want of time waits for no sound; that none comes is told all the same.
  private func watchSound(of time: RunningTime, _ settings: Settings) {
    guard let timeout = settings.stallTimeout else { return }
    let isNews = monitor.locked {
      pair(settings)
      guard pairing.verdict(for: time) == .wait else { return false }
      let limit = soundMoved.addingClamped(gint64(pairing.patience(timeout)))
      return g_get_monotonic_time() >= limit && pairing.stall(at: time)
    }
    if isNews { warnStalled(time, ahead: nil, settings) }
  }

  /// When a frame that waits since `began` takes the sound for stalled; nil for never. Live, its deadline is the latency away
  /// at most: at once if it is further away than that and the timeout, and once it is over (`left`, nanoseconds) only
  /// the sound's own silence counts. Under the monitor.
  private func patience(since began: gint64, left: Int64?, _ settings: Settings) -> gint64? {
    guard let timeout = settings.stallTimeout else { return nil }
    let since: gint64
    if let liveLatency {
      let latency = gint64(clamping: liveLatency.addingClamped(latencyReported) / 1000)
      let left = left ?? 0
      if gint64(left / 1000) > latency.addingClamped(gint64(timeout)) { return began }
      since = left <= 0 ? soundMoved : began.addingClamped(latency)
    } else {
      since = max(began, soundMoved)
    }
    return since.addingClamped(gint64(pairing.patience(timeout)))
  }

  /// Whether the sound of a frame is gone for good and that is an error, which has been posted. Nobody waits for it here.
  private func lacksSound(_ time: RunningTime, _ settings: Settings) -> Bool {
    guard settings.missingAudio == .error else { return false }
    let why: String? = monitor.locked {
      pair(settings)
      return pairing.verdict(for: time) == .fail ? missing : nil
    }
    if let why { postMissing(why) }
    return why != nil
  }

  private func postMissing(_ why: String) {
    postError(.stream(GST_STREAM_ERROR_FAILED), why, debug: "The property missing-audio makes this an error.")
  }

  /// Why there is no sound. Under the monitor.
  private var missing: String {
    guard pairing.linked else { return "No sound is linked to the pad audio." }
    return pairing.ended ? "The sound has ended before the picture." : "No sound comes to the pad audio."
  }

  /// `ahead`: nanoseconds until the deadline of a live frame, nil if it is over or there is none.
  private func warnStalled(_ time: RunningTime, ahead: Int64?, _ settings: Settings) {
    let milliseconds = time.nanoseconds / 1_000_000
    if let ahead {
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "A live frame is too far ahead of the clock to wait for its sound.",
        debug:
          "The frame at \(milliseconds) ms would wait for another \(ahead / 1_000_000) ms. Probably its timestamp is "
          + "wrong; videorate or the source's do-timestamp may mend it.")
      return
    }
    postWarning(
      .stream(GST_STREAM_ERROR_FAILED),
      "No sound has come to the pad audio for \((settings.stallTimeout ?? 0) / 1000) ms, frames go on without it.",
      debug:
        "A frame at \(milliseconds) ms waits for it. Probably a queue is full elsewhere while this "
        + "branch is empty: give the queues beside syncdiff, above all the one that carries the same sound to a muxer or "
        + "sink, max-size-time=0 max-size-bytes=0 max-size-buffers=0.")
  }

  /// Says, once, that frames have had no sound to speak for long, or to the end.
  func tellLack(atEnd: Bool = false, _ settings: Settings) {
    switch monitor.locked({ soundCheck.news(atEnd: atEnd) }) {
    case .unlinked:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "No sound is linked to the pad audio, so frames go on untouched.",
        debug:
          "Link what the mouths are to speak, as in `... ! audioconvert ! dub.audio`. Where an element has one input only, "
          + "as an effect in GES or a filter in transcodebin, no sound reaches it: put syncdiffbin behind GES instead.")
    case .sound:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "Nothing but silence has come to the pad audio.",
        debug:
          "All of it stays below silence-threshold (\(Int(settings.silenceThreshold)) dBFS). Is its source muted, or is it "
          + "another track or channel that speaks?")
    case nil: break
    }
  }

  /// Sound after its own time that a frame waits for, nanoseconds.
  func lookahead(_ settings: Settings) -> Int64 {
    settings.lookahead ?? model.map { Int64(clamping: $0.model.lookahead.nanoseconds) } ?? 0
  }

  /// Listens to the sound at a frame's time, silence where nothing is; but there is none if frames go untouched in silence.
  /// Under the monitor.
  private func sound(of frame: RunningTime, _ settings: Settings) -> Sound {
    let passes = settings.silence == GST_SYNC_DIFF_SILENCE_PASSTHROUGH
    guard pairing.linked, let time = pairing.soundTime(of: frame) else { return passes ? .none : .silence }
    soundCheck.lacks(.sound, at: frame, passes: passes)
    let silent = journey?.listen(
      to: &timeline, at: time, lookahead: RunningTime(nanoseconds: UInt64(clamping: pairing.lookahead)),
      Silence(threshold: settings.silenceThreshold, hold: settings.silenceHold))
    return passes && silent == true ? .none : .heard(gated: !passes)
  }
}

extension GstVideoMeta {
  /// Whether planes and lines are where `info` has them.
  fileprivate func isLaid(as info: GstVideoInfo) -> Bool {
    let planes = Int(n_planes)
    return values(of: offset, planes) == values(of: info.offset, planes)
      && values(of: stride, planes) == values(of: info.stride, planes)
  }

  private func values<Number>(of four: (Number, Number, Number, Number), _ count: Int) -> [Number] {
    Array([four.0, four.1, four.2, four.3].prefix(count))
  }
}
