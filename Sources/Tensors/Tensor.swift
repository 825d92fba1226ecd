// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A dense array of `Float`, row-major. Images are `[H, W, C]`, token sequences `[T, C]`, vectors `[C]`.
public struct Tensor: Equatable, Sendable {
  public let shape: [Int]
  public var values: [Float]

  public init(_ shape: [Int], _ values: [Float]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    self.shape = shape
    self.values = values
  }

  public init(zeros shape: [Int]) {
    self.init(shape, [Float](repeating: 0, count: shape.reduce(1, *)))
  }

  /// `fill` must write every value.
  init(_ shape: [Int], filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.shape = shape
    let size = shape.reduce(1, *)
    values = [Float](unsafeUninitializedCapacity: size) { buffer, count in
      if let base = buffer.baseAddress, size > 0 { fill(base) }
      count = size
    }
  }

  public func reshaped(_ shape: [Int]) -> Tensor { Tensor(shape, values) }
}
