// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The expression of a face besides its speech, estimated while the stream runs: a smile, drawn-down corners, a jaw
/// pushed forward. It is the slowly varying part of the difference between the face's own mouth and the predicted one,
/// without its component along the opening (twin of `Expression` in Sources/Training/data/geometry.py).
public struct Expression: Sendable {
  private static let memory: Float = 1.5  // seconds
  private static let most: Float = 3  // standard deviations; more is not an expression but a misplaced mesh

  private let geometry: Geometry
  private var mean: [Float] = []
  private var weight: Float = 0  // seconds, 0 ... 2: the weight of the frames so far

  public init(_ geometry: Geometry) { self.geometry = geometry }

  /// Coefficients to add to the predicted ones after one more frame, each in -3 ... 3. `own`: those of the face's own
  /// mouth, as many as `predicted`. `seconds` since the previous frame, limited to 1 ms ... 0.5 s.
  public mutating func callAsFunction(own: [Float], predicted: [Float], after seconds: Double) -> [Float] {
    let seconds = Float(seconds > 0.001 ? min(seconds, 0.5) : 0.001)
    let keep = weight * exp(-seconds / Self.memory)
    weight = keep + seconds
    let now = geometry.unopened(zip(own, predicted).map { $0 - $1 }).map {
      $0.isNaN ? 0 : min(max($0, -Self.most), Self.most)
    }
    mean = mean.isEmpty ? now : zip(mean, now).map { (keep * $0 + seconds * $1) / weight }
    return mean
  }
}
