// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Plain twins of crop and blend: sample by sample, in `Double`, on the tests' own frames.

import Faces
import Tensors

enum Plain {
  /// Level of component `c` at pixel position (x, y): bilinear, the nearest sample beyond the edges.
  private static func level(_ frame: Frame, _ c: Int, _ x: Double, _ y: Double) -> Double {
    let component = frame.format.components[c]
    let size = component.size(frame.width, frame.height)
    let sx = component.shiftX == 1 ? (x - Double(frame.site.x)) / 2 : x
    let sy = component.shiftY == 1 ? (y - Double(frame.site.y)) / 2 : y
    let (x0, y0) = (sx.rounded(.down), sy.rounded(.down))
    func sample(_ u: Double, _ v: Double) -> Double {
      Double(
        frame[component, Int(max(0, min(Double(size.width - 1), u))), Int(max(0, min(Double(size.height - 1), v)))])
    }
    let (fx, fy) = (sx - x0, sy - y0)
    let above = sample(x0, y0) * (1 - fx) + sample(x0 + 1, y0) * fx
    return above * (1 - fy) + (sample(x0, y0 + 1) * (1 - fx) + sample(x0 + 1, y0 + 1) * fx) * fy
  }

  /// The window `[side, side, 3]` of component levels; `place` from frame px to px of the window of 96.
  static func crop(_ frame: Frame, _ place: Similarity, side: Int) -> [SIMD3<Double>] {
    let k = 96 / Double(side)
    let scale = place.scale / k
    let fine = scale < 0.7 ? min(max(Int((0.6 / scale).rounded(.up)), 2), 8) : 1
    let reach = fine > 1 ? Int((1.2 * Double(fine)).rounded(.up)) : 0
    func tap(_ i: Int) -> Double {
      let t = Double(i) / Double(fine) / 0.4
      return exponential(-t * t / 2)
    }
    let total = (-reach...reach).map(tap).reduce(0, +)
    return (0..<side * side).map { i in
      var sum = SIMD3<Double>.zero
      for v in -reach...reach {
        for u in -reach...reach {
          let (x, y) = (Double(i % side) + Double(u) / Double(fine), Double(i / side) + Double(v) / Double(fine))
          let p = place.inverse(x * k, y * k)
          let levels = SIMD3(level(frame, 0, p.x, p.y), level(frame, 1, p.x, p.y), level(frame, 2, p.x, p.y))
          sum += tap(u) * tap(v) / total / total * levels
        }
      }
      return sum
    }
  }

  private static func exponential(_ x: Double) -> Double {
    (0..<60).reversed().reduce(1) { 1 + x / Double($1 + 1) * $0 }
  }

  /// The levels that component `c` has after `colors` (the window's levels) have been blended in with the mask.
  static func blended(
    _ colors: [SIMD3<Double>], into frame: Frame, _ c: Int, _ place: Similarity, side: Int, top: Double
  )
    -> [Double]
  {
    let (component, k) = (frame.format.components[c], 96 / Double(side))
    let size = component.size(frame.width, frame.height)
    let scale = place.scale / k
    let spread = scale < 1.5 ? 1 : min(Int(scale.rounded(.up)), 8)
    return (0..<size.height).flatMap { y in
      (0..<size.width).map { x in
        var (share, pixels) = (0.0, 0.0)
        for v in y << component.shiftY..<min((y + 1) << component.shiftY, frame.height) {
          for u in x << component.shiftX..<min((x + 1) << component.shiftX, frame.width) {
            let p = place(Double(u), Double(v))
            share += mask(p.x, p.y, top: top * k)
            pixels += 1
          }
        }
        var color = 0.0
        for i in 0..<spread * spread where share > 0 {
          let (u, v) = (
            (Double(i % spread) + 0.5) / Double(spread) - 0.5, (Double(i / spread) + 0.5) / Double(spread) - 0.5
          )
          let p = place(
            Double(x << component.shiftX) + (component.shiftX == 1 ? Double(frame.site.x) : 0) + u,
            Double(y << component.shiftY) + (component.shiftY == 1 ? Double(frame.site.y) : 0) + v)
          color += cubic(colors, c, side, p.x / k, p.y / k) / Double(spread * spread)
        }
        let old = Double(frame[component, x, y])
        return old + share / pixels * (color - old)
      }
    }
  }

  private static func mask(_ x: Double, _ y: Double, top: Double) -> Double {
    let (dx, dy) = (max(abs(x - 48) - 10, 0), max(y - 60, 0))
    let ramps = [(y - top) / 6, (34 - (dx * dx + dy * dy).squareRoot()) / 10].map { max(0, min(1, $0)) }
    return ramps.map { $0 * $0 * (3 - 2 * $0) }.reduce(1, *)
  }

  /// Catmull-Rom, the border repeated.
  private static func cubic(_ colors: [SIMD3<Double>], _ c: Int, _ side: Int, _ x: Double, _ y: Double) -> Double {
    let (x, y) = (max(0, min(Double(side - 1), x)), max(0, min(Double(side - 1), y)))
    func weights(_ t: Double) -> [Double] {
      let (t2, t3) = (t * t, t * t * t)
      return [(-t + 2 * t2 - t3) / 2, (2 - 5 * t2 + 3 * t3) / 2, (t + 4 * t2 - 3 * t3) / 2, (t3 - t2) / 2]
    }
    func inside(_ i: Int) -> Int { max(0, min(side - 1, i)) }
    let (wx, wy) = (weights(x - x.rounded(.down)), weights(y - y.rounded(.down)))
    var sum = 0.0
    for v in 0..<4 {
      for u in 0..<4 { sum += wy[v] * wx[u] * colors[inside(Int(y) + v - 1) * side + inside(Int(x) + u - 1)][c] }
    }
    return sum
  }
}
