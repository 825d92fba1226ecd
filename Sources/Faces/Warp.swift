// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The warp of a moved face: a mesh of triangles, each mapped from its position in the source picture to its target. The
// map is affine within a triangle and continuous over the mesh.

import Tensors

/// A piecewise affine map from positions in a frame to positions in the same or another frame, px. Positions outside
/// all triangles do not move.
///
/// Triangles without area cover nothing. Those with a point that is NaN, more than 65536 px away, or missing are
/// ignored.
public struct Warp: Sendable {
  /// The pixels that may change; those outside do not.
  public let region: Region
  let corners: [SIMD4<Float>]  // three for each triangle: destination, and displacement to the source (x, y, u, v)
  let destination: [SIMD2<Float>]
  private let triangles: [SIMD3<Int32>]

  /// Moves `source` to `destination` (points of a mesh, px; integers are pixel centres). Where triangles (three indices
  /// each) overlap, the last one wins.
  public init(
    from source: [SIMD2<Float>], to destination: [SIMD2<Float>], triangles: [SIMD3<Int32>], in region: Region
  ) {
    (self.region, self.destination, self.triangles) = (region, destination, triangles)
    var corners: [SIMD4<Float>] = []
    corners.reserveCapacity(3 * triangles.count)
    for triangle in triangles {
      let start = corners.count
      for i in [triangle.x, triangle.y, triangle.z] {
        guard i >= 0, i < destination.count, i < source.count else { break }
        let (to, from) = (destination[Int(i)], source[Int(i)])
        guard to.isNear, from.isNear else { break }
        corners.append(SIMD4(lowHalf: to, highHalf: from - to))
      }
      if corners.count < start + 3 { corners.removeLast(corners.count - start) }
    }
    self.corners = corners
  }

  /// The same destination mesh, read from another source.
  func from(_ source: [SIMD2<Float>]) -> Warp { Warp(from: source, to: destination, triangles: triangles, in: region) }

  /// The pixels that may be read in the source, together with `region`.
  func looked(_ region: Region) -> Region {
    // The bounds of the source points, plus two px for the cubic and half a footprint in chroma samples.
    let places = corners.lazy.map { $0.lowHalf + $0.highHalf }
    guard let first = places.first else { return region }
    let (low, high) = places.reduce((first, first)) { (pointwiseMin($0.0, $1), pointwiseMax($0.1, $1)) }
    let looked = Region(from: low, to: high, reach: 2 + DisplacementField.longest)
    let (x, y) = (min(region.x, looked.x), min(region.y, looked.y))
    return Region(
      x: x, y: y, width: max(region.x + region.width, looked.x + looked.width) - x,
      height: max(region.y + region.height, looked.y + looked.height) - y)
  }
}

/// A warp as displacements on the sample grid of a component, in units of its samples.
struct DisplacementField {
  /// The maximum length of a footprint, samples.
  static let longest: Float = 8
  /// The shrinking, in each direction, from which one sample is not enough.
  private static let dense: Float = 1.4

  /// The displacements of a row's samples, and the kinds for `warpLine`.
  struct Lines {
    let across, down: UnsafeMutablePointer<Float>
    let kinds: UnsafeMutablePointer<Int32>

    /// Bytes for `count` samples.
    static func size(_ count: Int) -> Int { 12 * count }

    init(_ memory: UnsafeMutableRawPointer, _ count: Int) {
      across = memory.bindMemory(to: Float.self, capacity: count)
      down = (memory + 4 * count).bindMemory(to: Float.self, capacity: count)
      kinds = (memory + 8 * count).bindMemory(to: Int32.self, capacity: count)
    }

    private init(
      _ across: UnsafeMutablePointer<Float>, _ down: UnsafeMutablePointer<Float>, _ kinds: UnsafeMutablePointer<Int32>
    ) {
      (self.across, self.down, self.kinds) = (across, down, kinds)
    }

    static func + (lines: Lines, count: Int) -> Lines {
      Lines(lines.across + count, lines.down + count, lines.kinds + count)
    }
  }

  private struct Triangle {
    let top, middle, bottom: SIMD4<Float>  // by y
    let rows: Range<Int>
    let kind: Int32
  }

  private var triangles: [Triangle] = []
  private(set) var footprints: [SIMD4<Float>] = []

