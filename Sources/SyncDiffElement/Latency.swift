// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The way back: events from downstream, and what the element adds to the pipeline's latency.

import CGStreamer
import GstSyncDiff

extension Stream {
  func sourceEvent(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    switch event.pointee.type {
    case GST_EVENT_QOS:
      // Frames out = frames in: nobody upstream is to drop any.
      gst_event_unref(event)
      return true
    case GST_EVENT_SEEK, GST_EVENT_LATENCY, GST_EVENT_STEP:
      // The sound first, so that the old sound is gone when the new frames come.
      if let audio = gst_element_get_static_pad(base, "audio") {
        if flushes(event) { monitor.locked { seeking = true } }
        gst_pad_push_event(audio, gst_event_ref(event))
        gst_object_unref(audio)
      }
      let pushed = gst_pad_push_event(element.pointee.sink, event) != 0
      if !pushed { monitor.locked { seeking = false } }
      return pushed
    default:
      return gst_pad_event_default(element.pointee.src, object, event) != 0
    }
  }

  /// Whether this is a flushing seek.
  private func flushes(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    guard event.pointee.type == GST_EVENT_SEEK else { return false }
    var flags = GST_SEEK_FLAG_NONE
    gst_event_parse_seek(event, nil, nil, &flags, nil, nil, nil, nil)
    return flags.rawValue & GST_SEEK_FLAG_FLUSH.rawValue != 0
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
    return (true, max(video.least, sound.least), min(video.most, sound.most))
  }

  private func latency(of pad: UnsafeMutablePointer<GstPad>) -> (live: Bool, least: GstClockTime, most: GstClockTime)? {
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

  /// Look-ahead + one frame + the time to paint it, nanoseconds; 0 without an audio pad, when every frame passes.
  private func currentLatency() -> GstClockTime {
    let settings = Settings(of: element)
    return monitor.locked {
      guard pairing.linked else { return 0 }
      pairing.lookahead = lookahead(settings)
      pairing.offset = settings.audioOffset
      let wait = pairing.lookahead.addingClamped(
        Int64(clamping: settings.audioOffset < 0 ? settings.audioOffset.magnitude : 0))
      return GstClockTime(clamping: wait).addingClamped(frameDuration ?? 40_000_000).addingClamped(computeTime)
    }
  }

  /// Recomputes the latency, and tells the pipeline if it has changed.
  func refreshLatency() {
    let own = currentLatency()
    let changed = monitor.locked {
      defer { latencyReported = own }
      return latencyReported != own
    }
    if changed { gst_element_post_message(base, gst_message_new_latency(object)) }
  }
}
