// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Direct convolution over [H, W, C]. The image is padded first, so that no tap falls outside. One kernel row of a pixel
// then reads kw * cin contiguous values; a matrix product is the special case of one row of cin values. A tile is some
// pixels x two vectors of output channels with all sums in registers: 6 pixels fill the 16 registers of AVX2 (12 sums,
// two weights, one value), 12 pixels the 32 of AVX-512, and each loaded weight serves all pixels.

import CKernels
import KernelInterface

/// The number formats that are multiplied.
private protocol Arithmetic {
  associatedtype Value  // an input element, broadcast to all lanes
  associatedtype Weights  // a vector of weights
  static var size: Int { get }  // bytes of a vector of weights in memory
  static func weights(_ from: UnsafeRawPointer) -> Weights
  static func product(_ sum: Vector, _ value: Value, _ weights: Weights) -> Vector
}

private enum Single: Arithmetic {
  @inline(__always) static var size: Int { vectorSize }

  @inline(__always)
  static func weights(_ from: UnsafeRawPointer) -> Vector { from.loadUnaligned(as: Vector.self) }

  @inline(__always)
  static func product(_ sum: Vector, _ value: Float, _ weights: Vector) -> Vector {
    madd(sum, Vector(repeating: value), weights)
  }
}

#if AVX2
  private enum Half: Arithmetic {
    @inline(__always) static var size: Int { vectorSize / 2 }

    @inline(__always)
    static func weights(_ from: UnsafeRawPointer) -> Vector { ckernels_widened(from) }

    @inline(__always)
    static func product(_ sum: Vector, _ value: Float, _ weights: Vector) -> Vector {
      madd(sum, Vector(repeating: value), weights)
    }
  }
#endif

#if BF16
  /// Pairs of bf16: both products are added to the same sum.
  private enum Pair: Arithmetic {
    @inline(__always) static var size: Int { vectorSize }

    @inline(__always)
    static func weights(_ from: UnsafeRawPointer) -> SIMD16<Int32> { from.loadUnaligned(as: SIMD16<Int32>.self) }

    @inline(__always)
    static func product(_ sum: Vector, _ value: Int32, _ weights: SIMD16<Int32>) -> Vector {
      ckernels_dot_pairs(sum, SIMD16(repeating: value), weights)
    }
  }
#endif

extension Kernels {
  public static func convolve(_ convolution: Convolution, pixels: Range<Int>, block: Int, to: Destination) {
    #if BF16
      if convolution.format == .pairs { return tiles(Pair.self, convolution, pixels, block, to) }
    #endif
    #if AVX2
      if convolution.format == .half { return tiles(Half.self, convolution, pixels, block, to) }
    #endif
    tiles(Single.self, convolution, pixels, block, to)
  }
}

/// The offset of an output pixel's input.
@inline(__always)
func start(_ pixel: Int, _ c: Convolution) -> Int {
  pixel / c.outputWidth * c.rowStep + pixel % c.outputWidth * c.pixelStep
}

/// The same for consecutive pixels, without a division, which costs as much as a dozen products.
private struct Walk {
  private var row, column: Int

  init(_ pixel: Int, _ c: Convolution) { (row, column) = (pixel / c.outputWidth, pixel % c.outputWidth) }

  @inline(__always)
  mutating func next(_ c: Convolution) -> Int {
    let place = row * c.rowStep + column * c.pixelStep
    column += 1
    if column == c.outputWidth { (row, column) = (row + 1, 0) }
    return place
  }
}

/// The sums of some pixels. Nested types instead of loops over arrays, so that every sum is a variable and stays in a
/// register.
private protocol Rows {
  associatedtype A: Arithmetic
  static var count: Int { get }
  init(_ c: Convolution, _ walk: inout Walk, _ low: Vector, _ high: Vector)
  /// Multiplies the next value of every pixel by two vectors of weights.
  mutating func multiply(_ k: Int, _ low: A.Weights, _ high: A.Weights)
  mutating func nextRow(_ step: Int)
  /// Stores two vectors for every pixel; pixels are `step` floats apart.
  func store(_ to: UnsafeMutablePointer<Float>, _ step: Int)
}

private struct One<A: Arithmetic>: Rows {
  private var from: UnsafePointer<A.Value>
  private var low, high: Vector

  @inline(__always) static var count: Int { 1 }

  @inline(__always)
  init(_ c: Convolution, _ walk: inout Walk, _ low: Vector, _ high: Vector) {
    from = c.input.assumingMemoryBound(to: A.Value.self) + walk.next(c)
    (self.low, self.high) = (low, high)
  }

