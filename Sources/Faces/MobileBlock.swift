// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What all face networks are made of (converted by Sources/Training/convert/faces.py).

import Tensors

/// A 3 x 3 depthwise and a pointwise convolution beside a shortcut, then the activation: ReLU, or PReLU where the
/// network has slopes. At stride 2 the shortcut is the largest of 2 x 2; where channels are added it gives zeros.
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
  /// TFLite's "same" padding: `same` pixels in all, the odd one at the right and at the bottom. Always in f32: the
  /// points' last tenths of a pixel are worth more than the little time that bf16 saves here. Pointwise on the tile unit.
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

/// A chain of blocks with slopes, every third of which halves the picture and doubles the channels up to 128; then 32 channels
/// from `reduce` on, and one more block.
struct MobileChain: Sendable {
  private let blocks: [MobileBlock]
  private let reduce: Conv2d
  private let slope: Tensor
  private let last: MobileBlock

  /// Blocks `range` of network `name`, whose first one gets `channels`.
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