  /// Uses the triangles that touch `rows` of the samples.
  init(_ warp: Warp, _ samples: Samples, rows: Range<Int>) {
    let scale = SIMD4(lowHalf: samples.scale, highHalf: samples.scale)
    let offset = SIMD4(lowHalf: samples.offset, highHalf: .zero)
    triangles.reserveCapacity(warp.corners.count / 3)
    for i in stride(from: 0, to: warp.corners.count, by: 3) {
      var (a, b, c) = (warp.corners[i], warp.corners[i + 1], warp.corners[i + 2])
      (a, b, c) = (a * scale + offset, b * scale + offset, c * scale + offset)
      if b.y < a.y { swap(&a, &b) }
      if c.y < b.y { swap(&b, &c) }
      if b.y < a.y { swap(&a, &b) }
      let covered = (ceiling(a.y)..<ceiling(c.y)).clamped(to: rows)
      guard !covered.isEmpty else { continue }
      triangles.append(Triangle(top: a, middle: b, bottom: c, rows: covered, kind: kind(a, b, c)))
    }
  }

  /// 0 where the map does not shrink; otherwise the number of samples in each direction, up to 4, and the index of a
  /// new footprint, which is the area that one sample covers in the source.
  private mutating func kind(_ a: SIMD4<Float>, _ b: SIMD4<Float>, _ c: SIMD4<Float>) -> Int32 {
    let (e, f) = (b - a, c - a)
    let (s, t) = (e.lowHalf + e.highHalf, f.lowHalf + f.highHalf)
    let area = e.x * f.y - e.y * f.x
    let (x, y) = ((s * f.y - t * e.y) / area, (t * e.x - s * f.x) / area)
    // The largest stretch of a unit step: the greater singular value.
    let (xx, yy, xy) = ((x * x).sum(), (y * y).sum(), (x * y).sum())
    let length = ((xx + yy) / 2 + ((xx - yy) * (xx - yy) / 4 + xy * xy).squareRoot()).squareRoot()
    guard length > Self.dense, length.isFinite else { return 0 }
    footprints.append(SIMD4(lowHalf: x, highHalf: y) * min(1, Self.longest / length))
    let samples = Int32(min((length / Self.dense).rounded(.up), 4))
    return Int32(truncatingIfNeeded: footprints.count - 1) << 3 | samples
  }

  /// Writes the displacements of the samples `columns` x `rows`, in lines of `stride`, plus 8 samples beyond the columns.
  ///
  /// A sample on an edge between two triangles belongs to exactly one of them: the one to the right of the edge, rows
  /// from its upper end inclusive to its lower end exclusive. Both triangles compute the edge's position identically.
  func write(rows: Range<Int>, columns: Range<Int>, to lines: Lines, stride: Int) {
    for row in rows {
      let (line, count) = (lines + (row - rows.lowerBound) * stride, columns.count + 8)
      line.across.update(repeating: 0, count: count)
      line.down.update(repeating: 0, count: count)
      line.kinds.update(repeating: 0, count: count)
    }
    for triangle in triangles where triangle.rows.overlaps(rows) {
      let long = Edge(triangle.top, triangle.bottom)
      let (upper, lower) = (Edge(triangle.top, triangle.middle), Edge(triangle.middle, triangle.bottom))
      for row in triangle.rows.clamped(to: rows) {
        let y = Float(row)
        var (left, right) = (long.at(y), y < triangle.middle.y ? upper.at(y) : lower.at(y))
        if right.x < left.x { swap(&left, &right) }
        let (first, end) = (max(ceiling(left.x), columns.lowerBound), min(ceiling(right.x), columns.upperBound))
        guard first < end else { continue }
        let step = (right - left) / max(right.x - left.x, 0x1p-10)
        let start = left + (Float(first) - left.x) * step
        let line = lines + ((row - rows.lowerBound) * stride + first - columns.lowerBound)
        kernels.spanLine(
          u: start.z, v: start.w, du: step.z, dv: step.w, kind: triangle.kind, count: end - first, line.across,
          line.down, line.kinds)
      }
    }
  }

  private struct Edge {
    private let start, move: SIMD4<Float>

    init(_ start: SIMD4<Float>, _ end: SIMD4<Float>) { (self.start, move) = (start, end - start) }

    /// The edge's values in row `y`, which it must cross.
    @inline(__always)
    func at(_ y: Float) -> SIMD4<Float> { start + (y - start.y) / move.y * move }
  }
}
