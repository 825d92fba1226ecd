// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the `overload` ladder and the measured time per frame mean for a stream, and what is reported about them.

import CGStreamer
import GstSyncDiff
import Speech

extension Stream {
  /// How much work is done on a frame: all, unless time is short.
  func plan(_ frame: Frame, _ time: RunningTime, _ settings: Settings, steps: Int) -> Overload.Work {
    let (work, change): (Overload.Work, Overload.Change?) = state.change { state in
      guard settings.degrades(live: state.waiting.liveLatency != nil) else {
        return (.paint(steps: steps), state.overload.off())
      }
      let departure = due(time, after: state.waiting.departure, playing: state.playing)
      return state.overload.plan(
        time, left: departure?.left ?? .max,
        interval: Int64(clamping: state.waiting.frameDuration ?? Waiting.usualFrame), steps: steps)
    }
    if let change { tell(change, frame, settings) }
    return work
  }

  private func tell(_ change: Overload.Change, _ frame: Frame, _ settings: Settings) {
    log(
      GST_LEVEL_INFO,
      "overload: level \(change.level.rawValue) of 3 from \(frame) on, because of \(change.reason.rawValue)"
        + (change.late > 0 ? ", \(seconds(nanoseconds: change.late)) late" : ""))
    if settings.posts(GST_SYNC_DIFF_MESSAGES_DEGRADE) {
      let message = Structure("syncdiff-degrade")
      message.set("level", Int32(clamping: change.level.rawValue))
      message.set("reason", change.reason.rawValue)
      message.set("late-ns", change.late)
      post(message, at: frame.stamps)
    }
    postQoS(frame, late: change.late, settings)
  }

  /// Finding and painting a face took this many microseconds.
  func measured(_ microseconds: Int64) {
    let nanoseconds = UInt64(clamping: microseconds) * 1000
    let estimate: UInt64? = state.change { state in
      state.overload.took(Int64(clamping: nanoseconds))
      let isNew = state.overload.level == .full && state.computeTime.add(nanoseconds)
      return isNew ? state.computeTime.estimate : nil
    }
    guard let estimate else { return }
    log(GST_LEVEL_INFO, "a frame takes \(seconds(nanoseconds: Int64(clamping: estimate))) to paint, as measured")
    refreshLatency()
  }

  /// Quality is 1,000,000 at full level, 0 at pass-through.
  func postQoS(_ frame: Frame, late: Int64, _ settings: Settings) {
    guard settings.qos else { return }
    let (live, level, counts): (Bool, Overload.Level, Statistics) = state.read {
      ($0.waiting.liveLatency != nil, $0.overload.level, $0.counts)
    }
    let (stamps, pass) = (frame.stamps, Overload.Level.passThrough.rawValue)
    let message = gst_message_new_qos(
      object, live ? 1 : 0, stamps.runningTime, stamps.streamTime, stamps.timestamp, stamps.duration)
    gst_message_set_qos_values(message, GstClockTimeDiff(late), 1, gint(1_000_000 / pass * (pass - level.rawValue)))
    gst_message_set_qos_stats(message, GST_FORMAT_BUFFERS, guint64(counts.processed), guint64(counts.passed))
    gst_element_post_message(base, message)
  }
}
