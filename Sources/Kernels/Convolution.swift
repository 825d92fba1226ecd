// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Direct convolution over [H, W, C]. The picture has been padded, so that no tap falls outside; then one kernel row of
// a pixel reads kw * cin values that lie side by side, and a matrix product is the case of one row of cin values.
// A tile is 6 pixels x 16 channels: 12 accumulators of eight lanes, two weights and one value fill the 16 registers of
// AVX2, and each loaded weight serves 6 pixels. Eight channels that are left over go by tiles of 8 pixels.

/// Where the convolution reads and writes; all counts in values, not bytes. A tuple, because the copying function that
/// comes with a structure would be shared with other modules, in this module's instructions.
package typealias ConvolutionPlan = (
  kernelRows: Int,
  rowLength: Int,  // kernel width * input channels
  inputRow: Int,  // from one row of the padded input to the next
  pixelStep: Int,  // from one output pixel's input to the next one's: stride * input channels
  rowStep: Int,  // the same for output rows: stride * inputRow
  outputWidth: Int
)

/// Where the input of an output pixel begins.
@inline(__always)
private func start(_ pixel: Int, _ plan: ConvolutionPlan) -> Int {
  pixel / plan.outputWidth * plan.rowStep + pixel % plan.outputWidth * plan.pixelStep
}

/// Output pixels (counted row by row) of some channel blocks.
package func convolve(
  _ input: UnsafePointer<Float>, _ weights: PackedWeights, _ plan: ConvolutionPlan, _ activation: Activation,
  pixels: Range<Int>, blocks: Range<Int>, _ output: UnsafeMutablePointer<Float>
) {
  if weights.isHalf {
    convolve(Half.self, input, weights, plan, activation, pixels, blocks, output)
  } else {
    convolve(Single.self, input, weights, plan, activation, pixels, blocks, output)
  }
}

private func convolve<Format: WeightFormat>(
  _ format: Format.Type, _ input: UnsafePointer<Float>, _ weights: PackedWeights, _ plan: ConvolutionPlan,
  _ activation: Activation, _ pixels: Range<Int>, _ blocks: Range<Int>, _ output: UnsafeMutablePointer<Float>
) {
  for block in blocks {
    let target = Target(
      output: output + 16 * block, channels: weights.outputs,
      count: min(weights.outputs - 16 * block, weights.width(block)), end: pixels.upperBound, activation: activation)
    let (w, bias) = (weights.weights(block), weights.bias(block))
    var pixel = pixels.lowerBound
    if weights.width(block) == 16 {
      while pixel < pixels.upperBound {
        tile6x16(format, input, plan, w, bias, pixel, target)
        pixel += 6
      }
    } else {
      while pixel < pixels.upperBound {
        tile8x8(format, input, plan, w, bias, pixel, target)
        pixel += 8
      }
    }
  }
}

/// Where a block's channels go.
private struct Target {
  let output: UnsafeMutablePointer<Float>  // pixel 0, first channel of the block
  let channels: Int
  let count: Int  // channels of the block that exist
  let end: Int  // first pixel that is not ours
  let activation: Activation

  /// A tile: a tuple of one vector of `lanes` for each of `pixels`.
  @inline(__always)
  func store<Tile>(_ tile: Tile, pixels: Int, lanes: Int, at pixel: Int) {
    withUnsafeBytes(of: tile) { tile in
      for i in 0..<min(pixels, end - pixel) {
        let to = output + (pixel + i) * channels
        forEachVector(count) { first, valid in
          let values = tile.loadUnaligned(fromByteOffset: 4 * (lanes * i + first), as: SIMD8<Float>.self)
          Kernels.store(activation(values), to + first, valid)
        }
      }
    }
  }
}

@inline(__always)
private func tile6x16<Format: WeightFormat>(
  _: Format.Type, _ input: UnsafePointer<Float>, _ plan: ConvolutionPlan, _ weights: UnsafeRawPointer,
  _ bias: UnsafeRawPointer, _ pixel: Int, _ target: Target
) {
  // Pixels beyond the end repeat the last one and are not stored.
  let last = target.end - 1
  var p0 = input + start(pixel, plan)
  var p1 = input + start(min(pixel + 1, last), plan)
  var p2 = input + start(min(pixel + 2, last), plan)
  var p3 = input + start(min(pixel + 3, last), plan)
  var p4 = input + start(min(pixel + 4, last), plan)
  var p5 = input + start(min(pixel + 5, last), plan)
  var a0 = bias.load(as: SIMD16<Float>.self)
  var (a1, a2, a3, a4, a5) = (a0, a0, a0, a0, a0)
  var w = weights
  for _ in 0..<plan.kernelRows {
    for k in 0..<plan.rowLength {
      let v = SIMD16(lowHalf: Format.load(w), highHalf: Format.load(w + 8 * Format.size))
      w += 16 * Format.size
      a0.addProduct(SIMD16(repeating: p0[k]), v)
      a1.addProduct(SIMD16(repeating: p1[k]), v)
      a2.addProduct(SIMD16(repeating: p2[k]), v)
      a3.addProduct(SIMD16(repeating: p3[k]), v)
      a4.addProduct(SIMD16(repeating: p4[k]), v)
      a5.addProduct(SIMD16(repeating: p5[k]), v)
    }
    p0 += plan.inputRow
    p1 += plan.inputRow
    p2 += plan.inputRow
    p3 += plan.inputRow
    p4 += plan.inputRow
    p5 += plan.inputRow
  }
  target.store((a0, a1, a2, a3, a4, a5), pixels: 6, lanes: 16, at: pixel)
}

