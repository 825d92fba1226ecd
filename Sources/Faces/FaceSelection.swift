// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A rectangle of a frame, px; integer coordinates are pixel centres.
public struct Box: Equatable, Sendable {
  public var x, y, width, height: Float

  public init(x: Float, y: Float, width: Float, height: Float) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  /// The bounding box of points; nil if there are none.
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

  /// Intersection over union (IoU).
  func overlap(_ other: Box) -> Float {
    let w = min(x + width, other.x + other.width) - max(x, other.x)
    let h = min(y + height, other.y + other.height) - max(y, other.y)
    let both = max(w, 0) * max(h, 0)
    return both / max(area + other.area - both, .leastNormalMagnitude)
  }
}

/// Which of the faces in view to paint.
///
/// There is hysteresis, so that two similar faces do not alternate: a selected face stays selected until another is
/// half as large again, or nearer to the middle or the side by half a face's width.
public enum FaceSelection: Equatable, Sendable {
  /// The face nearest to the frame's middle, left edge or right edge.
  case center, left, right
  /// The largest faces, up to this many.
  case largest(Int)
  /// The largest faces whose middle is in one of these regions, up to this many; elsewhere nothing is searched. Without
  /// a region, faces found in earlier regions are still tracked.
  case within([Box], Int)

  package struct Candidate {
    let id: Int
    let box: Box
    let isChosen: Bool

    package init(id: Int, box: Box, isChosen: Bool) { (self.id, self.box, self.isChosen) = (id, box, isChosen) }
  }

  /// The ids of the faces to select in a frame of this size, best first.
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

  /// Lower is better.
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
