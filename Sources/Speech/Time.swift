// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Three clocks and every way between them. A running time is a `RunningTime`, a sample index an `Int64`, a row index an
// `Int`, so that the compiler keeps them apart. Nothing here traps, whatever a stream says: what would not fit is
// clamped.

/// GStreamer's running time: nanoseconds since the pipeline began to play.
public struct RunningTime: Comparable, Hashable, Sendable {
  public let nanoseconds: UInt64

  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The time at which sample `sample` begins; 0 for samples before 0.
  public init(sample: Int64) {
    let (nanoseconds, overflow) = UInt64(clamping: sample).multipliedReportingOverflow(by: Self.sampleDuration)
    self.init(nanoseconds: overflow ? .max : nanoseconds)
  }

  /// The sample of 16 kHz sound that begins nearest to this time.
  public var sample: Int64 { Int64(rounded(to: Self.sampleDuration)) }

  /// Whole samples of 16 kHz sound in this time.
  var samples: Int64 { Int64(nanoseconds / Self.sampleDuration) }

  /// The row of the filterbank (10 ms) that begins nearest to this time: timestamps are often truncated, and a picture
  /// at 39,999,999 ns is the one at 40 ms.
  public var row: Int { Int(rounded(to: Self.rowDuration)) }

  /// This time moved by a signed number of nanoseconds.
  public func advanced(by nanoseconds: Int64) -> RunningTime {
    let distance = nanoseconds.magnitude
    let (moved, overflow) =
      nanoseconds < 0
      ? self.nanoseconds.subtractingReportingOverflow(distance)
      : self.nanoseconds.addingReportingOverflow(distance)
    return RunningTime(nanoseconds: overflow ? (nanoseconds < 0 ? 0 : .max) : moved)
  }

  public static func < (a: RunningTime, b: RunningTime) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Samples and rows of 16 kHz sound last whole nanoseconds, so no conversion has a fraction to lose.
  private static let sampleDuration: UInt64 = 62_500
  private static let rowDuration: UInt64 = 10_000_000

  private func rounded(to unit: UInt64) -> UInt64 {
    let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: unit)
    return quotient + (2 * remainder >= unit ? 1 : 0)
  }
}
