// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Winograd's minimal filtering F(m x m, 3 x 3) (Lavin and Gray, arXiv 1509.09308): a tile of m x m output pixels needs
// (m + 2)^2 products for each channel pair instead of 9 m^2, which is a quarter for m = 4. Input tiles are transformed,
// multiplied by the transformed weights position by position (one matrix product each), and transformed back: Y = A^T [
// (G g G^T) . (B^T d B) ] A. The weights' transform, G, is in Tensors/PackedWeights.swift.

import KernelInterface

/// One dimension of the transforms, for each lane separately. Values are `step` floats apart.
private protocol Form {
  static var m: Int { get }
  /// B^T d: m + 2 values to as many.
  static func input(
    _ d: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int, read: Int, write: Int)
  /// A^T p: m + 2 values to m.
  static func output(_ p: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int)
}

private enum F2: Form {
  @inline(__always) static var m: Int { 2 }

  @inline(__always)
  static func input(
    _ d: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int, read: Int, write: Int
  ) {
    let (d0, d1) = (load(d, read), load(d + step, read))
    let (d2, d3) = (load(d + 2 * step, read), load(d + 3 * step, read))
    store(d0 - d2, to, write)
    store(d1 + d2, to + toStep, write)
    store(d2 - d1, to + 2 * toStep, write)
    store(d1 - d3, to + 3 * toStep, write)
  }

  @inline(__always)
  static func output(_ p: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int) {
    let (p0, p1, p2, p3) = (load(p), load(p + step), load(p + 2 * step), load(p + 3 * step))
    put(p0 + p1 + p2, to)
    put(p1 - p2 - p3, to + toStep)
  }
}

private enum F4: Form {
  @inline(__always) static var m: Int { 4 }

  @inline(__always)
  static func input(
    _ d: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int, read: Int, write: Int
  ) {
    let (d0, d1, d2) = (load(d, read), load(d + step, read), load(d + 2 * step, read))
    let (d3, d4, d5) = (load(d + 3 * step, read), load(d + 4 * step, read), load(d + 5 * step, read))
    let (four, five) = (Vector(repeating: -4), Vector(repeating: -5))
    let (even, odd) = (madd(d4, d2, four), madd(d3, d1, four))
    let (a, b) = (d4 - d2, 2 * (d3 - d1))
    store(madd(madd(d4, d2, five), d0, Vector(repeating: 4)), to, write)
    store(even + odd, to + toStep, write)
    store(even - odd, to + 2 * toStep, write)
    store(a + b, to + 3 * toStep, write)
    store(a - b, to + 4 * toStep, write)
    store(madd(madd(d5, d3, five), d1, Vector(repeating: 4)), to + 5 * toStep, write)
  }

  @inline(__always)
  static func output(_ p: UnsafePointer<Float>, _ step: Int, _ to: UnsafeMutablePointer<Float>, _ toStep: Int) {
    let (p0, p1, p2) = (load(p), load(p + step), load(p + 2 * step))
    let (p3, p4, p5) = (load(p + 3 * step), load(p + 4 * step), load(p + 5 * step))
    let (a, b, c, d) = (p1 + p2, p1 - p2, p3 + p4, p3 - p4)
    put(p0 + a + c, to)
    put(madd(b, d, Vector(repeating: 2)), to + toStep)
    put(madd(a, c, Vector(repeating: 4)), to + 2 * toStep)
    put(madd(b, d, Vector(repeating: 8)) + p5, to + 3 * toStep)
  }
}

extension Kernels {
  public static func winogradInput(
    _ w: Winograd, rows: Range<Int>, first: Int, tiles: Int, scratch: UnsafeMutablePointer<Float>,
    _ output: UnsafeMutablePointer<Float>
  ) {
    if w.m == 4 {
      transformInput(F4.self, w, rows, first, tiles, scratch, output)
    } else {
      transformInput(F2.self, w, rows, first, tiles, scratch, output)
    }
  }

