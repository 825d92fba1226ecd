// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The geometry of mouth motion (twin of `Basis` and its functions in Sources/Training/data/geometry.py, learned by
// data/shape.py). Speech moves a face by 12 coefficients: offsets of the lower face from the person's closed mouth,
// along principal components, in standard deviations of the training speakers. To give a face another mouth, the
// difference of the two mouths' offsets is added to its points, so everything that is not speech is preserved,
// including the landmarks' noise.

import Glibc
import Tensors

/// A person's closed mouth: the points of the lower face `[L, 3]` in the face's own coordinates.
public typealias ClosedMouth = [SIMD3<Float>]

public struct Geometry: Sendable {
  /// The gap that the landmarks leave between closed lips, outer eye distances.
  private static let closedGap: Float = 0.004
  /// Openings that audio leaves undecided (`decided`), outer eye distances.
  private static let undecided: (shut: Float, open: Float) = (0.02, 0.07)
  /// The limit of a coefficient, standard deviations.
  private static let most: Float = 20
  /// Cosines for `facing`: above `most`, a point that faces the camera in a frontal face counts as facing it fully;
  /// `least` is the lower limit.
  private static let facing: (most: Float, least: Float) = (0.25, 0.05)

  /// The mean face: 468 points in face coordinates.
  public let canonical: [SIMD3<Float>]
  /// The triangles of the mesh and its rings in drawing order, the lips last. All have the same winding where they face
  /// the camera (`RingedMesh.area`).
  public let triangles: [SIMD3<Int32>]
  /// The L points that coefficients move.
  public let low: [Int]
  private let components: [[SIMD3<Float>]]  // [12][L]: the offset of every point for one unit of a coefficient
  private let analysis: [[SIMD3<Float>]]  // [12][L]: the dot product with offsets gives the coefficients
  private let gap: [Float]  // [12]: how far one unit of each coefficient opens the lips, outer eye distances
  private let middle: [(upper: Int, lower: Int)]  // indices into `low` of the points between which the gap is measured
  private let normals: [SIMD3<Float>]  // [L]: unit normals of the canonical face's lower points

  /// Takes the tensors `geometry.*`. `coefficients`: the number that `LipsHead` predicts.
  public init(_ w: Weights, coefficients: Int) {
    let name = "geometry"
    func points(_ part: String, _ shape: [Int], within most: Float) -> [SIMD3<Float>] {
      let values = w.take("\(name).\(part)", shape + [3]).values
      if values.contains(where: { abs($0) > most }) { w.report("\(name).\(part) holds values beyond \(most)") }
      return (0..<values.count / 3).map { [values[3 * $0], values[3 * $0 + 1], values[3 * $0 + 2]] }
    }
    func indices(_ part: String, _ rows: ClosedRange<Int>, _ row: [Int], below end: Int) -> [Int] {
      let values = w.take("\(name).\(part)", rows: rows, row).values
      let indices = values.map { Int(exactly: $0).flatMap { (0..<end).contains($0) ? $0 : nil } }
      if let wrong = zip(values, indices).first(where: { $0.1 == nil }) {
        w.report("\(name).\(part) holds \(wrong.0), which is no point")
      }
      return indices.map { $0 ?? 0 }
    }
    let canonical = points("canonical", [FaceMeshPoints.count], within: 10)
    if Pose(of: canonical, canonical: canonical) == nil { w.report("\(name).canonical is no face") }
    let low = indices("low", 1...FaceMeshPoints.count, [], below: FaceMeshPoints.count)
    if !zip(low, low.dropFirst()).allSatisfy(<) { w.report("\(name).low does not rise") }
    let missing = Set(FaceMeshPoints.inner + FaceMeshPoints.outer).subtracting(low).sorted()
    if !missing.isEmpty { w.report("\(name).low lacks the lips' points \(missing)") }
    let corners = indices("triangles", 1...10_000, [3], below: FaceMeshPoints.ringed)
    let size = low.count
    func rows(_ part: String, within most: Float) -> [[SIMD3<Float>]] {
      let all = points(part, [coefficients, size], within: most)
      return (0..<coefficients).map { Array(all[$0 * size..<($0 + 1) * size]) }
    }
    let components = rows("components", within: 10)
    middle = FaceMeshPoints.middle.compactMap { upper, lower in
      guard let upper = low.firstIndex(of: upper), let lower = low.firstIndex(of: lower) else { return nil }
      return (upper, lower)
    }
    gap = components.map { [middle] in Self.gap($0, middle) }
    if !(Self.dot(gap, gap) > 1e-9) { w.report("\(name).components do not open the lips") }
    (self.canonical, self.low, self.components, analysis) = (canonical, low, components, rows("analysis", within: 1e4))
    let mesh = RingedMesh(canonical)
    triangles = stride(from: 0, to: corners.count, by: 3).map { i in
      let corners = corners[i..<i + 3].map { Int32($0) }
      let triangle = SIMD3(corners[0], corners[1], corners[2])
      return mesh.map { $0.area(triangle) < 0 } ?? false ? [triangle.x, triangle.z, triangle.y] : triangle
    }
    let normals = Self.normals(canonical, triangles)
    self.normals = low.map { normals[$0] }
  }

