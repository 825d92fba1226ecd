// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Outcomes of the frames: the property `stats`, the message `syncdiff-stats`, and the counts in QoS messages.

/// Counts of frames since the stream began.
package struct Statistics: Equatable, Sendable {
  /// The outcome of a frame.
  package enum Outcome: String, Sendable {
    case painted
    case reused = "painted with the previous mouth"
    case faceless = "unchanged, no face to paint"
    case hidden = "unchanged, the mouth is hidden"
    case soundless = "unchanged, no audio"
    case unlinked = "unchanged, the audio pad is not linked"
    case overloaded = "unchanged, no time to paint"
    case bypassed = "unchanged by passthrough or strength, without a running time, or not mappable"
  }

  package var painted: UInt64 = 0
  package var reused: UInt64 = 0
  package var faceless: UInt64 = 0
  package var hidden: UInt64 = 0
  package var soundless: UInt64 = 0
  package var overloaded: UInt64 = 0
  package var bypassed: UInt64 = 0
  /// Frames that left late (live only).
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
  /// All counts.
  func statistics() -> Structure {
    let structure = Structure("syncdiff-stats")
    state.read { state in
      structure.set("frames", state.counts.processed &+ state.counts.passed)
      structure.set("painted", state.counts.painted)
      structure.set("reused", state.counts.reused)
      structure.set("passed", state.counts.passed)
      structure.set("no-face", state.counts.faceless)
      structure.set("hidden", state.counts.hidden)
      structure.set("no-sound", state.counts.soundless &+ state.soundCheck.silentFrames)
      structure.set("overloaded", state.counts.overloaded)
      structure.set("late", state.counts.late)
      structure.set("level", Int32(clamping: state.overload.level.rawValue))
      structure.set("latency", state.waiting.latencyReported)
      structure.set("processing-latency", state.waiting.paintingTime)
      structure.set("frames-held", UInt32(clamping: state.queue.framesHeld))
      structure.set("sound-held", state.waiting.sync.held)
    }
    return structure
  }
}
