// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Puts a painted mouth back into its frame, in the frame's own format. Only bytes under the mask change.

import Glibc
import Tensors

/// How much of the painted window counts, by its place in the window (px): 1 over mouth, jaw and chin, 0 from the
/// window's edges inwards, soft between. It depends on nothing in the picture, so it tells nothing about the mouth.
///
/// Upwards it ends at the first row that the model does not see, within 6 px; to the sides and below it ends in 10 px
/// along the outline of a U that is 88 px wide and reaches to row 94.
package func mask(_ x: Float, _ y: Float) -> Float {
  let top = (y - Float(FaceWindow.maskTop)) / 6
  guard top > 0 else { return 0 }
  let (dx, dy) = (max(abs(x - 48) - 10, 0), max(y - 60, 0))
  let depth = (34 - (dx * dx + dy * dy).squareRoot()) / 10
  guard depth > 0 else { return 0 }
  func smooth(_ t: Float) -> Float { t < 1 ? t * t * (3 - 2 * t) : 1 }
  return smooth(top) * smooth(depth)
}

/// A rectangle of frame pixels.
public struct Region: Equatable, Sendable {
  public var x, y, width, height: Int
  public var isEmpty: Bool { width <= 0 || height <= 0 }
}

/// Blends `mouth` (`[96, 96, 3]`, RGB in -1 ... 1) into the frame where `window` says, `strength` 0 ... 1 of it.
///
/// `original` is the crop that the frame showed there: the painted window is brought to its colours first. Returns the
/// pixels that may have changed; empty when the window lies outside of the frame, or a tensor is not a window.
@discardableResult
public func blend(
  into target: MutableFrameView, mouth: Tensor, original: Tensor, window: Similarity, strength: Float
) -> Region {
  let side = FaceWindow.side
  let none = Region(x: 0, y: 0, width: 0, height: 0)
  guard mouth.shape == [side, side, 3], original.shape == mouth.shape, strength > 0 else { return none }
  let frame = target.view
  let region = touched(frame, window)
  guard !region.isEmpty else { return none }

  let (_, fromRGB, low, high) = frame.colorimetry.transforms(isRGB: frame.format.isRGB)
  let source = matched(mouth, to: original).map { fromRGB($0) }
  let painter = Painter(source, window: window, low: low, high: high, strength: min(strength, 1))
  // Components that share their places (Cb and Cr, or R, G and B) are painted together.
  var rest = Array(frame.format.components.enumerated())
  while let (_, first) = rest.first {
    let together = rest.filter { $0.element.shiftX == first.shiftX && $0.element.shiftY == first.shiftY }
    rest.removeAll { $0.element.shiftX == first.shiftX && $0.element.shiftY == first.shiftY }
    painter.paint(together.map { ($0.offset, $0.element) }, on: target, in: region)
  }
  return region
}

