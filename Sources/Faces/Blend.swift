// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Puts a painted mouth back into its frame, in the frame's own format. Only bytes under the mask change.

import Glibc
import Tensors

/// Blends `mouth` (`[side, side, 3]`, RGB in -1 ... 1) into the frame for a face at `place`, `strength` 0 ... 1 of it.
///
/// `original` is the crop that the frame showed there: the painted window is brought to its colours first. Returns the
/// pixels that may have changed; empty when the window lies outside of the frame, or a tensor is not a window.
@discardableResult
public func blend(
  into target: MutableFrameView, mouth: Tensor, original: Tensor, _ window: FaceWindow, at place: Similarity,
  strength: Float
) -> Region {
  let side = window.side
  let none = Region(x: 0, y: 0, width: 0, height: 0)
  guard mouth.shape == [side, side, 3], original.shape == mouth.shape, strength > 0 else { return none }
  let region = touched(target.view, window, place)
  guard !region.isEmpty else { return none }
  let planes = levels(of: mouth, matching: original, window, target.view.transforms.fromRGB)
  Painter(target, planes, window, place, strength: min(strength, 1)).paint(region)
  return region
}

/// The frame's pixels that the mask may reach.
private func touched(_ frame: FrameView, _ window: FaceWindow, _ place: Similarity) -> Region {
  let (left, top, right, bottom) = window.painted
  let corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map { place.inverse($0.0, $0.1) }
  var (low, high) = (corners[0], corners[0])
  for corner in corners {
    low = pointwiseMin(low, corner)
    high = pointwiseMax(high, corner)
  }
  // Pixels in pairs, as chroma may be shared by two.
  func clipped(_ low: Double, _ high: Double, _ size: Int) -> (from: Int, count: Int) {
    let from = Int(min(max(low, 0), Double(size))) / 2 * 2
    let to = min(Int(min(max(high + 1, 0), Double(size)) + 1) / 2 * 2, size)
    return (from, to - from)
  }
  let (x, y) = (clipped(low.x, high.x, frame.width), clipped(low.y, high.y, frame.height))
  return Region(x: x.from, y: y.from, width: x.count, height: y.count)
}

/// A frame's levels of `mouth`, one plane after the other as `windowLine` wants them. First its colours are brought to those
/// around it: plus the plane (one for each channel) that comes nearest to original - mouth along the mask's border, where
/// both should show the same. Places where they show different things count little; the plane is limited to 0.15; the
/// colours to -1 ... 1.
private func levels(
  of mouth: Tensor, matching original: Tensor, _ window: FaceWindow, _ fromRGB: Affine
) -> [Float] {
  let (side, stride) = (window.side, window.side + 3)
  let (middle, size) = (Float(side) / 2, stride * stride)
  return [Float](unsafeUninitializedCapacity: 3 * size) { planes, count in
    mouth.values.withUnsafeBufferPointer { mouth in
      original.values.withUnsafeBufferPointer { original in
        guard let mouth = mouth.baseAddress, let original = original.baseAddress, let planes = planes.baseAddress
        else { return }
        let cast = fit(mouth, to: original, window)
        for y in 0..<side {
          let row = planes + ((y + 1) * stride + 1)
          let left = cast.start + cast.down * (Float(y) / middle - 1)
          for x in 0..<side {
            let correction = (left + cast.across * (Float(x) / middle - 1)).limited(-0.15, 0.15)
            let color = fromRGB((pixel(mouth, y * side + x) + correction).limited(-1, 1))
            (row[x], row[size + x], row[2 * size + x]) = (color.x, color.y, color.z)
          }
        }
        for plane in (0..<3).map({ planes + $0 * size }) {
          for y in 1...side {
            let row = plane + y * stride
            (row[0], row[side + 1], row[side + 2]) = (row[1], row[side], row[side])
          }
          plane.update(from: plane + stride, count: stride)
          for y in side + 1...side + 2 { (plane + y * stride).update(from: plane + side * stride, count: stride) }
        }
        count = 3 * size
      }
    }
  }
}

