// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

extension Kernels {
  /// In the scratch the keys lie transposed, so that a vector of them is scored at a time.
  public static func attend(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, queries: Range<Int>, keys: Int,
    width: Int, depth: Int, scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>,
    outputWidth: Int
  ) {
    let stride = (keys + lanes - 1) / lanes * lanes
    let scores = scratch + depth * stride
    for i in 0..<depth {
      for key in 0..<stride { scratch[i * stride + key] = key < keys ? k[key * width + i] : 0 }
    }
    let factor = 1 / Float(depth).squareRoot()
    for query in queries {
      let (from, to) = (q + query * width, output + query * outputWidth)
      var first = 0
      while first < stride {
        var (even, odd) = (Vector(), Vector())  // two sums, since an addition takes several cycles
        var i = 0
        while i + 1 < depth {
          even = madd(even, Vector(repeating: from[i]), load(scratch + i * stride + first))
          odd = madd(odd, Vector(repeating: from[i + 1]), load(scratch + (i + 1) * stride + first))
          i += 2
        }
        if i < depth { even = madd(even, Vector(repeating: from[i]), load(scratch + i * stride + first)) }
        put((even + odd) * factor, scores + first)
        first += lanes
      }
      var top = scores[0]
      for key in 1..<max(keys, 1) where scores[key] > top { top = scores[key] }
      forEachVector(stride) { at, valid in store(exponential(load(scores + at, valid) - top), scores + at, valid) }
      var total: Float = 0
      for key in 0..<keys { total += scores[key] }
      let share = 1 / total
      forEachVector(depth) { at, valid in
        var sum = Vector()
        for key in 0..<keys { sum = madd(sum, Vector(repeating: scores[key]), load(v + key * width + at, valid)) }
        store(sum * share, to + at, valid)
      }
    }
  }
}
