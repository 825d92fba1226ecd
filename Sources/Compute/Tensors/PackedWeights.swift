// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import KernelInterface

/// Weights of a convolution or linear layer in the order in which a kernel reads them: blocks of two vectors of output
/// channels; the last block has one vector if that suffices. Channels beyond the last one are zero.
final class PackedWeights: Sendable {
  /// How the layer is computed.
  enum Method: Equatable, Sendable {
    case direct  // [block][tap][cin][width]
    case pairs  // [block][tap][cin / 2][width][2] of bf16
    case winograd(m: Int)  // [block][(m + 2)^2][cin][width]
    case tiles  // [16 channels][kernel row][32 products] of tiles of bf16, see ctiles.h
    case split  // the same, each tile followed by one of the rounding residues
  }

  let outputs: Int  // of a group
  let inputs: Int
  let group: Int  // output pixels computed as one, see ctiles.h; otherwise 1
  let taps: Int
  let method: Method
  let products: any Products.Type  // what it is packed for
  let format: WeightFormat
  let blocks: Int
  let bias: Storage  // [outputs], padded with zeros to whole blocks
  private let storage: Storage

  var weights: UnsafeRawPointer { UnsafeRawPointer(storage.memory) }

  /// From PyTorch's `[outputs, inputs, taps]` and `[outputs]`. Weights that are exactly halves, as in our model files,
  /// are stored as halves, and so are their transforms for F(2x2, 3x3); those for F(4x4, 3x3) are not, because it would
  /// amplify their rounding errors. `rows`: of the kernel.
  init(
    weight: Values, bias: Values, outputs: Int, inputs: Int, taps: Int, rows: Int, method: Method, stride: Int = 1,
    group: Int = 1, products: any Products.Type
  ) {
    (self.outputs, self.inputs, self.taps, self.group) = (group * outputs, inputs, taps, group)
    (self.method, self.products) = (method, products)
    let lanes = products.lanes
    blocks = (group * outputs + 2 * lanes - 1) / (2 * lanes)
    self.bias = Storage(capacity: 2 * lanes * blocks)
    for output in 0..<2 * lanes * blocks {
      self.bias.memory[output] = output < group * outputs ? bias[output % outputs] : 0
    }

    if method == .tiles || method == .split {
      format = .pairs
      storage = Self.tiles(
        weight, outputs, inputs, taps: taps, rows: rows, stride: stride, group: group, isSplit: method == .split)
      return
    }
    let format: WeightFormat =
      switch method {
      case .pairs: .pairs
      case .winograd(m: 4): .single
      default: products.hasHalves && weight.allSatisfy(Self.isHalf) ? .half : .single
      }
    self.format = format
    storage = Self.blocks(weight, outputs, inputs, taps: taps, method: method, format: format, lanes: lanes)
  }

  /// In blocks of `2 * lanes` channels, in the order of `method`.
  private static func blocks(
    _ weight: Values, _ outputs: Int, _ inputs: Int, taps: Int, method: Method, format: WeightFormat, lanes: Int
  ) -> Storage {
    let padded = (outputs + lanes - 1) / lanes * lanes
    let rows =  // values that a block holds for each of its channels
      switch method {
      case .direct: taps * inputs
      case .pairs: taps * ((inputs + 1) / 2) * 2
      case .winograd(let m): (m + 2) * (m + 2) * inputs
      case .tiles, .split: 0
      }
    let size = format == .single ? 4 : 2
    let storage = Storage(capacity: padded * rows * size / 4)
    let memory = UnsafeMutableRawPointer(storage.memory)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: padded * rows * size)
    weight.with { weight in
      for output in 0..<outputs {
        let block = output / (2 * lanes)
        let width = min(padded - 2 * lanes * block, 2 * lanes)
        let (first, column) = (2 * lanes * block * rows, output % (2 * lanes))
        let from = weight + output * inputs * taps
        func put(_ row: Int, _ value: Float) {
          let index = first + row * width + column
          switch format {
          case .single:
            memory.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
          case .half:
            memory.storeBytes(of: ctensors_to_half(value), toByteOffset: 2 * index, as: UInt16.self)
          case .pairs:
            let index = first + row / 2 * 2 * width + 2 * column + row % 2
            memory.storeBytes(of: Self.upperHalf(value), toByteOffset: 2 * index, as: UInt16.self)
          }
        }
        switch method {
        case .direct, .pairs:
          let length = rows / taps
          for input in 0..<inputs { for tap in 0..<taps { put(tap * length + input, from[input * taps + tap]) } }
        case .tiles, .split: break
        case .winograd(let m):
          for input in 0..<inputs {
            Self.transform(from + input * taps, m) { position, value in put(position * inputs + input, value) }
          }
        }
      }
    }
    return storage
  }

  /// In the order of ctiles.h.
  private static func tiles(
    _ weight: Values, _ outputs: Int, _ inputs: Int, taps: Int, rows: Int, stride: Int, group: Int, isSplit: Bool
  ) -> Storage {
    let (width, side, depth) = (taps / rows, Tiles.side, Tiles.depth)
    let depths = Tiles.depths(width, inputs, stride: stride, group: group)
    let size = side * depth * (isSplit ? 2 : 1)
    let count = (group * outputs + side - 1) / side * rows * depths * size
    let storage = Storage(capacity: count / 2)
    let memory = UnsafeMutableRawPointer(storage.memory).bindMemory(to: UInt16.self, capacity: count)
    memory.initialize(repeating: 0, count: count)
    weight.with { weight in
      for output in 0..<outputs {
        for input in 0..<inputs {
          for tap in 0..<taps {
            let value = weight[(output * inputs + input) * taps + tap]
            let high = upperHalf(value)
            let rest = upperHalf(value - Float(bitPattern: UInt32(high) << 16))
            for pixel in 0..<group {
              let k = (pixel * stride + tap % width) * inputs + input
              let column = pixel * outputs + output
              let tile = ((column / side * rows + tap / width) * depths + k / depth) * size
              let index = tile + k % depth / 2 * 2 * side + column % side * 2 + k % 2
              memory[index] = high
              if isSplit { memory[index + side * depth] = rest }
            }
          }
        }
      }
    }
    return storage
  }

  private static func isHalf(_ value: Float) -> Bool {
    let magnitude = value.bitPattern & 0x7FFF_FFFF
    if magnitude & 0x1FFF == 0, magnitude >= 0x3880_0000, magnitude < 0x4780_0000 { return true }  // 2^-14 ... 65504
    return ctensors_from_half(ctensors_to_half(value)) == value
  }

  /// The nearest bf16, ties to even.
  private static func upperHalf(_ value: Float) -> UInt16 {
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
