// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Sound and picture meet here: which frame has its sound, which still waits, which will never get it, and how much
// sound may be kept. Running times only: no clock, no lock, no GStreamer.

import Speech

/// What the element knows about its sound while the frames come by. Times are running times, in nanoseconds.
package struct AVSync: Sendable {
  package enum Verdict: Equatable, Sendable {
    case paint  // its sound is there, or silence takes its place
    case pass  // it has no sound: push it untouched
    case fail  // it has no sound, and that is an error
    case wait
  }

  /// What becomes of frames whose sound is missing.
  package enum Missing: Sendable {
    case pass
    case silence  // painted as if it was silent
    case error  // if the sound is gone for good; otherwise as `pass`
  }

  /// The most sound that is kept, in nanoseconds: 4 MB at 16 kHz. A branch that runs further ahead of the picture has
  /// to wait.
  package static let capacity = UInt64(minute)
  private static let minute: Int64 = 60_000_000_000
  /// Sound before the present frame that is of use, in nanoseconds: room for the property `audio-offset` to change. What the
  /// model looks back at beyond it, the timeline still holds.
  package static let past: Int64 = 2_000_000_000
  /// Less than this between two sounds is no hole, nanoseconds.
  private static let seam: Int64 = 1_000_000
  /// Holes that are remembered at most; what is forgotten counts as sound, and is zeros.
  private static let mostHoles = 256

  /// Nanoseconds of sound after its own time that a frame waits for.
  package var lookahead: Int64 = 0
  /// Nanoseconds that the sound is moved by; positive: later.
  package var offset: Int64 = 0
  /// Nanoseconds of a hole that are filled with silence; a frame further in it has no sound.
  package var hold: Int64 = 0
  package var missing = Missing.pass
  /// Whether a branch is linked to the audio pad.
  package var linked = false
  /// Whether the sound is at EOS.
  package var ended = false
  /// Whether frames have deadlines, so that waiting does no harm.
  package var live = false
  /// Whether frames have stopped waiting because no sound came for too long.
  package private(set) var stalled = false
  /// How often they have since all was well, and the frame at which they did last. Live, all is well when a frame has had its
  /// sound; otherwise when sound has come in time for a minute.
  private var stalls = 0
  private var stalledAt = RunningTime(nanoseconds: 0)
  /// What is held, from the first that has arrived and not been dropped to the last.
  private var sound: Range<RunningTime>?
  /// What has not arrived inside of it, in order.
  private var holes: [Range<RunningTime>] = []
  /// The oldest sound that is still of use.
  package private(set) var horizon = RunningTime(nanoseconds: 0)
  /// Where the sound began that was given up for want of room and has not been passed yet; it ends where `sound` begins.
  private var givenUp: RunningTime?
  /// The sound has been flushed, the picture perhaps not yet: its frames may be old ones, whose time says nothing about
  /// the new sound.
  private var ahead = false

  package init() {}

  /// Sound, or a gap in it that upstream knows of, came for this time. Later sound counts: after a jump back the earlier
  /// end is forgotten. Late sound fills the hole that it left. True: it begins before all that is held, which counts no
  /// longer.
  @discardableResult
  package mutating func soundArrived(_ range: Range<RunningTime>) -> Bool {
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

  /// The sound was flushed: what comes next starts anew.
  package mutating func soundFlushed() {
    (sound, holes, ended, horizon) = (nil, [], false, RunningTime(nanoseconds: 0))
    (stalled, stalls, givenUp) = (false, 0, nil)
    ahead = true
  }

  /// The picture was flushed, or there was none yet: frames and sound are of one time.
  package mutating func pictureFlushed() { ahead = false }

  /// The time in the sound that belongs to a frame; nil when `offset` puts it before 0.
  package func soundTime(of frame: RunningTime) -> RunningTime? {
    let time = Int64(clamping: frame.nanoseconds).subtractingReportingOverflow(offset).partialValue
    return time < 0 ? nil : RunningTime(nanoseconds: UInt64(time))
  }

  /// The fate of a frame. `late`: its deadline is over (live only).
  ///
  /// Once a branch has stalled, frames stop waiting until one of them finds its sound there in time or, live, sound moves.
  package mutating func verdict(for frame: RunningTime, late: Bool = false) -> Verdict {
    guard linked else { return silent(forGood: true) }
    guard let time = soundTime(of: frame) else { return silent(forGood: false) }
    let reached = hasArrived(at: time)
    guard reached || ended || late || stalled else { return .wait }
    if reached {
      stalled = false
      if live || frame > stalledAt.advanced(by: Self.minute) { stalls = 0 }
    }
    guard let sound else { return silent(forGood: ended || stalled) }
    guard time >= givenUp ?? sound.lowerBound else { return silent(forGood: false) }
    guard let lost = lost(at: time, sound) else { return .paint }
    // EOS is no hole: the sound was meant to end there. But ends that differ a little are no error either.
    let bridged = Int64(clamping: time.nanoseconds - lost.nanoseconds) < hold
    if bridged, !ended || lost < sound.upperBound || missing == .error { return .paint }
    return silent(forGood: stalled || ended && time >= sound.upperBound)
  }

  /// Whether the sound of a frame and the look-ahead after it are there, or none will come.
  package func reaches(_ frame: RunningTime) -> Bool { ended || soundTime(of: frame).map(hasArrived) ?? true }

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

  /// Where the sound that is missing at a time began to be missing; nil if it is there.
  private func lost(at time: RunningTime, _ sound: Range<RunningTime>) -> RunningTime? {
    if time < sound.lowerBound { return givenUp }
    if time >= sound.upperBound { return sound.upperBound }
    return holes.first { $0.contains(time) }?.lowerBound
  }

  /// What of the `stall-timeout` a frame waits for: all of it the first time, a quarter of the last time after that. A
  /// pipeline whose queues are too small stalls again and again, and is to end all the same.
  package func patience(_ timeout: Int64) -> Int64 { timeout >> min(2 * stalls, 62) }

  /// No sound came for too long: this frame and those behind it go on without. True if that is news.
  package mutating func stall(at frame: RunningTime) -> Bool {
    (stalled, stalledAt) = (true, frame)
    stalls = min(stalls + 1, 31)
    return stalls == 1
  }

  /// A frame is on its way: the sound before it is of no more use. Unless it may be a frame of before a flush; then sound
  /// is given up only for want of room.
  package mutating func passed(_ frame: RunningTime) {
    guard let time = soundTime(of: frame) else { return }
    if ahead {
      guard let sound, !hasRoom(upTo: sound.upperBound.advanced(by: 1_000_000_000)) else { return }
      ahead = false
    }
    horizon = time.advanced(by: -Self.past)
    holes.removeAll { $0.upperBound <= horizon }
    drop()
    if let sound, time >= sound.lowerBound { givenUp = nil }
  }

  /// Sound before the horizon goes; but the last of it stays, for a single frame may be wrong about the time.
  private mutating func drop() {
    guard let held = sound else { return }
    let oldest = min(horizon, held.upperBound.advanced(by: -Self.past))
    if oldest > held.lowerBound { sound = oldest..<held.upperBound }
  }

  /// Where the sound that is held begins, and where it ends.
  package var oldest: RunningTime? { sound?.lowerBound }
  package var newest: RunningTime? { sound?.upperBound }

  /// Whether sound up to `end` can be kept beside what is already there.
  package func hasRoom(upTo end: RunningTime) -> Bool {
    guard let sound else { return true }
    let oldest = max(sound.lowerBound, horizon)
    return end <= oldest || end.nanoseconds - oldest.nanoseconds <= Self.capacity
  }

  /// Nanoseconds of sound that are held.
  package var held: UInt64 {
    guard let sound else { return 0 }
    let missing = holes.reduce(0) { $0 &+ Self.length($1.clamped(to: sound)) }
    return Self.length(sound) - min(missing, Self.length(sound))
  }

  private static func length(_ range: Range<RunningTime>) -> UInt64 {
    range.upperBound.nanoseconds - range.lowerBound.nanoseconds
  }

  /// Gives up the oldest sound so that there is room up to `end`. For frames that are still to come it is lost.
  package mutating func makeRoom(upTo end: RunningTime) {
    let oldest = end.advanced(by: -Int64(Self.capacity))
    horizon = max(horizon, oldest)
    guard let held = sound, held.lowerBound < oldest else { return }
    givenUp = givenUp ?? held.lowerBound
    sound = min(oldest, held.upperBound)..<held.upperBound
  }
}
