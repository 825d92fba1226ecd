// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: tensors written by the Python twin, stored beside the test that compares with them.

import Tensors
import Testing

/// The tensors of `Golden/<file>` beside the calling test.
public func golden(_ file: String, beside test: String = #filePath) throws -> [String: Tensor] {
  try SafeTensors.load(path: goldenPath(file, beside: test)).tensors
}

/// The path of `Golden/<file>` beside the calling test.
public func goldenPath(_ file: String, beside test: String = #filePath) -> String {
  let folder = test.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  return "\(folder)/Golden/\(file)"
}

/// Expects equal shapes and no value further than `tolerance` from the expected one; reports the worst.
public func expectClose(
  _ actual: Tensor, _ expected: Tensor?, _ tolerance: Float, _ name: String = "",
  at location: SourceLocation = #_sourceLocation
) {
  guard let expected else {
    Issue.record("\(name): no golden value", sourceLocation: location)
    return
  }
  #expect(actual.shape == expected.shape, "\(name)", sourceLocation: location)
  guard actual.shape == expected.shape else { return }
  var (worst, place) = (Float(0), 0)
  for i in actual.values.indices {
    let difference = abs(actual.values[i] - expected.values[i])
    if !(difference <= worst) { (worst, place) = (difference, i) }
    if difference.isNaN { break }
  }
  #expect(
    worst <= tolerance,
    """
    \(name) differs by \(worst) at \(indices(of: place, in: actual.shape)): \
    \(actual.values[place]), expected \(expected.values[place])
    """,
    sourceLocation: location)
}

/// The same with a tolerance relative to the largest expected value; prints the difference, so that drift is visible
/// long before it fails.
public func expectNear(
  _ actual: Tensor, _ expected: Tensor?, _ tolerance: Float, _ name: String,
  at location: SourceLocation = #_sourceLocation
) {
  let scale = expected?.values.lazy.map(abs).max() ?? 0
  let worst = expected.map { zip(actual.values, $0.values).lazy.map { abs($0 - $1) }.max() ?? 0 } ?? 0
  print("\(name): largest difference \(worst / scale) of the largest value")
  expectClose(actual, expected, tolerance * scale, name, at: location)
}

/// An element of a row-major tensor, by one index for each dimension.
private func indices(of place: Int, in shape: [Int]) -> [Int] {
  var (rest, indices) = (place, [Int]())
  for size in shape.reversed() {
    indices.insert(rest % size, at: 0)
    rest /= size
  }
  return indices
}
