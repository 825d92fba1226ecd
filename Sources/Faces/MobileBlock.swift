// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Building blocks of all face networks (weights converted by Sources/Training/convert/faces.py).

import Tensors

/// A 3 x 3 depthwise and a pointwise convolution with a residual connection, then ReLU, or PReLU if the network has
/// slopes. At stride 2 the shortcut is max-pooled by 2 x 2; additional channels are zero.
struct MobileBlock: Sendable {
  private let depthwise, pointwise: Conv2d
  private let slope: Tensor?
  private let stride: Int
  private let cout: Int

  init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int, stride: Int = 1, slopes: Bool) {
    depthwise = Conv2d(w, "\(name).depthwise", cin, cin, kernel: 3, stride: stride, same: 3 - stride, groups: cin)
    pointwise = Conv2d(w, "\(name).pointwise", cin, cout, kernel: 1, same: 0)
    slope = slopes ? w.take("\(name).slope", [cout]) : nil
    (self.stride, self.cout) = (stride, cout)
  }

  /// `[H, W, Cin]` -> `[H / stride, W / stride, Cout]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    let shortcut = widened(stride == 2 ? maxPool2(x) : x, to: cout)
    return depthwise(x, then: pointwise, adding: shortcut, slope: slope)
  }
}

extension Conv2d {
  /// TFLite's "same" padding: `same` pixels in total, the odd one at the right and bottom. Always f32, because accuracy
  /// of tenths of a pixel matters more than the little time that bf16 would save. Pointwise convolutions use the tile
  /// unit.
  init(
    _ w: Weights, _ name: String, _ cin: Int, _ cout: Int, kernel: Int, stride: Int = 1, same: Int, groups: Int = 1
  ) {
    let (before, after) = (same / 2, same - same / 2)
    self.init(
      weight: w.take("\(name).weight", [cout, cin / groups, kernel, kernel]), bias: w.take("\(name).bias", [cout]),
      stride: stride, padding: (before, after, before, after), groups: groups,
      method: w.instructions.hasTiles && kernel == 1 ? .split : .direct, on: w.instructions)
  }
}

/// A chain of blocks with PReLU, in which every third block halves the resolution and doubles the channels up to 128;
/// then a reduction to 32 channels and one more block.
struct MobileChain: Sendable {
  private let blocks: [MobileBlock]
  private let reduce: Conv2d
  private let slope: Tensor
  private let last: MobileBlock

  /// Blocks `range` of network `name`, the first of which has `channels` input channels.
  init(_ w: Weights, _ name: String, _ range: ClosedRange<Int>, channels: Int) {
    blocks = MobileChain.blocks(w, name, range, channels: channels)
    reduce = Conv2d(w, "\(name).reduce", 128, 32, kernel: 1, same: 0)
    slope = w.take("\(name).reduce.slope", [32])
    last = MobileBlock(w, "\(name).block\(range.upperBound + 1)", 32, 32, slopes: true)
  }

  static func blocks(_ w: Weights, _ name: String, _ range: ClosedRange<Int>, channels: Int) -> [MobileBlock] {
    func width(_ i: Int) -> Int { min(channels << (i / 3), 128) }
    return range.map {
      MobileBlock(w, "\(name).block\($0)", width($0 - 1), width($0), stride: $0 % 3 == 0 ? 2 : 1, slopes: true)
    }
  }

  /// `[H, W, C]` -> `[h, w, 32]`.
  func callAsFunction(_ x: Tensor) -> Tensor {
    last(prelu(reduce(blocks.reduce(x) { $1($0) }), slope: slope))
  }
}
