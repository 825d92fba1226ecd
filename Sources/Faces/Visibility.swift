// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Decides whether a face shows enough of its mouth to be repainted. Where the result could not be right, nothing is
// painted.

import Tensors

/// Why a face is not painted.
public enum Obstacle: String, Sendable {
  /// Less than 48 px wide.
  case small
  /// Turned more than 50 degrees away from the camera: the far side of the mouth is hidden.
  case turned
  /// Its lips are outside the frame, or its chin by more than 8 % of the face's width.
  case outside
  /// Something new covers its mouth: a hand, a cup, a microphone.
  case covered
}

/// The light on a mouth: the mean colours of the four quarters around it, RGB in -1 ... 1. Empty if unknown.
public struct Light: Equatable, Sendable {
  private static let apart: Float = 0.12  // smaller differences count as the same light

  var quarters: [SIMD4<Float>] = []

  public init() {}

  package init(quarters: [SIMD4<Float>]) { self.quarters = quarters }

  /// Whether the two are known to differ.
  public func differs(from other: Light) -> Bool {
    zip(quarters, other.quarters).contains { a, b in
      let difference = a - b
      return max(difference.max(), -difference.min()) > Self.apart
    }
  }
}

/// Checks one face, frame by frame, with hysteresis, so that a face at a limit does not alternate between two mouths.
///
/// A mouth is covered if it does not look as it has looked so far. The window is reduced to 16 x 16 px; for each pixel
/// it keeps the mean colour and the usual deviation from it. A change common to all pixels is light. Speech and nods
/// change up to a third of the pixels, a cup or a microphone more than half. Something in front of the whole window
/// changes all pixels alike, as light does, but lacks the mouth's pattern: its correlation with the mean is below 0.2,
/// which a speaker's own mouth reaches in one frame of thousands. Nothing counts as a cover during the first second,
/// while little is known. What stays for 4 seconds is taken for a new look instead: other light, a beard, a turn of the
/// head.
public struct Visibility: Sendable {
  private static let width: (least: Float, back: Float) = (48, 54)  // px
  private static let turn: (most: Float, back: Float) = (0.766, 0.707)  // sines of 50 and 45 degrees
  private static let chin: (most: Float, back: Float) = (0.08, 0.05)  // fraction of the face's width outside the frame
  private static let side = 16
  private static let small = FaceWindow(side: side)
  /// The pixels of the reduced window that count, by quarter: columns 2 ..< 14, rows 3 ..< 15.
  private static let quarters = [3..<9, 9..<15].flatMap { rows in
    [2..<8, 8..<14].map { columns in rows.flatMap { y in columns.map { y * side + $0 } } }
  }
  private static let usual: Float = 0.22  // colour, -1 ... 1: smaller changes are ignored
  private static let often: Float = 5  // times the usual deviation
  private static let share: (most: Float, back: Float) = (0.5, 0.3)
  private static let likeness: (least: Float, back: Float) = (0.2, 0.35)
  private static let plain: Float = 0.04  // standard deviation below which a mean has no pattern, -1 ... 1
  private static let patience = 4.0  // seconds
  private static let learning = 1.0  // seconds, time constant of learning a look

  /// The obstacle in the last frame.
  public private(set) var obstacle: Obstacle?
  /// Whether in the last frame a cover was accepted as a new look.
  public private(set) var isNewLook = false
  /// The light in the last frame.
  public private(set) var light = Light()
  private var mean: [SIMD4<Float>] = []
  private var deviation: [Float] = []
  private var known = 0.0  // seconds for which the mouth has been observed
  private var since: Double?  // seconds for which something has covered the mouth

  public init() {}

  /// The obstacle in a frame `seconds` after the previous one. `turn`: the sine of the angle between the face's
  /// direction and the camera's. `alignment`: frame px -> template px.
  public mutating func callAsFunction(
    _ frame: FrameView, _ points: [SIMD3<Float>], turn: Float, at alignment: Similarity, after seconds: Double
  ) -> Obstacle? {
    let before = obstacle
    let isCovered = covers(frame, alignment, after: min(max(seconds, 0), 0.5))
    obstacle = newObstacle(frame, points, turn, isCovered, before)
    return obstacle
  }

