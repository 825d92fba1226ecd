// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Audio tokens from stacks of features: a small transformer over the stacks around one frame (twin of `AudioEncoder` in
// Sources/Training/networks/audio.py). Every frame's window is encoded on its own.

import Tensors

/// Pre-norm transformer layer over `[T, C]` (Vaswani et al. 2017; Xiong et al. 2020).
package struct AudioLayer: Sendable {
  let heads: Int
  let activation: Activation
  let norm1: LayerNorm
  let qkv: Linear
  let out: Linear
  let norm2: LayerNorm
  let fc1: Linear
  let fc2: Linear

  /// `rows`: the expected number of rows, see `Linear`.
  package init(
    _ w: Weights, _ name: String, width: Int, heads: Int, rows: Int, expansion: Int = 3,
    activation: Activation = .gelu, streamed: Bool = false
  ) {
    (self.heads, self.activation) = (heads, activation)
    norm1 = LayerNorm(w, "\(name).norm1", width)
    qkv = Linear(w, "\(name).qkv", width, 3 * width, rows: rows, streamed: streamed)
    out = Linear(w, "\(name).out", width, width, rows: rows, streamed: streamed)
    norm2 = LayerNorm(w, "\(name).norm2", width)
    fc1 = Linear(w, "\(name).fc1", width, expansion * width, rows: rows, streamed: streamed)
    fc2 = Linear(w, "\(name).fc2", expansion * width, width, rows: rows, streamed: streamed)
  }

  package func callAsFunction(_ x: Tensor) -> Tensor {
    output(attention(qkv: queriesKeysValues(x), heads: heads), adding: x)
  }

  /// Queries, keys and values, `[T, 3C]`.
  func queriesKeysValues(_ x: Tensor) -> Tensor { qkv(norm1(x)) }

  /// The layer's output, from its input `x` and the result of the attention.
  func output(_ attended: Tensor, adding x: Tensor) -> Tensor {
    let x = out(attended, adding: x)
    return fc2(fc1(norm2(x), activation: activation), adding: x)
  }
}

/// Stacks `[T, inputs]`, two features each, -> audio tokens `[T, C]`.
public struct AudioEncoder: Sendable {
  let input: Linear
  let position: Tensor
  let layers: [AudioLayer]
  let norm: LayerNorm

  /// `tokens`: T, the stacks of one window. `width`: C. `head`: channels of one attention head.
  public init(_ w: Weights, _ name: String, inputs: Int, tokens: Int, width: Int, layers: Int, head: Int) {
    input = Linear(w, "\(name).input", inputs, width, rows: tokens)
    position = w.take("\(name).position", [tokens, width])
    self.layers = (0..<layers).map {
      AudioLayer(w, "\(name).layers.\($0)", width: width, heads: width / head, rows: tokens)
    }
    norm = LayerNorm(w, "\(name).norm", width)
  }

  public func callAsFunction(_ stacks: Tensor) -> Tensor {
    var x = input(stacks) + position
    for layer in layers { x = layer(x) }
    return norm(x)
  }
}
