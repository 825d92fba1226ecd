// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The video input: frames get their running time, serialized events their place between them.

import CGStreamer
import GstSyncDiff
import Speech

/// The sink pad. What its thread knows about its stream is in `input`; what it passes on goes into the stream's queue.
final class VideoInput: Sendable {
  private let stream: Stream
  private let output: Output
  private let input = Guarded(Input())

  init(of stream: Stream, to output: Output) { (self.stream, self.output) = (stream, output) }

  /// PAUSED -> READY: discards everything of the old stream.
  func stopped() { input.change { $0 = Input() } }

  // MARK: Frames

  func receive(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    let usual = stream.state.read { $0.waiting.frameDuration }
    let (frame, complaints) = input.change { $0.timed(buffer, usual) }
    for complaint in complaints { warn(complaint) }
    let size = Int(gst_buffer_get_size(buffer))
    var waits = false
    let result: GstFlowReturn = stream.state.wait { state in
      let (held, first, flow) = (state.queue.framesHeld, state.queue.firstTime, state.downstream.flow)
      let refusal = state.flushing ? GST_FLOW_FLUSHING : state.videoEnded ? GST_FLOW_EOS : flow
      guard refusal == GST_FLOW_OK else {
        if refusal == flow { state.downstream.told() }
        return .done(refusal)
      }
      guard state.waiting.hasRoom(forFrameAt: frame.time, bytes: size, held: held, first: first) else {
        if !waits { stream.log(GST_LEVEL_LOG, "\(frame) waits for room: \(held) frames are held") }
        waits = true
        return .wait(until: nil)
      }
      state.queue.append(.frame(frame))
      state.waiting.starvingSince = nil
      return .done(GST_FLOW_OK)
    }
    guard result != GST_FLOW_OK else { return result }
    stream.log(GST_LEVEL_DEBUG, "refused \(frame): \(result.name)")
    gst_buffer_unref(buffer)
    return result
  }

  private func warn(_ complaint: Input.Complaint) {
    switch complaint {
    case .untimed:
      stream.postWarning(
        .stream(GST_STREAM_ERROR_FORMAT), "Video frames without timestamps.",
        debug: "Each is assumed to follow the one before it. A parser before syncdiff may know the timestamps.")
    case .speed(let rate, let applied):
      stream.postWarning(
        .stream(GST_STREAM_ERROR_FORMAT), "Lips can only be synchronised at normal speed.",
        debug: "The rate is \(rate) (applied: \(applied)): frames pass through unchanged.")
    }
  }

  // MARK: Events

  /// An event refused because the element stops is not an error: upstream may retry a sticky event, and would report one.
  func event(_ event: UnsafeMutablePointer<GstEvent>) -> GstFlowReturn {
    stream.log(GST_LEVEL_DEBUG, "\(event.pointee.type.name) on the sink pad")
    switch event.pointee.type {
    case GST_EVENT_FLUSH_START: return flushStart(event)
    case GST_EVENT_FLUSH_STOP: return flushStop(event)
    case GST_EVENT_CAPS:
      guard accepts(event) else {
        gst_event_unref(event)
        return GST_FLOW_NOT_NEGOTIATED
      }
    case GST_EVENT_SEGMENT:
      if input.change({ $0.begins(event) }) { stream.warnTimeless("video") }
    default: break
    }
    guard gst_event_type_get_flags(event.pointee.type).rawValue & GST_EVENT_TYPE_SERIALIZED.rawValue != 0 else {
      return output.pushAhead(event) ? GST_FLOW_OK : GST_FLOW_ERROR
    }
    return queue(event)
  }

  private func flushStart(_ event: UnsafeMutablePointer<GstEvent>) -> GstFlowReturn {
    stream.letGo()
    let isPushed = output.pushAhead(event)
    output.pauseTask()
    stream.awaitPainter()
    return isPushed ? GST_FLOW_OK : GST_FLOW_ERROR
  }

