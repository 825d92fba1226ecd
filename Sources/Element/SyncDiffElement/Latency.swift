// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element adds to the pipeline's latency, and what upstream has already.

import CGStreamer
import GstSyncDiff

extension Stream {
  func answerLatency(_ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    guard let upstream = upstreamLatency() else {
      log(GST_LEVEL_DEBUG, "upstream does not know its latency")
      return false
    }
    let own = GstClockTime(currentLatency())
    state.change { state in
      state.waiting.latencyReported = UInt64(own)
      state.waiting.liveLatency = upstream.live ? UInt64(upstream.least) : nil
    }
    let least = upstream.least.addingClamped(own)
    let most = upstream.most == .max ? .max : max(upstream.most.addingClamped(own), least)
    log(GST_LEVEL_DEBUG, "latency: upstream \(upstream.least) + own \(own) ns, live: \(upstream.live)")
    gst_query_set_latency(query, upstream.live ? 1 : 0, least, most)
    return true
  }

  /// The latency of both branches combined: a frame is ready when the slower of them is. Nil if the video branch does not
  /// know.
  private func upstreamLatency() -> (live: Bool, least: GstClockTime, most: GstClockTime)? {
    guard let video = latency(of: element.pointee.sink) else { return nil }
    guard let audio = gst_element_get_static_pad(base, "audio") else { return video }
    defer { gst_object_unref(audio) }
    guard let sound = latency(of: audio), sound.live else { return video }
    guard video.live else { return sound }
    // While frames wait for slower audio, they are held here; of audio, up to a minute is held.
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

  /// Queries whether upstream is live, without waiting for the pipeline to ask.
  func refreshLiveness() {
    let upstream = upstreamLatency()
    state.change { $0.waiting.liveLatency = upstream.flatMap { $0.live ? UInt64($0.least) : nil } }
  }

  /// By the current properties, nanoseconds.
  private func currentLatency() -> UInt64 {
    let settings = settings
    return state.change { $0.ownLatency(settings) }
  }

  /// Recomputes the latency, and notifies the pipeline if it has changed and may matter: unless all sources are files, for
  /// which no sink waits. Nanoseconds.
  @discardableResult
  func refreshLatency() -> UInt64 {
    let own = currentLatency()
    let changed = state.change { state in
      defer { state.waiting.latencyReported = own }
      return state.waiting.latencyReported != own
    }
    if changed, upstreamLatency()?.live ?? true {
      log(GST_LEVEL_INFO, "the element's own latency is \(own) ns now")
      gst_element_post_message(base, gst_message_new_latency(object))
    }
    return own
  }
}

extension StreamState {
  /// Look-ahead + one frame + the time to paint it, nanoseconds; 0 where every frame passes. Where `overload` controls the
  /// load, painting is allowed at most one frame's duration: more could not be sustained.
  fileprivate mutating func ownLatency(_ settings: Settings) -> UInt64 {
    apply(settings)
    let frame = waiting.frameDuration ?? Waiting.usualFrame
    let measured = computeTime.estimate
    let painting =
      settings.processingLatency
      ?? (settings.overload == GST_SYNC_DIFF_OVERLOAD_BLOCK ? measured : min(measured, frame))
    waiting.paintingTime = painting
    guard waiting.sync.linked else { return waiting.sync.missing == .silence ? frame.addingClamped(painting) : 0 }
    let wait = waiting.sync.lookahead.addingClamped(
      Int64(clamping: settings.audioOffset < 0 ? settings.audioOffset.magnitude : 0))
    return UInt64(clamping: wait).addingClamped(frame).addingClamped(painting)
  }
}