  private func newObstacle(
    _ frame: FrameView, _ points: [SIMD3<Float>], _ turn: Float, _ isCovered: Bool, _ before: Obstacle?
  ) -> Obstacle? {
    guard points.count == FaceMeshPoints.count, let box = Box(around: points) else { return .outside }
    if !(box.width >= (before == .small ? Self.width.back : Self.width.least)) { return .small }
    if !(turn <= (before == .turned ? Self.turn.back : Self.turn.most)) { return .turned }
    let (width, height) = (Float(frame.width) - 0.5, Float(frame.height) - 0.5)
    func isInside(_ i: Int, room: Float) -> Bool {
      let point = points[i]
      return min(point.x, point.y) >= -0.5 - room && point.x <= width + room && point.y <= height + room
    }
    let room = box.width * (before == .outside ? Self.chin.back : Self.chin.most)
    if !FaceMeshPoints.outer.allSatisfy({ isInside($0, room: 0) }) || !isInside(FaceMeshPoints.chin, room: room) {
      return .outside
    }
    return isCovered ? .covered : nil
  }

  /// Compares the window with how it has looked so far, and learns from it.
  private mutating func covers(_ frame: FrameView, _ alignment: Similarity, after seconds: Double) -> Bool {
    let picture = crop(frame, Self.small, at: alignment).values
    let seen = (0..<Self.side * Self.side).map {
      SIMD4(picture[3 * $0], picture[3 * $0 + 1], picture[3 * $0 + 2], 0)
    }
    light = Light(
      quarters: Self.quarters.map { places in
        places.reduce(.zero) { $0 + seen[$1] } / Float(places.count)
      })
    isNewLook = false
    guard mean.count == seen.count else {
      (mean, deviation) = (seen, seen.map { _ in Self.usual / Self.often })
      return false
    }
    known += seconds
    let light = middle(zip(seen, mean).map { $0 - $1 })
    let far = zip(seen, mean).map { length($0 - $1 - light) }
    let places = Self.quarters.joined()
    let changed = places.filter { far[$0] > max(Self.usual, Self.often * deviation[$0]) }
    let share = Float(changed.count) / Float(places.count)
    let (most, least) =
      since == nil ? (Self.share.most, Self.likeness.least) : (Self.share.back, Self.likeness.back)
    var isCovered = known > Self.learning && (share > most || likeness(of: seen) < least)
    if isCovered {
      let long = (since ?? 0) + seconds
      since = long
      isCovered = long < Self.patience
      if !isCovered { (mean, since, isNewLook) = (seen, nil, true) }
    } else {
      since = nil
      let rate = Float(seconds / (seconds + Self.learning))
      for i in seen.indices {
        mean[i] += rate * (seen[i] - mean[i])
        deviation[i] += rate * (far[i] - deviation[i])
      }
    }
    return isCovered
  }

  /// How much of the mean's pattern is visible: their correlation, at most 1; 1 if the mean has no pattern.
  private func likeness(of seen: [SIMD4<Float>]) -> Float {
    let places = Self.quarters.joined()
    let count = Float(places.count)
    let (a, b) = places.reduce((SIMD4<Float>.zero, SIMD4<Float>.zero)) {
      ($0.0 + seen[$1] / count, $0.1 + mean[$1] / count)
    }
    var sums = SIMD3<Float>.zero
    for place in places {
      let (p, q) = (seen[place] - a, mean[place] - b)
      sums += [(p * q).sum(), (p * p).sum(), (q * q).sum()]
    }
    guard sums.z > 3 * count * Self.plain * Self.plain else { return 1 }
    return sums.x / max((sums.y * sums.z).squareRoot(), 1e-9)
  }

  /// The median of each component: the change that most pixels share.
  private func middle(_ differences: [SIMD4<Float>]) -> SIMD4<Float> {
    var result = SIMD4<Float>.zero
    for component in 0..<3 {
      let sorted = differences.map { $0[component] }.sorted()
      result[component] = sorted[sorted.count / 2]
    }
    return result
  }

  /// The largest absolute difference of the three components.
  private func length(_ difference: SIMD4<Float>) -> Float {
    max(abs(difference.x), abs(difference.y), abs(difference.z))
  }
}
