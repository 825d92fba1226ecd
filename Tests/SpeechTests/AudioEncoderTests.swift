// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Tensors
import TestSupport
import Testing

/// Against networks/model.py: `python -m convert.golden` in Sources/Training.
@Suite struct AudioEncoderTests {
  @Test(arguments: [(Weights.Precision.f32, Float(1e-4)), (.bf16, 2e-2)])
  func hearsWhatPyTorchHears(precision: Weights.Precision, tolerance: Float) throws {
    let golden = try TestSupport.golden("audio_encoder.safetensors")
    let w = Weights(golden.filter { $0.key.hasPrefix("audio_encoder.") }, precision: precision)
    let encoder = AudioEncoder(w, "audio_encoder", tokens: 14, width: 32, layers: 2, head: 4)
    #expect(w.finish() == [])
    expectNear(encoder(try #require(golden["stacks"])), golden["tokens"], tolerance, "audio tokens \(precision)")
    let lips = LipsHead(
      Weights(golden.filter { $0.key.hasPrefix("lips.") }, precision: precision), "lips", tokens: 14, width: 32,
      coefficients: 12)
    let coefficients = lips(try #require(golden["tokens"]))
    expectNear(Tensor([12], coefficients), golden["coefficients"], tolerance, "coefficients \(precision)")
    let layer = AudioLayer(w, "audio_encoder.layers.0", width: 32, heads: 8)
    expectNear(layer(try #require(golden["tokens"])), golden["layer"], tolerance, "audio layer \(precision)")
  }
}
