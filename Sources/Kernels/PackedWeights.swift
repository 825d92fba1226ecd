// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Weights of a convolution or a linear layer in the order in which the kernel reads them: blocks of 16 output channels,
/// the last of 8 if that suffices; in a block `[tap][cin][block]`. Channels beyond the last one are zero.
package final class PackedWeights: @unchecked Sendable {
  // Sendable: the memory is written by init alone.
  package let outputs: Int
  package let inputs: Int
  package let taps: Int
  package let isHalf: Bool  // bf16 instead of Float
  package let blocks: Int
  let lastWidth: Int
  private let weights: UnsafeMutableRawPointer
  private let biases: UnsafeMutableRawPointer

  /// From PyTorch's `[outputs, inputs, taps]` and `[outputs]`.
  package init(
    weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, outputs: Int, inputs: Int, taps: Int, isHalf: Bool
  ) {
    (self.outputs, self.inputs, self.taps, self.isHalf) = (outputs, inputs, taps, isHalf)
    blocks = (outputs + 15) / 16
    lastWidth = (outputs - 16 * (blocks - 1) + 7) / 8 * 8
    let padded = 16 * (blocks - 1) + lastWidth
    let size = isHalf ? 2 : 4
    weights = .allocate(byteCount: padded * inputs * taps * size, alignment: 64)
    biases = .allocate(byteCount: padded * 4, alignment: 64)
    var at = 0
    for block in 0..<blocks {
      for tap in 0..<taps {
        for input in 0..<inputs {
          for output in 16 * block..<16 * block + width(block) {
            let value = output < outputs ? weight[(output * inputs + input) * taps + tap] : 0
            if isHalf {
              weights.storeBytes(of: Self.half(value), toByteOffset: at, as: UInt16.self)
            } else {
              weights.storeBytes(of: value, toByteOffset: at, as: Float.self)
            }
            at += size
          }
        }
      }
    }
    for output in 0..<padded {
      biases.storeBytes(of: output < outputs ? bias[output] : 0, toByteOffset: 4 * output, as: Float.self)
    }
  }

  deinit {
    weights.deallocate()
    biases.deallocate()
  }

  func width(_ block: Int) -> Int { block == blocks - 1 ? lastWidth : 16 }

  func weights(_ block: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(weights + 16 * block * inputs * taps * (isHalf ? 2 : 4))
  }

  func bias(_ block: Int) -> UnsafeRawPointer { UnsafeRawPointer(biases + 64 * block) }

  /// The nearest bf16, ties to even.
  private static func half(_ value: Float) -> UInt16 {
    if value.isNaN { return 0x7FC0 }
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
  }
}

/// How a kernel reads eight packed weights.
protocol WeightFormat {
  static var size: Int { get }  // bytes a weight
  static func load(_ from: UnsafeRawPointer) -> SIMD8<Float>
}

enum Single: WeightFormat {
  @inline(__always) static var size: Int { 4 }
  @inline(__always) static func load(_ from: UnsafeRawPointer) -> SIMD8<Float> { from.load(as: SIMD8<Float>.self) }
}

enum Half: WeightFormat {
  @inline(__always) static var size: Int { 2 }
  @inline(__always) static func load(_ from: UnsafeRawPointer) -> SIMD8<Float> {
    let upper = SIMD8<UInt32>(truncatingIfNeeded: from.load(as: SIMD8<UInt16>.self))
    return unsafeBitCast(upper &<< 16, to: SIMD8<Float>.self)
  }
}
