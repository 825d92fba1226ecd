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
  private func silent(_ timeline: SoundTimeline, _ silence: Silence, future: Int = 5) -> [Int] {
    var timeline = timeline
    return (0..<150).filter { timeline.isSilent(atRow: $0, future: future, silence) }
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
    #expect(silent(quiet, Silence(threshold: -50, hold: 300_000_000), future: -1) == [0] + Array(130...138))
  }

  @Test func beforeAndAfterAllSoundIsSilence() {
    var timeline = pause(1)
    let silent = [-10, -1, 1, 190, 230].map {
      timeline.isSilent(atRow: $0, future: 1, Silence(threshold: -50, hold: 300_000_000))
    }
    #expect(silent == [true, true, false, false, true])
  }

  @Test func theGateMakesSilenceDigital() {
    var (open, gated) = (pause(0.0017), pause(0.0017))
    let silence = Silence(threshold: -50, hold: 300_000_000)
    let (before, after) = (
      open.stacks(atRow: 128, past: 8, future: 5), gated.stacks(atRow: 128, past: 8, future: 5, gate: silence)
    )
    for row in 96..<152 {
      let values = (row - 96) * 26..<(row - 95) * 26
      let expected =
        (100...137).contains(row) ? [Float](repeating: Filterbank.silence, count: 26) : Array(before.values[values])
      #expect(Array(after.values[values]) == expected, "row \(row)")
    }
  }

  @Test func soundIsTheSameWithoutAPause() {
    var timeline = pause(0.0056)
    let silence = Silence(threshold: -50, hold: 300_000_000)
    let open = timeline.stacks(atRow: 128, past: 8, future: 5)
    let gated = timeline.stacks(atRow: 128, past: 8, future: 5, gate: silence)
    #expect(open == gated)
  }
}
