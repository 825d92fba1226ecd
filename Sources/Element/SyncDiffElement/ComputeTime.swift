// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The time it takes to find and paint a face: the measured part of the latency.
///
/// It is the 95th percentile of the last 250 frames x 1.05, and until there are 50 of them the time of the warm-up x 1.05.
/// The value changes only when the percentile exceeds it, or when it is more than 25 % too high, because each change disturbs
/// a live pipeline.
package struct ComputeTime: Sendable {
  private static let window = 250
  private static let least = 50
  private static let pause = 25  // frames between two evaluations

  /// Nanoseconds.
  package private(set) var estimate: UInt64 = 0
  private var recent: [UInt64] = []
  private var count = 0

  package init(warmUp nanoseconds: UInt64 = 0) { estimate = Self.withMargin(nanoseconds) }

  /// Another frame took this many nanoseconds. True if the estimate has changed.
  package mutating func add(_ nanoseconds: UInt64) -> Bool {
    if recent.count < Self.window { recent.append(nanoseconds) } else { recent[count % Self.window] = nanoseconds }
    count &+= 1
    guard count >= Self.least, count.isMultiple(of: Self.pause) else { return false }
    let percentile = recent.sorted()[(recent.count * 95 + 99) / 100 - 1]
    let measured = Self.withMargin(percentile)
    guard percentile > estimate || measured < estimate - estimate / 4 else { return false }
    estimate = measured
    return true
  }

  private static func withMargin(_ nanoseconds: UInt64) -> UInt64 { nanoseconds.addingClamped(nanoseconds / 20) }
}