  /// May come without a FLUSH_START, while painter and task are running. A push that blocks downstream would block this event
  /// too: it is serialized.
  private func flushStop(_ event: UnsafeMutablePointer<GstEvent>) -> GstFlowReturn {
    stream.letGo()
    output.pauseTask()
    stream.awaitPainter()
    let isPushed = output.pushAhead(event)
    input.change { $0.flushed() }
    let items = stream.state.change { $0.videoFlushed() }
    stream.log(GST_LEVEL_DEBUG, "flushed: \(items.count { $0.frame != nil }) frames that were on their way are gone")
    keepSticky(items)
    let starts = output.isActive && stream.startPainter() && output.startTask()
    if !output.isActive {
      stream.letGo()  // deactivated meanwhile: nobody takes what comes
      stream.awaitPainter()
    }
    return starts && isPushed ? GST_FLOW_OK : GST_FLOW_ERROR
  }

  /// Sticky events that a flush has overtaken are pushed before the next frame, because upstream does not send them again.
  /// Everything else that was queued is released.
  private func keepSticky(_ items: [Item]) {
    for item in items {
      defer { item.discard() }
      guard case .event(let event) = item else { continue }
      let type = event.pointee.type
      guard gst_event_type_get_flags(type).rawValue & GST_EVENT_TYPE_STICKY.rawValue != 0, type != GST_EVENT_SEGMENT,
        type != GST_EVENT_EOS
      else { continue }
      if type == GST_EVENT_CAPS {
        let info = event.videoInfo
        stream.state.change { $0.thread.order(.caps(info)) }
      }
      gst_pad_store_sticky_event(stream.element.pointee.src, event)
    }
  }

  /// Queues a serialized event in its place between the frames.
  private func queue(_ event: UnsafeMutablePointer<GstEvent>) -> GstFlowReturn {
    let type = event.pointee.type
    let (result, untold): (GstFlowReturn, GstFlowReturn) = stream.state.change { state in
      guard !state.flushing else { return (GST_FLOW_FLUSHING, GST_FLOW_OK) }
      var untold = GST_FLOW_OK
      if type == GST_EVENT_EOS {
        state.videoEnded = true
        if !state.downstream.isTold { untold = state.downstream.flow }
      } else if event.begins {
        state.videoEnded = false
        state.downstream.begins()
      }
      if type == GST_EVENT_SEGMENT { state.waiting.loopFrom = nil }
      state.queue.append(.event(event))
      return (GST_FLOW_OK, untold)
    }
    if result != GST_FLOW_OK { gst_event_unref(event) }
    if untold != GST_FLOW_OK { stream.reportRefusal(untold) }
    return result
  }

  /// Whether the caps are supported; they match the template already.
  private func accepts(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    guard let info = event.videoInfo else { return false }
    guard info.interlace_mode == GST_VIDEO_INTERLACE_MODE_PROGRESSIVE else {
      if input.change({ $0.refusesInterlaced() }) {
        stream.postError(
          .stream(GST_STREAM_ERROR_FORMAT), "The video is interlaced: put deinterlace before syncdiff.")
      }
      return false
    }
    let duration =
      info.fps_n > 0 && info.fps_d > 0
      ? UInt64(gst_util_uint64_scale(1_000_000_000, guint64(info.fps_d), guint64(info.fps_n))) : nil
    stream.log(
      GST_LEVEL_INFO, "video caps: \(info.width) x \(info.height), \(info.fps_n)/\(info.fps_d) frames a second")
    stream.state.change { $0.waiting.frameDuration = duration }
    stream.refreshLatency()
    return true
  }

  // MARK: Queries

