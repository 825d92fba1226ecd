// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How a face is turned, and how large and where it is (twin of `Pose` in Sources/Training/data/geometry.py).

/// `point = scale * rotation * shape + shift`: from a face's own coordinates (`FaceShape`) to a frame: x right, y down, z away
/// from the camera, all in px (weak perspective).
///
/// Always usable: one that is not finite, or in which the eyes are less than 0.01 or more than 100,000 px apart or lie more than
/// a million px away, cannot be made.
public struct Pose: Equatable, Sendable {
  /// px between the outer eye corners of a face that looks into the camera.
  public let scale: Double
  private let x, y, z: SIMD3<Double>  // the face's axes in the frame: the rotation's columns
  private let shift: SIMD3<Double>

  /// The least-squares pose of a mesh against the canonical face, 468 points each, by those that speech does not move; nil
  /// when there is none. Horn's closed form (J. Opt. Soc. Am. A 4, 1987): the same as Umeyama's.
  public init?(of mesh: [SIMD3<Float>], canonical: [SIMD3<Float>]) {
    guard mesh.count == FaceMeshPoints.count, canonical.count == FaceMeshPoints.count else { return nil }
    let points = FaceMeshPoints.rigid.map { (SIMD3<Double>(canonical[$0]), SIMD3<Double>(mesh[$0])) }
    let count = Double(points.count)
    let (mc, mp) = points.reduce((.zero, .zero)) { ($0.0 + $1.0 / count, $0.1 + $1.1 / count) }
    // Rows of the covariance, canonical by mesh, and the canonical face's spread.
    var (a, b, c, spread) = (SIMD3<Double>.zero, SIMD3<Double>.zero, SIMD3<Double>.zero, 0.0)
    for (from, to) in points {
      let (from, to) = (from - mc, to - mp)
      a += from.x * to
      b += from.y * to
      c += from.z * to
      spread += (from * from).sum()
    }
    let (values, vectors) = eigen([
      [a.x + b.y + c.z, b.z - c.y, c.x - a.z, a.y - b.x], [b.z - c.y, a.x - b.y - c.z, a.y + b.x, c.x + a.z],
      [c.x - a.z, a.y + b.x, b.y - a.x - c.z, b.z + c.y], [a.y - b.x, c.x + a.z, b.z + c.y, c.z - a.x - b.y],
    ])
    let order = [0, 1, 2, 3].sorted { values[$0] > values[$1] }
    let (most, next, q) = (values[order[0]], values[order[1]], vectors[order[0]])
    // Points on a line can be turned around it. False for not-a-number.
    guard most - next > 1e-6 * most else { return nil }
    let (w, i, j, k) = (q[0], q[1], q[2], q[3])
    scale = most / spread
    x = [1 - 2 * (j * j + k * k), 2 * (i * j + k * w), 2 * (i * k - j * w)]
    y = [2 * (i * j - k * w), 1 - 2 * (i * i + k * k), 2 * (j * k + i * w)]
    z = [2 * (i * k + j * w), 2 * (j * k - i * w), 1 - 2 * (i * i + j * j)]
    shift = mp - scale * (mc.x * x + mc.y * y + mc.z * z)
    guard scale >= 0.01, scale <= 1e5, (shift * shift).sum() <= 1e12 else { return nil }
  }

  /// Where the back of the head lies, seen from the nose: x and y of the face's z axis in the frame. `[0, 0]` of a face that
  /// looks into the camera, longer the further it is turned, 1 at most.
  public var turn: SIMD2<Float> { [Float(z.x), Float(z.y)] }

  /// The face's own coordinates of points of the frame.
  public func unposed(_ points: [SIMD3<Float>]) -> [SIMD3<Float>] {
    points.map { point in
      let p = (SIMD3<Double>(point) - shift) / scale
      return SIMD3<Float>([(p * x).sum(), (p * y).sum(), (p * z).sum()])
    }
  }

  /// The frame's coordinates of points of the face.
  public func posed(_ points: [SIMD3<Float>]) -> [SIMD3<Float>] { points.map { SIMD3<Float>(turned($0) + shift) } }

  /// The frame's coordinates of what points of the face are moved by.
  public func turned(_ offsets: [SIMD3<Float>]) -> [SIMD3<Float>] { offsets.map { SIMD3<Float>(turned($0)) } }

  private func turned(_ offset: SIMD3<Float>) -> SIMD3<Double> {
    let p = scale * SIMD3<Double>(offset)
    return p.x * x + p.y * y + p.z * z
  }
}

/// Eigenvalues of a symmetric matrix `[4, 4]`, and the eigenvector of each. Jacobi's method: every step turns the plane of two
/// axes so that their common value becomes 0.
private func eigen(_ matrix: [SIMD4<Double>]) -> (values: SIMD4<Double>, vectors: [SIMD4<Double>]) {
  var (a, vectors): ([SIMD4<Double>], [SIMD4<Double>]) = (
    matrix, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
  )
  for _ in 0..<12 {  // five are enough for all digits
    for (p, q) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] where a[p][q] != 0 {
      let tau = (a[q][q] - a[p][p]) / (2 * a[p][q])
      let t = (tau < 0 ? -1 : 1) / (abs(tau) + (1 + tau * tau).squareRoot())
      let c = 1 / (1 + t * t).squareRoot()
      let s = t * c
      for k in 0..<4 { (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]) }
      (a[p], a[q]) = (c * a[p] - s * a[q], s * a[p] + c * a[q])
      (vectors[p], vectors[q]) = (c * vectors[p] - s * vectors[q], s * vectors[p] + c * vectors[q])
    }
  }
  return ([a[0][0], a[1][1], a[2][2], a[3][3]], vectors)
}
