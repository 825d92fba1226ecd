// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The named tensors of a model file, from which the layers of the networks are built.
///
/// A layer takes what it needs by name and shape. A missing or misshapen tensor is recorded as a problem and replaced
/// by zeros, and non-finite values are recorded, so that building the networks once finds every problem; `finish()`
/// then lists them all, along with tensors that no layer took. A tensor lives from `take` until its layer has packed
/// it.
public final class Weights {
  /// The precision of convolutions and linear layers. `bf16`: products of bf16 accumulated in `Float`, where that is
  /// faster (`multipliesBF16`); elsewhere as `f32`.
  public enum Precision: Sendable { case f32, bf16 }

  public let precision: Precision
  /// What the layers compute with.
  package let instructions: InstructionSet
  private let tensor: (String) -> Tensor?
  private var untaken: Set<String>
  public private(set) var problems: [String] = []

  public init(_ file: SafeTensors, precision: Precision = .f32) {
    (tensor, untaken) = ({ file[$0] }, Set(file.names))
    (self.precision, instructions) = (precision, Tensors.instructions)
  }

  public convenience init(_ tensors: [String: Tensor], precision: Precision = .f32) {
    self.init(tensors, precision: precision, on: Tensors.instructions)
  }

  package init(_ tensors: [String: Tensor], precision: Precision = .f32, on instructions: InstructionSet) {
    (tensor, untaken) = ({ tensors[$0] }, Set(tensors.keys))
    (self.precision, self.instructions) = (precision, instructions)
  }

  /// The tensor `name`, with PyTorch's shape.
  public func take(_ name: String, _ shape: [Int]) -> Tensor {
    untaken.remove(name)
    guard let tensor = tensor(name) else {
      problems.append("missing \(name) \(shape)")
      return Tensor(zeros: shape)
    }
    guard tensor.shape == shape else {
      problems.append("\(name) is \(tensor.shape), expected \(shape)")
      return Tensor(zeros: shape)
    }
    if !tensor.isFinite { problems.append("\(name) holds values that are not finite") }
    return tensor
  }

  /// The same for a tensor whose number of rows is within `rows`.
  public func take(_ name: String, rows: ClosedRange<Int>, _ row: [Int]) -> Tensor {
    let count = tensor(name)?.shape.first ?? rows.lowerBound
    return take(name, [min(max(count, rows.lowerBound), rows.upperBound)] + row)
  }

  /// The same for a tensor whose sizes are within `ranges`, one for each dimension.
  public func take(_ name: String, within ranges: [ClosedRange<Int>]) -> Tensor {
    let sizes = tensor(name)?.shape ?? []
    return take(
      name,
      ranges.enumerated().map { i, range in
        min(max(i < sizes.count ? sizes[i] : range.lowerBound, range.lowerBound), range.upperBound)
      })
  }

  /// Records a problem with a tensor's values.
  public func report(_ problem: String) { problems.append(problem) }

  /// All problems so far, and all tensors that no layer took; empty if all is well.
  public func finish() -> [String] {
    problems + untaken.sorted().map { "unknown \($0)" }
  }
}

extension Tensor {
  /// Whether no value is infinite or NaN.
  fileprivate var isFinite: Bool {
    var largest: UInt32 = 0  // magnitude; an integer comparison without early exit vectorises
    for value in values { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
    return largest < Float.infinity.bitPattern
  }
}
