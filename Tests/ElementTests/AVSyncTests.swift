// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Speech
import SyncDiff
import SyncDiffElement
import Tensors
import Testing

/// Milliseconds of running time.
private func ms(_ time: UInt64) -> RunningTime { RunningTime(nanoseconds: time * 1_000_000) }

/// A sync with a look-ahead of 250 ms and sound linked.
private func newSync(
  sound: Range<UInt64>? = nil, ended: Bool = false, offset: Int64 = 0, missing: AVSync.Missing = .pass,
  hold: Int64 = 0
) -> AVSync {
  var sync = AVSync()
  (sync.linked, sync.ended, sync.missing, sync.hold) = (true, ended, missing, hold * 1_000_000)
  (sync.lookahead, sync.offset) = (250_000_000, offset * 1_000_000)
  if let sound { sync.audioArrived(ms(sound.lowerBound)..<ms(sound.upperBound)) }
  return sync
}

@Suite struct AVSyncTests {
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
    ] as [(frame: UInt64, sound: Range<UInt64>?, verdict: AVSync.Verdict)])
  func waits(frame: UInt64, sound: Range<UInt64>?, verdict: AVSync.Verdict) {
    var sync = newSync(sound: sound)
    #expect(sync.verdict(for: ms(frame)) == verdict)
  }

  @Test(
    "At EOS of the sound nobody waits: what it covers is painted, the rest passes",
    arguments: [
      (frame: 0, sound: nil, verdict: .pass),
      (frame: 0, sound: 0..<100, verdict: .paint),
      (frame: 80, sound: 0..<100, verdict: .paint),
      (frame: 100, sound: 0..<100, verdict: .pass),
      (frame: 120, sound: 0..<100, verdict: .pass),
    ] as [(frame: UInt64, sound: Range<UInt64>?, verdict: AVSync.Verdict)])
  func ended(frame: UInt64, sound: Range<UInt64>?, verdict: AVSync.Verdict) {
    var sync = newSync(sound: sound, ended: true)
    #expect(sync.verdict(for: ms(frame)) == verdict)
  }

  @Test(
    "Without a link nobody waits, and `missing-audio` decides",
    arguments: [(.pass, .pass), (.silence, .paint), (.error, .fail)] as [(AVSync.Missing, AVSync.Verdict)])
  func unlinked(missing: AVSync.Missing, verdict: AVSync.Verdict) {
    var sync = newSync(sound: 0..<1000, missing: missing)
    sync.linked = false
    #expect(sync.verdict(for: ms(0)) == verdict)
  }

  @Test(
    "After the end of the sound, before its beginning, and in a long hole `missing-audio` decides",
    arguments: [
      (frame: 500, missing: .pass, verdict: .pass),  // before the beginning
      (frame: 500, missing: .silence, verdict: .paint),
      (frame: 500, missing: .error, verdict: .pass),
      (frame: 2400, missing: .pass, verdict: .pass),  // in the hole, beyond the hold
      (frame: 2400, missing: .silence, verdict: .paint),
      (frame: 2400, missing: .error, verdict: .pass),  // it came back
      (frame: 4000, missing: .pass, verdict: .pass),  // at the end
      (frame: 4000, missing: .silence, verdict: .paint),
      (frame: 4000, missing: .error, verdict: .paint),  // ends may differ a little
      (frame: 4300, missing: .pass, verdict: .pass),
      (frame: 4300, missing: .silence, verdict: .paint),
      (frame: 4300, missing: .error, verdict: .fail),
    ] as [(frame: UInt64, missing: AVSync.Missing, verdict: AVSync.Verdict)])
  func missing(frame: UInt64, missing: AVSync.Missing, verdict: AVSync.Verdict) {
    var sync = newSync(sound: 1000..<2000, missing: missing, hold: 300)
    sync.audioArrived(ms(3000)..<ms(4000))
    sync.ended = true
    #expect(sync.verdict(for: ms(frame)) == verdict)
  }

  @Test(
    "A hole is silence as long as the hold, then frames pass; late sound closes it",
    arguments: [
      (frame: 960, late: nil, verdict: .paint),
      (frame: 1280, late: nil, verdict: .paint),
      (frame: 1320, late: nil, verdict: .pass),
      (frame: 1999, late: nil, verdict: .pass),
      (frame: 2000, late: nil, verdict: .paint),
      (frame: 1320, late: 1000..<2000, verdict: .paint),
      (frame: 1320, late: 1000..<1300, verdict: .paint),
      (frame: 1640, late: 1000..<1300, verdict: .pass),
      (frame: 1640, late: 1500..<1600, verdict: .paint),
      (frame: 1480, late: 1500..<1600, verdict: .pass),
    ] as [(frame: UInt64, late: Range<UInt64>?, verdict: AVSync.Verdict)])
  func hole(frame: UInt64, late: Range<UInt64>?, verdict: AVSync.Verdict) {
    var sync = newSync(sound: 0..<1000, hold: 300)
    sync.audioArrived(ms(2000)..<ms(3000))
    if let late { sync.audioArrived(ms(late.lowerBound)..<ms(late.upperBound)) }
    #expect(sync.verdict(for: ms(frame)) == verdict)
  }

  @Test("Holes without end do not pile up")
  func holes() {
    var sync = newSync(sound: 0..<10, hold: 5)
    for i in 1...10_000 as ClosedRange<UInt64> { sync.audioArrived(ms(20 * i)..<ms(20 * i + 10)) }
    sync.ended = true
    #expect(sync.verdict(for: ms(199_999)) == .pass)
    #expect(sync.verdict(for: ms(15)) == .paint)  // forgotten: zeros
  }

  @Test("After a jump back sound counts up to its new end only")
  func jumpBack() {
    var sync = newSync(sound: 100..<1000)
    let inside = sync.audioArrived(ms(200)..<ms(500))
    #expect(!inside && sync.verdict(for: ms(240)) == .paint)
    #expect(sync.verdict(for: ms(600)) == .wait)
    let before = sync.audioArrived(ms(0)..<ms(300))
    #expect(before && sync.verdict(for: ms(40)) == .paint)
    #expect(sync.verdict(for: ms(240)) == .wait)
  }

  @Test("When its deadline is over a live frame takes silence for what is still to come, as long as the hold")
  func late() {
    var sync = newSync(sound: 0..<260, hold: 300)
    #expect(sync.verdict(for: ms(40)) == .wait)
    for frame in [0, 40, 240, 520] as [UInt64] { #expect(sync.verdict(for: ms(frame), late: true) == .paint) }
    #expect(sync.verdict(for: ms(560), late: true) == .pass)
  }

  @Test("After a stall frames pass until one finds its sound in time; then they wait again")
  func stall() {
    var sync = newSync(sound: 0..<260)
    _ = sync.stall(at: ms(280))
    #expect(sync.verdict(for: ms(280)) == .pass)
    sync.audioArrived(ms(260)..<ms(340))
    #expect(sync.verdict(for: ms(360)) == .pass)
    sync.audioArrived(ms(340)..<ms(1000))
    #expect(sync.verdict(for: ms(160)) == .paint)
    #expect(sync.verdict(for: ms(800)) == .wait)
  }

  @Test("Live, frames wait again as soon as sound moves, and the next outage is news once a frame has had its sound")
  func liveStall() {
    var sync = newSync(sound: 0..<260)
    sync.live = true
    var news = [sync.stall(at: ms(280))]
    #expect(sync.verdict(for: ms(280)) == .pass)
    sync.audioArrived(ms(260)..<ms(340))
    #expect(sync.verdict(for: ms(320)) == .wait)
    news.append(sync.stall(at: ms(320)))
    sync.audioArrived(ms(340)..<ms(600))
    #expect(sync.verdict(for: ms(320)) == .paint)
    #expect(sync.patience(6400) == 6400)
    news.append(sync.stall(at: ms(400)))
    #expect(news == [true, false, true])
  }

  @Test("Who stalls again and again waits less each time and is told of once, until all is well for a minute")
  func patience() {
    var sync = newSync(sound: 0..<100)
    var (waits, news): ([Int64], [Bool]) = ([], [])
    for (frame, sound) in [(1, 3), (2, 4), (3, 70), (65, 400), (300, 400), (301, 500)] as [(UInt64, UInt64)] {
      waits.append(sync.patience(6400))
      news.append(sync.stall(at: ms(1000 * frame)))
      sync.audioArrived(ms(1000 * frame)..<ms(1000 * sound))
      #expect(sync.verdict(for: ms(1000 * frame)) == .paint)
      #expect(sync.verdict(for: ms(1000 * sound - 300)) == .paint)
    }
    #expect(waits == [6400, 1600, 400, 6400, 6400, 6400])
    #expect(news == [true, false, false, true, true, true])
    for _ in 0..<100 { _ = sync.stall(at: ms(600_000)) }
    #expect(sync.patience(.max) <= 1)
    sync.audioFlushed()
    #expect(sync.patience(6400) == 6400)
  }

  @Test(
    "The offset moves the sound: positive is later",
    arguments: [
      (frame: 0, offset: 40, time: nil), (frame: 40, offset: 40, time: 0), (frame: 100, offset: 40, time: 60),
      (frame: 100, offset: -40, time: 140), (frame: 0, offset: 0, time: 0),
    ] as [(frame: UInt64, offset: Int64, time: UInt64?)])
  func offset(frame: UInt64, offset: Int64, time: UInt64?) {
    let sync = newSync(offset: offset)
    #expect(sync.audioTime(of: ms(frame)) == time.map(ms))
  }

  @Test("A flush forgets the sound, its EOS and a stall")
  func flush() {
    var sync = newSync(sound: 0..<1000, ended: true)
    _ = sync.stall(at: ms(900))
    sync.audioFlushed()
    #expect(sync.verdict(for: ms(0)) == .wait)
  }

  @Test("With no sound at all for too long `missing-audio` decides")
  func stalledForGood() {
    for (missing, verdict) in [(.pass, .pass), (.silence, .paint), (.error, .fail)]
      as [(AVSync.Missing, AVSync.Verdict)]
    {
      var sync = newSync(missing: missing)
      #expect(sync.verdict(for: ms(0)) == .wait)
      _ = sync.stall(at: ms(0))
      #expect(sync.verdict(for: ms(0)) == verdict)
    }
  }

  @Test("Between the flush of the sound and that of the picture old frames drop no new sound, unless it is full")
  func flushedAhead() {
    var sync = newSync(sound: 90_000..<100_000)
    sync.audioFlushed()
    sync.audioArrived(ms(0)..<ms(20_000))
    sync.passed(ms(100_000))
    #expect(sync.horizon == ms(0))
    sync.audioArrived(ms(20_000)..<ms(59_500))
    sync.passed(ms(30_000))
    #expect(sync.horizon == ms(28_000))
    sync.audioFlushed()
    sync.videoFlushed()
    sync.passed(ms(10_000))
    #expect(sync.horizon == ms(8_000))
  }

  @Test("There is room for a minute of sound after the oldest that is of use")
  func room() {
    var sync = newSync()
    #expect(sync.hasRoom(upTo: ms(100_000)))
    sync.audioArrived(ms(10_000)..<ms(70_000))
    #expect(sync.hasRoom(upTo: ms(70_000)))
    #expect(!sync.hasRoom(upTo: ms(70_001)))
    sync.passed(ms(22_000))  // what is more than two seconds before a frame is of no use
    #expect(sync.hasRoom(upTo: ms(80_000)))
    #expect(!sync.hasRoom(upTo: ms(80_001)))
    sync.makeRoom(upTo: ms(90_000))
    #expect(sync.hasRoom(upTo: ms(90_000)))
    #expect(sync.horizon == ms(30_000))
  }

  @Test("Sound as far ahead of the picture as there is room for leaves all that the picture looks back at")
  func lookingBack() throws {
    let model = try Model.load(path: defaultModel())
    let sound = (0..<16_000 * 100).map { sinf(Float($0 % 16_000) * Float($0 % 16_000) * 1e-5) * 0.1 }
    let row = 10_000 - RunningTime(nanoseconds: AVSync.capacity - UInt64(AVSync.past)).row
    func heard(_ count: Int) -> Tensor {
      var (extractor, timeline) = (model.featureExtractor, AudioTimeline())
      timeline.append(Array(sound[..<count]), at: 0)
      extractor.capture(from: &timeline, atRow: row)
      return extractor.features()
    }
    #expect(heard(sound.count) == heard(160 * row + 5000))
  }

  @Test("Sound that is given up for want of room is lost to the frames still to come, and is not held")
  func givenUp() {
    var sync = newSync(sound: 0..<60_000, hold: 300)
    sync.makeRoom(upTo: ms(62_000))
    sync.audioArrived(ms(60_000)..<ms(62_000))
    for (frame, verdict) in [(200, .paint), (400, .pass), (1999, .pass), (2000, .paint)]
      as [(UInt64, AVSync.Verdict)]
    {
      #expect(sync.verdict(for: ms(frame)) == verdict)
    }
    #expect(sync.held == 60_000_000_000)
    sync.passed(ms(400))
    #expect(!sync.hasRoom(upTo: ms(62_001)))
    #expect(sync.verdict(for: ms(440)) == .pass)
    #expect(sync.held == 60_000_000_000)
    sync.passed(ms(10_000))
    #expect(sync.held == 54_000_000_000)
    sync.audioArrived(ms(63_000)..<ms(64_000))  // a hole is not held
    #expect(sync.held == 55_000_000_000)
  }

  @Test("A frame of a wrong time costs no more than old sound: the last two seconds stay for the next")
  func wrongTime() {
    var sync = newSync(sound: 0..<10_000)
    sync.passed(ms(3_600_000))
    #expect(sync.held == 2_000_000_000 && sync.hasRoom(upTo: ms(3_000_000)))
    sync.audioArrived(ms(10_000)..<ms(10_500))
    sync.passed(ms(9_000))
    #expect(sync.oldest == ms(8_500))
    #expect(sync.verdict(for: ms(9_000)) == .paint)
  }

  @Test("Nothing traps, whatever a stream says", arguments: [0, 1, 1 << 62, .max] as [UInt64])
  func extremes(time: UInt64) {
    for offset in [0, .min, .max] as [Int64] {
      var sync = AVSync()
      (sync.linked, sync.offset, sync.lookahead) = (true, offset, .max)
      let frame = RunningTime(nanoseconds: time)
      _ = sync.verdict(for: frame)
      sync.audioArrived(frame..<frame)
      sync.passed(frame)
      sync.makeRoom(upTo: frame)
      #expect(sync.hasRoom(upTo: frame))
      _ = sync.verdict(for: frame)
    }
  }
}
