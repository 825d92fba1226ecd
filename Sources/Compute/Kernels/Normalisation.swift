// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

extension Kernels {
  /// Four adjacent vectors at a time, so that whole cache lines are read and additions are independent.
  public static func sumDeviations(
    _ x: UnsafePointer<Float>, rows: Int, width: Int, channels: Range<Int>, sums: UnsafeMutablePointer<Float>,
    squares: UnsafeMutablePointer<Float>
  ) {
    var first = channels.lowerBound
    while first < channels.upperBound {
      if channels.upperBound - first >= 4 * lanes {
        let x = x + first
        var pivot = InlineArray<4, Sum>(repeating: Sum(Vector()))
        for i in 0..<4 { pivot[i].value = load(x + i * lanes) }
        var s = InlineArray<4, Sum>(repeating: Sum(Vector()))
        var q = InlineArray<4, Sum>(repeating: Sum(Vector()))
        for row in 1..<max(rows, 1) {
          for i in 0..<4 {
            let deviation = load(x + row * width + i * lanes) - pivot[i].value
            s[i].value += deviation
            q[i].value = madd(q[i].value, deviation, deviation)
          }
        }
        for i in 0..<4 {
          put(s[i].value, sums + first + i * lanes)
          put(q[i].value, squares + first + i * lanes)
        }
        first += 4 * lanes
      } else {
        let count = min(lanes, channels.upperBound - first)
        let x = x + first
        let pivot = load(x, count)
        var (s, q) = (Vector(), Vector())
        for row in 1..<max(rows, 1) {
          let deviation = load(x + row * width, count) - pivot
          s += deviation
          q = madd(q, deviation, deviation)
        }
        store(s, sums + first, count)
        store(q, squares + first, count)
        first += count
      }
    }
  }

  public static func normaliseRows(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, rows: Int, width: Int,
    _ output: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      let (from, to) = (x + row * width, output + row * width)
      let first = from[0]  // relative to this, a constant row (digital silence) becomes exactly 0
      let whole = width - width % lanes
      var sums = Vector()
      forEachVector(whole) { at, _ in sums += load(from + at) - first }
      for i in whole..<width { sums[i - whole] += from[i] - first }
      let mean = first + sum(sums) / Float(width)
      sums = Vector()
      forEachVector(whole) { at, _ in
        let deviation = load(from + at) - mean
        sums = madd(sums, deviation, deviation)
      }
      for i in whole..<width { sums[i - whole] += (from[i] - mean) * (from[i] - mean) }
      let factor = 1 / (sum(sums) / Float(width) + 1e-5).squareRoot()
      forEachVector(width) { at, valid in
        var y = (load(from + at, valid) - mean) * factor
        if let weight, let bias { y = madd(load(bias + at, valid), y, load(weight + at, valid)) }
        store(y, to + at, valid)
      }
    }
  }
}
