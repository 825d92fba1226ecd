// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pose of a face: rotation, scale and position (twin of `Pose` in Sources/Training/data/geometry.py).

/// `point = scale * rotation * shape + shift`, from face coordinates (`FaceShape`) to a frame: x right, y down, z away
/// from the camera, all in px (weak perspective).
///
/// Always valid: a pose that is not finite, or in which the eyes are less than 0.01 or more than 100,000 px apart or
/// more than a million px away, cannot be constructed.
public struct Pose: Equatable, Sendable {
  /// px between the outer eye corners in a frontal view.
  public let scale: Double
  private let x, y, z: SIMD3<Double>  // the face's axes in the frame: the columns of the rotation
  private let shift: SIMD3<Double>

  /// The least-squares pose of a mesh relative to the canonical face, 468 points each, from the points that speech does
  /// not move; nil if there is none. Horn's closed form (J. Opt. Soc. Am. A 4, 1987), equivalent to Umeyama's.
  public init?(of mesh: [SIMD3<Float>], canonical: [SIMD3<Float>]) {
    guard mesh.count == FaceMeshPoints.count, canonical.count == FaceMeshPoints.count else { return nil }
    let points = FaceMeshPoints.rigid.map { (SIMD3<Double>(canonical[$0]), SIMD3<Double>(mesh[$0])) }
    let count = Double(points.count)
    let (mc, mp) = points.reduce((.zero, .zero)) { ($0.0 + $1.0 / count, $0.1 + $1.1 / count) }
    // The rows of the covariance of canonical and mesh points, and the variance of the canonical face.
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
    // Collinear points have no unique rotation. Also false for NaN.
    guard most - next > 1e-6 * most else { return nil }
    let (w, i, j, k) = (q[0], q[1], q[2], q[3])
    scale = most / spread
    x = [1 - 2 * (j * j + k * k), 2 * (i * j + k * w), 2 * (i * k - j * w)]
    y = [2 * (i * j - k * w), 1 - 2 * (i * i + k * k), 2 * (j * k + i * w)]
    z = [2 * (i * k + j * w), 2 * (j * k - i * w), 1 - 2 * (i * i + j * j)]
    shift = mp - scale * (mc.x * x + mc.y * y + mc.z * z)
    guard scale >= 0.01, scale <= 1e5, (shift * shift).sum() <= 1e12 else { return nil }
  }

  /// The direction of the face's z axis (from the nose to the back of the head) in the frame, x and y: `[0, 0]` in a
  /// frontal view, and longer the further the face is turned, up to 1.
  public var turn: SIMD2<Float> { [Float(z.x), Float(z.y)] }

  /// Points of the frame in face coordinates.
  public func unposed(_ points: [SIMD3<Float>]) -> [SIMD3<Float>] {
    points.map { point in
      let p = (SIMD3<Double>(point) - shift) / scale
      return SIMD3<Float>([(p * x).sum(), (p * y).sum(), (p * z).sum()])
    }
  }

  /// Points of the face in frame coordinates.
  public func posed(_ points: [SIMD3<Float>]) -> [SIMD3<Float>] { points.map { SIMD3<Float>(turned($0) + shift) } }

  /// Offsets of the face in frame coordinates.
  public func turned(_ offsets: [SIMD3<Float>]) -> [SIMD3<Float>] { offsets.map { SIMD3<Float>(turned($0)) } }

  private func turned(_ offset: SIMD3<Float>) -> SIMD3<Double> {
    let p = scale * SIMD3<Double>(offset)
    return p.x * x + p.y * y + p.z * z
  }
}

/// The eigenvalues and eigenvectors of a symmetric 4 x 4 matrix by Jacobi's method, in which each rotation zeroes one
/// off-diagonal element.
private func eigen(_ matrix: [SIMD4<Double>]) -> (values: SIMD4<Double>, vectors: [SIMD4<Double>]) {
  var (a, vectors): ([SIMD4<Double>], [SIMD4<Double>]) = (
    matrix, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
  )
  for _ in 0..<12 {  // five suffice for full precision
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
