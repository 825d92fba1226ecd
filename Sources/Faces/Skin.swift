// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The skin around the lips (twin of `skin_levels`, `compare_skin`, `spread` and `skin` in Sources/Training/data/warp.py).
// Speech stretches and shades it, so it is shown from the same frame as the lips, but only where that frame and this one
// show the same thing: not where a hand, a microphone, or a shadow is in one of them.

import Tensors

package enum Skin {
  /// Its outline on the mesh: under the nose, along the cheeks, inside the edge of the jaw.
  package static let outline = [
    2, 97, 98, 203, 206, 207, 214, 135, 169, 170, 140, 171, 175, 396, 369, 395, 394, 364, 434, 427, 426, 423, 327, 326,
  ]
  /// The points of the mesh inside and on it, without the lips.
  package static let points = [
    2, 18, 32, 43, 57, 83, 92, 97, 98, 106, 135, 140, 164, 165, 167, 169, 170, 171, 175, 182, 186, 194, 199, 200, 201,
    202, 203, 204, 206, 207, 208, 210, 211, 212, 214, 216, 262, 273, 287, 313, 322, 326, 327, 335, 364, 369, 391, 393,
    394, 395, 396, 406, 410, 418, 421, 422, 423, 424, 426, 427, 428, 430, 431, 432, 434, 436,
  ]
  /// The soft border inside the outline, outer eye distances.
  static let feather: Float = 0.2
  /// The distance between neighbouring points, about, outer eye distances.
  static let cell: Float = 0.08
  private static let reach: Float = 0.04  // outer eye distances around a point over which its levels are averaged
  /// The largest offset, as a fraction of a component's range.
  private static let mostOffset: Float = 0.12
  /// Differences, as a fraction of a component's range: speech makes those up to `alike`, and none from `unlike` on.
  private static let (alike, unlike): (Float, Float) = (0.06, 0.12)

  /// The mean levels around each of `points` in a patch; nil at those outside it. `mesh`: the face's inset
  /// mesh in its frame.
  package static func levels(_ patch: Patch, _ mesh: [SIMD2<Float>]) -> [SIMD3<Float>?] {
    guard mesh.count == FaceMeshPoints.ringed else { return points.map { _ in nil } }
    let across = mesh[FaceMeshPoints.eyes.1] - mesh[FaceMeshPoints.eyes.0]
    let reach = Self.reach * (across * across).sum().squareRoot()
    return points.map { patch.mean(around: mesh[$0], reach: reach) }
  }

  /// How two frames' levels at `points` compare. `offset`: the difference that most points share, which is light and
  /// white balance; at most 12 % of a component's range, 0 if nothing can be compared. `gates`: for each point 1 where
  /// the two are the same but for that, 0 where they are not; all 0 if one of them lacks a point.
  package static func compare(
    _ own: [SIMD3<Float>?], _ other: [SIMD3<Float>?], range: SIMD3<Float>
  ) -> (offset: SIMD3<Float>, gates: [Float]) {
    let differences = zip(own, other).map { own, other in own.flatMap { own in other.map { (own - $0) / range } } }
    let known = differences.compactMap(\.self)
    guard !known.isEmpty else { return (.zero, differences.map { _ in 0 }) }
    var offset = SIMD3<Float>.zero
    for c in 0..<3 {
      let middle = known.map { $0[c] }.sorted()[known.count / 2]
      offset[c] = min(max(middle, -mostOffset), mostOffset)
    }
    let isWhole = known.count == differences.count  // else there is not all of the skin
    let gates = differences.map { difference -> Float in
      guard isWhole, let difference else { return 0 }
      let rest = difference - offset
      return smooth((unlike - max(rest.max(), -rest.min())) / (unlike - alike))
    }
    return (offset * range, gates)
  }
}

/// Gates at scattered points, spread over a region: on a grid, their means weighted by nearness, linear in between. Means
/// up to 0.5 are 0, so that a point that is not the same closes its surroundings, and 0.5 ... 1 become 0 ... 1.
package struct Spread {
  private let region: Region
  private let cell: Float  // px
  private let columns: Int
  private let values: [Float]  // at the grid's points, the first at the region's first pixel

  /// `values`, 0 ... 1, at `points`, px; 0 where no point is within three cells. `cell`: px, at least 1.
  package init(_ values: [Float], at points: [SIMD2<Float>], cell: Float, over region: Region) {
    let cell = cell > 1 ? min(cell, 4096) : 1
    let (columns, rows) = (Int(Float(region.width) / cell) + 2, Int(Float(region.height) / cell) + 2)
    let origin = SIMD2(Float(region.x), Float(region.y))
    let places = points.map { $0.isNear ? ($0 - origin) / cell : SIMD2(repeating: -9) }
    self.values = (0..<columns * rows).map { i in
      let at = SIMD2(Float(i % columns), Float(i / columns))
      var sum = SIMD2<Float>(0, 1e-6)
      for (value, place) in zip(values, places) {
        let way = at - place
        let near = max(1 - (way * way).sum() / 9, 0)
        sum += near * near * near * near * [value, 1]
      }
      return max(2 * sum.x / sum.y - 1, 0)
    }
    (self.region, self.cell, self.columns) = (region, cell, columns)
  }

  /// Multiplies `out`, which are the pixels of a row of the region.
  package func multiply(row: Int, _ out: UnsafeMutablePointer<Float>) {
    let y = Float(row) / cell
    let (upper, t) = (Int(y) * columns, y - Float(Int(y)))
    let line = (0..<columns).map { values[upper + $0] + t * (values[upper + columns + $0] - values[upper + $0]) }
    for i in 0..<region.width {
      let x = Float(i) / cell
      let column = Int(x)
      out[i] *= line[column] + (x - Float(column)) * (line[column + 1] - line[column])
    }
  }
}