  /// The coefficients of a face's mouth.
  public func coefficients(_ shape: FaceShape, _ closed: ClosedMouth) -> [Float] {
    let offsets = zip(low, closed).map { shape.points[$0] - $1 }
    return analysis.map { analysis in
      zip(analysis, offsets).reduce(SIMD3<Float>.zero) { $0 + $1.0 * $1.1 }.sum()
    }
  }

  /// The offsets of the lower face's points for these coefficients. Coefficients are limited to 20; NaN counts as 0.
  func offsets(_ coefficients: [Float]) -> [SIMD3<Float>] {
    var offsets = [SIMD3<Float>](repeating: .zero, count: low.count)
    for (coefficient, component) in zip(coefficients, components) where !coefficient.isNaN {
      let coefficient = min(max(coefficient, -Self.most), Self.most)
      for i in offsets.indices { offsets[i] += coefficient * component[i] }
    }
    return offsets
  }

  /// The coefficients, changed by the smallest amount that limits the opening to `most` (outer eye distances).
  public func limited(_ coefficients: [Float], to most: Float) -> [Float] {
    let excess = max(Self.dot(coefficients, gap) - most, 0)
    return zip(coefficients, likeliest(excess)).map { $0 - $1 }
  }

  /// Predicted coefficients, changed by the smallest amount that makes the lips either shut or open. Where audio does
  /// not tell whether lips are shut, a prediction is the mean of both, half open, as real lips are only in passing.
  /// Openings of 0 ... 0.02 outer eye distances become 0, those up to 0.07 are spread over 0 ... 0.07, others are kept.
  public func decided(_ coefficients: [Float]) -> [Float] {
    let (opening, (shut, open)) = (Self.dot(coefficients, gap), Self.undecided)
    guard opening > 0, opening < open else { return coefficients }
    let changed = opening - open * smooth((opening - shut) / (open - shut))
    return zip(coefficients, likeliest(changed)).map { $0 - $1 }
  }

  /// Coefficients without their component along the opening.
  package func unopened(_ coefficients: [Float]) -> [Float] {
    zip(coefficients, likeliest(Self.dot(coefficients, gap))).map { $0 - $1 }
  }

  /// A lower face with its gap reduced to that of closed lips.
  func closed(_ mouth: ClosedMouth) -> ClosedMouth {
    let excess = max(Self.gap(mouth, middle) - Self.closedGap, 0)
    return zip(mouth, offsets(likeliest(excess))).map { $0 - $1 }
  }

  /// How much of its motion each of the lower face's points gets in this pose, 0 ... 1: all where it faces the camera,
  /// less towards the head's outline, none on the far side, where it is hidden. A frontal face moves as a whole.
  public func facing(_ pose: Pose) -> [Float] {
    zip(normals, pose.turned(normals)).map { normal, turned in
      smooth(-turned.z / Float(pose.scale) / min(max(-normal.z, Self.facing.least), Self.facing.most))
    }
  }

