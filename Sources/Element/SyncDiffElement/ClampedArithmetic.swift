// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Arithmetic on values from a stream, which cannot be trusted: nothing here traps.

extension FixedWidthInteger {
  /// The sum, or the largest value if it does not fit.
  func addingClamped(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  /// The difference, or the nearest representable value.
  func subtractingClamped(_ other: Self) -> Self {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : difference
  }
}
