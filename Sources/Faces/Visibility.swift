// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whether a face shows enough of its mouth to be given another one. What cannot be right is not painted.

import Tensors

/// Why a face is left as it is.
public enum Obstacle: String, Sendable {
  /// It is less than 48 px wide.
  case small
  /// It looks more than 50 degrees away from the camera: the far side of the mouth is hidden.
  case turned
  /// Its lips or its chin lie outside of the frame.
  case outside
  /// Something lies before its mouth that was not there: a hand, a cup, a microphone.
  case covered
}

/// Judges one face, frame after frame. An obstacle must recede somewhat before it counts as gone, so that a face at the limit does
/// not flicker between two mouths.
///
/// A cover is what does not look as the mouth has looked so far. The window is seen at 16 x 16 px; for each px the mean colour is
/// kept, and how far it usually is from it; what changes alike everywhere is light. Speech and nods change up to a third of them, a
/// cup or a microphone more than half. Nothing is a cover in the first second, while little is known, and what stays for 4 seconds is
/// none but a new look: other light, a beard, a turn of the head.
public struct Visibility: Sendable {
  private static let width: (least: Float, back: Float) = (48, 54)  // px
  private static let turn: (most: Float, back: Float) = (0.766, 0.707)  // sines of 50 and 45 degrees
  private static let side = 16
  private static let small = FaceWindow(side: side)
  private static let mouth = (columns: 2..<14, rows: 3..<15)  // px of the small picture that count
  private static let usual: Float = 0.22  // colour, -1 ... 1: less than this is no change
  private static let often: Float = 5  // times as far as usual
  private static let share: (most: Float, back: Float) = (0.5, 0.3)
  private static let patience = 4.0  // seconds
  private static let learning = 1.0  // seconds, in which most of a look is learned

  /// What was in the way in the last frame.
  public private(set) var obstacle: Obstacle?
  private var mean: [SIMD4<Float>] = []
  private var deviation: [Float] = []
  private var known = 0.0  // seconds, how long the mouth has been looked at
  private var since: Double?  // seconds, how long something has covered the mouth

  public init() {}

  /// What is in the way in a frame `seconds` after the one before. `turn`: the sine of the angle between the face's direction and
  /// the camera's; `window`: frame px -> px of the template.
  public mutating func callAsFunction(
    _ frame: FrameView, _ points: [SIMD3<Float>], turn: Float, at window: Similarity, after seconds: Double
  ) -> Obstacle? {
    let before = obstacle
    let isCovered = covers(frame, window, after: min(max(seconds, 0), 0.5))
    obstacle = judge(frame, points, turn, isCovered, before)
    return obstacle
  }

  private func judge(
    _ frame: FrameView, _ points: [SIMD3<Float>], _ turn: Float, _ isCovered: Bool, _ before: Obstacle?
  ) -> Obstacle? {
    guard let box = Box(around: points) else { return .outside }
    if !(box.width >= (before == .small ? Self.width.back : Self.width.least)) { return .small }
    if !(turn <= (before == .turned ? Self.turn.back : Self.turn.most)) { return .turned }
    let (width, height) = (Float(frame.width) - 0.5, Float(frame.height) - 0.5)
    let needed = FaceMeshPoints.outer + [FaceMeshPoints.chin]
    let isInside = needed.allSatisfy { i in
      points.indices.contains(i) && points[i].x >= -0.5 && points[i].y >= -0.5 && points[i].x <= width
        && points[i].y <= height
    }
    if !isInside { return .outside }
    return isCovered ? .covered : nil
  }

  /// Compares what the window shows with what it has shown, and learns it.
  private mutating func covers(_ frame: FrameView, _ window: Similarity, after seconds: Double) -> Bool {
    let picture = crop(frame, Self.small, at: window).values
    let seen = (0..<Self.side * Self.side).map {
      SIMD4(picture[3 * $0], picture[3 * $0 + 1], picture[3 * $0 + 2], 0)
    }
    guard mean.count == seen.count else {
      (mean, deviation) = (seen, seen.map { _ in Self.usual / Self.often })
      return false
    }
    known += seconds
    let light = middle(zip(seen, mean).map { $0 - $1 })
    let far = zip(seen, mean).map { length($0 - $1 - light) }
    let places = Self.mouth.rows.flatMap { y in Self.mouth.columns.map { y * Self.side + $0 } }
    let changed = places.filter { far[$0] > max(Self.usual, Self.often * deviation[$0]) }
    let share = Float(changed.count) / Float(places.count)
    var isCovered = known > Self.learning && share > (since == nil ? Self.share.most : Self.share.back)
    if isCovered {
      let long = (since ?? 0) + seconds
      since = long
      isCovered = long < Self.patience
      if !isCovered { (mean, since) = (seen, nil) }
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

  /// The middle value of each component: what most places share.
  private func middle(_ differences: [SIMD4<Float>]) -> SIMD4<Float> {
    var result = SIMD4<Float>.zero
    for component in 0..<3 {
      let sorted = differences.map { $0[component] }.sorted()
      result[component] = sorted[sorted.count / 2]
    }
    return result
  }

  /// The greatest difference of the three components.
  private func length(_ difference: SIMD4<Float>) -> Float {
    max(abs(difference.x), abs(difference.y), abs(difference.z))
  }
}
