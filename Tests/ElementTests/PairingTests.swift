// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import SyncDiffElement
import Testing

/// Milliseconds of running time.
private func ms(_ time: UInt64) -> RunningTime { RunningTime(nanoseconds: time * 1_000_000) }

/// A pairing with a look-ahead of 250 ms and sound linked.
private func pairing(sound: Range<UInt64>? = nil, ended: Bool = false, offset: Int64 = 0) -> Pairing {
  var pairing = Pairing()
  (pairing.linked, pairing.ended) = (true, ended)
  (pairing.lookahead, pairing.offset) = (250_000_000, offset * 1_000_000)
  if let sound { pairing.soundArrived(ms(sound.lowerBound)..<ms(sound.upperBound)) }
  return pairing
}

@Suite struct PairingTests {
  @Test(
    "A frame waits until the sound has come as far as its time and the look-ahead",
    arguments: [
      (frame: 0, sound: nil, verdict: .wait),
      (frame: 0, sound: 0..<249, verdict: .wait),
      (frame: 0, sound: 0..<250, verdict: .paint),
      (frame: 40, sound: 0..<250, verdict: .wait),
      (frame: 40, sound: 0..<1000, verdict: .paint),
      (frame: 40, sound: 500..<1000, verdict: .pass),  // before the sound begins
      (frame: 400, sound: 500..<600, verdict: .wait),
      (frame: 500, sound: 500..<750, verdict: .paint),
    ] as [(frame: UInt64, sound: Range<UInt64>?, verdict: Pairing.Verdict)])
  func waits(frame: UInt64, sound: Range<UInt64>?, verdict: Pairing.Verdict) {
    var pairing = pairing(sound: sound)
    #expect(pairing.verdict(for: ms(frame)) == verdict)
  }

  @Test(
    "At EOS of the sound nobody waits: what it covers is painted, the rest passes",
    arguments: [
      (frame: 0, sound: nil, verdict: .pass),
      (frame: 0, sound: 0..<100, verdict: .paint),
      (frame: 80, sound: 0..<100, verdict: .paint),
      (frame: 100, sound: 0..<100, verdict: .pass),
      (frame: 120, sound: 0..<100, verdict: .pass),
    ] as [(frame: UInt64, sound: Range<UInt64>?, verdict: Pairing.Verdict)])
  func ended(frame: UInt64, sound: Range<UInt64>?, verdict: Pairing.Verdict) {
    var pairing = pairing(sound: sound, ended: true)
    #expect(pairing.verdict(for: ms(frame)) == verdict)
  }

  @Test("Without a link every frame passes")
  func unlinked() {
    var pairing = Pairing()
    #expect(pairing.verdict(for: ms(0)) == .pass)
  }

  @Test("A live frame passes when its deadline is over, and paints if its sound came in time")
  func late() {
    var pairing = pairing(sound: 0..<260)
    #expect(pairing.verdict(for: ms(0), late: true) == .paint)
    #expect(pairing.verdict(for: ms(40), late: true) == .pass)
    #expect(pairing.verdict(for: ms(40)) == .wait)
  }

  @Test("After a stall frames pass until one finds its sound in time; then they wait again")
  func stall() {
    var pairing = pairing(sound: 0..<260)
    pairing.stall()
    #expect(pairing.verdict(for: ms(40)) == .pass)
    pairing.soundArrived(ms(260)..<ms(340))
    #expect(pairing.verdict(for: ms(120)) == .pass)
    pairing.soundArrived(ms(340)..<ms(1000))
    #expect(pairing.verdict(for: ms(160)) == .paint)
    #expect(pairing.verdict(for: ms(800)) == .wait)
  }

  @Test(
    "The offset moves the sound: positive is later",
    arguments: [
      (frame: 0, offset: 40, time: nil), (frame: 40, offset: 40, time: 0), (frame: 100, offset: 40, time: 60),
      (frame: 100, offset: -40, time: 140), (frame: 0, offset: 0, time: 0),
    ] as [(frame: UInt64, offset: Int64, time: UInt64?)])
  func offset(frame: UInt64, offset: Int64, time: UInt64?) {
    let pairing = pairing(offset: offset)
    #expect(pairing.soundTime(of: ms(frame)) == time.map(ms))
  }

  @Test("A flush forgets the sound, its EOS and a stall")
  func flush() {
    var pairing = pairing(sound: 0..<1000, ended: true)
    pairing.stall()
    pairing.soundFlushed()
    #expect(pairing.verdict(for: ms(0)) == .wait)
  }

  @Test("There is room for a minute of sound after the oldest that is of use")
  func room() {
    var pairing = pairing()
    #expect(pairing.hasRoom(upTo: ms(100_000)))
    pairing.soundArrived(ms(10_000)..<ms(70_000))
    #expect(pairing.hasRoom(upTo: ms(70_000)))
    #expect(!pairing.hasRoom(upTo: ms(70_001)))
    pairing.passed(ms(22_000))  // what is more than two seconds before a frame is of no use
    #expect(pairing.hasRoom(upTo: ms(80_000)))
    #expect(!pairing.hasRoom(upTo: ms(80_001)))
    pairing.makeRoom(upTo: ms(90_000))
    #expect(pairing.hasRoom(upTo: ms(90_000)))
    #expect(pairing.horizon == ms(30_000))
  }

  @Test("Nothing traps, whatever a stream says", arguments: [0, 1, 1 << 62, .max] as [UInt64])
  func extremes(time: UInt64) {
    for offset in [0, .min, .max] as [Int64] {
      var pairing = Pairing()
      (pairing.linked, pairing.offset, pairing.lookahead) = (true, offset, .max)
      let frame = RunningTime(nanoseconds: time)
      _ = pairing.verdict(for: frame)
      pairing.soundArrived(frame..<frame)
      pairing.passed(frame)
      pairing.makeRoom(upTo: frame)
      #expect(pairing.hasRoom(upTo: frame))
      _ = pairing.verdict(for: frame)
    }
  }
}