@inline(__always)
private func tile8x8<Format: WeightFormat>(
  _: Format.Type, _ input: UnsafePointer<Float>, _ plan: ConvolutionPlan, _ weights: UnsafeRawPointer,
  _ bias: UnsafeRawPointer, _ pixel: Int, _ target: Target
) {
  let last = target.end - 1
  var p0 = input + start(pixel, plan)
  var p1 = input + start(min(pixel + 1, last), plan)
  var p2 = input + start(min(pixel + 2, last), plan)
  var p3 = input + start(min(pixel + 3, last), plan)
  var p4 = input + start(min(pixel + 4, last), plan)
  var p5 = input + start(min(pixel + 5, last), plan)
  var p6 = input + start(min(pixel + 6, last), plan)
  var p7 = input + start(min(pixel + 7, last), plan)
  var a0 = bias.load(as: SIMD8<Float>.self)
  var (a1, a2, a3, a4, a5, a6, a7) = (a0, a0, a0, a0, a0, a0, a0)
  var w = weights
  for _ in 0..<plan.kernelRows {
    for k in 0..<plan.rowLength {
      let v = Format.load(w)
      w += 8 * Format.size
      a0.addProduct(SIMD8(repeating: p0[k]), v)
      a1.addProduct(SIMD8(repeating: p1[k]), v)
      a2.addProduct(SIMD8(repeating: p2[k]), v)
      a3.addProduct(SIMD8(repeating: p3[k]), v)
      a4.addProduct(SIMD8(repeating: p4[k]), v)
      a5.addProduct(SIMD8(repeating: p5[k]), v)
      a6.addProduct(SIMD8(repeating: p6[k]), v)
      a7.addProduct(SIMD8(repeating: p7[k]), v)
    }
    p0 += plan.inputRow
    p1 += plan.inputRow
    p2 += plan.inputRow
    p3 += plan.inputRow
    p4 += plan.inputRow
    p5 += plan.inputRow
    p6 += plan.inputRow
    p7 += plan.inputRow
  }
  target.store((a0, a1, a2, a3, a4, a5, a6, a7), pixels: 8, lanes: 8, at: pixel)
}

/// Every channel by itself. weights `[taps, channels]`, bias `[channels]`; `plan.rowLength` is kernel width * channels.
/// Four pixels at a time: their sums do not wait for each other.
package func convolveDepthwise(
  _ input: UnsafePointer<Float>, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>, channels: Int,
  _ plan: ConvolutionPlan, _ activation: Activation, pixels: Range<Int>, _ output: UnsafeMutablePointer<Float>
) {
  let last = pixels.upperBound - 1
  var pixel = pixels.lowerBound
  while pixel <= last {
    let p0 = input + start(pixel, plan)
    let p1 = input + start(min(pixel + 1, last), plan)
    let p2 = input + start(min(pixel + 2, last), plan)
    let p3 = input + start(min(pixel + 3, last), plan)
    forEachVector(channels) { channel, lanes in
      var a0 = load(bias + channel, lanes)
      var (a1, a2, a3) = (a0, a0, a0)
      var w = weights + channel
      for row in 0..<plan.kernelRows {
        var at = row * plan.inputRow + channel
        let end = at + plan.rowLength
        while at < end {
          let v = load(w, lanes)
          a0.addProduct(load(p0 + at, lanes), v)
          a1.addProduct(load(p1 + at, lanes), v)
          a2.addProduct(load(p2 + at, lanes), v)
          a3.addProduct(load(p3 + at, lanes), v)
          at += channels
          w += channels
        }
      }
      let to = output + pixel * channels + channel
      withUnsafeBytes(of: (a0, a1, a2, a3)) { sums in
        for i in 0...min(3, last - pixel) {
          let sum = sums.load(fromByteOffset: 32 * i, as: SIMD8<Float>.self)
          store(activation(sum), to + i * channels, lanes)
        }
      }
    }
    pixel += 4
  }
}
