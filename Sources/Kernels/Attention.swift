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
      let share = 1 / exponentials(scores, keys)
      forEachVector(depth) { at, valid in
        var sum = Vector()
        for key in 0..<keys { sum = madd(sum, Vector(repeating: scores[key]), load(v + key * width + at, valid)) }
        store(sum * share, to + at, valid)
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

/// Makes e^(score - top) of the scores, up to whole vectors of them, and returns the sum of those that count.
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
