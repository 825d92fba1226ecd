// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The implementation behind the GObject. Four threads meet here:
//
// - the video thread (`VideoInput`) queues frames, serialized events and queries, in order;
// - the audio thread (`AudioInput`) appends to the timeline and never waits, unless it is a minute ahead;
// - the painter (`Painter`) takes the queue's items one by one, lets a frame wait for its audio, paints it, and makes it
//   ready;
// - the task of the source pad (`Output`) pushes what is ready. While a sink holds a frame until its time, the next ones are
//   painted.
//
// So neither branch can block the other: waiting frames are held here, not upstream, and audio flows past them. A frame waits
// until its audio and the look-ahead after it are there, the audio is at EOS, its deadline has passed (live), or no audio has
// come for the `stall-timeout` (then something else in the pipeline blocks; the element reports it and goes on without).

import CGStreamer
import GstSyncDiff
import Speech

/// What all threads of an element share: the element itself, for posting and logging, and the state.
///
/// The extensions of this class contain what more than one thread does. All that changes is in `state`; since the class is
/// `Sendable`, the compiler ensures it.
final class Stream: Sendable {
  /// Lives as long as the stream, and is guarded by GObject itself.
  nonisolated(unsafe) let element: Element
  let state = Guarded(StreamState())

  init(of element: Element) { self.element = element }

  var base: UnsafeMutablePointer<GstElement> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstElement.self)
  }

  var object: UnsafeMutablePointer<GstObject> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstObject.self)
  }

  /// The current properties.
  var settings: Settings { Settings(of: element) }

  /// Microseconds of the monotonic clock.
  var now: Int64 { Int64(g_get_monotonic_time()) }

  /// Whether frames of this stream can be painted at all.
  func mayPaint(_ settings: Settings) -> Bool {
    settings.missingAudio != .pass || state.read { $0.waiting.sync.linked }
  }

  /// Whether the pipeline rests in PAUSED: nothing moves then, and that is not a stall. It does not rest while sinks still
  /// wait for their first frame.
  func restsInPaused(playing: Bool) -> Bool {
    guard !playing, var top = gst_object_get_parent(object) else { return false }
    while let parent = gst_object_get_parent(top) {
      gst_object_unref(top)
      top = parent
    }
    defer { gst_object_unref(top) }
    g_mutex_lock(&top.pointee.lock)
    defer { g_mutex_unlock(&top.pointee.lock) }
    // An element's parent is a bin.
    let bin = UnsafeMutableRawPointer(top).assumingMemoryBound(to: GstElement.self)
    return bin.pointee.current_state == GST_STATE_PAUSED && bin.pointee.pending_state == GST_STATE_VOID_PENDING
  }

  /// A frame is no longer held: it was pushed with this result, or lost.
  func frameLeft(_ result: GstFlowReturn) {
    let isOrphaned = state.change { state in
      state.queue.frameLeft()
      state.downstream.answered(result)
      return state.videoEnded
    }
    if isOrphaned { reportRefusal(result) }
  }

  /// Upstream reports a failure of downstream, unless upstream is at EOS already and no longer sees it. An ERROR has been
  /// reported by the element it comes from.
  func reportRefusal(_ result: GstFlowReturn) {
    guard result != GST_FLOW_ERROR, result == GST_FLOW_NOT_LINKED || result.rawValue < GST_FLOW_EOS.rawValue
    else { return }
    postError(
      .stream(GST_STREAM_ERROR_FAILED), "Internal data stream error.",
      debug: "streaming stopped, reason \(result.name)")
  }
}

extension UnsafeMutablePointer<GstEvent> {
  /// Whether downstream accepts frames after this event, whatever it returned before.
  var begins: Bool { pointee.type == GST_EVENT_STREAM_START || pointee.type == GST_EVENT_SEGMENT }
}
