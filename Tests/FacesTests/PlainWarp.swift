// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The naive twins of the warp, the soft mask, compositing and writing back: sample by sample, in `Double`.

import Faces
import Tensors

/// A moved mesh, and the mask over it.
struct WarpCase {
  var source, destination: [SIMD2<Float>]
  var triangles: [SIMD3<Int32>]
  var region: Region
  var polygon: [SIMD2<Float>]
  var feather: Float

  var warp: Warp { Warp(from: source, to: destination, triangles: triangles, in: region) }
  var mask: SoftMask { SoftMask(polygon, feather: feather, in: region) }
}

extension Plain {
  /// The sample grid of a component: px -> samples.
  private static func grid(_ p: SIMD2<Double>, _ component: Component, _ site: ChromaSite) -> SIMD2<Double> {
    [
      component.shiftX == 1 ? (p.x - Double(site.x)) / 2 : p.x,
      component.shiftY == 1 ? (p.y - Double(site.y)) / 2 : p.y,
    ]
  }

  /// The source position of sample (x, y) of a component by the last triangle that contains it, and the sides of its
  /// footprint there; all in samples.
  private static func moved(
    _ frame: Frame, _ component: Component, _ x: Int, _ y: Int, _ scene: WarpCase, from source: [SIMD2<Float>]
  ) -> (place: SIMD2<Double>, sides: (SIMD2<Double>, SIMD2<Double>)) {
    let p = SIMD2(Double(x), Double(y))
    func cross(_ a: SIMD2<Double>, _ b: SIMD2<Double>) -> Double { a.x * b.y - a.y * b.x }
    for triangle in scene.triangles.reversed() {
      let corners = [triangle.x, triangle.y, triangle.z].map { Int($0) }
      let to = corners.map { grid(SIMD2<Double>(scene.destination[$0]), component, frame.site) }
      let from = corners.map { grid(SIMD2<Double>(source[$0]), component, frame.site) }
      let (e, f, g) = (to[1] - to[0], to[2] - to[0], p - to[0])
      let area = cross(e, f)
      let (s, t) = (cross(g, f) / area, cross(e, g) / area)
      guard area != 0, s >= 0, t >= 0, s + t <= 1 else { continue }
      let (u, v) = (from[1] - from[0], from[2] - from[0])
      return (from[0] + s * u + t * v, ((u * f.y - v * e.y) / area, (v * e.x - u * f.x) / area))
    }
    return (p, ([1, 0], [0, 1]))
  }

  /// Keys' cubic, a = -1, over 4 x 4 samples, limited to their range; outside the pixels `held`, edges are replicated.
  private static func cubic(_ frame: Frame, _ component: Component, _ p: SIMD2<Double>, held: Region) -> Double {
    let size = component.size(held.width, held.height)
    let (left, top) = (held.x >> component.shiftX, held.y >> component.shiftY)
    func inside(_ v: Double, _ low: Int, _ count: Int) -> Double { max(Double(low), min(Double(low + count - 1), v)) }
    let (x, y) = (inside(p.x, left, size.width), inside(p.y, top, size.height))
    let (x0, y0) = (x.rounded(.down), y.rounded(.down))
    func weights(_ t: Double) -> [Double] {
      let (t2, t3) = (t * t, t * t * t)
      return [2 * t2 - t - t3, 1 - 2 * t2 + t3, t + t2 - t3, t3 - t2]
    }
    let (wx, wy) = (weights(x - x0), weights(y - y0))
    var (sum, low, high) = (0.0, Double.infinity, -Double.infinity)
    for v in 0..<4 {
      for u in 0..<4 {
        let column = Int(inside(x0 + Double(u - 1), left, size.width))
        let level = Double(frame[component, column, Int(inside(y0 + Double(v - 1), top, size.height))])
        sum += wy[v] * wx[u] * level
        (low, high) = (min(low, level), max(high, level))
      }
    }
    return max(low, min(high, sum))
  }

  /// The level of sample (x, y) after the warp, antialiased, and how far it moves, px.
  static func warped(
    _ frame: Frame, _ c: Int, _ x: Int, _ y: Int, _ scene: WarpCase, from source: [SIMD2<Float>], held: Region? = nil
  ) -> (level: Double, distance: Double) {
    let component = frame.format.components[c]
    let held = held ?? Region(x: 0, y: 0, width: frame.width, height: frame.height)
    var (place, (a, b)) = moved(frame, component, x, y, scene, from: source)
    let (xx, yy, xy) = ((a * a).sum(), (b * b).sum(), (a * b).sum())
    let length = ((xx + yy) / 2 + ((xx - yy) * (xx - yy) / 4 + xy * xy).squareRoot()).squareRoot()
    let n = length > 1.4 ? min(Int((length / 1.4).rounded(.up)), 4) : 1
    if length > 8 { (a, b) = (a * 8 / length, b * 8 / length) }
    var sum = 0.0
    for j in 0..<n {
      for i in 0..<n {
        let (s, t) = ((Double(i) + 0.5) / Double(n) - 0.5, (Double(j) + 0.5) / Double(n) - 0.5)
        sum += cubic(frame, component, place + s * a + t * b, held: held)
      }
    }
    let way =
      (place - SIMD2(Double(x), Double(y))) * SIMD2(Double(1 << component.shiftX), Double(1 << component.shiftY))
    return (sum / Double(n * n), (way * way).sum().squareRoot())
  }

