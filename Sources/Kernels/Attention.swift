// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Scaled dot-product attention of one head for some queries.
///
/// q `[T, width]`, k, v `[S, width]`, output `[T, outputWidth]`: the head's own `depth` channels start at the pointers.
/// scratch: (depth + 1) * S rounded up to 16, where the keys lie transposed, so that 16 of them are scored at a time.
package func attend(
  q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, queries: Range<Int>, keys: Int,
  width: Int, depth: Int, scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, outputWidth: Int
) {
  let blocks = (keys + 15) / 16
  let stride = 16 * blocks
  let scores = scratch + depth * stride
  for i in 0..<depth {
    for key in 0..<stride { scratch[i * stride + key] = key < keys ? k[key * width + i] : 0 }
  }
  let factor = 1 / Float(depth).squareRoot()
  for query in queries {
    let (from, to) = (q + query * width, output + query * outputWidth)
    for block in 0..<blocks {
      var sum = SIMD16<Float>()
      for i in 0..<depth {
        let column = UnsafeRawPointer(scratch + i * stride + 16 * block).loadUnaligned(as: SIMD16<Float>.self)
        sum.addProduct(SIMD16(repeating: from[i]), column)
      }
      UnsafeMutableRawPointer(scores + 16 * block).storeBytes(of: sum * factor, as: SIMD16<Float>.self)
    }
    var top = scores[0]
    for key in 1..<keys { top = max(top, scores[key]) }
    forEachVector(stride) { first, lanes in store(exponential(load(scores + first, lanes) - top), scores + first, lanes)
    }
    var total: Float = 0
    for key in 0..<keys { total += scores[key] }
    let share = 1 / total
    forEachVector(depth) { first, lanes in
      var sum = SIMD8<Float>()
      for key in 0..<keys { sum.addProduct(SIMD8(repeating: scores[key]), load(v + key * width + first, lanes)) }
      store(sum * share, to + first, lanes)
    }
  }
}
