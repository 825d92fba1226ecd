// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import Testing

/// A stream's rows arrive in batches of any size, and the same audio must give the same bytes: a layer's result for a
/// row depends only on the rows in its receptive field.
@Suite struct StreamTests {
  private func noise(_ shape: [Int], _ seed: UInt64) -> Tensor {
    var noise = GaussianNoise(seed: seed)
    return Tensor(shape, noise.fill(shape.reduce(1, *)).map { $0 * 0.1 })
  }

  /// `layer` maps `[(n - 1) stride + taps, inputs]` to `[n, outputs]`.
  private func expectSameRows(_ inputs: Int, taps: Int = 1, stride: Int = 1, _ layer: (Tensor) -> Tensor) {
    let x = noise([40, inputs], 1)
    let whole = Array(layer(x).values)
    let outputs = whole.count / ((40 - taps) / stride + 1)
    for rows in [1, 2, 3, 5, 7, 14] {
      for first in 0..<4 {
        let range = first * stride..<(first + rows - 1) * stride + taps
        let piece = layer(
          Tensor([range.count, inputs], x.values[range.lowerBound * inputs..<range.upperBound * inputs]))
        #expect(
          Array(piece.values) == Array(whole[first * outputs..<(first + rows) * outputs]), "\(rows) from \(first) on")
      }
    }
  }

  @Test(arguments: [(80, 384), (384, 1152), (384, 1536), (1536, 384), (384, 64), (64, 24)])
  func linear(inputs: Int, outputs: Int) {
    let weights = Weights(["l.weight": noise([outputs, inputs], 2), "l.bias": noise([outputs], 3)])
    let layer = Linear(weights, "l", inputs, outputs, rows: 2, streamed: true)
    expectSameRows(inputs) { layer($0, activation: .erfGELU) }
  }

  @Test(arguments: [(80, 384, 1), (384, 384, 2)])
  func convolution(inputs: Int, outputs: Int, stride: Int) {
    let layer = Conv2d(
      weight: noise([outputs, inputs, 3, 1], 2), bias: noise([outputs], 3), stride: stride, padding: (0, 0, 0, 0),
      streamed: true)
    expectSameRows(inputs, taps: 3, stride: stride) {
      layer($0.reshaped([$0.shape[0], 1, inputs]), activation: .erfGELU).tokens
    }
  }
}
