// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Per channel of `[rows, channels]`, the sum over the rows of (x - mean)^power; mean `[channels]`, power 1 or 2.
package func sumDeviations(
  _ x: UnsafePointer<Float>, mean: UnsafePointer<Float>, power: Int, rows: Int, channels: Int,
  _ output: UnsafeMutablePointer<Float>
) {
  forEachVector(channels) { first, lanes in
    let mean = load(mean + first, lanes)
    var (even, odd) = (SIMD8<Float>(), SIMD8<Float>())  // two sums, since an addition takes several cycles
    for row in 0..<rows {
      let deviation = load(x + row * channels + first, lanes) - mean
      let term = power == 1 ? deviation : deviation * deviation
      (even, odd) = (odd, even + term)
    }
    store(even + odd, output + first, lanes)
  }
}

/// `activation(x * factor + offset)` over `[rows, channels]`; factor, offset `[channels]`.
package func scale(
  _ x: UnsafePointer<Float>, factor: UnsafePointer<Float>, offset: UnsafePointer<Float>, _ activation: Activation,
  rows: Int, channels: Int, _ output: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    forEachVector(channels) { first, lanes in
      let at = row * channels + first
      let y = load(offset + first, lanes).addingProduct(load(x + at, lanes), load(factor + first, lanes))
      store(activation(y), output + at, lanes)
    }
  }
}

/// Each row of `[rows, width]` to mean 0 and deviation 1, then times weight plus bias, both `[width]`.
package func normaliseRows(
  _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, rows: Int, width: Int,
  _ output: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    let (from, to) = (x + row * width, output + row * width)
    let first = from[0]  // counted from here, a row of one value (digital silence) becomes exactly 0
    let whole = width - width % 8
    var sums = SIMD8<Float>()
    forEachVector(whole) { at, _ in sums += load(from + at, 8) - first }
    for i in whole..<width { sums[i - whole] += from[i] - first }
    let mean = first + sums.sum() / Float(width)
    sums = .zero
    forEachVector(whole) { at, _ in
      let deviation = load(from + at, 8) - mean
      sums.addProduct(deviation, deviation)
    }
    for i in whole..<width { sums[i - whole] += (from[i] - mean) * (from[i] - mean) }
    let factor = 1 / (sums.sum() / Float(width) + 1e-5).squareRoot()
    forEachVector(width) { at, lanes in
      var y = (load(from + at, lanes) - mean) * factor
      if let weight, let bias { y = load(bias + at, lanes).addingProduct(y, load(weight + at, lanes)) }
      store(y, to + at, lanes)
    }
  }
}
