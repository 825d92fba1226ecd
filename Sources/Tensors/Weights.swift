// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Named tensors of a model file, taken one by one while the networks are built.
///
/// A layer asks for what it needs by name and shape. What is missing or misshapen is noted and zeros are handed out,
/// values that are not finite are noted, so that one pass over the networks finds every problem; `finish()` then names
/// them all, with the tensors that nobody asked for. A tensor lives from `take` until its layer has packed it.
public final class Weights {
  /// How convolutions and linear layers compute. `bf16`: products of bf16, summed in `Float`, where they are faster
  /// (`multipliesBF16`); elsewhere as `f32`.
  public enum Precision: Sendable { case f32, bf16 }

  public let precision: Precision
  /// What the layers are to be computed with.
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

  /// The tensor called `name`, in the shape PyTorch gave it.
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

  /// The same of a tensor with any number of rows within `rows`.
  public func take(_ name: String, rows: ClosedRange<Int>, _ row: [Int]) -> Tensor {
    let count = tensor(name)?.shape.first ?? rows.lowerBound
    return take(name, [min(max(count, rows.lowerBound), rows.upperBound)] + row)
  }

  /// The same of a tensor whose sizes are within `ranges`, one for each of its dimensions.
  public func take(_ name: String, within ranges: [ClosedRange<Int>]) -> Tensor {
    let sizes = tensor(name)?.shape ?? []
    return take(
      name,
      ranges.enumerated().map { i, range in
        min(max(i < sizes.count ? sizes[i] : range.lowerBound, range.lowerBound), range.upperBound)
      })
  }

  /// Notes what is wrong with a tensor's values.
  public func report(_ problem: String) { problems.append(problem) }

  /// Every problem met so far and every tensor that no layer asked for; empty when all is well.
  public func finish() -> [String] {
    problems + untaken.sorted().map { "unknown \($0)" }
  }
}

extension Tensor {
  /// Whether no value is infinite or NaN.
  fileprivate var isFinite: Bool {
    var largest: UInt32 = 0  // magnitude; an integer without an early end, so that the compiler takes many at a time
    for value in values { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
    return largest < Float.infinity.bitPattern
  }
}
