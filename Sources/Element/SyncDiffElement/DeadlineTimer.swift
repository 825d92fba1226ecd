// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Deadlines of live frames, on the pipeline's clock.

import CGStreamer
import GstSyncDiff
import Speech

/// The time by which a frame has to go on.
final class Deadline {
  private let clock: UnsafeMutablePointer<GstClock>
  /// Clock time, nanoseconds.
  let time: GstClockTime

  /// Takes ownership of the reference to the clock.
  init(_ clock: UnsafeMutablePointer<GstClock>, _ time: GstClockTime) { (self.clock, self.time) = (clock, time) }

  deinit { gst_object_unref(clock) }

  /// Nanoseconds until then; negative once it has passed.
  var left: Int64 {
    Int64(clamping: time).subtractingClamped(Int64(clamping: gst_clock_get_time(clock)))
  }

  /// A clock callback request for this time; free it with `gst_clock_id_unref`.
  fileprivate var clockID: GstClockID? { gst_clock_new_single_shot_id(clock, time) }
}

extension Stream {
  /// A deadline `latency` nanoseconds after a frame's running time. Nil if the frame has none, if there is no deadline
  /// (`latency` nil), or if the pipeline is not playing.
  func due(_ frame: RunningTime?, after latency: UInt64?, playing: Bool) -> Deadline? {
    guard let frame, let latency, playing, let clock = gst_element_get_clock(base) else { return nil }
    let time = gst_element_get_base_time(base).addingClamped(GstClockTime(frame.nanoseconds))
    return Deadline(clock, time.addingClamped(GstClockTime(latency)))
  }
}

/// Wakes a stream's waiting threads when a deadline passes.
final class DeadlineTimer {
  let time: GstClockTime
  private let id: GstClockID

  init?(_ deadline: Deadline, waking stream: Stream) {
    time = deadline.time
    guard let id = deadline.clockID else { return nil }
    self.id = id
    gst_clock_id_wait_async(
      id,
      { _, _, _, stream in
        if let stream { Unmanaged<Stream>.fromOpaque(stream).takeUnretainedValue().state.change { _ in } }
        return 1
      }, Unmanaged.passRetained(stream).toOpaque(),
      { if let stream = $0 { Unmanaged<Stream>.fromOpaque(stream).release() } })
  }

  deinit {
    gst_clock_id_unschedule(id)
    gst_clock_id_unref(id)
  }
}