  /// A serialized query is answered downstream, after the events before it. Behind frames it would have to wait, and these
  /// may be waiting for audio from the very thread that asks: there it is refused, except for ALLOCATION, which is answered
  /// with the needs of this element.
  func query(_ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    let type = query.pointee.type
    let isSerialized = gst_query_type_get_flags(type).rawValue & GST_QUERY_TYPE_SERIALIZED.rawValue != 0
    guard isSerialized else { return gst_pad_query_default(stream.element.pointee.sink, stream.object, query) != 0 }
    let allocates = type == GST_QUERY_ALLOCATION
    var isQueued = false
    let answer: Bool? = stream.state.wait { state in
      guard isQueued else {
        guard !state.flushing else { return .done(nil) }
        guard state.queue.framesHeld == 0 else {
          if allocates { state.downstream.stridesKnown = state.downstream.stridesKnown ?? false }
          return .done(allocates ? false : nil)
        }
        state.queryAnswer = nil
        state.queue.append(.query(query))
        isQueued = true
        return .again
      }
      guard let answer = state.queryAnswer else {
        return state.flushing && state.queue.withdrawQuery() ? .done(nil) : .wait(until: nil)
      }
      if allocates {
        state.downstream.stridesKnown = gst_query_find_allocation_meta(query, gst_video_meta_api_get_type(), nil) != 0
      }
      return .done(answer)
    }
    stream.log(GST_LEVEL_DEBUG, "the query \(type.name) is \(answer == true ? "" : "not ")answered by downstream")
    guard answer != nil, allocates else { return answer ?? false }
    stream.askForFrames(query)
    return true
  }
}

/// What the video thread knows about its stream.
private struct Input {
  enum Complaint {
    case untimed
    case speed(rate: Double, applied: Double)
  }

  private var segment = GstSegment()
  /// The timestamp assigned to a frame without one.
  private var expected: GstClockTime?
  private var warnedUntimed = false
  private var warnedTimeless = false
  private var warnedRate = false
  private var refusedInterlaced = false

  init() { gst_segment_init(&segment, GST_FORMAT_UNDEFINED) }

  /// A new segment will come. Reports already made are not repeated.
  mutating func flushed() {
    gst_segment_init(&segment, GST_FORMAT_UNDEFINED)
    expected = nil
  }

  /// A SEGMENT event. True if it is not in time format, which must be reported.
  mutating func begins(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    gst_event_copy_segment(event, &segment)
    expected = nil
    guard segment.format != GST_FORMAT_TIME, !warnedTimeless else { return false }
    warnedTimeless = true
    return true
  }

  /// True the first time: upstream may retry.
  mutating func refusesInterlaced() -> Bool {
    defer { refusedInterlaced = true }
    return !refusedInterlaced
  }

  /// The frame with its running time. Without a timestamp it follows the previous one; without a duration it lasts `usual`.
  mutating func timed(_ buffer: UnsafeMutablePointer<GstBuffer>, _ usual: UInt64?) -> (Frame, [Complaint]) {
    let none = GstClockTime.max
    guard segment.format == GST_FORMAT_TIME else { return (Frame(buffer: buffer, time: nil, stamps: Timestamps()), []) }
    var complaints: [Complaint] = []
    var pts = buffer.pointee.pts
    if pts == none {
      pts = expected ?? segment.start
      if !warnedUntimed { complaints.append(.untimed) }
      warnedUntimed = true
    }
    let duration = buffer.pointee.duration != none ? buffer.pointee.duration : GstClockTime(usual ?? 0)
    expected = pts.addingClamped(duration)

    var stamps = Timestamps(timestamp: pts, duration: buffer.pointee.duration)
    stamps.streamTime = gst_segment_to_stream_time(&segment, GST_FORMAT_TIME, pts)
    let time = gst_segment_to_running_time(&segment, GST_FORMAT_TIME, pts)
    stamps.runningTime = time
    guard segment.rate == 1, segment.applied_rate == 1 else {
      if !warnedRate { complaints.append(.speed(rate: segment.rate, applied: segment.applied_rate)) }
      warnedRate = true
      return (Frame(buffer: buffer, time: nil, stamps: stamps), complaints)
    }
    let place = time == none ? nil : RunningTime(nanoseconds: UInt64(time))
    return (Frame(buffer: buffer, time: place, stamps: stamps), complaints)
  }
}

extension UnsafeMutablePointer<GstEvent> {
  /// The video info of a CAPS event; nil if it cannot be parsed.
  var videoInfo: GstVideoInfo? {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(self, &caps)
    var info = GstVideoInfo()
    return caps != nil && gst_video_info_from_caps(&info, caps) != 0 ? info : nil
  }
}
