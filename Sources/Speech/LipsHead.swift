// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// Predicts a frame's mouth shape from its audio tokens `[T, C]`: 12 coefficients in standard deviations (twin of
/// `LipsHead` in Sources/Training/networks/audio.py).
public struct LipsHead: Sendable {
  let fc1: Linear
  let fc2: Linear

  /// `tokens` is T, `width` is C.
  public init(_ w: Weights, _ name: String, tokens: Int, width: Int, coefficients: Int) {
    fc1 = Linear(w, "\(name).fc1", tokens * width, width, rows: 1)
    fc2 = Linear(w, "\(name).fc2", width, coefficients, rows: 1)
  }

  public func callAsFunction(_ tokens: Tensor) -> [Float] {
    Array(fc2(fc1(tokens.reshaped([1, tokens.values.count]), activation: .silu)).values)
  }
}
