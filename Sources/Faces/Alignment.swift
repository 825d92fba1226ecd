// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The face window: where the lower face is cut out of a frame. Twin of Sources/Training/geometry.py.
//
// A window is 96 x 96 px. A similarity transform brings ten points of the face mesh that do not move with the mouth
// (eye corners, nose bridge, forehead) onto a template by least squares.

import Glibc

public enum FaceWindow {
  /// px, width and height of the window.
  public static let side = 96
  /// px, first row that is hidden from the model: just under the nose.
  public static let maskTop = 28
  /// Face-mesh points that do not move with the mouth.
  package static let stable = [33, 133, 362, 263, 168, 6, 197, 195, 9, 151]
  /// Where they lie in the window, px, x right, y down (geometry.py, TEMPLATE).
  package static let template: [SIMD2<Float>] = [
    [13.45, -12.57], [34.55, -11.44], [61.45, -11.44], [82.55, -12.57], [48.0, -15.57],
    [48.0, -9.22], [48.0, -3.12], [48.0, 2.59], [48.0, -28.46], [48.0, -42.64],
  ]

  /// The window of a face with these 468 mesh points; nil when they span no area.
  package static func aligned(_ points: [SIMD2<Float>]) -> Similarity? {
    Similarity(from: stable.compactMap { $0 < points.count ? points[$0] : nil }, to: template)
  }
}

/// Rotation, uniform scale and shift: `(a x - b y + tx, b x + a y + ty)`. Whole coordinates are pixel centres, as in
/// OpenCV's warpAffine.
///
/// Always usable: a transform that is not finite, scales by more than 100 either way or shifts by more than a million
/// pixels cannot be made, so nothing that takes one needs to check it.
public struct Similarity: Equatable, Sendable {
  public let a, b, tx, ty: Double

  public init?(a: Double, b: Double, tx: Double, ty: Double) {
    let scale = (a * a + b * b).squareRoot()
    guard scale >= 0.01, scale <= 100, abs(tx) <= 1e6, abs(ty) <= 1e6 else { return nil }  // false for not-a-number
    (self.a, self.b, self.tx, self.ty) = (a, b, tx, ty)
  }

  /// The least-squares transform that takes `points` to `template` (Umeyama 1991); nil when there is none.
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

  /// The transform that puts frame point `center` on `target`, turned by -angle (radians), scaled by `scale`.
  init?(center: SIMD2<Double>, on target: SIMD2<Double>, angle: Double, scale: Double) {
    let (a, b) = (scale * cos(angle), -scale * sin(angle))
    self.init(
      a: a, b: b, tx: target.x - a * center.x + b * center.y, ty: target.y - b * center.x - a * center.y)
  }

  /// Target pixels per source pixel.
  public var scale: Double { (a * a + b * b).squareRoot() }

  /// Clockwise turn of the target's x axis in the source, radians.
  var angle: Double { -atan2(b, a) }

  @inline(__always)
  public func callAsFunction(_ x: Double, _ y: Double) -> SIMD2<Double> {
    [a * x - b * y + tx, b * x + a * y + ty]
  }

  /// The source point of a target point.
  @inline(__always)
  public func inverse(_ x: Double, _ y: Double) -> SIMD2<Double> {
    let (u, v, d) = (x - tx, y - ty, a * a + b * b)
    return [(a * u + b * v) / d, (a * v - b * u) / d]
  }
}

/// One-Euro filter (Casiez et al., CHI 2012) on a window's place, scale and turn: a still head gives a still window, a
/// moving one is followed at once. One cutoff for all four values, all measured in window pixels, time in frames.
///
/// The constants are the knee of a sweep over the GRID clips against the Gaussian over time that training used: 0.28 px
/// rms from it, and a third of the raw mesh's jitter (second difference 0.20 px instead of 0.60 px).
package struct SteadyWindow: Sendable {
  private static let cutoff = 0.05  // cycles a frame, of a still head
  private static let slope = 0.2  // cycles a frame more per window px a frame of speed
  private static let speedShare = 0.3  // of a new difference in the speed
  private static let jump = 12.0  // window px: not motion but another face
  private static let center = SIMD2(48.0, 40.0)  // window px, where place is measured: the mouth
  private static let arm = 40.0  // window px, turns turn and logarithm of scale into a distance

  private var value: SIMD4<Double>?
  private var last = SIMD4<Double>.zero
  private var speed = SIMD4<Double>.zero
  /// The last window was not followed but began anew.
  package private(set) var started = false

  package init() {}

  package mutating func callAsFunction(_ window: Similarity) -> Similarity {
    let place = window.inverse(Self.center.x, Self.center.y)
    var now = SIMD4(place.x, place.y, log(window.scale), window.angle)
    let unit = SIMD4(window.scale, window.scale, Self.arm, Self.arm)
    guard let old = value else { return start(now, window) }
    now.w = old.w + remainder(now.w - old.w, 2 * .pi)
    let step = (now - old) * unit
    guard (step * step).sum() < Self.jump * Self.jump else { return start(now, window) }
    speed += Self.speedShare * ((now - last) * unit - speed)
    let cutoff = Self.cutoff + Self.slope * (speed * speed).sum().squareRoot()
    let new = old + (now - old) / (1 + 1 / (2 * .pi * cutoff))
    (value, last, started) = (new, now, false)
    return Similarity(center: [new.x, new.y], on: Self.center, angle: new.w, scale: exp(new.z)) ?? window
  }

  private mutating func start(_ now: SIMD4<Double>, _ window: Similarity) -> Similarity {
    (value, last, speed, started) = (now, now, .zero, true)
    return window
  }
}