  @inline(__always)
  mutating func multiply(_ k: Int, _ lowWeights: A.Weights, _ highWeights: A.Weights) {
    let value = from[k]
    low = A.product(low, value, lowWeights)
    high = A.product(high, value, highWeights)
  }

  @inline(__always) mutating func nextRow(_ step: Int) { from += step }

  @inline(__always)
  func store(_ to: UnsafeMutablePointer<Float>, _ step: Int) {
    put(low, to)
    put(high, to + lanes)
  }
}

private struct Two<First: Rows, Second: Rows>: Rows where First.A == Second.A {
  typealias A = First.A
  private var first: First
  private var second: Second

  @inline(__always) static var count: Int { First.count + Second.count }

  @inline(__always)
  init(_ c: Convolution, _ walk: inout Walk, _ low: Vector, _ high: Vector) {
    first = First(c, &walk, low, high)
    second = Second(c, &walk, low, high)
  }

  @inline(__always)
  mutating func multiply(_ k: Int, _ low: A.Weights, _ high: A.Weights) {
    first.multiply(k, low, high)
    second.multiply(k, low, high)
  }

  @inline(__always)
  mutating func nextRow(_ step: Int) {
    first.nextRow(step)
    second.nextRow(step)
  }

  @inline(__always)
  func store(_ to: UnsafeMutablePointer<Float>, _ step: Int) {
    first.store(to, step)
    second.store(to + First.count * step, step)
  }
}

private typealias R2<A: Arithmetic> = Two<One<A>, One<A>>
private typealias R3<A: Arithmetic> = Two<R2<A>, One<A>>
private typealias R4<A: Arithmetic> = Two<R2<A>, R2<A>>
private typealias R5<A: Arithmetic> = Two<R3<A>, R2<A>>
private typealias R6<A: Arithmetic> = Two<R3<A>, R3<A>>
#if AVX512
  private typealias R7<A: Arithmetic> = Two<R6<A>, One<A>>
  private typealias R8<A: Arithmetic> = Two<R4<A>, R4<A>>
  private typealias R9<A: Arithmetic> = Two<R6<A>, R3<A>>
  private typealias R10<A: Arithmetic> = Two<R5<A>, R5<A>>
  private typealias R11<A: Arithmetic> = Two<R6<A>, R5<A>>
  private typealias R12<A: Arithmetic> = Two<R6<A>, R6<A>>
  private let mostRows = 12
#else
  private let mostRows = 6
#endif

private func tiles<A: Arithmetic>(
  _: A.Type, _ c: Convolution, _ pixels: Range<Int>, _ block: Int, _ to: Destination
) {
  let first = 2 * lanes * block
  let weights = c.weights + 2 * A.size * block * c.kernelRows * c.rowLength
  let narrow = to.channels - first <= lanes
  var pixel = pixels.lowerBound
  var walk = Walk(pixel, c)
  while pixel < pixels.upperBound {
    if narrow {
      tile1(A.self, c, weights, pixel, pixels.upperBound, first, to)
      pixel += 8
      continue
    }
    // Split evenly: 9 pixels are 5 + 4 rather than 6 + 3.
    let rest = pixels.upperBound - pixel
    let parts = (rest + mostRows - 1) / mostRows
    let rows = (rest + parts - 1) / parts
    switch rows {
    case 1: tile2(One<A>.self, c, weights, &walk, pixel, first, to)
    case 2: tile2(R2<A>.self, c, weights, &walk, pixel, first, to)
    case 3: tile2(R3<A>.self, c, weights, &walk, pixel, first, to)
    case 4: tile2(R4<A>.self, c, weights, &walk, pixel, first, to)
    case 5: tile2(R5<A>.self, c, weights, &walk, pixel, first, to)
    #if AVX512
      case 6: tile2(R6<A>.self, c, weights, &walk, pixel, first, to)
      case 7: tile2(R7<A>.self, c, weights, &walk, pixel, first, to)
      case 8: tile2(R8<A>.self, c, weights, &walk, pixel, first, to)
      case 9: tile2(R9<A>.self, c, weights, &walk, pixel, first, to)
      case 10: tile2(R10<A>.self, c, weights, &walk, pixel, first, to)
      case 11: tile2(R11<A>.self, c, weights, &walk, pixel, first, to)
      default: tile2(R12<A>.self, c, weights, &walk, pixel, first, to)
    #else
      default: tile2(R6<A>.self, c, weights, &walk, pixel, first, to)
    #endif
    }
    pixel += rows
  }
}