/// The frame's pixels that the mask may reach.
private func touched(_ frame: FrameView, _ window: Similarity) -> Region {
  let corners = [(4.0, 28.0), (92.0, 28.0), (4.0, 94.0), (92.0, 94.0)].map { window.inverse($0.0, $0.1) }
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

/// The pixels of `mouth`, brought to the colours around them: plus the plane (one for each channel) that comes nearest to
/// original - mouth along the mask's border, where both should show the same. Places where they show different things
/// count little; the plane is limited to 0.15; the colours to -1 ... 1.
func matched(_ mouth: Tensor, to original: Tensor) -> [SIMD4<Float>] {
  let side = FaceWindow.side
  func pixel(_ t: Tensor, _ i: Int) -> SIMD4<Float> {
    legal([t.values[3 * i], t.values[3 * i + 1], t.values[3 * i + 2], 0])
  }
  // Weighted least squares of c0 + c1 u + c2 v, u and v in -1 ... 1; 0.05 of all weight holds the slopes near 0.
  var (n, su, sv, suu, suv, svv) = (Float(0), Float(0), Float(0), Float(0), Float(0), Float(0))
  var (d0, du, dv) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  for y in FaceWindow.maskTop..<side {
    for x in 0..<side {
      let m = mask(Float(x), Float(y))
      guard m > 0, m < 1 else { continue }
      let difference = pixel(original, y * side + x) - pixel(mouth, y * side + x)
      let w = 4 * m * (1 - m) / (1 + (difference * difference).sum() / 0.03)
      let (u, v) = (Float(x) / 48 - 1, Float(y) / 48 - 1)
      (n, su, sv) = (n + w, su + w * u, sv + w * v)
      (suu, suv, svv) = (suu + w * u * u, suv + w * u * v, svv + w * v * v)
      d0 += w * difference
      du += w * u * difference
      dv += w * v * difference
    }
  }
  let (ru, rv) = (suu + 0.05 * n, svv + 0.05 * n)
  let (a, b, c) = (ru * rv - suv * suv, suv * sv - su * rv, su * suv - ru * sv)
  let determinant = n * a + su * b + sv * c
  var (c0, c1, c2) = (SIMD4<Float>.zero, SIMD4<Float>.zero, SIMD4<Float>.zero)
  if determinant > 1e-6 {
    c0 = (a * d0 + b * du + c * dv) / determinant
    c1 = (b * d0 + (n * rv - sv * sv) * du + (su * sv - n * suv) * dv) / determinant
    c2 = (c * d0 + (su * sv - n * suv) * du + (n * ru - su * su) * dv) / determinant
  }
  let limit = SIMD4<Float>(repeating: 0.15)
  return (0..<side * side).map { i in
    let plane = c0 + c1 * (Float(i % side) / 48 - 1) + c2 * (Float(i / side) / 48 - 1)
    return legal(pixel(mouth, i) + plane.limited(-limit, limit))
  }
}

/// Each value in -1 ... 1; not a number counts as 0.
private func legal(_ v: SIMD4<Float>) -> SIMD4<Float> {
  v.replacing(with: 0, where: v .!= v).limited(SIMD4(repeating: -1), SIMD4(repeating: 1))
}

extension SIMD4<Float> {
  /// As `clamped`, which is a call for every value.
  @inline(__always)
  fileprivate func limited(_ low: Self, _ high: Self) -> Self {
    let above = replacing(with: low, where: self .< low)
    return above.replacing(with: high, where: above .> high)
  }
}

/// One blend: the window's pixels in the frame's components and levels, and how they go on the frame.
private struct Painter {
  /// Row-major with the border repeated, one pixel before and two behind: interpolation needs no limits.
  private static let stride = FaceWindow.side + 3
  private let source: [SIMD4<Float>]
  private let window: Similarity
  private let low, high: SIMD4<Float>
  private let strength: Float
  private let spread: Int

  init(
    _ pixels: [SIMD4<Float>], window: Similarity, low: SIMD4<Float>, high: SIMD4<Float>, strength: Float
  ) {
    let side = FaceWindow.side
    let places = (-1...side + 1).map { min(max($0, 0), side - 1) }
    source = places.flatMap { y in places.map { x in pixels[y * side + x] } }
    (self.window, self.low, self.high, self.strength) = (window, low, high, strength)
    // Where the window is finer than the frame, several points of it are averaged for each sample.
    spread = window.scale < 1.5 ? 1 : min(Int(window.scale.rounded(.up)), 8)
  }

  /// Paints the components (their places in the SIMD4, their layout), which all have samples at the same places.
  func paint(_ components: [(lane: Int, component: Component)], on target: MutableFrameView, in region: Region) {
    guard let layout = components.first?.component else { return }
    let planes = components.map { (lane: $0.lane, start: target.start($0.component), step: $0.component.step) }
    let columns = region.x >> layout.shiftX...(region.x + region.width - 1) >> layout.shiftX
    let firstRow = region.y >> layout.shiftY
    let rows = (region.y + region.height - 1) >> layout.shiftY - firstRow + 1
    let (width, height) = (target.view.width, target.view.height)
    source.withUnsafeBufferPointer { source in
      guard let source = source.baseAddress else { return }
      inStripes(rows) { stripe in
        for row in stripe.lowerBound + firstRow..<stripe.upperBound + firstRow {
          for column in columns {
            let share = self.share(layout, column, row, width, height)
            guard share > 0 else { continue }
            let place = layout.pixel(column, row)
            let color = self.color(source, window(place.x, place.y)).limited(low, high)
            for plane in planes {
              let byte = plane.start.base + (row * plane.start.stride + column * plane.step)
              let old = Float(byte.load(as: UInt8.self))
              let new = old + share * (color[plane.lane] - old)
              byte.storeBytes(of: UInt8(inside(new + 0.5, 256)), as: UInt8.self)
            }
          }
        }
      }
    }
  }

  /// How much of the new colour a sample gets: the mean of the mask over the frame's pixels that share the sample.
  @inline(__always)
  private func share(_ layout: Component, _ column: Int, _ row: Int, _ width: Int, _ height: Int) -> Float {
    let (x, y) = (column << layout.shiftX, row << layout.shiftY)
    let (right, bottom) = (min(x + 1 << layout.shiftX, width), min(y + 1 << layout.shiftY, height))
    var covered: Float = 0
    for v in y..<bottom {
      for u in x..<right {
        let p = SIMD2<Float>(window(Double(u), Double(v)))
        covered += mask(p.x, p.y)
      }
    }
    return strength * covered / Float((right - x) * (bottom - y))
  }

  /// The window's colour at one place, or the mean of `spread` x `spread` places within one frame pixel.
  @inline(__always)
  private func color(_ source: UnsafePointer<SIMD4<Float>>, _ place: SIMD2<Double>) -> SIMD4<Float> {
    guard spread > 1 else { return catmullRom(source, SIMD2<Float>(place)) }
    var sum = SIMD4<Float>.zero
    for i in 0..<spread {
      for j in 0..<spread {
        let (u, v) = ((Double(j) + 0.5) / Double(spread) - 0.5, (Double(i) + 0.5) / Double(spread) - 0.5)
        let offset = SIMD2(window.a * u - window.b * v, window.b * u + window.a * v)
        sum += catmullRom(source, SIMD2<Float>(place + offset))
      }
    }
    return sum / Float(spread * spread)
  }

  /// Interpolated by cubics through the pixels (Catmull-Rom; Keys 1981, a = -0.5): sharper than bilinear where the
  /// window is enlarged.
  @inline(__always)
  private func catmullRom(_ source: UnsafePointer<SIMD4<Float>>, _ place: SIMD2<Float>) -> SIMD4<Float> {
    let (x, y) = (inside(place.x, FaceWindow.side), inside(place.y, FaceWindow.side))
    let (x0, y0) = (Int(x), Int(y))
    let (wx, wy) = (weights(x - Float(x0)), weights(y - Float(y0)))
    let corner = source + (y0 * Self.stride + x0)
    func line(_ row: UnsafePointer<SIMD4<Float>>) -> SIMD4<Float> {
      row[0] * wx.x + row[1] * wx.y + row[2] * wx.z + row[3] * wx.w
    }
    return line(corner) * wy.x + line(corner + Self.stride) * wy.y + line(corner + 2 * Self.stride) * wy.z
      + line(corner + 3 * Self.stride) * wy.w
  }

  /// Of the pixels at -1, 0, 1, 2 for a place at t, 0 <= t < 1.
  @inline(__always)
  private func weights(_ t: Float) -> SIMD4<Float> {
    let (t2, t3) = (t * t, t * t * t)
    return SIMD4(2 * t2 - t3 - t, 3 * t3 - 5 * t2 + 2, 4 * t2 - 3 * t3 + t, t3 - t2) * 0.5
  }
}
