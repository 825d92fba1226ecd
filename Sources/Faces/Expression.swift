// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What a face's mouth does besides speaking, found as the stream runs: a smile, drawn-down corners, a jaw pushed forward. It is the
/// slow part of the difference between the mouth that the face has and the one that the sound tells, without what opens the lips
/// (twin of `Expression` in Sources/Training/data/geometry.py).
public struct Expression: Sendable {
  private static let memory: Float = 1.5  // seconds
  private static let most: Float = 3  // deviations: more is no expression but a face found in the wrong place

  private let geometry: Geometry
  private var mean: [Float] = []
  private var weight: Float = 0  // seconds, 0 ... 2: what the frames so far count

  public init(_ geometry: Geometry) { self.geometry = geometry }

  /// Coefficients to add to those that the sound tells, after one more frame. `own`: of the mouth that the face has; `told`: of the
  /// sound; as many of each. Within -3 ... 3. `seconds` since the frame before; a time out of 1 ms ... 0.5 s counts as the nearest of them.
  public mutating func callAsFunction(own: [Float], told: [Float], after seconds: Double) -> [Float] {
    let seconds = Float(seconds > 0.001 ? min(seconds, 0.5) : 0.001)
    let keep = weight * exp(-seconds / Self.memory)
    weight = keep + seconds
    let now = geometry.unopened(zip(own, told).map { $0 - $1 }).map {
      $0.isNaN ? 0 : min(max($0, -Self.most), Self.most)
    }
    mean = mean.isEmpty ? now : zip(mean, now).map { (keep * $0 + seconds * $1) / weight }
    return mean
  }
}