  /// The shape with its mouth's coefficients changed from `now` to `wanted`; lips are kept from crossing. `facing`: the
  /// fraction of its motion that each point gets; nil: all of it.
  public func shape(
    _ shape: FaceShape, from now: [Float], to wanted: [Float], facing: [Float]? = nil
  ) -> FaceShape {
    var shape = shape
    let offsets = offsets(zip(wanted, now).map { $0 - $1 })
    for (i, point) in low.enumerated() { shape.points[point] += (facing?[i] ?? 1) * offsets[i] }
    for (upper, lower) in FaceMeshPoints.pairs where shape.points[upper].y > shape.points[lower].y {
      let middle = (shape.points[upper].y + shape.points[lower].y) / 2
      (shape.points[upper].y, shape.points[lower].y) = (middle, middle)
    }
    return shape
  }

  /// The smallest coefficients (least squares) that open the lips this far.
  private func likeliest(_ opening: Float) -> [Float] {
    let scale = opening / Self.dot(gap, gap)
    return gap.map { scale * $0 }
  }

  /// Outward unit normals at the points of a face (0 for a point in no triangle). Smoothed, because lips are convex.
  private static func normals(_ points: [SIMD3<Float>], _ triangles: [SIMD3<Int32>]) -> [SIMD3<Float>] {
    let faces = triangles.map { [Int($0.x), Int($0.y), Int($0.z)] }.filter { face in
      face.allSatisfy { $0 < points.count }
    }
    func sums(_ share: ([Int]) -> SIMD3<Float>) -> [SIMD3<Float>] {
      var sums = [SIMD3<Float>](repeating: .zero, count: points.count)
      for face in faces {
        let normal = share(face)
        for corner in face { sums[corner] += normal }
      }
      return sums.map { $0 / max(($0 * $0).sum().squareRoot(), 1e-9) }
    }
    let sharp = sums { face in
      let (a, b) = (points[face[1]] - points[face[0]], points[face[2]] - points[face[0]])
      let normal = SIMD3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)
      return normal.z > 0 ? -normal : normal
    }
    return sums { face in face.reduce(.zero) { $0 + sharp[$1] } }
  }

  private static func dot(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  /// The mean vertical distance of lower points below upper ones.
  private static func gap(_ points: [SIMD3<Float>], _ pairs: [(upper: Int, lower: Int)]) -> Float {
    pairs.reduce(0) { $0 + points[$1.lower].y - points[$1.upper].y } / Float(max(pairs.count, 1))
  }
}

/// Estimates a person's closed mouth while the stream runs: a weighted mean of the lower face, in which frames count
/// more the less the mouth is open and the more recent they are. The gap that remains is then closed.
public struct Neutral: Sendable {
  private static let soft: Float = 0.015  // outer eye distances: the opening at which a frame's weight is 1 / e
  private static let memory: Float = 20  // seconds

  private let geometry: Geometry
  /// Accumulated over the frames so far: the weighted sum of the lower face's points `[L, 3]`, and the sum of weights,
  /// 0 ... 21.
  public private(set) var total: [SIMD3<Float>]
  public private(set) var weight: Float

  public init(_ geometry: Geometry) {
    self.init(geometry, total: [SIMD3<Float>](repeating: .zero, count: geometry.low.count), weight: 0)
  }

  /// Restores the state after earlier frames.
  public init(_ geometry: Geometry, total: [SIMD3<Float>], weight: Float) {
    precondition(total.count == geometry.low.count, "the lower face's points")
    (self.geometry, self.total, self.weight) = (geometry, total, weight)
  }

  /// Adds a frame `seconds` after the previous one (clamped to 1 ms ... 0.5 s), and returns the closed mouth.
  public mutating func callAsFunction(_ shape: FaceShape, after seconds: Double) -> ClosedMouth {
    let seconds = Float(seconds > 0.001 ? min(seconds, 0.5) : 0.001)
    let share = max(exp(-shape.opening / Self.soft), 1e-4) * seconds
    let keep = exp(-seconds / Self.memory)
    weight = keep * weight + share
    for (i, point) in geometry.low.enumerated() { total[i] = keep * total[i] + share * shape.points[point] }
    return geometry.closed(total.map { $0 / weight })
  }
}

/// 3 t² - 2 t³, with t limited to 0 ... 1.
func smooth(_ t: Float) -> Float {
  let t = min(max(t, 0), 1)
  return t * t * (3 - 2 * t)
}
