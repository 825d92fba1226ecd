// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Alignment of the face window. Twin of Sources/Training/data/geometry.py.
//
// A least-squares similarity transform maps ten points of the face mesh that do not move with the mouth (eye corners,
// nose bridge, forehead) onto a template of 80 x 80 px. The template reaches from under the nose to under the chin of
// most faces; the eye centres are 64 px apart and 40 px above its top edge. Windows of other sizes are scaled versions
// of it.

import Glibc

extension FaceWindow {
  /// Mesh points that do not move with the mouth.
  private static let stable = [33, 133, 362, 263, 168, 6, 197, 195, 9, 151]
  /// Their positions in the template, px, x right, y down (data/geometry.py, TEMPLATE).
  private static let template: [SIMD2<Float>] = [
    [-6.07, -40.76], [22.07, -39.25], [57.93, -39.25], [86.07, -40.76], [40.0, -44.76],
    [40.0, -36.29], [40.0, -28.16], [40.0, -20.55], [40.0, -61.95], [40.0, -80.85],
  ]
  /// The middle of the mouth in the template, px (data/geometry.py, MOUTH).
  static let mouth = SIMD2(40.0, 29.0)

  /// The transform from frame px to template px for a face with these 468 mesh points; nil if they span no area.
  package static func aligned(_ points: [SIMD3<Float>]) -> Similarity? {
    let stable = stable.compactMap { $0 < points.count ? SIMD2(points[$0].x, points[$0].y) : nil }
    return Similarity(from: stable, to: template)
  }
}

/// Rotation, uniform scale and translation: `(a x - b y + tx, b x + a y + ty)`. Integer coordinates are pixel centres,
/// as in OpenCV's warpAffine.
///
/// Always valid: a transform that is not finite, scales by more than 100 either way or shifts by more than a million
/// pixels cannot be constructed, so users need not check it.
public struct Similarity: Equatable, Sendable {
  public let a, b, tx, ty: Double

  public init?(a: Double, b: Double, tx: Double, ty: Double) {
    let scale = (a * a + b * b).squareRoot()
    guard scale >= 0.01, scale <= 100, abs(tx) <= 1e6, abs(ty) <= 1e6 else { return nil }  // false for NaN
    (self.a, self.b, self.tx, self.ty) = (a, b, tx, ty)
  }

  /// The least-squares transform from `points` to `template` (Umeyama 1991); nil if there is none.
  public init?(from points: [SIMD2<Float>], to template: [SIMD2<Float>]) {
    guard points.count == template.count, points.count > 1 else { return nil }
    let count = Double(points.count)
    let (p, q) = (points.map { SIMD2<Double>($0) }, template.map { SIMD2<Double>($0) })
    let (mp, mq) = (p.reduce(.zero, +) / count, q.reduce(.zero, +) / count)
    var (spread, dot, cross) = (0.0, 0.0, 0.0)
    for (p, q) in zip(p, q) {
      let (u, v) = (p - mp, q - mq)
      spread += (u * u).sum()
      dot += (u * v).sum()
      cross += u.x * v.y - u.y * v.x
    }
    let (a, b) = (dot / spread, cross / spread)
    self.init(a: a, b: b, tx: mq.x - a * mp.x + b * mp.y, ty: mq.y - b * mp.x - a * mp.y)
  }

  /// The transform that maps frame point `center` to `target`, rotates by -angle (radians) and scales by `scale`.
  init?(center: SIMD2<Double>, on target: SIMD2<Double>, angle: Double, scale: Double) {
    let (a, b) = (scale * cos(angle), -scale * sin(angle))
    self.init(
      a: a, b: b, tx: target.x - a * center.x + b * center.y, ty: target.y - b * center.x - a * center.y)
  }

  /// Followed by scaling by `factor`, 0.1 ... 10.
  func scaled(_ factor: Double) -> Similarity {
    Similarity(unchecked: factor * a, factor * b, factor * tx, factor * ty)
  }

  /// The same transform for points relative to pixel (x, y) of the frame.
  func counted(fromX x: Int, y: Int) -> Similarity {
    let origin = self(Double(x), Double(y))
    return Similarity(unchecked: a, b, origin.x, origin.y)
  }

  /// Followed by adding `shift` to both coordinates.
  func shifted(by shift: Double) -> Similarity { Similarity(unchecked: a, b, tx + shift, ty + shift) }

  private init(unchecked a: Double, _ b: Double, _ tx: Double, _ ty: Double) {
    (self.a, self.b, self.tx, self.ty) = (a, b, tx, ty)
  }

  /// Target pixels per source pixel.
  public var scale: Double { (a * a + b * b).squareRoot() }

  /// Clockwise rotation of the target's x axis in the source, radians.
  var angle: Double { -atan2(b, a) }

  @inline(__always)
  public func callAsFunction(_ x: Double, _ y: Double) -> SIMD2<Double> {
    [a * x - b * y + tx, b * x + a * y + ty]
  }

  /// The source point for a target point.
  @inline(__always)
  public func inverse(_ x: Double, _ y: Double) -> SIMD2<Double> {
    let (u, v, d) = (x - tx, y - ty, a * a + b * b)
    return [(a * u + b * v) / d, (a * v - b * u) / d]
  }
}
