// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
package import KernelInterface

/// Matrix products by OpenBLAS, in place of the generic kernels' (measured in meta/decisions/0024-processors.md).
package enum OpenBLAS: Products {
  package static let lanes = 32
  package static let hasHalves = false

  /// Whether OpenBLAS is installed and usable.
  package static var isAvailable: Bool { library != nil }

  private static let library = ctensors_openblas_load()?.pointee
  private static let kernels = genericKernels()

  package static func convolve(_ c: Convolution, pixels: Range<Int>, block: Int, to: Destination) {
    let channels = channels(of: block, to)
    let (width, length) = (width(channels), c.kernelRows * c.rowLength)
    let weights = c.weights.assumingMemoryBound(to: Float.self) + channels.lowerBound * length
    let input = c.input.assumingMemoryBound(to: Float.self)
    // True for the rows of a matrix, or for an image whose pixels are contiguous. Otherwise the input has to be
    // gathered first.
    let isMatrix =
      c.kernelRows == 1 && c.pixelStep >= c.rowLength
      && (c.rowStep == c.outputWidth * c.pixelStep || pixels.upperBound <= c.outputWidth)
    let most = min(pixels.count, max(24, 65536 / (length + width)))  // pixels whose data fits the second-level cache
    Scratch.withFloats(most * (length + width)) { sums in
      let gathered = sums + most * width
      var first = pixels.lowerBound
      while first < pixels.upperBound {
        let part = first..<min(first + most, pixels.upperBound)
        for i in 0..<part.count {
          (sums + i * width).update(from: to.bias + channels.lowerBound, count: channels.count)
        }
        if isMatrix {
          multiply(
            input + first * c.pixelStep, c.pixelStep, weights, width, part.count, channels.count, length, sums,
            adding: true)
        } else {
          for pixel in part {
            let from = input + pixel / c.outputWidth * c.rowStep + pixel % c.outputWidth * c.pixelStep
            let row = gathered + (pixel - first) * length
            for y in 0..<c.kernelRows {
              (row + y * c.rowLength).update(from: from + y * c.inputRow, count: c.rowLength)
            }
          }
          multiply(gathered, length, weights, width, part.count, channels.count, length, sums, adding: true)
        }
        kernels.finishRows(sums, step: width, pixels: part, channels: channels, to: to)
        first = part.upperBound
      }
    }
  }

  package static func winogradOutput(
    _ w: Winograd, _ input: UnsafePointer<Float>, rows: Range<Int>, block: Int,
    scratch: UnsafeMutablePointer<Float>, to: Destination
  ) {
    let channels = channels(of: block, to)
    let (width, cin, tiles) = (width(channels), w.picture.channels, rows.count * w.columns)
    let weights = w.weights.assumingMemoryBound(to: Float.self) + channels.lowerBound * w.positions * cin
    for position in 0..<w.positions {
      multiply(
        input + position * tiles * cin, cin, weights + position * cin * width, width, tiles, channels.count, cin,
        scratch + position * tiles * width, adding: false)
    }
    kernels.winogradOutput(
      w, products: scratch, rows: rows, channels: channels, width: width, to: to)
  }

  private static func channels(of block: Int, _ to: Destination) -> Range<Int> {
    2 * lanes * block..<min(2 * lanes * (block + 1), to.channels)
  }

  /// The width of a block with these channels.
  private static func width(_ channels: Range<Int>) -> Int { channels.count <= lanes ? lanes : 2 * lanes }

  /// sums `[rows, width]` = (or +=) input `[rows, length]` times weights `[length, width]`, using the first `columns`
  /// of them.
  private static func multiply(
    _ input: UnsafePointer<Float>, _ step: Int, _ weights: UnsafePointer<Float>, _ width: Int, _ rows: Int,
    _ columns: Int, _ length: Int, _ sums: UnsafeMutablePointer<Float>, adding: Bool
  ) {
    guard let library else { return }
    let (rowMajor, asIs, transposed): (Int32, Int32, Int32) = (101, 111, 112)  // cblas.h
    let beta: Float = adding ? 1 : 0
    if rows == 1 {
      library.multiplyVector(
        rowMajor, transposed, Int32(length), Int32(columns), 1, weights, Int32(width), input, 1, beta, sums, 1)
    } else {
      library.multiply(
        rowMajor, asIs, asIs, Int32(rows), Int32(columns), Int32(length), 1, input, Int32(step), weights, Int32(width),
        beta, sums, Int32(width))
    }
  }
}
