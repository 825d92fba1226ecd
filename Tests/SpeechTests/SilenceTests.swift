// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import Testing

@Suite struct SilenceTests {
  /// 2 s: a tone of full scale, and in it 400 ms of `hush` of it from 1 s on.
  private func pause(_ hush: Float) -> SoundTimeline {
    let tone = (0..<32_000).map { i in (i % 40 < 20 ? Float(1) : -1) * ((16_000..<22_400).contains(i) ? hush : 1) }
    var timeline = SoundTimeline()
    timeline.append(tone, at: 0)
    return timeline
  }

  /// Rows of the 2 s that count as silence, each as its own picture shows it.
  private func silent(_ timeline: SoundTimeline, _ silence: Silence, lookahead: RunningTime? = nil) -> [Int] {
    var (timeline, listener) = (timeline, Listener(nil, past: 8, future: 5))
    return (0..<150).filter { listener.listen(to: &timeline, atRow: $0, lookahead: lookahead, silence) }
  }

  @Test func quietSoundIsSilenceWhenItLastsLongEnough() {
    // A row lasts 25 ms: rows 100 ... 137 lie in the pause. At -55 dBFS it is quiet, at -45 dBFS not.
    let (quiet, loud) = (pause(0.0017), pause(0.0056))
    // A picture's stacks show 23 rows after its own: the 30th quiet row shows at the seventh of them.
    #expect(silent(quiet, Silence(threshold: -50, hold: 300_000_000)) == Array(106...137))
    #expect(silent(quiet, Silence(threshold: -50, hold: 0)) == Array(100...137))
    #expect(silent(quiet, Silence(threshold: -50, hold: 500_000_000)) == [])
    #expect(silent(quiet, Silence(threshold: -60, hold: 300_000_000)) == [])
    #expect(silent(loud, Silence(threshold: -50, hold: 300_000_000)) == [])
    // Without look-ahead the last row that is known begins 30 ms before the picture's.
    let blind = silent(quiet, Silence(threshold: -50, hold: 300_000_000), lookahead: RunningTime(nanoseconds: 0))
    #expect(blind == [0, 1, 2] + Array(132...140))
  }

  @Test func beforeAndAfterAllSoundIsSilence() {
    var (timeline, listener) = (pause(1), Listener(nil, past: 8, future: 1))
    let silent = [-10, -1, 1, 190, 230].map {
      listener.listen(to: &timeline, atRow: $0, Silence(threshold: -50, hold: 300_000_000))
    }
    #expect(silent == [true, true, false, false, true])
  }

  /// The stacks around row 128, and the same through the gate.
  private func heard(_ timeline: SoundTimeline) -> (open: Tensor, gated: Tensor) {
    var (timeline, listener) = (timeline, Listener(nil, past: 8, future: 5))
    listener.listen(to: &timeline, atRow: 128, Silence(threshold: -50, hold: 300_000_000))
    return (listener.heard(gated: false), listener.heard())
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
