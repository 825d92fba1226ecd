// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// Golden/filterbank.safetensors is from `python -m convert.golden` in Sources/Training: logfbank of python_speech_features.
@Suite struct AudioTimelineTests {
  let sound: [Float]
  let rows: Tensor  // [70, 26]
  let stacks: Tensor  // [14, 104], around row 20

  init() throws {
    let golden = try TestSupport.golden("filterbank.safetensors")
    (sound, rows, stacks) = (
      Array(try #require(golden["sound"]).values), try #require(golden["rows"]), try #require(golden["stacks"])
    )
  }

  func row(_ r: Int) -> Tensor { Tensor([26], Array(rows.values[r * 26..<(r + 1) * 26])) }

  /// A timeline with the golden audio in chunks of `size` samples from index `start` on.
  func timeline(chunks size: Int, at start: Int64 = 0) -> AudioTimeline {
    var timeline = AudioTimeline()
    for i in stride(from: 0, to: sound.count, by: size) {
      timeline.append(Array(sound[i..<min(i + size, sound.count)]), at: start + Int64(i))
    }
    return timeline
  }

  /// The stacks around a row.
  func heard(_ timeline: AudioTimeline, atRow row: Int, past: Int = 8, future: Int = 5) -> Tensor {
    var (timeline, extractor) = (timeline, AudioFeatureExtractor(nil, past: past, future: future))
    extractor.capture(from: &timeline, atRow: row)
    return extractor.features()
  }

  @Test func everyRowIsPythonsRow() {
    for r in 0..<70 {
      let before = r == 0 ? 0 : sound[160 * r - 1]
      let actual = Filterbank.row([before] + sound[160 * r..<160 * r + 400])
      expectClose(Tensor([26], actual), row(r), 1e-5, "row \(r)")
    }
  }

  @Test func digitalSilenceIsTheLogOfEpsilon() {
    #expect(Filterbank.row([Float](repeating: 0, count: 401)) == [Float](repeating: Filterbank.silence, count: 26))
    #expect(Filterbank.silence == -36.04365)
    let residue = (0...400).map { $0 % 2 == 0 ? Float(1e-5) : -1e-5 }  // a third of a step of int16
    #expect(Filterbank.row(residue) == [Float](repeating: Filterbank.silence, count: 26))
    #expect(Array(row(32).values) == [Float](repeating: Filterbank.silence, count: 26))
  }

  @Test(arguments: [1, 160, 371, 1024, 20_000]) func stacksDoNotDependOnTheChunks(size: Int) {
    let timeline = timeline(chunks: size)
    expectClose(heard(timeline, atRow: 20), stacks, 1e-5)
  }

  @Test func timeStartsAnywhere() {
    let (row, start) = (360_000 * 24, Int64(360_000 * 24 * 160))
    let timeline = timeline(chunks: 500, at: start)
    #expect(timeline.end == start + Int64(sound.count))
    expectClose(heard(timeline, atRow: row + 20), stacks, 1e-5)
  }

  @Test func askingEarlySeesSilenceAndAskingAgainSeesTheSound() {
    var timeline = AudioTimeline()
    timeline.append(Array(sound[..<3000]), at: 0)
    let early = heard(timeline, atRow: 20)
    #expect(Array(early.values.suffix(104)) == [Float](repeating: Filterbank.silence, count: 104))
    timeline.append(Array(sound[3000...]), at: 3000)
    expectClose(heard(timeline, atRow: 20), stacks, 1e-5)
  }

  @Test func gapsAreSilence() {
    var timeline = AudioTimeline()
    timeline.append(Array(sound[..<4000]), at: 0)
    timeline.append(Array(sound[8000...]), at: 8000)
    var zeroed = AudioTimeline()
    zeroed.append(sound[..<4000] + [Float](repeating: 0, count: 4000) + sound[8000...], at: 0)
    for row in 0..<70 {
      #expect(
        heard(timeline, atRow: row, past: 0, future: 0) == heard(zeroed, atRow: row, past: 0, future: 0), "row \(row)")
    }
  }

  @Test func laterSoundReplacesEarlier() {
    var timeline = AudioTimeline()
    timeline.append([Float](repeating: 0.25, count: 6000), at: 0)
    _ = heard(timeline, atRow: 20)
    timeline.append(sound, at: 0)
    expectClose(heard(timeline, atRow: 20), stacks, 1e-5)
  }

  @Test func lateSoundIsIgnored() {
    var timeline = timeline(chunks: 1024, at: 32_000)
    timeline.append(sound, at: 32_000 - Int64(sound.count))
    #expect(timeline.end == 32_000 + Int64(sound.count))
    expectClose(heard(timeline, atRow: 220), stacks, 1e-5)
  }

  @Test func jumpsStartAnew() {
    var timeline = timeline(chunks: 1024)
    timeline.append(sound, at: 1 << 40)
    #expect(timeline.end == Int64(1 << 40) + Int64(sound.count))
    timeline.append(sound, at: 0)
    #expect(timeline.end == Int64(sound.count))
    expectClose(heard(timeline, atRow: 20), stacks, 1e-5)
  }

  @Test func longStreamsForgetTheirBeginning() {
    var timeline = AudioTimeline()
    for second in 0..<200 as Range<Int64> {
      timeline.append([Float](repeating: 0.5, count: 16_000), at: second * 16_000)
    }
    timeline.append(sound, at: 200 * 16_000)
    expectClose(heard(timeline, atRow: 20_020, past: 4, future: 5), stacks.lastRows(10), 1e-5)
    #expect(heard(timeline, atRow: 100, past: 0, future: 0).values.allSatisfy { $0 == Filterbank.silence })
    timeline.append([Float](repeating: 0.5, count: 3_000_000), at: 201 * 16_000)
    #expect(timeline.end == Int64(201 * 16_000 + 3_000_000))
  }

  @Test(arguments: [.min, -1 << 50, -1, 1 << 50, .max] as [Int64]) func noTimeTraps(time: Int64) {
    var timeline = AudioTimeline()
    for start in [time, 0, time] {
      timeline.append(sound, at: start)
      timeline.append([], at: start)
      _ = heard(timeline, atRow: Int(start))
    }
  }

  @Test func whatIsNoNumberIsSilence() {
    var timeline = AudioTimeline()
    timeline.append([.nan, .infinity, -.infinity, .greatestFiniteMagnitude] + sound, at: 3000)
    #expect(heard(timeline, atRow: 20, past: 1, future: 5).values.allSatisfy { $0.isFinite })
  }
}

extension Tensor {
  /// The last `count` rows of `[T, C]`.
  fileprivate func lastRows(_ count: Int) -> Tensor {
    Tensor([count, shape[1]], Array(values.suffix(count * shape[1])))
  }
}
