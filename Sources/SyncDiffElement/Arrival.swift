// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The picture's way in: frames get their running time, serialized events their place between them.

import CGStreamer
import GstSyncDiff
import Speech

/// What the picture's thread knows of its stream.
struct Arrival {
  var segment = GstSegment()
  /// The timestamp that a frame without one gets.
  var expected: GstClockTime?
  var warnedUntimed = false
  var warnedTimeless = false
  var warnedRate = false
  var refusedInterlaced = false

  init() { gst_segment_init(&segment, GST_FORMAT_UNDEFINED) }

  /// A new segment will come. What has been said stays said.
  mutating func flushed() {
    gst_segment_init(&segment, GST_FORMAT_UNDEFINED)
    expected = nil
  }
}

extension Stream {
  func receiveVideo(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    let frame = timed(buffer)
    monitor.lock()
    defer { monitor.unlock() }
    while !flushing, flow == GST_FLOW_OK, !videoEnded, !hasRoom(for: frame) { monitor.wait() }
    let result = flushing ? GST_FLOW_FLUSHING : videoEnded ? GST_FLOW_EOS : flow
    guard result == GST_FLOW_OK else {
      gst_buffer_unref(buffer)
      flowTold = flowTold || result == flow
      return result
    }
    items.append(.frame(frame))
    framesHeld += 1
    starvingSince = nil
    monitor.broadcast()
    return GST_FLOW_OK
  }

  /// Whether one more frame may be held, beside two. It is their running time that counts, for the caps may not say how
  /// many come in a second, or not the truth. Under the monitor.
  private func hasRoom(for frame: Frame) -> Bool {
    guard framesHeld >= 2 else { return true }
    guard pairing.linked else { return false }
    // One without a place in time waits for no sound.
    guard let time = frame.time else { return framesHeld < framesExpected }
    let fits = framesHeld < Self.mostBytes / max(Int(gst_buffer_get_size(frame.buffer)), 1)
    let holdTime = holdTime(soundLags && liveLatency == nil && fits ? Self.wideSlack : Self.slack)
    let densest: GstClockTime = 4_000_000
    guard GstClockTime(framesHeld) < holdTime / max(min(frameDuration ?? densest, densest), 1_000_000) + 2 else {
      return false
    }
    let first = items.lazy.compactMap { $0.frame?.time }.first
    guard let first, first < time else { return true }
    return GstClockTime(time.nanoseconds - first.nanoseconds) <= holdTime
  }

  /// Nanoseconds of frames that wait for their sound at most. What painting takes counts only where nobody upstream may
  /// wait, for elsewhere a slow machine would hold more. Under the monitor.
  private func holdTime(_ slack: GstClockTime) -> GstClockTime {
    let painting = liveLatency == nil ? min(paintingTime, latencyReported) : 0
    return (latencyReported - painting).addingClamped(liveLatency ?? 0).addingClamped(slack)
  }

  /// How many frames that is by the caps, or at 50 a second. Under the monitor.
  private var framesExpected: Int { frames(in: holdTime(Self.slack)) }

  private func frames(in time: GstClockTime) -> Int {
    guard pairing.linked else { return 2 }
    let duration = frameDuration ?? 20_000_000
    return Int(clamping: min(time / max(duration, 1), 254)) + 2
  }

  /// The frame with its running time. One without a timestamp follows the one before it.
  private func timed(_ buffer: UnsafeMutablePointer<GstBuffer>) -> Frame {
    let none = GstClockTime.max
    let segment = arrival.segment
    guard segment.format == GST_FORMAT_TIME else { return Frame(buffer: buffer, time: nil, moment: Moment()) }
    var pts = buffer.pointee.pts
    if pts == none {
      pts = arrival.expected ?? segment.start
      if !arrival.warnedUntimed {
        arrival.warnedUntimed = true
        postWarning(
          .stream(GST_STREAM_ERROR_FORMAT), "Frames without timestamps.",
          debug: "Each is taken to follow the one before it. A parser in front of syncdiff may know better.")
      }
    }
    let duration = buffer.pointee.duration != none ? buffer.pointee.duration : monitor.locked { frameDuration } ?? 0
    arrival.expected = pts.addingClamped(duration)

    var moment = Moment(timestamp: pts, duration: buffer.pointee.duration)
    moment.streamTime = gst_segment_to_stream_time(&arrival.segment, GST_FORMAT_TIME, pts)
    let time = gst_segment_to_running_time(&arrival.segment, GST_FORMAT_TIME, pts)
    moment.runningTime = time
    guard segment.rate == 1, segment.applied_rate == 1 else {
      if !arrival.warnedRate {
        arrival.warnedRate = true
        postWarning(
          .stream(GST_STREAM_ERROR_FORMAT), "Lips can only be synchronised at normal speed.",
          debug: "The rate is \(segment.rate) (applied: \(segment.applied_rate)): frames pass untouched.")
      }
      return Frame(buffer: buffer, time: nil, moment: moment)
    }
    return Frame(
      buffer: buffer, time: time == none ? nil : RunningTime(nanoseconds: UInt64(time)), moment: moment)
  }

