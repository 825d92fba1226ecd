// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

// Elementwise operations.

extension Kernels {
  public static func activate(
    _ x: UnsafePointer<Float>, _ activation: Activation, count: Int, _ output: UnsafeMutablePointer<Float>
  ) {
    forEachVector(count) { first, valid in store(activation(load(x + first, valid)), output + first, valid) }
  }

  public static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int, _ output: UnsafeMutablePointer<Float>
  ) {
    forEachVector(count) { first, valid in
      store(load(a + first, valid) + load(b + first, valid), output + first, valid)
    }
  }

  public static func maxPool(
    _ above: UnsafePointer<Float>, _ below: UnsafePointer<Float>, columns: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>
  ) {
    @inline(__always) func greater(_ a: Vector, _ b: Vector) -> Vector { a.replacing(with: b, where: b .> a) }
    for column in 0..<columns {
      let at = 2 * column * channels
      let (above, below, output) = (above + at, below + at, output + column * channels)
      forEachVector(channels) { c, valid in
        let upper = greater(load(above + c, valid), load(above + channels + c, valid))
        let lower = greater(load(below + c, valid), load(below + channels + c, valid))
        store(greater(upper, lower), output + c, valid)
      }
    }
  }

  public static func prelu(
    _ x: UnsafePointer<Float>, slope: UnsafePointer<Float>, rows: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      forEachVector(channels) { first, valid in
        let at = row * channels + first
        let values = load(x + at, valid)
        let negative = values * load(slope + first, valid)
        store(values.replacing(with: negative, where: values .< 0), output + at, valid)
      }
    }
  }
}
