// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How much work a frame gets when time is short. No frame is dropped and upstream does not wait; instead the work is reduced,
// rung by rung, and increased again when there is headroom. Works on times only: no clock, no lock, no GStreamer.

import Speech

/// The ladder. Ask for a `plan` before each frame, then report how long the work took and how much time was left after it.
///
/// It goes down one rung before a frame that would be late, or after one that was. It climbs one rung when every frame of two
/// seconds would have fitted the rung above. A climb that fails within two seconds doubles the wait before the next.
package struct Overload: Sendable {
  package enum Level: Int, Comparable, Sendable {
    case full
    case fewerSteps  // half as many
    case everyOther  // and every other frame reuses the mouth of the one before
    case passThrough

    package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  /// The work done on a frame.
  package enum Work: Equatable, Sendable {
    case paint(steps: Int)
    case reuse
    case pass
  }

  package enum Reason: String, Sendable {
    case late  // a frame was late, or would have been
    case qos  // downstream reported it
    case headroom
    case off  // the property `overload` disables the ladder
  }

  package struct Change: Equatable, Sendable {
    package var level: Level
    package var reason: Reason
    /// How late the frame was or would have been, nanoseconds.
    package var late: Int64 = 0
  }

  /// Headroom needed before a climb, nanoseconds.
  package static let patience: Int64 = 2_000_000_000
  private static let longestPatience: Int64 = 64_000_000_000
  /// Least lateness at a sink that counts, nanoseconds: less is scheduling noise.
  package static let jitter: Int64 = 20_000_000

  package private(set) var level = Level.full
  /// The first frame at this level.
  private var entered: RunningTime?
  /// When the headroom began.
  private var calm: RunningTime?
  private var climbed: RunningTime?
  private var patience = Self.patience
  /// The time that painting a frame may take at this level, nanoseconds: rises at once, falls slowly. Nil: not known.
  private var cost: Int64?
  /// The average time it takes.
  private var usual: Int64?
  private var reused = false
  /// Lateness to be handled at the next frame.
  private var late: (by: Int64, reason: Reason)?

  package init() {}

  /// What to do with a frame that has to leave in `left` nanoseconds. Frames follow each other every `interval` nanoseconds;
  /// at full level they are painted in `steps`.
  package mutating func plan(_ frame: RunningTime, left: Int64, interval: Int64, steps: Int) -> (Work, Change?) {
    let reuses = level == .everyOther && !reused
    let need = level == .passThrough || reuses ? 0 : cost ?? 0
    if late == nil, left < need { late = (need.subtractingClamped(left), .late) }
    if let climbed, frame.since(climbed) >= Self.patience { (self.climbed, patience) = (nil, Self.patience) }
    var change: Change?
    if let late {
      calm = nil
      if level != .passThrough { change = descend(at: frame, steps, late) }
    } else if level != .full {
      if fitsAbove(interval, steps) {
        let since = calm ?? frame
        calm = since
        if frame.since(since) >= patience { change = climb(at: frame, steps) }
      } else {
        calm = nil
      }
    }
    late = nil
    if entered == nil { entered = frame }
    return (work(steps), change)
  }

  /// Painting a frame took this many nanoseconds.
  package mutating func took(_ nanoseconds: Int64) {
    func moved(_ known: Int64) -> Int64 { known - known / 8 + nanoseconds / 8 }
    cost = max(nanoseconds, moved(cost ?? 0))
    usual = usual.map(moved) ?? nanoseconds
  }

  /// A frame leaves `left` nanoseconds before its deadline.
  package mutating func finished(left: Int64) {
    if left < 0 { late = (left == .min ? .max : -left, .late) }
  }

  /// A sink received a frame `jitter` nanoseconds late. Frames from before the last change are ignored.
  package mutating func qos(_ frame: RunningTime, jitter: Int64) {
    guard jitter > Self.jitter, cost != nil || level == .passThrough, let entered, frame >= entered else { return }
    late = (jitter, .qos)
  }

  /// A new position in the stream: times measured so far no longer count, the level stays.
  package mutating func flushed() {
    (entered, calm, climbed, late) = (nil, nil, nil, nil)
  }

  /// The ladder is disabled.
  package mutating func off() -> Change? {
    defer { self = Overload() }
    return level == .full ? nil : Change(level: .full, reason: .off)
  }

  private mutating func work(_ steps: Int) -> Work {
    switch level {
    case .full: return .paint(steps: steps)
    case .fewerSteps: return .paint(steps: fewer(steps))
    case .everyOther:
      reused.toggle()
      return reused ? .reuse : .paint(steps: fewer(steps))
    case .passThrough: return .pass
    }
  }

  /// Whether the work of the rung above fits between two frames on average, with a tenth to spare: the latency covers a frame
  /// that takes longer. After pass-through only a trial can tell.
  private func fitsAbove(_ interval: Int64, _ steps: Int) -> Bool {
    guard level != .passThrough, let usual else { return true }
    let above = level == .fewerSteps ? Self.work(usual, of: fewer(steps), as: steps) : usual
    return above <= interval - interval / 10
  }

  private func fewer(_ steps: Int) -> Int { (steps + 1) / 2 }

  /// The cost of `steps`, given the cost of `others`: everything but the steps takes as long as two of them.
  private static func work(_ cost: Int64, of steps: Int, as others: Int) -> Int64 {
    let (work, overflow) = (cost / Int64(steps + 2)).multipliedReportingOverflow(by: Int64(others + 2))
    return overflow ? .max : work
  }

  /// The costs so far were for `steps`, the next will be for `others`.
  private mutating func change(from steps: Int, to others: Int) {
    cost = cost.map { Self.work($0, of: steps, as: others) }
    usual = usual.map { Self.work($0, of: steps, as: others) }
  }

  private mutating func descend(at frame: RunningTime, _ steps: Int, _ late: (by: Int64, reason: Reason)) -> Change {
    if let climbed, frame.since(climbed) < Self.patience {
      patience = min(patience * 2, Self.longestPatience)
    }
    switch level {
    case .full:
      level = steps > 1 ? .fewerSteps : .everyOther
      if steps > 1 { change(from: steps, to: fewer(steps)) }
    case .fewerSteps: level = .everyOther
    case .everyOther, .passThrough: level = .passThrough
    }
    (entered, climbed, reused) = (frame, nil, false)  // late already: start with a mouth that exists
    return Change(level: level, reason: late.reason, late: late.by)
  }

  private mutating func climb(at frame: RunningTime, _ steps: Int) -> Change {
    switch level {
    case .passThrough: (level, cost, usual) = (.everyOther, nil, nil)
    case .everyOther: level = steps > 1 ? .fewerSteps : .full
    case .fewerSteps, .full:
      level = .full
      change(from: fewer(steps), to: steps)
    }
    (entered, climbed, calm, reused) = (frame, frame, nil, true)  // start with a mouth of its own
    return Change(level: level, reason: .headroom)
  }
}

extension RunningTime {
  /// Nanoseconds since an earlier time; 0 if it is not earlier.
  fileprivate func since(_ earlier: RunningTime) -> Int64 {
    self > earlier ? Int64(clamping: nanoseconds - earlier.nanoseconds) : 0
  }
}