  // MARK: Events

  /// What is refused because the element stops is no error: upstream may try a sticky event again, and would report it.
  func videoEvent(_ event: UnsafeMutablePointer<GstEvent>) -> GstFlowReturn {
    let type = event.pointee.type
    switch type {
    case GST_EVENT_FLUSH_START:
      letGo()
      let pushed = gst_pad_push_event(element.pointee.src, event) != 0
      gst_pad_pause_task(element.pointee.src)
      awaitPainter()
      return pushed ? GST_FLOW_OK : GST_FLOW_ERROR
    case GST_EVENT_FLUSH_STOP:
      // It may come without a FLUSH_START, while painter and task are at work. A push that downstream holds up would hold
      // this event up, too: it is serialized.
      letGo()
      gst_pad_pause_task(element.pointee.src)
      awaitPainter()
      let pushed = gst_pad_push_event(element.pointee.src, event) != 0
      arrival.flushed()
      journey?.reset()
      (fade, statisticsPosted) = (Fade(), nil)
      let events = monitor.locked {
        pairing.pictureFlushed()
        overload.flushed()
        soundCheck.flushed()
        (flushing, failed) = (false, false)
        return clearVideo()
      }
      keep(events)
      let starts = gst_pad_is_active(element.pointee.src) != 0 && startPainter() && startTask()
      if gst_pad_is_active(element.pointee.src) == 0 {
        letGo()  // deactivated meanwhile: nobody takes what comes
        awaitPainter()
      }
      return starts && pushed ? GST_FLOW_OK : GST_FLOW_ERROR
    case GST_EVENT_CAPS:
      guard accepts(event) else {
        gst_event_unref(event)
        return GST_FLOW_NOT_NEGOTIATED
      }
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment(event, &arrival.segment)
      arrival.expected = nil
      if arrival.segment.format != GST_FORMAT_TIME, !arrival.warnedTimeless {
        arrival.warnedTimeless = true
        warnTimeless("picture")
      }
    default: break
    }
    guard gst_event_type_get_flags(type).rawValue & GST_EVENT_TYPE_SERIALIZED.rawValue != 0 else {
      return gst_pad_push_event(element.pointee.src, event) != 0 ? GST_FLOW_OK : GST_FLOW_ERROR
    }
    var untold = GST_FLOW_OK
    let result = monitor.locked {
      guard !flushing else {
        gst_event_unref(event)
        return GST_FLOW_FLUSHING
      }
      if type == GST_EVENT_EOS {
        videoEnded = true
        if !flowTold { untold = flow }
      } else if event.begins {
        videoEnded = false
        beginnings += 1
        if flow == GST_FLOW_EOS { (flow, flowTold) = (GST_FLOW_OK, false) }
      }
      if type == GST_EVENT_SEGMENT { loopFrom = nil }
      items.append(.event(event))
      monitor.broadcast()
      return GST_FLOW_OK
    }
    report(untold, orphaned: true)
    return result
  }

  func warnTimeless(_ what: String) {
    postWarning(
      .stream(GST_STREAM_ERROR_FORMAT), "The \(what) comes in a segment that is not in time: frames pass untouched.",
      debug: "An appsrc needs format=time; where bytes come from, a demuxer or parser may know the time.")
  }

