// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The previous-frame prior, SyncDiff's bottleneck layer "BN" (twin of `Bottleneck` in
// Sources/Training/networks/model.py). It is wide enough to carry the previous frame's pose and too narrow to copy its
// mouth.

import Glibc
import Tensors

/// The previous frame's latent `[20, 20, 4]` -> 6 values in -1 ... 1, `[1, 6]`.
public struct Bottleneck: Sendable {
  let conv1: Conv2d
  let conv2: Conv2d
  let out: Linear

  public init(_ w: Weights, _ name: String, _ config: Configuration) {
    let side = config.window / 16
    conv1 = Conv2d(w, "\(name).conv1", config.latentChannels, 32, stride: 2, size: 16 * side * side)
    conv2 = Conv2d(w, "\(name).conv2", 32, 64, stride: 2, size: 4 * side * side)
    out = Linear(w, "\(name).out", 64 * side * side, config.prior, rows: 1)
  }

  public func callAsFunction(_ latent: Tensor) -> Tensor {
    let x = conv2(conv1(latent, activation: .silu), activation: .silu)
    return out(x.reshaped([1, x.values.count])).map { tanhf($1) }
  }
}
