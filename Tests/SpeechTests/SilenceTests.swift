// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import Testing

@Suite struct SilenceTests {
  /// 2 s of a full-scale tone, with 400 ms at `hush` of its amplitude from 1 s on.
  private func pause(_ hush: Float) -> AudioTimeline {
    let tone = (0..<32_000).map { i in (i % 40 < 20 ? Float(1) : -1) * ((16_000..<22_400).contains(i) ? hush : 1) }
    var timeline = AudioTimeline()
    timeline.append(tone, at: 0)
    return timeline
  }

  /// The rows of the 2 s that count as silence, each as seen by the frame at that row.
  private func silent(_ timeline: AudioTimeline, _ silence: Silence, lookahead: RunningTime? = nil) -> [Int] {
    var (timeline, extractor) = (timeline, AudioFeatureExtractor(nil, past: 8, future: 5))
    return (0..<150).filter { extractor.capture(from: &timeline, atRow: $0, lookahead: lookahead, silence) }
  }

  @Test func quietSoundIsSilenceWhenItLastsLongEnough() {
    // A row lasts 25 ms: rows 100 ... 137 are in the pause, which is quiet at -45 dBFS and not at -55 dBFS.
    let (quiet, loud) = (pause(0.0017), pause(0.0056))
    // A frame's stacks include 23 rows after its own: the 30th quiet row is seen by the seventh of them.
    #expect(silent(quiet, Silence(threshold: -50, hold: 300_000_000)) == Array(106...137))
    #expect(silent(quiet, Silence(threshold: -50, hold: 0)) == Array(100...137))
    #expect(silent(quiet, Silence(threshold: -50, hold: 500_000_000)) == [])
    #expect(silent(quiet, Silence(threshold: -60, hold: 300_000_000)) == [])
    #expect(silent(loud, Silence(threshold: -50, hold: 300_000_000)) == [])
    // Without look-ahead the last known row begins 30 ms before the frame's.
    let blind = silent(quiet, Silence(threshold: -50, hold: 300_000_000), lookahead: RunningTime(nanoseconds: 0))
    #expect(blind == [0, 1, 2] + Array(132...140))
  }

  @Test func beforeAndAfterAllSoundIsSilence() {
    var (timeline, extractor) = (pause(1), AudioFeatureExtractor(nil, past: 8, future: 1))
    let silent = [-10, -1, 1, 190, 230].map {
      extractor.capture(from: &timeline, atRow: $0, Silence(threshold: -50, hold: 300_000_000))
    }
    #expect(silent == [true, true, false, false, true])
  }

  /// The stacks around row 128, without and with the gate.
  private func heard(_ timeline: AudioTimeline) -> (open: Tensor, gated: Tensor) {
    var (timeline, extractor) = (timeline, AudioFeatureExtractor(nil, past: 8, future: 5))
    extractor.capture(from: &timeline, atRow: 128, Silence(threshold: -50, hold: 300_000_000))
    return (extractor.features(gated: false), extractor.features())
  }

  @Test func theGateMakesSilenceDigital() {
    let (open, gated) = heard(pause(0.0017))
    for row in 96..<152 {
      let values = (row - 96) * 26..<(row - 95) * 26
      let expected =
        (100...137).contains(row) ? [Float](repeating: Filterbank.silence, count: 26) : Array(open.values[values])
      #expect(Array(gated.values[values]) == expected, "row \(row)")
    }
  }

  @Test func soundIsTheSameWithoutAPause() {
    let (open, gated) = heard(pause(0.0056))
    #expect(open == gated)
  }
}
