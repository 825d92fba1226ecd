// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The three time bases and all conversions between them: `RunningTime`, sample indices (`Int64`) and row indices
// (`Int`), distinct types so that the compiler keeps them apart. Nothing here traps, whatever timestamps a stream has:
// values out of range are clamped.

/// GStreamer's running time: nanoseconds since the pipeline started playing.
public struct RunningTime: Comparable, Hashable, Sendable {
  public let nanoseconds: UInt64

  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// The time at which `sample` begins; 0 for negative indices.
  public init(sample: Int64) {
    let (nanoseconds, overflow) = UInt64(clamping: sample).multipliedReportingOverflow(by: Self.sampleDuration)
    self.init(nanoseconds: overflow ? .max : nanoseconds)
  }

  /// The 16 kHz sample that begins nearest to this time.
  public var sample: Int64 { Int64(rounded(to: Self.sampleDuration)) }

  /// Whole 16 kHz samples in this duration.
  var samples: Int64 { Int64(nanoseconds / Self.sampleDuration) }

  /// The row (10 ms) that begins nearest to this time. Nearest, because timestamps are often truncated: a frame at
  /// 39,999,999 ns belongs to 40 ms.
  public var row: Int { Int(rounded(to: Self.rowDuration)) }

  /// This time shifted by a signed number of nanoseconds, clamped.
  public func advanced(by nanoseconds: Int64) -> RunningTime {
    let distance = nanoseconds.magnitude
    let (moved, overflow) =
      nanoseconds < 0
      ? self.nanoseconds.subtractingReportingOverflow(distance)
      : self.nanoseconds.addingReportingOverflow(distance)
    return RunningTime(nanoseconds: overflow ? (nanoseconds < 0 ? 0 : .max) : moved)
  }

  public static func < (a: RunningTime, b: RunningTime) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Samples and rows last whole nanoseconds, so conversions have no rounding error to accumulate.
  private static let sampleDuration: UInt64 = 62_500
  private static let rowDuration: UInt64 = 10_000_000

  private func rounded(to unit: UInt64) -> UInt64 {
    let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: unit)
    return quotient + (2 * remainder >= unit ? 1 : 0)
  }
}
