// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The face window of a model: how many pixels it cuts out around the lower face, and which of them it paints.

import Tensors

/// A square of `side` px. Faces lie in it as in the template of 96 px (`FaceWindow.aligned`), so that windows of every side
/// show the same part of a face.
public struct FaceWindow: Equatable, Sendable {
  /// px, width and height of the template.
  static let templateSide = 96

  /// px, width and height.
  public let side: Int
  /// px, first row that is painted: just under the nose.
  public let maskTop: Int
  /// 4 m (1 - m) of the mask at every pixel, row-major: 1 in the middle of its soft border, 0 where it is 0 or 1.
  let border: [Float]

  public init(side: Int, maskTop: Int) {
    (self.side, self.maskTop) = (side, maskTop)
    let (top, perPixel) = (Self.top(side, maskTop), Float(Self.templateSide) / Float(side))
    border = [Float](unsafeUninitializedCapacity: side * side + 8) { masks, count in
      guard let masks = masks.baseAddress else { return }
      for y in 0..<side {
        kernels.maskLine(top: top, x: 0, y: Float(y) * perPixel, dx: perPixel, dy: 0, count: side, masks + y * side)
      }
      for i in 0..<side * side { masks[i] = 4 * masks[i] * (1 - masks[i]) }
      count = side * side
    }
  }

  /// Frame px -> px of this window, of a transform to px of the template.
  func transform(_ place: Similarity) -> Similarity {
    place.scaled(Double(side) / Double(Self.templateSide))
  }

  /// How much of the painted window counts, by its place in the template (px): 1 over mouth, jaw and chin, 0 from the
  /// window's edges inwards, soft between. It depends on nothing in the picture, so it tells nothing about the mouth.
  package func mask(_ x: Float, _ y: Float) -> Float {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 8) { mask in
      guard let out = mask.baseAddress else { return 0 }
      masks(from: [x, y], step: .zero, count: 1, to: out)
      return out.pointee
    }
  }

  /// The same at `count` places, the first at `start`, each `step` beyond the one before; up to 7 more are written.
  func masks(from start: SIMD2<Float>, step: SIMD2<Float>, count: Int, to out: UnsafeMutablePointer<Float>) {
    kernels.maskLine(top: Self.top(side, maskTop), x: start.x, y: start.y, dx: step.x, dy: step.y, count: count, out)
  }

  /// Template px that the mask may reach.
  var painted: (left: Double, top: Double, right: Double, bottom: Double) {
    (4, Double(Self.top(side, maskTop)), 92, 94)
  }

  /// `maskTop` in the template.
  private static func top(_ side: Int, _ maskTop: Int) -> Float {
    Float(maskTop * templateSide) / Float(side)
  }
}
