// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The geometry of a model's face window: its size in pixels, and which part of it is painted.

import Tensors

/// A square of `side` px in which faces are aligned as in the 80 px template (`FaceWindow.aligned`), so windows of any
/// size show the same part of a face.
public struct FaceWindow: Equatable, Sendable {
  /// px, width and height of the template
  static let templateSide = 80
  /// px at the edges that are not painted: one latent pixel
  private static let border = 4
  /// px, over which the painted difference fades out inside the border
  private static let edge: Float = 10

  /// px, width and height.
  public let side: Int
  /// `[side, side]`: the opacity of the painted difference, 1 in the middle and 0 in the border. It does not depend on
  /// the image, so it reveals nothing about the mouth. Twin of `fade` in Sources/Training/networks/model.py.
  let fade: [Float]

  public init(side: Int) {
    self.side = side
    let ramp = (0..<side).map { smooth(Float(min($0, side - 1 - $0) - Self.border) / Self.edge) }
    fade = ramp.flatMap { row in ramp.map { row * $0 } }
  }

  /// The transform from frame px to px of this window, given the transform to template px.
  public func transform(_ alignment: Similarity) -> Similarity {
    alignment.scaled(Double(side) / Double(Self.templateSide))
  }

  /// The difference to add to a crop `[side, side, 3]`: the decoder's output `made` for the painted latent minus its
  /// output `was` for the crop's own latent, both without the border (`[side - 8, side - 8, 3]`), faded out towards the
  /// border.
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

  /// The lips of a mesh at the latent's resolution, for a face with `alignment`: `[side / 4, side / 4, 2]`, the
  /// fraction of each latent pixel covered by the opening between the lips, and by the lips including that opening.
  /// Twin of `lips` in Sources/Training/data/warp.py and `pooled_lips` in networks/model.py.
  public func lips(_ mesh: RingedMesh, at alignment: Similarity) -> Tensor {
    let (transform, size) = (transform(alignment), side / 4)
    var values = [Float](repeating: 0, count: size * size * 2)
    for (channel, outline) in [mesh.inner, mesh.outer].enumerated() {
      let corners = outline.map { transform(Double($0.x), Double($0.y)) + 0.5 }  // here pixels begin at integers
      for (i, covered) in coverage(of: corners, side: side).enumerated() where covered > 0 {
        values[2 * (i / side / 4 * size + i % side / 4) + channel] += covered / 16
      }
    }
    return Tensor([size, size, 2], values)
  }
}

/// The exact area that a closed outline covers in each of `side` x `side` unit squares, row by row; square (x, y)
/// extends to (x + 1, y + 1). All 0 if a corner is NaN or more than 65536 away.
func coverage(of outline: [SIMD2<Double>], side: Int) -> [Float] {
  let trace = 1e-6  // area of a square that counts as 0
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
      // The edge's segment in this row adds the area to its right; upward segments subtract it.
      func inRow(_ v: Double) -> Double { min(max(v, Double(y)), Double(y + 1)) }
      let (start, end) = (inRow(p.y), inRow(q.y))
      let slope = (q.x - p.x) / (q.y - p.y)
      let (from, to) = (p.x + (start - p.y) * slope, p.x + (end - p.y) * slope)
      for x in columns { covered[y * side + x] += (end - start) * rightOf(from, to, in: Double(x)) }
    }
  }
  return covered.map { abs($0) < trace ? 0 : Float(min(abs($0), 1)) }
}

/// The fraction of the unit square at `x` that is right of an edge from x = `a` to `b` over its full height.
private func rightOf(_ a: Double, _ b: Double, in x: Double) -> Double {
  /// The integral of the area right of 0 in a square that ends at u.
  func ramp(_ u: Double) -> Double {
    let inside = min(max(u, 0), 1)
    return inside * inside / 2 + max(u - 1, 0)
  }
  let (u, v) = (x + 1 - a, x + 1 - b)
  return abs(u - v) < 1e-6 ? min(max((u + v) / 2, 0), 1) : (ramp(u) - ramp(v)) / (u - v)
}
