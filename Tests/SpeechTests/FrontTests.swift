// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// Against networks/audio.py and data/speech.py: `python -m convert.golden` in Sources/Training.
struct Voices {
  let golden: [String: Tensor]
  /// A voice, silence, and 290 rows later the voice again, 16 times fainter: 608 rows.
  let sound: [Float]
  /// The rows of the frames in `heard`.
  let pictures = [0, 1, 50, 101, 250, 452, 520, 559, 600, 607]
  let heard: Tensor  // [10, 14, 64]

  init() throws {
    golden = try TestSupport.golden("audio_encoder.safetensors")
    let voice = Array(try #require(golden["voice"]).values)
    sound = voice + [Float](repeating: 0, count: 46_400) + voice.map { $0 / 16 }
    heard = try #require(golden["heard"])
  }

  func front(_ precision: Weights.Precision = .f32) -> Front {
    Front(Weights(golden, precision: precision), "audio_encoder.front")
  }

  func extractor(_ precision: Weights.Precision = .f32, lead: Int = 0) -> AudioFeatureExtractor {
    AudioFeatureExtractor(front(precision), past: 10, future: 3, lead: lead)
  }

  func timeline() -> AudioTimeline {
    var timeline = AudioTimeline()
    timeline.append(sound, at: 0)
    return timeline
  }
}

@Suite struct FrontTests {
  let voices: Voices

  init() throws { voices = try Voices() }

  @Test func everyRowIsPythonsRow() throws {
    let rows = try self.rows(0..<608)
    let some = stride(from: 0, to: 608, by: 5).flatMap { rows[$0] }
    expectClose(Tensor([122, 80], some), voices.golden["rows"], 1e-4, "log mel rows")
  }

  private func rows(_ range: Range<Int>) throws -> [[Float]] {
    let levels = range.map { LogMel.levels(voices.sound[$0 * 160..<$0 * 160 + 400]) }
    let loudest = levels.map { $0.max() ?? 0 }
    return levels.indices.map { row in
      LogMel.row(levels[row], loudest: loudest[max(row - LogMel.memory, 0)...row].max() ?? 0)
    }
  }

  @Test(arguments: [(Weights.Precision.f32, Float(1e-4)), (.bf16, 2e-2)])
  func partsArePyTorchs(precision: Weights.Precision, tolerance: Float) throws {
    let (front, golden) = (voices.front(precision), voices.golden)
    let conv1 = front.convolved1(Tensor([41, 80], try rows(0..<41).flatMap { $0 }))
    expectNear(conv1, golden["once"], tolerance, "first convolution \(precision)")
    expectNear(front.convolved2(conv1), golden["twice"], tolerance, "second convolution \(precision)")
    let (x, layer) = (try #require(golden["x"]), front.layers[0])
    var qkv = RowHistory(width: 96)
    qkv.append(layer.queriesKeysValues(x).values)
    let (before, after) = (CausalLayer.before, layer.after)
    #expect(after == 4)
    let middle = Tensor([71 - before - after, 32], Array(x.values[before * 32..<(71 - after) * 32]))
    expectNear(
      layer(middle, at: before..<71 - after, qkv: qkv), golden["causal"], tolerance, "causal layer \(precision)")
  }

  @Test(arguments: [(Weights.Precision.f32, Float(1e-4)), (.bf16, 2e-2)])
  func picturesHearWhatPyTorchHears(precision: Weights.Precision, tolerance: Float) throws {
    var (extractor, timeline) = (voices.extractor(precision), voices.timeline())
    let silence = try #require(voices.golden["silence"])
    expectNear(
      extractor.silence, Tensor([14, 64], [[Float]](repeating: Array(silence.values), count: 28).joined()), tolerance,
      "silence \(precision)")
    for (i, row) in voices.pictures.enumerated() {
      extractor.capture(from: &timeline, atRow: row)
      expectNear(extractor.features(), part(voices.heard, i), tolerance, "features \(precision), row \(row)")
    }
  }
}
