// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Sound and picture meet here: which frame has its sound, which still waits, which will never get it, and how much
// sound may be kept. Running times only: no clock, no lock, no GStreamer.

import Speech

/// What the element knows about its sound while the frames come by.
package struct Pairing: Sendable {
  package enum Verdict: Equatable, Sendable {
    case paint  // its sound is there, or as much of it as there will ever be
    case pass  // it has no sound: push it untouched
    case wait
  }

  /// The most sound that is kept, in nanoseconds: 4 MB at 16 kHz. A branch that runs further ahead of the picture has
  /// to wait.
  package static let capacity: UInt64 = 60_000_000_000
  /// Sound before the present frame that is kept, in nanoseconds: what the model looks back at, and room for the
  /// property `audio-offset` to change.
  package static let past: Int64 = 2_000_000_000

  /// Nanoseconds of sound after its own time that a frame waits for.
  package var lookahead: Int64 = 0
  /// Nanoseconds that the sound is moved by; positive: later.
  package var offset: Int64 = 0
  /// Whether a branch is linked to the audio pad.
  package var linked = false
  /// Whether the sound is at EOS.
  package var ended = false
  /// Whether frames have stopped waiting because no sound came for too long.
  package private(set) var stalled = false
  /// What has arrived, without its holes.
  private var sound: Range<RunningTime>?
  /// The oldest sound that is still of use.
  package private(set) var horizon = RunningTime(nanoseconds: 0)

  package init() {}

  /// Sound, or a gap in it, came for this time. Later sound counts: after a jump back the earlier end is forgotten.
  package mutating func soundArrived(_ range: Range<RunningTime>) {
    sound = min(sound?.lowerBound ?? range.lowerBound, range.lowerBound)..<range.upperBound
  }

  /// The sound was flushed: what comes next starts anew.
  package mutating func soundFlushed() {
    (sound, ended, stalled, horizon) = (nil, false, false, RunningTime(nanoseconds: 0))
  }

  /// The time in the sound that belongs to a frame; nil when `offset` puts it before 0.
  package func soundTime(of frame: RunningTime) -> RunningTime? {
    let time = Int64(clamping: frame.nanoseconds).subtractingReportingOverflow(offset).partialValue
    return time < 0 ? nil : RunningTime(nanoseconds: UInt64(time))
  }

  /// The fate of a frame. `late`: its deadline is over (live only).
  ///
  /// Once a branch has stalled, frames stop waiting until one of them finds its sound there in time.
  package mutating func verdict(for frame: RunningTime, late: Bool = false) -> Verdict {
    guard linked, let time = soundTime(of: frame) else { return .pass }
    let reached = sound.map { $0.upperBound >= time.advanced(by: lookahead) } ?? false
    guard reached || ended else { return late || stalled ? .pass : .wait }
    stalled = false
    return sound?.contains(time) ?? false ? .paint : .pass
  }

  /// No sound came for too long: frames go on without.
  package mutating func stall() { stalled = true }

  /// A frame is on its way: the sound before it is of no more use.
  package mutating func passed(_ frame: RunningTime) {
    guard let time = soundTime(of: frame) else { return }
    horizon = time.advanced(by: -Self.past)
  }

  /// Whether sound up to `end` can be kept beside what is already there.
  package func hasRoom(upTo end: RunningTime) -> Bool {
    guard let sound else { return true }
    let oldest = max(sound.lowerBound, horizon)
    return end <= oldest || end.nanoseconds - oldest.nanoseconds <= Self.capacity
  }

  /// Gives up the oldest sound so that there is room up to `end`.
  package mutating func makeRoom(upTo end: RunningTime) {
    horizon = max(horizon, end.advanced(by: -Int64(Self.capacity)))
  }
}
