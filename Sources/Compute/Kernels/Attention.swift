// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

extension Kernels {
  /// The keys are transposed in the scratch memory, so that one instruction scores a vector of them. Four queries are
  /// processed together to hide the latency of additions.
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
    @inline(__always) func answer(_ count: Int, from: UnsafePointer<Float>, to: UnsafeMutablePointer<Float>) {
      var first = 0
      while first < stride {
        var sums = InlineArray<4, Sum>(repeating: Sum(Vector()))
        for i in 0..<depth {
          let key = load(scratch + i * stride + first)
          for n in 0..<count { sums[n].value = madd(sums[n].value, Vector(repeating: from[n * width + i]), key) }
        }
        for n in 0..<count { put(sums[n].value * factor, scores + n * stride + first) }
        first += lanes
      }
      var weights = SIMD4<Float>()
      for n in 0..<count { weights[n] = 1 / exponentials(scores + n * stride, keys) }
      forEachVector(depth) { at, valid in
        var sums = InlineArray<4, Sum>(repeating: Sum(Vector()))
        for key in 0..<keys {
          let value = load(v + key * width + at, valid)
          for n in 0..<count {
            sums[n].value = madd(sums[n].value, Vector(repeating: scores[n * stride + key]), value)
          }
        }
        for n in 0..<count { store(sums[n].value * weights[n], to + n * outputWidth + at, valid) }
      }
    }
    var query = queries.lowerBound
    while query < queries.upperBound {
      let (from, to) = (q + query * width, output + query * outputWidth)
      if queries.upperBound - query >= 4 {
        answer(4, from: from, to: to)
        query += 4
      } else {
        answer(1, from: from, to: to)
        query += 1
      }
    }
  }

  public static func attendAround(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, near: UnsafePointer<Float>,
    carry: UnsafePointer<Float>, queries: Int, span: Int, width: Int, depth: Int,
    scratch scores: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, outputWidth: Int
  ) {
    let factor = 1 / Float(depth).squareRoot()
    for query in 0..<queries {
      let (from, to) = (q + query * width, output + query * outputWidth)
      let (keys, values) = (k + query * width, v + query * width)
      for key in 0..<span {
        var score = Vector()
        var i = 0
        while i < depth {
          let valid = min(lanes, depth - i)
          let asked = load(keys + key * width + i, valid) + load(near + key * outputWidth + i, valid)
          score = madd(score, load(from + i, valid), asked)
          i += lanes
        }
        scores[key] = sum(score) * factor
      }
      let share = 1 / exponentials(scores, span)
      forEachVector(depth) { at, valid in
        var sum = Vector()
        for key in 0..<span {
          let carried = load(values + key * width + at, valid) + load(carry + key * outputWidth + at, valid)
          sum = madd(sum, Vector(repeating: scores[key]), carried)
        }
        store(sum * share, to + at, valid)
      }
    }
  }
}

/// Replaces the scores by e^(score - maximum), up to whole vectors, and returns the sum of the first `count`.
@inline(__always)
private func exponentials(_ scores: UnsafeMutablePointer<Float>, _ count: Int) -> Float {
  var top = scores[0]
  for key in 1..<max(count, 1) where scores[key] > top { top = scores[key] }
  var first = 0
  while first < count {
    put(exponential(load(scores + first) - top), scores + first)
    first += lanes
  }
  var total: Float = 0
  for key in 0..<count { total += scores[key] }
  return total
}
