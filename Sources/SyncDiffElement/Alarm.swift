// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Deadlines of live frames, on the pipeline's clock.

import CGStreamer
import GstSyncDiff
import Speech

/// When a live frame has to go, sound or not.
final class Deadline {
  private let clock: UnsafeMutablePointer<GstClock>
  /// The clock's time, nanoseconds.
  let time: GstClockTime

  /// Takes the reference to the clock.
  init(_ clock: UnsafeMutablePointer<GstClock>, _ time: GstClockTime) { (self.clock, self.time) = (clock, time) }

  deinit { gst_object_unref(clock) }

  /// Nanoseconds until then; negative when it is over.
  var left: Int64 {
    Int64(clamping: time).subtractingClamped(Int64(clamping: gst_clock_get_time(clock)))
  }

  /// A request to be called at this time; free it with `gst_clock_id_unref`.
  var clockID: GstClockID? { gst_clock_new_single_shot_id(clock, time) }
}

extension Stream {
  /// When a live frame that has no sound yet must go on without: in time to be painted. Nil if the pipeline is not live,
  /// or not playing. Under the monitor.
  func deadline(of frame: RunningTime) -> Deadline? {
    guard let liveLatency else { return nil }
    return due(frame, after: liveLatency.addingClamped(latencyReported - min(paintingTime, latencyReported)))
  }

  /// When a frame must leave so as to be in time at a sink that is. Frames that are not live have no latency. Nil if the
  /// pipeline is not playing. Under the monitor.
  func departure(of frame: RunningTime) -> Deadline? {
    due(frame, after: liveLatency.map { $0.addingClamped(latencyReported) } ?? 0)
  }

  private func due(_ frame: RunningTime, after latency: GstClockTime) -> Deadline? {
    guard playing, let clock = gst_element_get_clock(base) else { return nil }
    let time = gst_element_get_base_time(base).addingClamped(GstClockTime(frame.nanoseconds)).addingClamped(latency)
    return Deadline(clock, time)
  }
}

/// Wakes a stream's monitor when a deadline is over.
final class Alarm {
  let time: GstClockTime
  private let id: GstClockID

  init?(_ deadline: Deadline, waking element: Element) {
    time = deadline.time
    guard let id = deadline.clockID else { return nil }
    self.id = id
    gst_clock_id_wait_async(
      id,
      { _, _, _, object in
        guard let object else { return 1 }
        let element = object.assumingMemoryBound(to: GstSyncDiff.self)
        let stream = Unmanaged<Stream>.fromOpaque(element.pointee.stream).takeUnretainedValue()
        stream.monitor.locked { stream.monitor.broadcast() }
        return 1
      }, gst_object_ref(element), { gst_object_unref($0) })
  }

  deinit {
    gst_clock_id_unschedule(id)
    gst_clock_id_unref(id)
  }
}