/// Computes some pixels by two vectors of channels.
@inline(__always)
private func tile2<R: Rows>(
  _: R.Type, _ c: Convolution, _ weights: UnsafeRawPointer, _ walk: inout Walk, _ pixel: Int, _ first: Int,
  _ to: Destination
) {
  var rows = R(c, &walk, load(to.bias + first), load(to.bias + first + lanes))
  var w = weights
  for _ in 0..<c.kernelRows {
    for k in 0..<c.rowLength {
      rows.multiply(k, R.A.weights(w), R.A.weights(w + R.A.size))
      w += 2 * R.A.size
    }
    rows.nextRow(c.inputRow)
  }
  let channels = first..<min(first + 2 * lanes, to.channels)
  if to.activation == .none, to.residual == nil, channels.count == 2 * lanes {
    return rows.store(to.output + pixel * to.channels + first, to.channels)
  }
  withUnsafeTemporaryAllocation(of: Sum.self, capacity: 2 * R.count) { sums in
    guard let sums = UnsafeMutableRawPointer(sums.baseAddress)?.assumingMemoryBound(to: Float.self) else { return }
    rows.store(sums, 2 * lanes)
    Kernels.finishRows(sums, step: 2 * lanes, pixels: pixel..<pixel + R.count, channels: channels, to: to)
  }
}

/// Computes 8 pixels by one vector of channels. Pixels from `end` on repeat the last one and are not stored.
@inline(__always)
private func tile1<A: Arithmetic>(
  _: A.Type, _ c: Convolution, _ weights: UnsafeRawPointer, _ pixel: Int, _ end: Int, _ first: Int, _ to: Destination
) {
  let input = c.input.assumingMemoryBound(to: A.Value.self)
  var from = InlineArray<8, Place<A.Value>>(repeating: Place(input))
  for r in 0..<8 { from[r].pointer = input + start(min(pixel + r, end - 1), c) }
  var sums = InlineArray<8, Sum>(repeating: Sum(load(to.bias + first)))
  var w = weights
  for _ in 0..<c.kernelRows {
    for k in 0..<c.rowLength {
      let weights = A.weights(w)
      for r in 0..<8 { sums[r].value = A.product(sums[r].value, from[r].pointer[k], weights) }
      w += A.size
    }
    for r in 0..<8 { from[r].pointer += c.inputRow }
  }
  let pixels = pixel..<min(pixel + 8, end)
  if to.activation == .none, to.residual == nil, to.channels - first == lanes {
    for r in 0..<8 where r < pixels.count { put(sums[r].value, to.output + (pixel + r) * to.channels + first) }
    return
  }
  withUnsafeTemporaryAllocation(of: Sum.self, capacity: 8) { finished in
    for r in 0..<8 { finished[r] = sums[r] }
    guard let sums = UnsafeMutableRawPointer(finished.baseAddress)?.assumingMemoryBound(to: Float.self) else { return }
    Kernels.finishRows(sums, step: lanes, pixels: pixels, channels: first..<to.channels, to: to)
  }
}

extension Kernels {
  /// Not inlined into every tile, which would make compiling a quarter slower.
  @inline(never)
  public static func finishRows(
    _ sums: UnsafePointer<Float>, step: Int, pixels: Range<Int>, channels: Range<Int>, to: Destination
  ) {
    switch to.activation {
    case .none: finishRows(Identity.self, sums, step, pixels, channels, to)
    case .relu: finishRows(ReLU.self, sums, step, pixels, channels, to)
    case .silu: finishRows(SiLU.self, sums, step, pixels, channels, to)
    case .gelu: finishRows(GELU.self, sums, step, pixels, channels, to)
    case .erfGELU: finishRows(ErfGELU.self, sums, step, pixels, channels, to)
    }
  }

  @inline(__always)
  private static func finishRows<C: ActivationFunction>(
    _: C.Type, _ sums: UnsafePointer<Float>, _ step: Int, _ pixels: Range<Int>, _ channels: Range<Int>,
    _ to: Destination
  ) {
    for pixel in pixels {
      let from = sums + (pixel - pixels.lowerBound) * step
      let at = pixel * to.channels + channels.lowerBound
      forEachVector(channels.count) { c, valid in
        var y = load(from + c, valid)
        if let residual = to.residual { y += load(residual + at + c, valid) }
        store(C.of(y), to.output + at + c, valid)
      }
    }
  }
}

/// Applies residual and activation to `count` channels at output offset `at`.
@inline(__always)
func finish(_ sum: Vector, _ at: Int, _ count: Int, _ to: Destination) {
  var y = sum
  if let residual = to.residual { y += load(residual + at, count) }
  store(to.activation(y), to.output + at, count)
}
