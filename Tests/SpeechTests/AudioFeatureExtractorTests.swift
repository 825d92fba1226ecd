// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// A frame's features depend on the audio around it and on nothing else.
@Suite struct AudioFeatureExtractorTests {
  let voices: Voices

  init() throws { voices = try Voices() }

  /// The features from an extractor that has not been used before.
  private func fresh(_ timeline: AudioTimeline, _ row: Int, lookahead: RunningTime? = nil) -> Tensor {
    var (timeline, extractor) = (timeline, voices.extractor())
    extractor.capture(from: &timeline, atRow: row, lookahead: lookahead)
    return extractor.features()
  }

  /// Frames are a few rows apart, sometimes seconds, and the audio arrives in chunks of any size.
  @Test(arguments: 0..<4 as Range<UInt64>) func chunksAndRatesDoNotMatter(seed: UInt64) {
    var dice = Dice(seed)
    let (whole, start) = (voices.timeline(), Int(dice.next() % 1000))
    var (extractor, timeline, arrived, row) = (voices.extractor(), AudioTimeline(), 0, start % 100)
    while row < 640 {
      let needed = min(Int(extractor.samplesNeeded(atRow: row)), voices.sound.count)
      while arrived < needed {
        let count = min(Int.random(in: 1...4000, using: &dice), voices.sound.count - arrived)
        timeline.append(Array(voices.sound[arrived..<arrived + count]), at: Int64(arrived))
        arrived += count
      }
      extractor.capture(from: &timeline, atRow: row)
      let features = dice.one(in: 5) ? nil : extractor.features()  // some frames are skipped
      if let features { #expect(features == fresh(whole, row), "row \(row)") }
      row += dice.one(in: 30) ? Int.random(in: 50...350, using: &dice) : Int.random(in: 0...9, using: &dice)
    }
  }

  /// Jumps back and far ahead, and other audio, as after a seek.
  @Test func earlierCapturesDoNotMatter() {
    var (extractor, timeline) = (voices.extractor(), voices.timeline())
    for row in [100, 140, 20, 590, 580, 0, 1 << 40, 300] {
      extractor.capture(from: &timeline, atRow: row)
      #expect(extractor.features() == fresh(voices.timeline(), row), "row \(row)")
    }
    timeline = AudioTimeline()
    timeline.append(Array(voices.sound[3000...]), at: 48_000)
    for row in [301, 305, 309] {
      extractor.capture(from: &timeline, atRow: row)
      #expect(extractor.features() == fresh(timeline, row), "after the seek, row \(row)")
    }
  }

  /// Audio that arrives late, or replaces other audio, counts from the next frame on.
  @Test func changedAudioIsReadAgain() {
    var (extractor, timeline) = (voices.extractor(), AudioTimeline())
    timeline.append(Array(voices.sound[..<16_000]), at: 0)
    for row in stride(from: 60, to: 100, by: 4) {
      extractor.capture(from: &timeline, atRow: row)
      _ = extractor.features()
    }
    for start in [16_000, 13_000, 2000] {
      timeline.append(Array(voices.sound[..<8000]), at: Int64(start))
      extractor.capture(from: &timeline, atRow: 100)
      #expect(extractor.features() == fresh(timeline, 100), "from \(start)")
    }
  }

  @Test func nothingAfterSamplesNeededMatters() {
    for (row, extractor) in [20, 21].flatMap({
      [($0, voices.extractor()), ($0, AudioFeatureExtractor(nil, past: 8, future: 5))]
    }) {
      let needed = extractor.samplesNeeded(atRow: row)
      func features(spikeAt place: Int64) -> Tensor {
        var (extractor, timeline) = (extractor, AudioTimeline())
        // Larger than any sample, because the window's last weight is small.
        timeline.append([Float](repeating: 0, count: Int(place)) + [1000], at: 0)
        extractor.capture(from: &timeline, atRow: row)
        return extractor.features()
      }
      #expect(features(spikeAt: needed) == extractor.silence)
      #expect(features(spikeAt: needed - 1) != extractor.silence)
    }
    #expect(voices.extractor().samplesNeeded(atRow: 20) == (20 + 4 * 3 + 2 + 2 * 4) * 160 + 400)
    #expect(voices.extractor().samplesNeeded(atRow: 21) == voices.extractor().samplesNeeded(atRow: 20))
    #expect(voices.extractor().lookahead.nanoseconds == 250_000_000)
    #expect(AudioFeatureExtractor(nil, past: 8, future: 5).lookahead.nanoseconds == 260_000_000)
  }

  /// Audio beyond a shorter look-ahead is ignored even if it is there: features that need it are 0, all others are
  /// unchanged. It counts for later frames.
  @Test(
    arguments: [(0, 13), (30_000_000, 11), (120_000_000, 7), (130_000_000, 6), (245_000_000, 1)] as [(UInt64, Int)])
  func lookaheadIsALimit(nanoseconds: UInt64, unknown: Int) {
    let lookahead = RunningTime(nanoseconds: nanoseconds)
    var (extractor, timeline) = (voices.extractor(), voices.timeline())
    for row in stride(from: 40, to: 80, by: 4) {
      extractor.capture(from: &timeline, atRow: row, lookahead: lookahead)
      var short = AudioTimeline()
      short.append(Array(voices.sound[..<(row * 160 + Int(nanoseconds / 62_500) - 80)]), at: 0)
      let features = extractor.features()
      #expect(features == fresh(short, row, lookahead: lookahead), "row \(row)")
      let known = (28 - unknown) * 32
      #expect(Array(features.values[0..<known]) == Array(fresh(timeline, row).values[0..<known]), "row \(row)")
      #expect(Array(features.values[known..<28 * 32]).allSatisfy { $0 == 0 }, "row \(row)")
    }
    extractor.capture(from: &timeline, atRow: 80)
    #expect(extractor.features() == fresh(timeline, 80))
  }

  /// A mouth that is ahead of its frame has the features of a later row, of which as many more are unknown: no more audio is
  /// waited for.
  @Test(arguments: [250_000_000, 120_000_000, 0] as [UInt64]) func leadWaitsForNoMoreAudio(nanoseconds: UInt64) {
    let lookahead = RunningTime(nanoseconds: nanoseconds)
    var (extractor, timeline) = (voices.extractor(lead: 2), voices.timeline())
    for row in stride(from: 40, to: 80, by: 4) {
      extractor.capture(from: &timeline, atRow: row, lookahead: lookahead)
      let features = extractor.features()
      var short = AudioTimeline()
      short.append(Array(voices.sound[..<(row * 160 + Int(nanoseconds / 62_500) - 80)]), at: 0)
      extractor.capture(from: &short, atRow: row, lookahead: lookahead)
      #expect(extractor.features() == features, "row \(row)")
      let last: Int? = features.values.lastIndex { (value: Float) in value != 0 }
      let known = last.map { $0 / 32 + 1 } ?? 0
      let ahead = fresh(timeline, row + 2)
      #expect(Array(features.values[0..<known * 32]) == Array(ahead.values[0..<known * 32]), "row \(row)")
      #expect(nanoseconds != 250_000_000 || known == 27, "row \(row)")
    }
  }

  /// In a pause the features are those of infinite digital silence; around it they are unchanged.
  @Test func theGateMakesSilenceDigital() {
    let silence = Silence(threshold: -50, hold: 300_000_000)
    let tone = (0..<32_000).map { i in (i % 40 < 20 ? Float(1) : -1) * ((16_000..<22_400).contains(i) ? 0.0017 : 1) }
    var (extractor, timeline) = (voices.extractor(), AudioTimeline())
    timeline.append(tone, at: 0)
    let isSilent = extractor.capture(from: &timeline, atRow: 128, silence)
    #expect(isSilent)
    let (gated, open) = (extractor.features(), extractor.features(gated: false))
    for feature in 0..<28 {
      let row = 2 * (64 - 21 + feature)
      let values = feature * 32..<(feature + 1) * 32
      let expected = (100...137).contains(row) ? extractor.silence : open
      #expect(Array(gated.values[values]) == Array(expected.values[values]), "row \(row)")
    }
    #expect(gated != open)
  }

  @Test(arguments: [.min, -1 << 50, -1, 1 << 50, .max] as [Int64]) func noTimeTraps(time: Int64) {
    var (extractor, timeline) = (voices.extractor(), AudioTimeline())
    for start in [time, 0, time] {
      timeline.append(Array(voices.sound[..<20_000]), at: start)
      for lookahead in [nil, RunningTime(nanoseconds: 0), RunningTime(nanoseconds: .max)] {
        extractor.capture(
          from: &timeline, atRow: Int(start), lookahead: lookahead, Silence(threshold: -50, hold: 300_000_000))
        #expect(extractor.features().shape == [14, 64])
      }
    }
  }
}
