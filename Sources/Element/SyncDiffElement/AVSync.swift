// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Matches audio and video: which frame has its audio, which still waits, which will never get it, and how much audio is kept.
// Works on running times only: no clock, no lock, no GStreamer.

import Speech

/// What the element knows about its audio as frames arrive. Times are running times, in nanoseconds.
package struct AVSync: Sendable {
  package enum Verdict: Equatable, Sendable {
    case paint  // its audio is there, or silence replaces it
    case pass  // it has no audio: push it unchanged
    case fail  // it has no audio, and that is an error
    case wait
  }

  /// What happens to frames whose audio is missing.
  package enum Missing: Sendable {
    case pass
    case silence  // painted as if it were silent
    case error  // if the audio is lost for good; otherwise as `pass`
  }

  /// Most audio that is kept, in nanoseconds: 4 MB at 16 kHz. An audio branch further ahead of the video has to wait.
  package static let capacity = UInt64(minute)
  private static let minute: Int64 = 60_000_000_000
  /// Audio before the current frame that is still of use, in nanoseconds: allows the property `audio-offset` to change. The
  /// timeline also keeps what the model looks back at beyond this.
  package static let past: Int64 = 2_000_000_000
  /// A distance below this between two pieces of audio is not a hole, nanoseconds.
  private static let seam: Int64 = 1_000_000
  /// Most holes that are remembered; forgotten ones count as audio, and contain zeros.
  private static let mostHoles = 256

  /// Audio after its own time that a frame waits for, nanoseconds.
  package var lookahead: Int64 = 0
  /// Shift of the audio, nanoseconds; positive: later.
  package var offset: Int64 = 0
  /// The first nanoseconds of a hole, which are filled with silence; a frame further into it has no audio.
  package var hold: Int64 = 0
  package var missing = Missing.pass
  /// Whether a branch is linked to the audio pad.
  package var linked = false
  /// Whether the audio is at EOS.
  package var ended = false
  /// Whether frames have deadlines, which limit how long they wait.
  package var live = false
  /// Whether frames have stopped waiting because no audio came for too long.
  package private(set) var stalled = false
  /// How often that has happened since all was well, and the frame at which it last did. When live, all is well once a frame
  /// has had its audio; otherwise once audio has come in time for a minute.
  private var stalls = 0
  private var stalledAt = RunningTime(nanoseconds: 0)
  /// The audio held, from the first piece that has arrived and not been dropped to the last.
  private var sound: Range<RunningTime>?
  /// The parts of it that have not arrived, in order.
  private var holes: [Range<RunningTime>] = []
  /// The oldest audio that is still of use.
  package private(set) var horizon = RunningTime(nanoseconds: 0)
  /// Start of the audio that was dropped for lack of room and has not been passed yet; it ends where `sound` begins.
  private var givenUp: RunningTime?
  /// The audio has been flushed, the video perhaps not yet: its frames may be old ones, whose times say nothing about the new
  /// audio.
  private var ahead = false

  package init() {}

  /// Audio, or a gap in it that upstream announced, arrived for this range. Later audio takes precedence: after a jump back
  /// the earlier end is forgotten. Late audio fills the hole that it left. Returns true if the range begins before everything
  /// that is held, which is then discarded.
  @discardableResult
  package mutating func audioArrived(_ range: Range<RunningTime>) -> Bool {
    if live { stalled = false }
    guard let held = sound else {
      sound = range
      return false
    }
    if let i = holes.firstIndex(where: { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }) {
      let hole = holes[i]
      let rest = [hole.lowerBound..<range.lowerBound, range.upperBound..<hole.upperBound]
      holes.replaceSubrange(i...i, with: rest.filter { !$0.isEmpty })
      return false
    }
    if range.lowerBound > held.upperBound.advanced(by: Self.seam) {
      holes.append(held.upperBound..<range.lowerBound)
      if holes.count > Self.mostHoles { holes.removeFirst() }
    } else {
      holes.removeAll { $0.upperBound > range.lowerBound }
    }
    let anew = range.lowerBound < held.lowerBound
    if anew { givenUp = nil }
    sound = min(held.lowerBound, range.lowerBound)..<range.upperBound
    drop()
    return anew
  }

  /// The audio was flushed: what comes next starts afresh.
  package mutating func audioFlushed() {
    (sound, holes, ended, horizon) = (nil, [], false, RunningTime(nanoseconds: 0))
    (stalled, stalls, givenUp) = (false, 0, nil)
    ahead = true
  }

  /// The video was flushed, or there was none yet: frames and audio belong to the same time.
  package mutating func videoFlushed() { ahead = false }

  /// The audio time that belongs to a frame; nil if `offset` puts it before 0.
  package func audioTime(of frame: RunningTime) -> RunningTime? {
    let time = Int64(clamping: frame.nanoseconds).subtractingReportingOverflow(offset).partialValue
    return time < 0 ? nil : RunningTime(nanoseconds: UInt64(time))
  }

  /// The fate of a frame. `late`: whether its deadline has passed (live only).
  ///
  /// Once the audio has stalled, frames stop waiting until one of them finds its audio there in time or, when live, audio
  /// advances.
  package mutating func verdict(for frame: RunningTime, late: Bool = false) -> Verdict {
    guard linked else { return silent(forGood: true) }
    guard let time = audioTime(of: frame) else { return silent(forGood: false) }
    let reached = hasArrived(at: time)
    guard reached || ended || late || stalled else { return .wait }
    if reached {
      stalled = false
      if live || frame > stalledAt.advanced(by: Self.minute) { stalls = 0 }
    }
    guard let sound else { return silent(forGood: ended || stalled) }
    guard time >= givenUp ?? sound.lowerBound else { return silent(forGood: false) }
    guard let lost = lost(at: time, sound) else { return .paint }
    // EOS is not a hole: the audio was meant to end there. But slightly different ends are not an error either.
    let bridged = Int64(clamping: time.nanoseconds - lost.nanoseconds) < hold
    if bridged, !ended || lost < sound.upperBound || missing == .error { return .paint }
    return silent(forGood: stalled || ended && time >= sound.upperBound)
  }

  /// Whether a frame's audio and the look-ahead after it have arrived, or none will come.
  package func reaches(_ frame: RunningTime) -> Bool { ended || audioTime(of: frame).map(hasArrived) ?? true }

  private func hasArrived(at time: RunningTime) -> Bool {
    sound.map { $0.upperBound >= time.advanced(by: lookahead) } ?? false
  }

  private func silent(forGood: Bool) -> Verdict {
    switch missing {
    case .silence: .paint
    case .error where forGood: .fail
    case .error, .pass: .pass
    }
  }

  /// Where the audio missing at a time began to be missing; nil if it is there.
  private func lost(at time: RunningTime, _ sound: Range<RunningTime>) -> RunningTime? {
    if time < sound.lowerBound { return givenUp }
    if time >= sound.upperBound { return sound.upperBound }
    return holes.first { $0.contains(time) }?.lowerBound
  }

  /// How much of the `stall-timeout` a frame waits: all of it the first time, a quarter of the previous wait after that. A
  /// pipeline whose queues are too small stalls again and again, and has to finish all the same.
  package func patience(_ timeout: Int64) -> Int64 { timeout >> min(2 * stalls, 62) }

  /// No audio came for too long: this frame and those after it go on without. True if this is a new stall.
  package mutating func stall(at frame: RunningTime) -> Bool {
    (stalled, stalledAt) = (true, frame)
    stalls = min(stalls + 1, 31)
    return stalls == 1
  }

  /// A frame has gone on: the audio before it is no longer needed. But if the frame may be from before a flush, audio is
  /// dropped only for lack of room.
  package mutating func passed(_ frame: RunningTime) {
    guard let time = audioTime(of: frame) else { return }
    if ahead {
      guard let sound, !hasRoom(upTo: sound.upperBound.advanced(by: 1_000_000_000)) else { return }
      ahead = false
    }
    horizon = time.advanced(by: -Self.past)
    holes.removeAll { $0.upperBound <= horizon }
    drop()
    if let sound, time >= sound.lowerBound { givenUp = nil }
  }

  /// Drops audio before the horizon, but keeps the last of it, since a single frame may have a wrong time.
  private mutating func drop() {
    guard let held = sound else { return }
    let oldest = min(horizon, held.upperBound.advanced(by: -Self.past))
    if oldest > held.lowerBound { sound = oldest..<held.upperBound }
  }

  /// Where the held audio begins, and where it ends.
  package var oldest: RunningTime? { sound?.lowerBound }
  package var newest: RunningTime? { sound?.upperBound }

  /// Whether audio up to `end` can be kept in addition to what is already there.
  package func hasRoom(upTo end: RunningTime) -> Bool {
    guard let sound else { return true }
    let oldest = max(sound.lowerBound, horizon)
    return end <= oldest || end.nanoseconds - oldest.nanoseconds <= Self.capacity
  }

  /// Nanoseconds of audio held.
  package var held: UInt64 {
    guard let sound else { return 0 }
    let missing = holes.reduce(0) { $0 &+ Self.length($1.clamped(to: sound)) }
    return Self.length(sound) - min(missing, Self.length(sound))
  }

  private static func length(_ range: Range<RunningTime>) -> UInt64 {
    range.upperBound.nanoseconds - range.lowerBound.nanoseconds
  }

  /// Drops the oldest audio to make room up to `end`. For frames still to come it is lost.
  package mutating func makeRoom(upTo end: RunningTime) {
    let oldest = end.advanced(by: -Int64(Self.capacity))
    horizon = max(horizon, oldest)
    guard let held = sound, held.lowerBound < oldest else { return }
    givenUp = givenUp ?? held.lowerBound
    sound = min(oldest, held.upperBound)..<held.upperBound
  }
}
