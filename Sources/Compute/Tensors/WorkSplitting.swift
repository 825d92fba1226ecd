// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How work is split into pieces for the thread pool.

import KernelInterface

/// Splits a convolution among threads by channel block first, because the weights are the larger operand.
func product(
  _ convolution: Convolution, _ weights: PackedWeights, pixels: Int, _ to: Destination, by kernels: any KernelSet.Type
) {
  let pieces = pieces(pixels * weights.outputs * weights.inputs * weights.taps)
  let columns = min(pieces, weights.blocks)
  let rows = min((pieces + columns - 1) / columns, (pixels + 23) / 24)
  ThreadPool.shared.parallel(count: rows * columns) { index in
    let pixels = part(index % rows, of: rows, 0..<pixels, step: 24)
    for block in part(index / rows, of: columns, 0..<weights.blocks, step: 1) {
      weights.products.convolve(convolution, pixels: pixels, block: block, to: to)
    }
  }
}

/// The number of pieces into which to split so many multiplications: at least about 5 us each, and at most 16.
private func pieces(_ cost: Int) -> Int { max(1, min(16, cost / 250_000)) }

/// The `index`-th of `count` even parts, cut at multiples of `step`.
func part(_ index: Int, of count: Int, _ range: Range<Int>, step: Int) -> Range<Int> {
  let steps = (range.count + step - 1) / step
  let bound = { min(range.upperBound, range.lowerBound + $0 * steps / count * step) }
  return bound(index)..<bound(index + 1)
}

/// Splits `0..<count` among the thread pool's threads. `cost`: multiplications of one index.
func shareOut(_ count: Int, cost: Int, _ body: (Range<Int>) -> Void) {
  let pieces = min(count, pieces(8 * count * cost))  // this work is bound by memory, not by multiplications
  ThreadPool.shared.parallel(count: pieces) { body(part($0, of: pieces, 0..<count, step: 1)) }
}
