// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

extension Kernels {
  /// Four pixels at a time, because their sums are independent.
  public static func convolveDepthwise(
    _ c: Convolution, weights: UnsafePointer<Float>, pixels: Range<Int>, to: Destination
  ) {
    let input = c.input.assumingMemoryBound(to: Float.self)
    let last = pixels.upperBound - 1
    var pixel = pixels.lowerBound
    while pixel <= last {
      var from = InlineArray<4, Place<Float>>(repeating: Place(input))
      for r in 0..<4 { from[r].pointer = input + start(min(pixel + r, last), c) }
      forEachVector(to.channels) { channel, valid in
        var sums = InlineArray<4, Sum>(repeating: Sum(load(to.bias + channel, valid)))
        var w = weights + channel
        for row in 0..<c.kernelRows {
          var at = row * c.inputRow + channel
          let end = at + c.rowLength
          while at < end {
            let v = load(w, valid)
            for r in 0..<4 { sums[r].value = madd(sums[r].value, load(from[r].pointer + at, valid), v) }
            at += to.channels
            w += to.channels
          }
        }
        for r in 0..<4 where pixel + r <= last {
          finish(sums[r].value, (pixel + r) * to.channels + channel, valid, to)
        }
      }
      pixel += 4
    }
  }
}
