// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A rectangle of a frame, px; pixel centres have whole coordinates.
public struct Box: Equatable, Sendable {
  public var x, y, width, height: Float

  public init(x: Float, y: Float, width: Float, height: Float) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  /// Around points; nil without any.
  init?(around points: [SIMD3<Float>]) {
    guard var low = points.first, var high = points.first else { return nil }
    for point in points {
      low = pointwiseMin(low, point)
      high = pointwiseMax(high, point)
    }
    self.init(x: low.x, y: low.y, width: high.x - low.x, height: high.y - low.y)
  }

  var middle: SIMD2<Float> { [x + width / 2, y + height / 2] }
  var area: Float { width * height }

  func contains(_ point: SIMD2<Float>) -> Bool {
    point.x >= x && point.x <= x + width && point.y >= y && point.y <= y + height
  }

  /// Part of the two boxes' union that both cover.
  func overlap(_ other: Box) -> Float {
    let w = min(x + width, other.x + other.width) - max(x, other.x)
    let h = min(y + height, other.y + other.height) - max(y, other.y)
    let both = max(w, 0) * max(h, 0)
    return both / max(area + other.area - both, .leastNormalMagnitude)
  }
}

/// Which of the faces in view are meant.
///
/// A face that was chosen before stays until another is clearly preferable, so that two faces of the same size do not take
/// turns: half as large again, or half of a face's width nearer to the middle or the side.
public enum FaceSelection: Equatable, Sendable {
  /// The one nearest to the picture's middle, its left edge, its right edge.
  case center, left, right
  /// The largest ones, so many at most.
  case largest(Int)
  /// The largest faces in these regions, so many at most, and no search elsewhere. Without any region those go on that
  /// were found in earlier ones.
  case within([Box], Int)

  package struct Candidate {
    let id: Int
    let box: Box
    let isChosen: Bool

    package init(id: Int, box: Box, isChosen: Bool) { (self.id, self.box, self.isChosen) = (id, box, isChosen) }
  }

  /// The ids of those to be chosen in a picture of this width and height, best first.
  package func chosen(_ candidates: [Candidate], _ width: Int, _ height: Int) -> [Int] {
    candidates.map { (id: $0.id, cost: cost($0, Float(width), Float(height))) }
      .sorted { ($0.cost, $0.id) < ($1.cost, $1.id) }.prefix(most).map { $0.id }
  }

  private var most: Int {
    switch self {
    case .center, .left, .right: 1
    case .largest(let most), .within(_, let most): max(most, 0)
    }
  }

  /// The lower, the better.
  private func cost(_ candidate: Candidate, _ width: Float, _ height: Float) -> Float {
    let (box, bonus) = (candidate.box, candidate.isChosen ? candidate.box.width / 2 : 0)
    switch self {
    case .largest, .within: return -box.area * (candidate.isChosen ? 1.5 : 1)
    case .left: return box.middle.x - bonus
    case .right: return width - box.middle.x - bonus
    case .center:
      let far = box.middle - [width / 2, height / 2]
      return (far * far).sum().squareRoot() - bonus
    }
  }
}
