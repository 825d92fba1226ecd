// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Refinement of the mesh's lips: a network on the mesh's features around them, and the three custom operations of
// MediaPipe around it. Twin of Sources/Training/data/landmarks.py.

import Tensors

package struct Lips: Sendable {
  /// The network's points, in order: the outer lip edge, the inner lip edge, and two rings between them.
  package static let points = [
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
  ]
  private static let outline = points[..<20]
  private static let skin = (0..<468).filter { !points.contains($0) }
  private static let corners = (61, 291)
  /// Distance from the lips within which skin moves along, in widths of the lips: up to the nostrils.
  private static let reach: Float = 0.4

  private let chain: MobileChain
  private let output: Conv2d

  /// Weights `faces.lips.*`.
  package init(_ w: Weights) {
    chain = MobileChain(w, "faces.lips", 1...11, channels: 32)
    output = Conv2d(w, "faces.lips.points", 32, 160, kernel: 2, same: 0)
  }

  /// Features `[16, 16, 32]` on a grid -> positions `[80, 2]` in quarters of grid px.
  package func network(_ features: Tensor) -> Tensor { output(chain(features)).reshaped([80, 2]) }

  /// `points` (468, px of the mesh's input) with lips refined from the mesh's features `[48, 48, 32]`. It runs twice,
  /// the second time around the lips that the first run found, which halves the gap that it leaves in a closed mouth.
  /// Depth stays the mesh's.
  package func refined(_ points: [SIMD3<Float>], _ features: Tensor) -> [SIMD3<Float>] {
    var moved = points
    for _ in 0..<2 {
      let grid = Grid(around: moved)
      let answers = network(grid.samples(of: features))
      for (point, place) in zip(Self.points, grid.places(answers)) {
        (moved[point].x, moved[point].y) = (place.x, place.y)
      }
    }
    return Self.spread(points, moved)
  }

  /// Moves the skin around the lips along, so that no triangle folds, given `moved`, which differs from `points` only
  /// in the lips. Skin moves by the mean of the outline's motions, weighted by 1 / distance^4, and less with the
  /// distance from the nearest outline point.
  package static func spread(_ points: [SIMD3<Float>], _ moved: [SIMD3<Float>]) -> [SIMD3<Float>] {
    let flat = points.map { SIMD2($0.x, $0.y) }
    let moves = outline.map { SIMD2(moved[$0].x, moved[$0].y) - flat[$0] }
    let width = length(flat[corners.1] - flat[corners.0])
    var result = moved
    for i in skin {
      var (sum, total, nearest) = (SIMD2<Float>.zero, Float(0), Float.infinity)
      for (point, move) in zip(outline, moves) {
        let difference = flat[i] - flat[point]
        let distance = (difference * difference).sum() + 1e-6  // squared
        sum += move / (distance * distance)
        total += 1 / (distance * distance)
        nearest = min(nearest, distance)
      }
      let share = 1 - nearest.squareRoot() / max(reach * width, 1e-6)
      guard share > 0 else { continue }
      (result[i].x, result[i].y) = (result[i].x + share * sum.x / total, result[i].y + share * sum.y / total)
    }
    return result
  }

  /// The 16 x 16 grid around the lips on which the network sees the features: parallel to the line between the lips'
  /// corners, and 1.5 times as wide and high as the lips.
  package struct Grid {
    private static let side = 16  // px
    private static let scale: Float = 4  // px of the mesh's input for one of its features

    /// In feature px: the step from column to column, from row to row, and the grid's top left corner.
    package let across, down, start: SIMD2<Float>

    package init(across: SIMD2<Float>, down: SIMD2<Float>, start: SIMD2<Float>) {
      (self.across, self.down, self.start) = (across, down, start)
    }

    /// MediaPipe's Landmarks2TransformMatrix, for the 468 points in px of the mesh's input.
    package init(around points: [SIMD3<Float>]) {
      func place(_ i: Int) -> SIMD2<Float> { SIMD2(points[i].x, points[i].y) / Self.scale }
      let line = place(corners.1) - place(corners.0)
      let right = line / max(length(line), 1e-6)
      let below = SIMD2(-right.y, right.x)
      var (low, high) = (SIMD2<Float>(repeating: .infinity), SIMD2<Float>(repeating: -.infinity))
      for p in Lips.points.map(place) {
        let level = SIMD2((p * right).sum(), (p * below).sum())
        (low, high) = (pointwiseMin(low, level), pointwiseMax(high, level))
      }
      let (middle, step) = ((low + high) / 2, (high - low) * 1.5 / Float(Self.side))
      (across, down) = (right * step.x, below * step.y)
      start = middle.x * right + middle.y * below - Float(Self.side) / 2 * (across + down)
    }

    /// TransformTensorBilinear: `[H, W, C]` -> `[16, 16, C]`, zero outside. Grids align at their edges, so pixel
    /// centres are at halves.
    package func samples(of features: Tensor) -> Tensor {
      let (height, width, channels) = (features.shape[0], features.shape[1], features.shape[2])
      return Tensor([Self.side, Self.side, channels]) { out in
        features.values.withUnsafeBufferPointer { from in
          for i in 0..<Self.side * Self.side {
            let p = start + (Float(i % Self.side) + 0.5) * across + (Float(i / Self.side) + 0.5) * down - 0.5
            let to = out + i * channels
            guard p.x >= 0, p.y >= 0, p.x <= Float(width - 1), p.y <= Float(height - 1) else {  // also false for NaN
              to.initialize(repeating: 0, count: channels)
              continue
            }
            let (x, y) = (Int(p.x), Int(p.y))
            let (u, v) = (p.x - Float(x), p.y - Float(y))
            let (above, below) = (y * width, min(y + 1, height - 1) * width)
            let (left, right) = (x, min(x + 1, width - 1))
            for c in 0..<channels {
              let (a, b) = (from[(above + left) * channels + c], from[(above + right) * channels + c])
              let (d, e) = (from[(below + left) * channels + c], from[(below + right) * channels + c])
              (to + c).initialize(to: (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + e * u) * v)
            }
          }
        }
      }
    }

    /// TransformLandmarks: the network's output `[80, 2]` in px of the mesh's input.
    package func places(_ answers: Tensor) -> [SIMD2<Float>] {
      (0..<answers.values.count / 2).map {
        answers.values[2 * $0] * across + answers.values[2 * $0 + 1] * down + Self.scale * start
      }
    }
  }
}

private func length(_ v: SIMD2<Float>) -> Float { (v * v).sum().squareRoot() }
