// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Arithmetic on what a stream says, which is not to be trusted: nothing here traps.

extension FixedWidthInteger {
  /// The sum, or the largest value where it does not fit.
  func addingClamped(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  /// The difference, or the nearest value that there is.
  func subtractingClamped(_ other: Self) -> Self {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : difference
  }
}
