// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A face's mesh without its pose, and the meaning of its points (twin of Sources/Training/data/geometry.py).

/// Indices of mesh points.
package enum FaceMeshPoints {
  package static let count = 468
  /// Points that speech does not move, which determine the pose.
  static let rigid = [
    10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284, 162, 389, 21, 251,
  ]
  /// The outer corners of the eyes, right and left.
  static let eyes = (33, 263)
  /// The edges of the lips, from the right corner of the mouth to the left one, upper and lower.
  static let upperInner = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
  static let lowerInner = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
  static let upperOuter = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
  static let lowerOuter = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
  /// The same as closed outlines.
  static let inner = upperInner + lowerInner.dropFirst().dropLast().reversed()
  static let outer = upperOuter + lowerOuter.dropFirst().dropLast().reversed()
  /// Upper and lower points of the inner lip edges in pairs, without the corners; and the pairs whose mean gap is the
  /// opening.
  package static let pairs = Array(zip(upperInner, lowerInner).dropFirst().dropLast())
  static let middle = Array(pairs[3..<6])
  /// The outline of the mesh, and points whose mean is the centre of the rings around it.
  static let oval = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
  ]
  static let nose = [4, 195, 1]
  package static let chin = 152
  /// Rings outside the oval: their distance from the nose relative to the oval's, and the fraction of the oval's motion
  /// that they follow.
  static let rings: [(far: Float, share: Float)] = [(1.14, 0.45), (1.42, 0)]
  /// The number of points of a mesh with rings.
  package static let ringed = count + rings.count * oval.count
}

/// The 468 points of a face in its own coordinates: origin midway between the outer eye corners, unit their distance, x
/// to the viewer's right, y down, z into the head.
///
/// Always valid: all points exist and are within 100 eye distances.
public struct FaceShape: Equatable, Sendable {
  public internal(set) var points: [SIMD3<Float>]

  public init?(_ points: [SIMD3<Float>]) {
    guard points.count == FaceMeshPoints.count, points.allSatisfy({ ($0 * $0).sum() <= 1e4 }) else { return nil }
    self.points = points
  }

  /// Mean gap between the lips, outer eye distances.
  public var opening: Float {
    let gaps = FaceMeshPoints.middle.map { upper, lower in
      let gap = points[lower] - points[upper]
      return (gap.x * gap.x + gap.y * gap.y).squareRoot()
    }
    return gaps.reduce(0, +) / Float(gaps.count)
  }
}

/// A mesh in a frame, px: 540 points, including rings around the face's oval, over which the motion fades out.
public struct RingedMesh: Sendable {
  private static let inset: Float = 0.14  // of the lip's height
  private static let insetFrom: Float = 0.04  // outer eye distances, the gap from which the inset is full
  private static let grown = SIMD2<Float>(1.10, 1.22)  // horizontally, vertically
  private static let trace: Float = 1e-5  // squared outer eye distances: smaller triangles count as flat
  private static let rounds = 24  // maximum iterations; most faces need at most five
  private static let isInner = (0..<FaceMeshPoints.ringed).map { FaceMeshPoints.inner.contains($0) }

  public private(set) var points: [SIMD2<Float>]

  /// nil unless there are 468 points.
  public init?(_ points: [SIMD3<Float>]) {
    guard points.count == FaceMeshPoints.count else { return nil }
    self.points = points.map { [$0.x, $0.y] }
    let centre = self.points(FaceMeshPoints.nose).reduce(.zero, +) / Float(FaceMeshPoints.nose.count)
    for ring in FaceMeshPoints.rings {
      self.points += self.points(FaceMeshPoints.oval).map { centre + ring.far * ($0 - centre) }
    }
  }

  /// The mesh moved to `points`, 468 of them; the rings follow the oval's motion in part. nil for another number of
  /// points.
  public func moved(to points: [SIMD3<Float>]) -> RingedMesh? {
    guard points.count == FaceMeshPoints.count else { return nil }
    var moved = self
    for (i, point) in points.enumerated() { moved.points[i] = [point.x, point.y] }
    var i = FaceMeshPoints.count
    for ring in FaceMeshPoints.rings {
      for j in FaceMeshPoints.oval {
        moved.points[i] += ring.share * (moved.points[j] - self.points[j])
        i += 1
      }
    }
    return moved
  }

