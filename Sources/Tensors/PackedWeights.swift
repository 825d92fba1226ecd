// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Weights of a convolution or a linear layer in the order in which a kernel reads them: blocks of two vectors of output
/// channels, the last of one if that suffices; channels beyond the last one are zero.
final class PackedWeights: Sendable {
  /// How the layer is computed.
  enum Method: Equatable, Sendable {
    case direct  // [block][tap][cin][width]
    case pairs  // [block][tap][cin / 2][width][2] of bf16
    case winograd(m: Int)  // [block][(m + 2)^2][cin][width]
  }

  let outputs: Int
  let inputs: Int
  let taps: Int
  let method: Method
  let blocks: Int
  let weights: Storage
  let bias: Storage  // [outputs], then zeros to whole blocks

  /// From PyTorch's `[outputs, inputs, taps]` and `[outputs]`.
  init(weight: Values, bias: Values, outputs: Int, inputs: Int, taps: Int, method: Method) {
    (self.outputs, self.inputs, self.taps, self.method) = (outputs, inputs, taps, method)
    let lanes = kernels.lanes
    blocks = (outputs + 2 * lanes - 1) / (2 * lanes)
    let padded = (outputs + lanes - 1) / lanes * lanes
    self.bias = Storage(capacity: 2 * lanes * blocks)
    for output in 0..<2 * lanes * blocks { self.bias.memory[output] = output < outputs ? bias[output] : 0 }

    let (rows, size): (Int, Int)  // what a block holds for each of its channels, and the floats of all
    switch method {
    case .direct: (rows, size) = (taps * inputs, padded * taps * inputs)
    case .pairs: (rows, size) = (taps * ((inputs + 1) / 2), padded * taps * ((inputs + 1) / 2))
    case .winograd(let m): (rows, size) = ((m + 2) * (m + 2) * inputs, padded * (m + 2) * (m + 2) * inputs)
    }
    weights = Storage(capacity: size)
    weights.memory.initialize(repeating: 0, count: size)
    let memory = weights.memory
    weight.with { weight in
      for output in 0..<outputs {
        let block = output / (2 * lanes)
        let width = min(padded - 2 * lanes * block, 2 * lanes)
        let first = memory + 2 * lanes * block * rows + output % (2 * lanes)
        let from = weight + output * inputs * taps
        switch method {
        case .direct:
          for input in 0..<inputs {
            for tap in 0..<taps { first[(tap * inputs + input) * width] = from[input * taps + tap] }
          }
        case .pairs:
          let pairs = (inputs + 1) / 2
          let first = UnsafeMutableRawPointer(first)
          for input in 0..<inputs {
            for tap in 0..<taps {
              let place = 4 * (tap * pairs + input / 2) * width + input % 2 * 2
              first.storeBytes(of: Self.half(from[input * taps + tap]), toByteOffset: place, as: UInt16.self)
            }
          }
        case .winograd(let m):
          for input in 0..<inputs {
            Self.transform(from + input * taps, m) { position, value in
              first[(position * inputs + input) * width] = value
            }
          }
        }
      }
    }
  }

  /// The nearest bf16, ties to even.
  private static func half(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return value.isNaN ? 0x7FC0 : UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
  }

  /// G g G^T of nine taps (Lavin and Gray, arXiv 1509.09308), for the points 0, 1, -1, (2, -2) and infinity.
  private static func transform(_ g: UnsafePointer<Float>, _ m: Int, _ body: (_ position: Int, _ value: Float) -> Void)
  {
    func line(_ a: Double, _ b: Double, _ c: Double, _ row: Int) -> Double {
      switch (m, row) {
      case (2, 0): a
      case (2, 1): (a + b + c) / 2
      case (2, 2): (a - b + c) / 2
      case (_, 0): a / 4
      case (_, 1): -(a + b + c) / 6
      case (_, 2): -(a - b + c) / 6
      case (4, 3): (a + 2 * b + 4 * c) / 24
      case (4, 4): (a - 2 * b + 4 * c) / 24
      default: c
      }
    }
    for y in 0..<m + 2 {
      let columns = (
        line(Double(g[0]), Double(g[3]), Double(g[6]), y), line(Double(g[1]), Double(g[4]), Double(g[7]), y),
        line(Double(g[2]), Double(g[5]), Double(g[8]), y)
      )
      for x in 0..<m + 2 { body(y * (m + 2) + x, Float(line(columns.0, columns.1, columns.2, x))) }
    }
  }
}