  /// The soft mask at a pixel.
  static func mask(_ scene: WarpCase, _ x: Int, _ y: Int) -> Double {
    let p = SIMD2(Double(x), Double(y))
    var (winding, nearest) = (0, Double.infinity)
    for i in scene.polygon.indices {
      let a = SIMD2<Double>(scene.polygon[i])
      let b = SIMD2<Double>(scene.polygon[(i + 1) % scene.polygon.count])
      let side = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x)
      if a.y <= p.y, b.y > p.y, side > 0 { winding += 1 }
      if b.y <= p.y, a.y > p.y, side < 0 { winding -= 1 }
      let (e, g) = (b - a, p - a)
      let t = max(0, min(1, (e * g).sum() / max((e * e).sum(), 1e-30)))
      let d = g - t * e
      nearest = min(nearest, (d * d).sum().squareRoot())
    }
    let t = min(nearest / Double(max(scene.feather, 1)), 1)
    return winding == 0 ? 0 : t * t * (3 - 2 * t)
  }

  /// The same at a sample: the mean over its pixels.
  static func mask(_ scene: WarpCase, _ frame: Frame, _ component: Component, _ x: Int, _ y: Int) -> Double {
    var (sum, count) = (0.0, 0.0)
    for v in y << component.shiftY..<min((y + 1) << component.shiftY, frame.height) {
      for u in x << component.shiftX..<min((x + 1) << component.shiftX, frame.width) {
        sum += mask(scene, u, v)
        count += 1
      }
    }
    return sum / count
  }

  /// Whether a sample's pixels are in the region.
  static func isInside(_ region: Region, _ component: Component, _ x: Int, _ y: Int) -> Bool {
    let (u, v) = (x << component.shiftX, y << component.shiftY)
    return u >= region.x && u < region.x + region.width && v >= region.y && v < region.y + region.height
  }

  /// A difference's picture, 0 outside it, at a position in the frame; RGB.
  static func addition(_ picture: Tensor, _ place: Similarity, _ p: SIMD2<Double>) -> SIMD3<Double> {
    let side = picture.shape[0]
    let spread = place.scale < 1.5 ? 1 : min(Int(place.scale.rounded(.up)), 8)
    func weights(_ t: Double) -> [Double] {
      let (t2, t3) = (t * t, t * t * t)
      return [(-t + 2 * t2 - t3) / 2, (2 - 5 * t2 + 3 * t3) / 2, (t + 4 * t2 - 3 * t3) / 2, (t3 - t2) / 2]
    }
    var sum = SIMD3<Double>.zero
    for j in 0..<spread {
      for i in 0..<spread {
        let around = SIMD2(Double(i), Double(j)) + 0.5
        let q = place(p.x + around.x / Double(spread) - 0.5, p.y + around.y / Double(spread) - 0.5)
        let (x, y) = (max(-1, min(Double(side), q.x)), max(-1, min(Double(side), q.y)))
        let (x0, y0) = (x.rounded(.down), y.rounded(.down))
        let (wx, wy) = (weights(x - x0), weights(y - y0))
        for v in 0..<4 {
          for u in 0..<4 {
            let (column, row) = (Int(x0) + u - 1, Int(y0) + v - 1)
            guard (0..<side).contains(column), (0..<side).contains(row) else { continue }
            let at = 3 * (row * side + column)
            let rgb = SIMD3((0..<3).map { Double(picture.values[at + $0]) })
            sum += wy[v] * wx[u] * rgb / Double(spread * spread)
          }
        }
      }
    }
    return sum
  }

  /// Pixel position of a sample.
  static func position(_ frame: Frame, _ component: Component, _ x: Int, _ y: Int) -> SIMD2<Double> {
    [
      Double(x << component.shiftX) + (component.shiftX == 1 ? Double(frame.site.x) : 0),
      Double(y << component.shiftY) + (component.shiftY == 1 ? Double(frame.site.y) : 0),
    ]
  }

  /// `level` plus `more`, limited to the valid range unless `level` is outside it.
  static func limited(_ level: Double, plus more: Double, _ frame: Frame, _ c: Int) -> Double {
    let unit = Double(1 << (frame.format.depth - 8))
    let full = frame.colorimetry.range == .full
    let low = full ? 0 : 16 * unit
    let high = full ? 256 * unit - 1 : (c == 0 || frame.format.isRGB ? 235 : 240) * unit
    return max(min(low, level), min(max(high, level), level + more))
  }
}