  /// Twice the signed area of a triangle, px squared: positive if it faces the camera.
  package func area(_ triangle: SIMD3<Int32>) -> Float {
    let a = points[Int(triangle.x)]
    return cross(points[Int(triangle.y)] - a, points[Int(triangle.z)] - a)
  }

  /// Whether a triangle is visible: it faces the camera, or lies between the lips, where the points of a closed mouth
  /// may be in any order.
  package func shows(_ triangle: SIMD3<Int32>) -> Bool { area(triangle) > 0 || Self.isBetweenLips(triangle) }

  private static func isBetweenLips(_ triangle: SIMD3<Int32>) -> Bool {
    isInner[Int(triangle.x)] && isInner[Int(triangle.y)] && isInner[Int(triangle.z)]
  }

  /// This mesh, which was moved from `before`, with motions shortened until no triangle flips: the corners of such a
  /// triangle stop where it becomes flat. nil if that fails. `unit`: outer eye distance, px.
  public func unfolded(from before: RingedMesh, _ triangles: [SIMD3<Int32>], unit: Float) -> RingedMesh? {
    var mesh = self
    let trace = Self.trace * unit * unit
    for _ in 0..<Self.rounds {
      var limits = [Float](repeating: 1, count: points.count)
      var isFolded = false
      for triangle in triangles {
        let (old, new) = (before.area(triangle), mesh.area(triangle))
        guard old > 0 ? new < -trace : new > trace && old < 0 && !Self.isBetweenLips(triangle) else { continue }
        isFolded = true
        let limit = mesh.flat(triangle, from: before)
        for i in 0..<3 { limits[Int(triangle[i])] = min(limits[Int(triangle[i])], limit) }
      }
      if !isFolded { return mesh }
      for (i, limit) in limits.enumerated() where limit < 1 {
        mesh.points[i] = before.points[i] + limit * (mesh.points[i] - before.points[i])
      }
    }
    return nil
  }

  /// The fraction of the way from `before`, 0 ... 1, at which a flipping triangle has no area.
  private func flat(_ triangle: SIMD3<Int32>, from before: RingedMesh) -> Float {
    func sides(_ points: [SIMD2<Float>]) -> (SIMD2<Float>, SIMD2<Float>) {
      let a = points[Int(triangle.x)]
      return (points[Int(triangle.y)] - a, points[Int(triangle.z)] - a)
    }
    let ((e, f), (g, h)) = (sides(before.points), sides(points))
    let (u, v) = (g - e, h - f)
    // The area at fraction t of the way is a + b t + c t^2. The roots are computed without cancellation.
    let (a, b, c) = (cross(e, f), cross(e, v) + cross(u, f), cross(u, v))
    let q = -(b + (b < 0 ? -1 : 1) * max(b * b - 4 * a * c, 0).squareRoot()) / 2
    return [q / c, a / q].filter { $0 > 0 && $0 < 1 }.min() ?? 0
  }

  /// The mesh with its inner lip edges moved into the lips. Reading pixels there keeps teeth off the lip edges of a
  /// mouth that a warp closes. `unit`: outer eye distance, px.
  public func inset(unit: Float) -> RingedMesh {
    var inset = self
    let (inner, outer) = (FaceMeshPoints.pairs, zip(FaceMeshPoints.upperOuter, FaceMeshPoints.lowerOuter).dropFirst())
    for ((a, c), (b, d)) in zip(inner, outer) {
      let gap = points[a] - points[c]
      let k = Self.inset * min((gap * gap).sum().squareRoot() / (Self.insetFrom * max(unit, 0.01)), 1)
      inset.points[a] += k * (points[b] - points[a])
      inset.points[c] += k * (points[d] - points[c])
    }
    return inset
  }

  /// Closed outlines: between the lips, and around the lips.
  package var inner: [SIMD2<Float>] { points(FaceMeshPoints.inner) }
  package var outer: [SIMD2<Float>] { points(FaceMeshPoints.outer) }

  /// The enlarged lip outline, inside which the mouth is taken from another frame.
  public var mouth: [SIMD2<Float>] {
    let outline = outer
    let middle = outline.reduce(.zero, +) / Float(outline.count)
    return outline.map { middle + ($0 - middle) * Self.grown }
  }

  private func points(_ indices: [Int]) -> [SIMD2<Float>] { indices.map { points[$0] } }
}

private func cross(_ a: SIMD2<Float>, _ b: SIMD2<Float>) -> Float { a.x * b.y - a.y * b.x }
