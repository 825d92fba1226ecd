// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Audio tokens from stacks of filterbank rows by AV-HuBERT (Shi et al., arXiv 2201.02184), audio only (twin of
// Sources/Training/networks/avhubert.py, which gives the source of each part). Every frame's window is encoded on its
// own.

import Tensors

/// Positional encoding by a grouped convolution over time: 128 taps, 64 before a stack and 63 after it.
struct PositionalConvolution: Sendable {
  static let (taps, groups) = (128, 16)

  private let size: Int  // channels of a group
  private let convolutions: [Conv2d]  // one for each group

  /// PyTorch weight `[C, C / groups, taps]`. Taps that reach beyond a window of `tokens` stacks from anywhere in it
  /// would only multiply padding, so they are dropped.
  init(_ w: Weights, _ name: String, tokens: Int, width: Int) {
    let weight = w.take("\(name).weight", [width, width / Self.groups, Self.taps])
    let bias = w.take("\(name).bias", [width])
    let size = width / Self.groups
    self.size = size
    let (before, after) = (min(Self.taps / 2, tokens - 1), min(Self.taps / 2 - 1, tokens - 1))
    let count = before + 1 + after
    let first = Self.taps / 2 - before
    convolutions = (0..<Self.groups).map { group in
      Conv2d(
        weight: Tensor([size, size, count, 1]) { output in
          for i in 0..<size * size {
            for k in 0..<count {
              output[i * count + k] = weight.values[(group * size * size + i) * Self.taps + first + k]
            }
          }
        },
        bias: Tensor([size], bias.values[group * size..<(group + 1) * size]), stride: 1,
        padding: (before, after, 0, 0))
    }
  }

  /// `[T, C]` -> `[T, C]`; T must be `tokens`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    let parts = convolutions.enumerated().map { $1(channels($0 * size..<($0 + 1) * size, of: x), activation: .erfGELU) }
    return parts.dropFirst().reduce(parts[0], concat).tokens
  }
}

/// Stacks `[T, 104]` -> audio tokens `[T, C]`.
public struct AVHuBERT: Sendable {
  public static let head = 64  // channels of one attention head, in both Base and Large

  let input: Linear
  let fusionNorm: LayerNorm
  let fusion: Linear
  let position: PositionalConvolution
  let layers: [AudioLayer]
  let norm: LayerNorm
  let output: Linear
  private let width: Int

  /// `tokens`: T, the stacks of one window. `width`: the transformer's channels. `output`: C.
  public init(_ w: Weights, _ name: String, tokens: Int, width: Int, layers: Int, output: Int) {
    self.width = width
    input = Linear(w, "\(name).input", Filterbank.stack * Filterbank.bands, width, rows: tokens)
    fusionNorm = LayerNorm(w, "\(name).fusion_norm", 2 * width)
    fusion = Linear(w, "\(name).fusion", 2 * width, width, rows: tokens)
    position = PositionalConvolution(w, "\(name).position", tokens: tokens, width: width)
    self.layers = (0..<layers).map {
      AudioLayer(
        w, "\(name).layers.\($0)", width: width, heads: width / Self.head, rows: tokens,
        expansion: 4, activation: .erfGELU)
    }
    norm = LayerNorm(w, "\(name).norm", width)
    self.output = Linear(w, "\(name).output", width, output, rows: tokens)
  }

  public func callAsFunction(_ stacks: Tensor) -> Tensor { output(features(stacks)) }

  /// AV-HuBERT's own features, `[T, width]`. The video half of its input is zero.
  package func features(_ stacks: Tensor) -> Tensor {
    let seen = widened(input(LayerNorm.plain(stacks)), to: 2 * width)
    var x = fusion(fusionNorm(seen))
    x = x + position(x)
    for layer in layers { x = layer(x) }
    return norm(x)
  }
}