/// RGB of a pixel; not a number counts as 0.
@inline(__always)
private func pixel(_ values: UnsafePointer<Float>, _ i: Int) -> SIMD4<Float> {
  let v = SIMD4(values[3 * i], values[3 * i + 1], values[3 * i + 2], 0)
  return v.replacing(with: 0, where: v .!= v).limited(-1, 1)
}

/// The plane through `original - mouth`: start + across u + down v, u and v in -1 ... 1 over the window. Weighted least
/// squares; 0.05 of all weight holds the slopes near 0.
private func fit(
  _ mouth: UnsafePointer<Float>, to original: UnsafePointer<Float>, _ window: FaceWindow
) -> (start: SIMD4<Float>, across: SIMD4<Float>, down: SIMD4<Float>) {
  let (side, middle) = (window.side, Float(window.side) / 2)
  var (n, su, sv, suu, suv, svv) = (Float(0), Float(0), Float(0), Float(0), Float(0), Float(0))
  var (d0, du, dv) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  for (i, weight) in window.border.enumerated() where weight > 0 {
    let difference = pixel(original, i) - pixel(mouth, i)
    let w = weight / (1 + (difference * difference).sum() / 0.03)
    let (u, v) = (Float(i % side) / middle - 1, Float(i / side) / middle - 1)
    (n, su, sv) = (n + w, su + w * u, sv + w * v)
    (suu, suv, svv) = (suu + w * u * u, suv + w * u * v, svv + w * v * v)
    d0 += w * difference
    du += w * u * difference
    dv += w * v * difference
  }
  let (ru, rv) = (suu + 0.05 * n, svv + 0.05 * n)
  let (a, b, c) = (ru * rv - suv * suv, suv * sv - su * rv, su * suv - ru * sv)
  let determinant = n * a + su * b + sv * c
  guard determinant > 1e-6 else { return (.zero, .zero, .zero) }
  return (
    (a * d0 + b * du + c * dv) / determinant,
    (b * d0 + (n * rv - sv * sv) * du + (su * sv - n * suv) * dv) / determinant,
    (c * d0 + (su * sv - n * suv) * du + (n * ru - su * su) * dv) / determinant
  )
}

extension SIMD4<Float> {
  /// As `clamped`, which is a call for every value.
  @inline(__always)
  fileprivate func limited(_ low: Float, _ high: Float) -> Self {
    let above = replacing(with: low, where: self .< low)
    return above.replacing(with: high, where: above .> high)
  }
}

/// One blend: the window's levels, and how they go on the frame.
private struct Painter {
  private let target: MutableFrameView
  private let planes: [Float]
  private let window: FaceWindow
  private let place, transform: Similarity  // frame px -> px of the template, of the window
  private let strength: Float
  private let limits: (low: SIMD4<Float>, high: SIMD4<Float>)  // levels that colours may have
  private let points: [SIMD2<Float>]  // window px around a place that are averaged for a sample

  init(_ target: MutableFrameView, _ planes: [Float], _ window: FaceWindow, _ place: Similarity, strength: Float) {
    (self.target, self.planes, self.window, self.place) = (target, planes, window, place)
    (self.strength, transform) = (strength, window.transform(place))
    let (_, _, low, high) = target.view.transforms
    limits = (low, high)
    // More than one where the window is finer than the frame.
    let (a, b) = (transform.a, transform.b)
    let spread = transform.scale < 1.5 ? 1 : min(Int(transform.scale.rounded(.up)), 8)
    let places = (0..<spread).map { (Double($0) + 0.5) / Double(spread) - 0.5 }
    points = places.flatMap { v in places.map { u in SIMD2<Float>(SIMD2(a * u - b * v, b * u + a * v)) } }
  }