  public static func winogradOutput(
    _ w: Winograd, _ input: UnsafePointer<Float>, rows: Range<Int>, block: Int,
    scratch: UnsafeMutablePointer<Float>, to: Destination
  ) {
    let (tiles, cin, positions) = (rows.count * w.columns, w.picture.channels, w.positions)
    let channels = min(to.channels - 2 * lanes * block, 2 * lanes)
    let width = channels <= lanes ? lanes : 2 * lanes
    let size = w.format == .half ? 2 : 4
    let weights = w.weights + size * 2 * lanes * block * positions * cin
    // The products of one position are one matrix product, whose sums start from zero.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * lanes) { zeros in
      guard let zeros = zeros.baseAddress else { return }
      zeros.initialize(repeating: 0, count: 2 * lanes)
      for position in 0..<positions {
        let product = Convolution(
          input: input + position * tiles * cin, kernelRows: 1, rowLength: cin, inputRow: 0, pixelStep: cin, rowStep: 0,
          outputWidth: tiles, weights: weights + size * position * cin * width, format: w.format)
        let sums = Destination(
          output: scratch + position * tiles * width, channels: width, bias: UnsafePointer(zeros), residual: nil,
          activation: .none)
        convolve(product, pixels: 0..<tiles, block: 0, to: sums)
      }
    }
    winogradOutput(
      w, products: scratch, rows: rows, channels: 2 * lanes * block..<2 * lanes * block + channels, width: width, to: to
    )
  }

  public static func winogradOutput(
    _ w: Winograd, products: UnsafeMutablePointer<Float>, rows: Range<Int>, channels: Range<Int>, width: Int,
    to: Destination
  ) {
    switch to.activation {
    case .none: transformOutput(Identity.self, w, products, rows, channels, width, to)
    case .relu: transformOutput(ReLU.self, w, products, rows, channels, width, to)
    case .silu: transformOutput(SiLU.self, w, products, rows, channels, width, to)
    case .gelu: transformOutput(GELU.self, w, products, rows, channels, width, to)
    case .erfGELU: transformOutput(ErfGELU.self, w, products, rows, channels, width, to)
    }
  }
}

@inline(__always)
private func transformInput<F: Form>(
  _: F.Type, _ w: Winograd, _ rows: Range<Int>, _ first: Int, _ tiles: Int, _ scratch: UnsafeMutablePointer<Float>,
  _ output: UnsafeMutablePointer<Float>
) {
  let (d, strip) = (scratch, scratch + 36 * lanes)
  let (side, cin) = (F.m + 2, w.picture.channels)
  let plane = tiles * cin
  // The last tiles may reach beyond the image. What they compute there is not stored.
  var picture = w.picture
  picture.right = w.columns * F.m + 2 - picture.left - picture.width
  let line = picture.paddedWidth * cin
  for row in rows {
    Kernels.pad(picture, rows: F.m * row..<F.m * row + side, paired: false, strip)
    for column in 0..<w.columns {
      let from = strip + F.m * column * cin
      let to = output + (first + (row - rows.lowerBound) * w.columns + column) * cin
      forEachVector(cin) { c, valid in
        for y in 0..<side {
          F.input(from + y * line + c, cin, d + y * side * lanes, lanes, read: valid, write: lanes)
        }
        for x in 0..<side {
          F.input(d + x * lanes, side * lanes, to + x * plane + c, side * plane, read: lanes, write: valid)
        }
      }
    }
  }
}

private func transformOutput<C: ActivationFunction>(
  _: C.Type, _ w: Winograd, _ sums: UnsafeMutablePointer<Float>, _ rows: Range<Int>, _ channels: Range<Int>,
  _ width: Int, _ to: Destination
) {
  if w.m == 4 {
    transformOutput(F4.self, C.self, w, sums, rows, channels, width, to)
  } else {
    transformOutput(F2.self, C.self, w, sums, rows, channels, width, to)
  }
}

@inline(__always)
private func transformOutput<F: Form, C: ActivationFunction>(
  _: F.Type, _: C.Type, _ w: Winograd, _ sums: UnsafeMutablePointer<Float>, _ rows: Range<Int>,
  _ channels: Range<Int>, _ width: Int, _ to: Destination
) {
  let (side, m) = (F.m + 2, F.m)
  let plane = rows.count * w.columns * width
  let p = sums + w.positions * plane  // a tile after the first of two passes
  let line = p + 36 * lanes
  for tile in 0..<rows.count * w.columns {
    let (top, left) = (m * (rows.lowerBound + tile / w.columns), m * (tile % w.columns))
    let (bottom, right) = (min(m, w.picture.height - top), min(m, w.picture.width - left))
    var c = 0
    while c < channels.count {
      let from = sums + tile * width + c
      let bias = load(to.bias + channels.lowerBound + c)
      for x in 0..<side { F.output(from + x * plane, side * plane, p + x * lanes, side * lanes) }
      for y in 0..<bottom {
        F.output(p + y * side * lanes, lanes, line, lanes)
        let at = ((top + y) * w.picture.width + left) * to.channels + channels.lowerBound + c
        let count = channels.count - c
        for x in 0..<right {
          let place = at + x * to.channels
          var y = load(line + x * lanes) + bias
          if let residual = to.residual { y += load(residual + place, count) }
          store(C.of(y), to.output + place, count)
        }
      }
      c += lanes
    }
  }
}
