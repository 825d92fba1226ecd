// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The naive twin of crop: sample by sample, in `Double`, on the tests' own frames.

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

  /// The window `[side, side, 3]` of component levels; `place` maps frame px to template px.
  static func crop(_ frame: Frame, _ place: Similarity, side: Int) -> [SIMD3<Double>] {
    let k = 80 / Double(side)
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
}
