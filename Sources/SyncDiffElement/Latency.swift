// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The way back: events from downstream, and what the element adds to the pipeline's latency.

import CGStreamer
import GstSyncDiff
import Speech

extension Stream {
  func sourceEvent(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    switch event.pointee.type {
    case GST_EVENT_QOS:
      // Frames out = frames in: nobody upstream is to drop any.
      lateAtSink(event)
      gst_event_unref(event)
      return true
    case GST_EVENT_RECONFIGURE:
      // Whoever asks for this is linked.
      monitor.locked {
        if flow == GST_FLOW_NOT_LINKED { (flow, flowTold) = (GST_FLOW_OK, false) }
        if stridesKnown == true { stridesKnown = false }  // until somebody asks
      }
      return gst_pad_event_default(element.pointee.src, object, event) != 0
    case GST_EVENT_SEEK, GST_EVENT_LATENCY, GST_EVENT_STEP:
      if startsLoop(event) { monitor.locked { loopFrom = g_get_monotonic_time() } }
      // The sound first, so that the old sound is gone when the new frames come.
      if let audio = gst_element_get_static_pad(base, "audio") {
        gst_pad_push_event(audio, gst_event_ref(event))
        gst_object_unref(audio)
      }
      return gst_pad_push_event(element.pointee.sink, event) != 0
    default:
      return gst_pad_event_default(element.pointee.src, object, event) != 0
    }
  }

  /// Whether this seek starts a loop: its end is told by SEGMENT_DONE.
  private func startsLoop(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    guard event.pointee.type == GST_EVENT_SEEK else { return false }
    var flags = GstSeekFlags(rawValue: 0)
    gst_event_parse_seek(event, nil, nil, &flags, nil, nil, nil, nil)
    return flags.rawValue & GST_SEEK_FLAG_SEGMENT.rawValue != 0
  }

  /// What a QoS event says is for the ladder of `overload` alone.
  private func lateAtSink(_ event: UnsafeMutablePointer<GstEvent>) {
    guard Settings(of: element).qos else { return }
    var (jitter, time): (GstClockTimeDiff, GstClockTime) = (0, 0)
    gst_event_parse_qos(event, nil, nil, &jitter, &time)
    guard time != .max else { return }
    monitor.locked { overload.qos(RunningTime(nanoseconds: UInt64(time)), jitter: Int64(jitter)) }
  }

  func sourceQuery(_ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    guard query.pointee.type == GST_QUERY_LATENCY else {
      return gst_pad_query_default(element.pointee.src, object, query) != 0
    }
    guard let upstream = upstreamLatency() else { return false }
    let own = currentLatency()
    monitor.locked {
      latencyReported = own
      liveLatency = upstream.live ? upstream.least : nil
      monitor.broadcast()
    }
    let least = upstream.least.addingClamped(own)
    let most = upstream.most == .max ? .max : max(upstream.most.addingClamped(own), least)
    log(GST_LEVEL_DEBUG, "latency: upstream \(upstream.least) + own \(own) ns, live: \(upstream.live)")
    gst_query_set_latency(query, upstream.live ? 1 : 0, least, most)
    return true
  }

  /// What both branches say together: a frame is there when the slower of them is. Nil if the picture's does not know.
  private func upstreamLatency() -> (live: Bool, least: GstClockTime, most: GstClockTime)? {
    guard let video = latency(of: element.pointee.sink) else { return nil }
    guard let audio = gst_element_get_static_pad(base, "audio") else { return video }
    defer { gst_object_unref(audio) }
    guard let sound = latency(of: audio), sound.live else { return video }
    guard video.live else { return sound }
    // While frames wait for a sound that is slower, they are held here; of sound a minute is.
    let least = max(video.least, sound.least)
    return (true, least, video.most.addingClamped(least - video.least))
  }

  func latency(of pad: UnsafeMutablePointer<GstPad>) -> (live: Bool, least: GstClockTime, most: GstClockTime)? {
    let query = gst_query_new_latency()
    defer { gst_query_unref(query) }
    guard gst_pad_peer_query(pad, query) != 0 else { return nil }
    var (live, least, most): (gboolean, GstClockTime, GstClockTime) = (0, 0, 0)
    gst_query_parse_latency(query, &live, &least, &most)
    return (live != 0, least, most)
  }

  /// Asks upstream whether it is live, without waiting for the pipeline to ask.
  func refreshLiveness() {
    let upstream = upstreamLatency()
    monitor.locked { liveLatency = upstream.flatMap { $0.live ? $0.least : nil } }
  }

  /// Look-ahead + one frame + the time to paint it, nanoseconds; 0 where every frame passes. Where the ladder of `overload`
  /// guards the time, more than one frame is not granted to painting: it could not be kept up.
  private func currentLatency() -> GstClockTime {
    let settings = Settings(of: element)
    return monitor.locked {
      pair(settings)
      let frame = frameDuration ?? Self.usualFrame
      let measured = GstClockTime(computeTime.estimate)
      paintingTime =
        settings.processingLatency.map { GstClockTime($0) }
        ?? (settings.overload == GST_SYNC_DIFF_OVERLOAD_BLOCK ? measured : min(measured, frame))
      guard pairing.linked else {
        return pairing.missing == .silence ? frame.addingClamped(paintingTime) : 0
      }
      let wait = pairing.lookahead.addingClamped(
        Int64(clamping: settings.audioOffset < 0 ? settings.audioOffset.magnitude : 0))
      return GstClockTime(clamping: wait).addingClamped(frame).addingClamped(paintingTime)
    }
  }

  /// Nanoseconds from one frame to the next where the caps do not say.
  static let usualFrame: GstClockTime = 40_000_000

  /// What the properties say about waiting. Under the monitor.
  func pair(_ settings: Settings) {
    (pairing.lookahead, pairing.live) = (lookahead(settings), liveLatency != nil)
    pairing.offset = settings.audioOffset
    pairing.hold = Int64(clamping: settings.silenceHold)
    pairing.missing = settings.missingAudio
  }

  /// Recomputes the latency, and tells the pipeline if it has changed.
  @discardableResult
  func refreshLatency() -> GstClockTime {
    let own = currentLatency()
    let changed = monitor.locked {
      defer { latencyReported = own }
      return latencyReported != own
    }
    if changed { gst_element_post_message(base, gst_message_new_latency(object)) }
    return own
  }
}
