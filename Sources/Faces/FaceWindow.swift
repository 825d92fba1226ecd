// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The face window of a model: how many pixels it cuts out around the mouth, and how much of them it paints.

import Tensors

/// A square of `side` px. Faces lie in it as in the template of 80 px (`FaceWindow.aligned`), so that windows of every side
/// show the same part of a face.
public struct FaceWindow: Equatable, Sendable {
  /// px, width and height of the template.
  static let templateSide = 80
  /// px at the window's edges that are not painted: one place of a latent.
  private static let border = 4
  /// px, over which the painting fades out inside of the border.
  private static let edge: Float = 10

  /// px, width and height.
  public let side: Int
  /// `[side, side]`: how much of what is painted counts: 1 in the middle, 0 in the border. It depends on nothing in the picture,
  /// so it tells nothing about the mouth. Twin of `fade` in Sources/Training/networks/model.py.
  let fade: [Float]

  public init(side: Int) {
    self.side = side
    let ramp = (0..<side).map { x in
      let t = min(max(Float(min(x, side - 1 - x) - Self.border) / Self.edge, 0), 1)
      return t * t * (3 - 2 * t)
    }
    fade = ramp.flatMap { row in ramp.map { row * $0 } }
  }

  /// Frame px -> px of this window, of a transform to px of the template.
  public func transform(_ place: Similarity) -> Similarity {
    place.scaled(Double(side) / Double(Self.templateSide))
  }

  /// What is to be added to a picture `[side, side, 3]`, when a network made `made` and `was` is what it makes of the picture
  /// itself, both without the border, `[side - 8, side - 8, 3]`: their difference, faded out.
  public func difference(_ made: Tensor, _ was: Tensor) -> Tensor {
    let inner = side - 2 * Self.border
    precondition(made.shape == [inner, inner, 3] && was.shape == made.shape, "two pictures without the border")
    return Tensor([side, side, 3]) { out in
      out.initialize(repeating: 0, count: side * side * 3)
      for y in 0..<inner {
        for x in 0..<inner {
          let (to, from) = ((y + Self.border) * side + x + Self.border, y * inner + x)
          for c in 0..<3 {
            out[3 * to + c] = fade[to] * (made.values[3 * from + c] - was.values[3 * from + c])
          }
        }
      }
    }
  }

  /// Where the lips of a mesh lie that is at `place`, at the size of the window's latent: `[side / 4, side / 4, 2]`, the share of each
  /// place that is covered by what is between the lips, and by the lips with what is between them. Twin of `lips` in
  /// Sources/Training/data/warp.py and `small` in networks/model.py.
  public func lips(_ mesh: RingedMesh, at place: Similarity) -> Tensor {
    let (transform, size) = (transform(place), side / 4)
    var values = [Float](repeating: 0, count: size * size * 2)
    for (channel, outline) in [mesh.inner, mesh.outer].enumerated() {
      let corners = outline.map { transform(Double($0.x), Double($0.y)) + 0.5 }  // pixels meet at whole numbers
      for (i, covered) in coverage(of: corners, side: side).enumerated() where covered > 0 {
        values[2 * (i / side / 4 * size + i % side / 4) + channel] += covered / 16
      }
    }
    return Tensor([size, size, 2], values)
  }
}

/// The share of each of `side` x `side` squares, row by row, that a closed outline covers, exactly; square (x, y) reaches from there
/// to (x + 1, y + 1). 0 of an outline with a corner that is not a number or more than 65536 away.
func coverage(of outline: [SIMD2<Double>], side: Int) -> [Float] {
  let trace = 1e-6  // of a square: what counts as nothing
  var covered = [Double](repeating: 0, count: side * side)
  guard let left = outline.map({ $0.x }).min(), let right = outline.map({ $0.x }).max(),
    outline.allSatisfy({ abs($0.x) <= 65536 && abs($0.y) <= 65536 })
  else { return [Float](repeating: 0, count: side * side) }
  let columns = Int(min(max(left, 0), Double(side)))..<Int(min(max(right + 1, 0), Double(side)))
  for (i, p) in outline.enumerated() {
    let q = outline[i + 1 < outline.count ? i + 1 : 0]
    let (low, high) = (max(min(p.y, q.y), 0), min(max(p.y, q.y), Double(side)))
    guard low < high else { continue }
    for y in Int(low)..<Int(high.rounded(.up)) {
      // The edge's part in this row: what lies right of it counts, upwards less than nothing.
      func inRow(_ v: Double) -> Double { min(max(v, Double(y)), Double(y + 1)) }
      let (start, end) = (inRow(p.y), inRow(q.y))
      let slope = (q.x - p.x) / (q.y - p.y)
      let (from, to) = (p.x + (start - p.y) * slope, p.x + (end - p.y) * slope)
      for x in columns { covered[y * side + x] += (end - start) * rightOf(from, to, in: Double(x)) }
    }
  }
  return covered.map { abs($0) < trace ? 0 : Float(min(abs($0), 1)) }
}

/// The share of a square of width 1 that begins at `x` that lies right of an edge from x = `a` to `b` over its whole height.
private func rightOf(_ a: Double, _ b: Double, in x: Double) -> Double {
  /// The integral of what lies right of 0 in a square that ends at u.
  func ramp(_ u: Double) -> Double {
    let inside = min(max(u, 0), 1)
    return inside * inside / 2 + max(u - 1, 0)
  }
  let (u, v) = (x + 1 - a, x + 1 - b)
  return abs(u - v) < 1e-6 ? min(max((u + v) / 2, 0), 1) : (ramp(u) - ramp(v)) / (u - v)
}