  /// Row by row, or two by two where they share chroma.
  func paint(_ region: Region) {
    let rows = target.view.samples.map { 1 << $0.component.shiftY }.max() ?? 1
    inStripes((region.height + rows - 1) / rows) { stripe in
      // Two lines of the mask over pixels, one over shared chroma, one of colours, each with room for what the kernels
      // write behind.
      let line = region.width + 16
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * line) { memory in
        guard let memory = memory.baseAddress else { return }
        memory.initialize(repeating: 0, count: 4 * line)
        for y in stripe.map({ region.y + $0 * rows }) {
          let band = y..<min(y + rows, region.y + region.height)
          let lines = (memory, memory + (band.count - 1) * line, memory + 2 * line, memory + 3 * line)
          paint(region.x..<region.x + region.width, band, lines)
        }
      }
    }
  }

  /// How much of the new colour the pixels of the first and of the last row get, and the chroma samples that they share:
  /// the mean over their pixels; and the colours of a line.
  private typealias Lines = (
    first: UnsafeMutablePointer<Float>, last: UnsafeMutablePointer<Float>, chroma: UnsafeMutablePointer<Float>,
    colors: UnsafeMutablePointer<Float>
  )

  /// Paints one row, which is first and last, or two.
  private func paint(_ columns: Range<Int>, _ rows: Range<Int>, _ lines: Lines) {
    let (first, last, chroma, colors) = lines
    for (shares, y) in [(first, rows.lowerBound), (last, rows.upperBound - 1)] {
      let start = SIMD2<Float>(place(Double(columns.lowerBound), Double(y)))
      window.masks(from: start, step: SIMD2<Float>([place.a, place.b]), count: columns.count, to: shares)
      for x in 0..<columns.count { shares[x] *= strength }
      shares[columns.count] = shares[columns.count - 1]  // a last column without a partner counts twice
    }
    for x in 0..<(columns.count + 1) / 2 {
      chroma[x] = (first[2 * x] + first[2 * x + 1] + last[2 * x] + last[2 * x + 1]) / 4
    }
    for (i, samples) in target.view.samples.enumerated() {
      let shiftY = samples.component.shiftY
      for y in rows.lowerBound >> shiftY...(rows.upperBound - 1) >> shiftY {
        let shares = samples.component.shiftX == 1 ? chroma : y == rows.lowerBound ? first : last
        paint(i, samples, row: y, from: columns.lowerBound, to: columns.upperBound, shares, colors)
      }
    }
  }

  /// Paints component `i` in its row `row`, on the samples of the pixel columns `left ..< right`.
  private func paint(
    _ i: Int, _ samples: Samples, row: Int, from left: Int, to right: Int, _ shares: UnsafePointer<Float>,
    _ colors: UnsafeMutablePointer<Float>
  ) {
    let (component, size) = (samples.component, (window.side + 3) * (window.side + 3))
    let first = left >> component.shiftX
    let count = ((right + component.shiftX) >> component.shiftX) - first
    let pixel = SIMD2<Double>(samples.origin) + [Double(first << component.shiftX), Double(row << component.shiftY)]
    let start = SIMD2<Float>(transform(pixel.x, pixel.y))
    let step = SIMD2<Float>([transform.a, transform.b]) * Float(1 << component.shiftX)
    planes.withUnsafeBufferPointer { planes in
      points.withUnsafeBufferPointer { points in
        guard let planes = planes.baseAddress, let around = points.baseAddress else { return }
        kernels.windowLine(
          planes + i * size, side: window.side, x: start.x, y: start.y, dx: step.x, dy: step.y, points: around,
          pointCount: points.count, count: count, shares: shares, colors)
      }
    }
    kernels.paintLine(
      target.planes[component.plane].base + row * samples.stride, storage: component.storage, offset: component.offset,
      step: component.step, first: first, count: count, colors: colors, low: limits.low[i], high: limits.high[i],
      shares: shares)
  }
}
