// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// Against networks/audio.py: `python -m convert.golden` in Sources/Training.
@Suite struct AudioEncoderTests {
  @Test(arguments: Way.all) func hearsWhatPyTorchHears(_ way: Way) throws {
    let (precision, tolerance): (_, Float) = (way.precision, way.precision == .f32 ? 1e-4 : 2e-2)
    let golden = try TestSupport.golden("audio_encoder.safetensors")
    let w = Weights(golden.filter { $0.key.hasPrefix("audio_encoder.") }, precision: precision, on: way.set)
    _ = Front(w, "audio_encoder.front")
    let encoder = AudioEncoder(w, "audio_encoder", inputs: 64, tokens: 14, width: 32, layers: 2, head: 4)
    #expect(w.finish() == [])
    let lips = LipsHead(
      Weights(golden.filter { $0.key.hasPrefix("lips.") }, precision: precision, on: way.set), "lips", tokens: 14,
      width: 32, coefficients: 12)
    let (heard, tokens) = (try #require(golden["heard"]), try #require(golden["tokens"]))
    let told = try #require(golden["coefficients"])
    for picture in 0..<heard.shape[0] {
      let expected = part(tokens, picture)
      expectNear(encoder(part(heard, picture)), expected, tolerance, "audio tokens \(way.testDescription), \(picture)")
      expectNear(
        Tensor([12], lips(expected)), part(told, picture), tolerance, "coefficients \(way.testDescription), \(picture)")
    }
    let layer = AudioLayer(w, "audio_encoder.layers.0", width: 32, heads: 8, rows: 14)
    expectNear(layer(part(tokens, 2)), golden["layer"], tolerance, "audio layer \(way.testDescription)")
  }
}

/// One of several tensors.
func part(_ x: Tensor, _ index: Int) -> Tensor {
  let shape = Array(x.shape.dropFirst())
  let count = shape.reduce(1, *)
  return Tensor(shape, Array(x.values[index * count..<(index + 1) * count]))
}
