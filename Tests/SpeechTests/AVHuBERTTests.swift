// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Speech
import Tensors
import TestSupport
import Testing

/// Against networks/avhubert.py with made-up weights: `python -m convert.golden` in Sources/Training.
@Suite struct AVHuBERTTests {
  /// Windows shorter and longer than the positional convolution; the first, middle and last stack of each are compared.
  @Test(arguments: [
    ("small", 128, 4, [1, 2, 14, 31, 65, 150]), ("base", 768, 12, [31, 140]), ("large", 1024, 24, [31]),
  ])
  func hearsWhatPyTorchHears(name: String, width: Int, layers: Int, lengths: [Int]) throws {
    let golden = try TestSupport.golden("av_hubert.safetensors")
    let weights = made(width: width, layers: layers, output: 16)
    for length in lengths {
      let w = Weights(weights)
      let encoder = AVHuBERT(w, "a", tokens: length, width: width, layers: layers, output: 16)
      #expect(w.finish() == [])
      let stacks = hashed("stacks.\(length)", [length, 104]).map { 8 * $1 - 10 }
      expectNear(picked(encoder.features(stacks)), golden["\(name).\(length)"], 1e-4, "AV-HuBERT \(name), \(length)")
      expectNear(
        picked(encoder(stacks)), golden["\(name).\(length).tokens"], 1e-4, "AV-HuBERT \(name), \(length), tokens")
    }
  }

  private func picked(_ x: Tensor) -> Tensor {
    let (count, width) = (x.shape[0], x.shape[1])
    return Tensor([3, width], [0, count / 2, count - 1].flatMap { x.values[$0 * width..<($0 + 1) * width] })
  }

  /// `hashed_av_hubert` of convert/golden.py.
  private func made(width: Int, layers: Int, output: Int) -> [String: Tensor] {
    var shapes = [
      "input": [width, 104], "fusion": [width, 2 * width], "position": [width, width / 16, 128],
      "output": [output, width], "norm": [width], "fusion_norm": [2 * width],
    ]
    for i in 0..<3 {
      shapes["layers.\(i).norm1"] = [width]
      shapes["layers.\(i).qkv"] = [3 * width, width]
      shapes["layers.\(i).out"] = [width, width]
      shapes["layers.\(i).norm2"] = [width]
      shapes["layers.\(i).fc1"] = [4 * width, width]
      shapes["layers.\(i).fc2"] = [width, 4 * width]
    }
    var made: [String: Tensor] = [:]
    for (name, shape) in shapes {
      let weight = hashed("\(name).weight", shape)
      let inputs = Float(shape.dropFirst().reduce(1, *))
      let scale = exp2f(-log2f(inputs.squareRoot() / 1.7).rounded(.toNearestOrEven))
      made["\(name).weight"] = weight.map { shape.count > 1 ? $1 * scale : $1 / 8 + 1 }
      made["\(name).bias"] = hashed("\(name).bias", [shape[0]]).map { $1 / 8 }
    }
    var all: [String: Tensor] = [:]
    for (name, tensor) in made {
      let parts = name.split(separator: ".", maxSplits: 2)
      guard parts[0] == "layers", let first = Int(parts[1]) else {
        all["a.\(name)"] = tensor
        continue
      }
      for layer in stride(from: first, to: layers, by: 3) { all["a.layers.\(layer).\(parts[2])"] = tensor }
    }
    return all
  }

  /// `hashed` of convert/golden.py.
  private func hashed(_ name: String, _ shape: [Int]) -> Tensor {
    var seed: UInt32 = 2_166_136_261
    for byte in name.utf8 { seed = (seed ^ UInt32(byte)) &* 16_777_619 }
    return Tensor(shape) { output in
      for i in 0..<shape.reduce(1, *) {
        var x = UInt32(truncatingIfNeeded: i) &* 2_654_435_761 &+ seed
        x = (x ^ x >> 15) &* 2_246_822_519
        x = (x ^ x >> 13) &* 3_266_489_917
        x = (x ^ x >> 16) >> 21
        output[i] = (Float(x) - 1024) / 1024
      }
    }
  }
}
