// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What became of the frames: the property `stats`, the message `syncdiff-stats`, and the counts of QoS messages.

import CGStreamer
import GstSyncDiff
import Speech

/// Counts of frames since the stream began.
package struct Statistics: Equatable, Sendable {
  /// What became of a frame.
  package enum Outcome: Sendable {
    case painted
    case reused  // with the mouth of the frame before
    case faceless
    case hidden  // a face that shows too little of its mouth
    case soundless
    case unlinked  // soundless, and nobody had anything to do
    case overloaded  // passed for want of time
    case bypassed  // `passthrough`, no place in time, memory that cannot be reached
  }

  package var painted: UInt64 = 0
  package var reused: UInt64 = 0
  package var faceless: UInt64 = 0
  package var hidden: UInt64 = 0
  package var soundless: UInt64 = 0
  package var overloaded: UInt64 = 0
  package var bypassed: UInt64 = 0
  /// Frames that left after their time (live only).
  package var late: UInt64 = 0

  package init() {}

  package var processed: UInt64 { painted &+ reused }
  package var passed: UInt64 { faceless &+ hidden &+ soundless &+ overloaded &+ bypassed }

  package mutating func count(_ outcome: Outcome) {
    switch outcome {
    case .painted: painted &+= 1
    case .reused: reused &+= 1
    case .faceless: faceless &+= 1
    case .hidden: hidden &+= 1
    case .soundless, .unlinked: soundless &+= 1
    case .overloaded: overloaded &+= 1
    case .bypassed: bypassed &+= 1
    }
  }
}

extension Stream {
  /// Everything that is counted.
  func statistics() -> Structure {
    let structure = Structure("syncdiff-stats")
    monitor.locked {
      structure.set("frames", counts.processed &+ counts.passed)
      structure.set("painted", counts.painted)
      structure.set("reused", counts.reused)
      structure.set("passed", counts.passed)
      structure.set("no-face", counts.faceless)
      structure.set("hidden", counts.hidden)
      structure.set("no-sound", counts.soundless &+ soundCheck.silentFrames)
      structure.set("overloaded", counts.overloaded)
      structure.set("late", counts.late)
      structure.set("level", Int32(clamping: overload.level.rawValue))
      structure.set("latency", UInt64(latencyReported))
      structure.set("processing-latency", UInt64(paintingTime))
      structure.set("frames-held", UInt32(clamping: framesHeld))
      structure.set("sound-held", pairing.held)
    }
    return structure
  }

  /// Posts `syncdiff-stats` if it is time.
  func postStatistics(_ frame: Frame, _ settings: Settings) {
    guard let interval = settings.statsInterval, settings.posts(GST_SYNC_DIFF_MESSAGES_STATS), let time = frame.time
    else { return }
    let since = statisticsPosted ?? time
    if statisticsPosted == nil || time < since { statisticsPosted = time }
    guard time > since, time.nanoseconds - since.nanoseconds >= interval else { return }
    statisticsPosted = time
    post(statistics(), at: frame.moment)
  }
}