  /// Whether the caps can be worked with; they are inside the template already.
  private func accepts(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    var info = GstVideoInfo()
    guard let caps, gst_video_info_from_caps(&info, caps) != 0 else { return false }
    guard info.interlace_mode == GST_VIDEO_INTERLACE_MODE_PROGRESSIVE else {
      if !arrival.refusedInterlaced {
        arrival.refusedInterlaced = true  // upstream may try again
        postError(
          .stream(GST_STREAM_ERROR_FORMAT), "The video is interlaced: put the element deinterlace before syncdiff.")
      }
      return false
    }
    let duration =
      info.fps_n > 0 && info.fps_d > 0
      ? gst_util_uint64_scale(1_000_000_000, guint64(info.fps_d), guint64(info.fps_n)) : nil
    monitor.locked { frameDuration = duration }
    refreshLatency()
    return true
  }

  // MARK: Queries

  /// A serialized query is answered downstream, after the events before it. Behind frames it would have to wait, and they
  /// may be waiting for sound that comes from the very thread that asks: there it is refused, but for ALLOCATION, which is
  /// answered with what is needed here.
  func videoQuery(_ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    let type = query.pointee.type
    let pad = element.pointee.sink
    guard gst_query_type_get_flags(type).rawValue & GST_QUERY_TYPE_SERIALIZED.rawValue != 0 else {
      return gst_pad_query_default(pad, object, query) != 0
    }
    let allocates = type == GST_QUERY_ALLOCATION
    let answer: Bool? = monitor.locked {
      guard !flushing else { return nil }
      guard framesHeld == 0 else {
        if allocates { stridesKnown = stridesKnown ?? false }
        return allocates ? false : nil
      }
      queryAnswer = nil
      items.append(.query(query))
      monitor.broadcast()
      while queryAnswer == nil {
        if flushing, withdrawQuery() { return nil }
        monitor.wait()
      }
      if allocates {
        stridesKnown = gst_query_find_allocation_meta(query, gst_video_meta_api_get_type(), nil) != 0
      }
      return queryAnswer
    }
    guard answer != nil, allocates else { return answer ?? false }
    askForMore(query)
    return true
  }

  /// Takes back a query that nobody has in hands yet. Under the monitor.
  private func withdrawQuery() -> Bool {
    for list in [\Stream.items, \Stream.ready] {
      guard let place = self[keyPath: list].firstIndex(where: \.isQuery) else { continue }
      self[keyPath: list].remove(at: place)
      return true
    }
    return false
  }

  /// Upstream's pool has to go round while frames are held here, and its frames may have strides of their own, whatever
  /// downstream says.
  private func askForMore(_ query: UnsafeMutablePointer<GstQuery>) {
    let meta = gst_video_meta_api_get_type()
    if gst_query_find_allocation_meta(query, meta, nil) == 0 { gst_query_add_allocation_meta(query, meta, nil) }
    let needed = monitor.locked {
      // Upstream may turn out to be live only when the pipeline asks for its latency, which is later.
      let most = latencyReported.addingClamped(liveLatency ?? Self.usualFrame).addingClamped(Self.slack)
      return UInt32(clamping: frames(in: most) + (pairing.linked ? Self.mostReady : 0)).addingClamped(2)
    }
    let pools = gst_query_get_n_allocation_pools(query)
    if pools == 0 {
      var caps: UnsafeMutablePointer<GstCaps>?
      gst_query_parse_allocation(query, &caps, nil)
      var info = GstVideoInfo()
      if let caps, gst_video_info_from_caps(&info, caps) != 0 {
        gst_query_add_allocation_pool(query, nil, guint(clamping: info.size), needed, 0)
      }
    }
    for i in 0..<pools {
      var pool: UnsafeMutablePointer<GstBufferPool>?
      var (size, least, most): (UInt32, UInt32, UInt32) = (0, 0, 0)
      gst_query_parse_nth_allocation_pool(query, i, &pool, &size, &least, &most)
      least = least.addingClamped(needed)
      // A pool that cannot grow to this is left out, its size and minimum stay.
      let fits = most == 0 || most >= least
      gst_query_set_nth_allocation_pool(query, i, fits ? pool : nil, size, least, fits ? most : 0)
      if let pool { gst_object_unref(pool) }
    }
  }

  var object: UnsafeMutablePointer<GstObject> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstObject.self)
  }
}

extension FixedWidthInteger {
  /// The sum, or the largest value where it does not fit: stream values are not to be trusted.
  func addingClamped(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  /// The difference, or the nearest value that there is.
  func subtractingClamped(_ other: Self) -> Self {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : difference
  }
}
