// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The element behind its shape. Four threads meet here:
//
// - the picture's (`VideoInput`) puts frames, serialized events and queries into the queue, in order;
// - the sound's (`AudioInput`) appends to the timeline and never waits, unless it is a minute ahead;
// - the painter (`Painter`) takes the queue's items one by one, lets a frame wait for its sound, paints it, and makes all ready;
// - the task of the source pad (`Output`) pushes what is ready. While a sink holds a frame until its time, the next ones are
//   painted.
//
// So neither branch can hold up the other: frames that wait are held here, not upstream, and sound flows past them. A
// frame waits until its sound and the look-ahead after it are there, the sound is at EOS, its deadline is over (live), or
// no sound has come for the `stall-timeout` (then something else in the pipeline blocks, the element says so and goes on
// without).

import CGStreamer
import GstSyncDiff
import Speech

/// What all of an element's threads share: the element itself, which they post and log for, and the state.
///
/// The extensions of this class are what more than one thread does. Whatever changes is in `state`; the compiler lets nothing else
/// in, since the class is `Sendable`.
final class Stream: Sendable {
  /// Lives as long as the stream, and is guarded by GObject's own means.
  nonisolated(unsafe) let element: Element
  let state = Guarded(StreamState())

  init(of element: Element) { self.element = element }

  var base: UnsafeMutablePointer<GstElement> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstElement.self)
  }

  var object: UnsafeMutablePointer<GstObject> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstObject.self)
  }

  /// The properties at this moment.
  var settings: Settings { Settings(of: element) }

  /// Microseconds of the clock that never jumps.
  var now: Int64 { Int64(g_get_monotonic_time()) }

  /// Whether frames of this stream can be painted at all.
  func mayPaint(_ settings: Settings) -> Bool {
    settings.missingAudio != .pass || state.read { $0.waiting.sync.linked }
  }

  /// Whether the pipeline rests in PAUSED: nothing moves then, and that is no stall. While sinks still wait for their first
  /// frame it does not rest.
  func restsInPaused(playing: Bool) -> Bool {
    guard !playing, var top = gst_object_get_parent(object) else { return false }
    while let parent = gst_object_get_parent(top) {
      gst_object_unref(top)
      top = parent
    }
    defer { gst_object_unref(top) }
    g_mutex_lock(&top.pointee.lock)
    defer { g_mutex_unlock(&top.pointee.lock) }
    // What holds an element is a bin.
    let bin = UnsafeMutableRawPointer(top).assumingMemoryBound(to: GstElement.self)
    return bin.pointee.current_state == GST_STATE_PAUSED && bin.pointee.pending_state == GST_STATE_VOID_PENDING
  }

  /// A frame is no longer held: it was pushed with this result, or is lost.
  func frameLeft(_ result: GstFlowReturn) {
    let isOrphaned = state.change { state in
      state.queue.frameLeft()
      state.downstream.answered(result)
      return state.videoEnded
    }
    if isOrphaned { reportRefusal(result) }
  }

  /// A refusal of downstream is upstream's to report, unless upstream is at EOS already and will not hear of it. An ERROR
  /// has been reported by whoever it comes from.
  func reportRefusal(_ result: GstFlowReturn) {
    guard result != GST_FLOW_ERROR, result == GST_FLOW_NOT_LINKED || result.rawValue < GST_FLOW_EOS.rawValue
    else { return }
    postError(
      .stream(GST_STREAM_ERROR_FAILED), "Internal data stream error.",
      debug: "streaming stopped, reason \(result.name)")
  }
}

extension UnsafeMutablePointer<GstEvent> {
  /// Whether frames after this one are new to downstream, whatever it has said.
  var begins: Bool { pointee.type == GST_EVENT_STREAM_START || pointee.type == GST_EVENT_SEGMENT }
}
