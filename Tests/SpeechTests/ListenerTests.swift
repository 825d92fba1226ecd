// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// What a picture hears depends on the sound around it and on nothing else.
@Suite struct ListenerTests {
  let voices: Voices

  init() throws { voices = try Voices() }

  /// What a listener that has heard nothing yet hears.
  private func fresh(_ timeline: SoundTimeline, _ row: Int, lookahead: RunningTime? = nil) -> Tensor {
    var (timeline, listener) = (timeline, voices.listener())
    listener.listen(to: &timeline, atRow: row, lookahead: lookahead)
    return listener.heard()
  }

  /// Pictures a few rows apart, sometimes some seconds, while the sound comes in pieces of any size.
  @Test(arguments: 0..<4 as Range<UInt64>) func chunksAndRatesDoNotMatter(seed: UInt64) {
    var dice = Dice(seed)
    let (whole, start) = (voices.timeline(), Int(dice.next() % 1000))
    var (listener, timeline, arrived, row) = (voices.listener(), SoundTimeline(), 0, start % 100)
    while row < 640 {
      let needed = min(Int(listener.samplesNeeded(atRow: row)), voices.sound.count)
      while arrived < needed {
        let count = min(Int.random(in: 1...4000, using: &dice), voices.sound.count - arrived)
        timeline.append(Array(voices.sound[arrived..<arrived + count]), at: Int64(arrived))
        arrived += count
      }
      listener.listen(to: &timeline, atRow: row)
      let heard = dice.one(in: 5) ? nil : listener.heard()  // some frames pass
      if let heard { #expect(heard == fresh(whole, row), "row \(row)") }
      row += dice.one(in: 30) ? Int.random(in: 50...350, using: &dice) : Int.random(in: 0...9, using: &dice)
    }
  }

  /// Back and far away in a sound, and in another one, as after a seek.
  @Test func whereItListenedBeforeDoesNotMatter() {
    var (listener, timeline) = (voices.listener(), voices.timeline())
    for row in [100, 140, 20, 590, 580, 0, 1 << 40, 300] {
      listener.listen(to: &timeline, atRow: row)
      #expect(listener.heard() == fresh(voices.timeline(), row), "row \(row)")
    }
    timeline = SoundTimeline()
    timeline.append(Array(voices.sound[3000...]), at: 48_000)
    for row in [301, 305, 309] {
      listener.listen(to: &timeline, atRow: row)
      #expect(listener.heard() == fresh(timeline, row), "after the seek, row \(row)")
    }
  }

  /// Sound that comes late, or in the place of another, is heard from the next picture on.
  @Test func soundThatChangesIsHeardAnew() {
    var (listener, timeline) = (voices.listener(), SoundTimeline())
    timeline.append(Array(voices.sound[..<16_000]), at: 0)
    for row in stride(from: 60, to: 100, by: 4) {
      listener.listen(to: &timeline, atRow: row)
      _ = listener.heard()
    }
    for start in [16_000, 13_000, 2000] {
      timeline.append(Array(voices.sound[..<8000]), at: Int64(start))
      listener.listen(to: &timeline, atRow: 100)
      #expect(listener.heard() == fresh(timeline, 100), "from \(start)")
    }
  }

  @Test func nothingAfterSamplesNeededMatters() {
    for (row, listener) in [20, 21].flatMap({ [($0, voices.listener()), ($0, Listener(nil, past: 8, future: 5))] }) {
      let needed = listener.samplesNeeded(atRow: row)
      func heard(spikeAt place: Int64) -> Tensor {
        var (listener, timeline) = (listener, SoundTimeline())
        // More than a sample can be, since the window's last share is small.
        timeline.append([Float](repeating: 0, count: Int(place)) + [1000], at: 0)
        listener.listen(to: &timeline, atRow: row)
        return listener.heard()
      }
      #expect(heard(spikeAt: needed) == listener.silence)
      #expect(heard(spikeAt: needed - 1) != listener.silence)
    }
    #expect(voices.listener().samplesNeeded(atRow: 20) == (20 + 4 * 3 + 2 + 2 * 4) * 160 + 400)
    #expect(voices.listener().samplesNeeded(atRow: 21) == voices.listener().samplesNeeded(atRow: 20))
    #expect(voices.listener().lookahead.nanoseconds == 250_000_000)
    #expect(Listener(nil, past: 8, future: 5).lookahead.nanoseconds == 260_000_000)
  }

  /// Sound beyond a shorter look-ahead does not count even if it is there: features that need it are 0, all others as ever.
  /// Later pictures hear it.
  @Test(
    arguments: [(0, 13), (30_000_000, 11), (120_000_000, 7), (130_000_000, 6), (245_000_000, 1)] as [(UInt64, Int)])
  func lookaheadIsALimit(nanoseconds: UInt64, unknown: Int) {
    let lookahead = RunningTime(nanoseconds: nanoseconds)
    var (listener, timeline) = (voices.listener(), voices.timeline())
    for row in stride(from: 40, to: 80, by: 4) {
      listener.listen(to: &timeline, atRow: row, lookahead: lookahead)
      var short = SoundTimeline()
      short.append(Array(voices.sound[..<(row * 160 + Int(nanoseconds / 62_500) - 80)]), at: 0)
      let heard = listener.heard()
      #expect(heard == fresh(short, row, lookahead: lookahead), "row \(row)")
      let known = (28 - unknown) * 32
      #expect(Array(heard.values[0..<known]) == Array(fresh(timeline, row).values[0..<known]), "row \(row)")
      #expect(Array(heard.values[known..<28 * 32]).allSatisfy { $0 == 0 }, "row \(row)")
    }
    listener.listen(to: &timeline, atRow: 80)
    #expect(listener.heard() == fresh(timeline, 80))
  }

  /// In a pause the features are those of endless digital silence; around it they are what they were.
  @Test func theGateMakesSilenceDigital() {
    let silence = Silence(threshold: -50, hold: 300_000_000)
    let tone = (0..<32_000).map { i in (i % 40 < 20 ? Float(1) : -1) * ((16_000..<22_400).contains(i) ? 0.0017 : 1) }
    var (listener, timeline) = (voices.listener(), SoundTimeline())
    timeline.append(tone, at: 0)
    let isSilent = listener.listen(to: &timeline, atRow: 128, silence)
    #expect(isSilent)
    let (gated, open) = (listener.heard(), listener.heard(gated: false))
    for feature in 0..<28 {
      let row = 2 * (64 - 21 + feature)
      let values = feature * 32..<(feature + 1) * 32
      let expected = (100...137).contains(row) ? listener.silence : open
      #expect(Array(gated.values[values]) == Array(expected.values[values]), "row \(row)")
    }
    #expect(gated != open)
  }

  @Test(arguments: [.min, -1 << 50, -1, 1 << 50, .max] as [Int64]) func noTimeTraps(time: Int64) {
    var (listener, timeline) = (voices.listener(), SoundTimeline())
    for start in [time, 0, time] {
      timeline.append(Array(voices.sound[..<20_000]), at: start)
      for lookahead in [nil, RunningTime(nanoseconds: 0), RunningTime(nanoseconds: .max)] {
        listener.listen(
          to: &timeline, atRow: Int(start), lookahead: lookahead, Silence(threshold: -50, hold: 300_000_000))
        #expect(listener.heard().shape == [14, 64])
      }
    }
  }
}
