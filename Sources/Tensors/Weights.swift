// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Named tensors of a model file, taken one by one while the networks are built.
///
/// A layer asks for what it needs by name and shape. What is missing or misshapen is noted and zeros are handed out,
/// values that are not finite are noted, so that one pass over the networks finds every problem; `finish()` then throws them all, with the names that
/// nobody asked for.
public final class Weights {
  /// How convolutions and linear layers keep their weights. `bf16`: the upper half of a `Float`, rounded to nearest,
  /// ties to even; half the memory. Arithmetic is in `Float` either way.
  public enum Precision: Sendable { case f32, bf16 }

  public let precision: Precision
  private var tensors: [String: Tensor]
  private var taken: Set<String> = []
  public private(set) var problems: [String] = []

  public init(_ tensors: [String: Tensor], precision: Precision = .f32) {
    (self.tensors, self.precision) = (tensors, precision)
  }

  /// The tensor called `name`, in the shape PyTorch gave it.
  public func take(_ name: String, _ shape: [Int]) -> Tensor {
    taken.insert(name)
    guard let tensor = tensors[name] else {
      problems.append("missing \(name) \(shape)")
      return Tensor(zeros: shape)
    }
    guard tensor.shape == shape else {
      problems.append("\(name) is \(tensor.shape), expected \(shape)")
      return Tensor(zeros: shape)
    }
    if !tensor.values.allSatisfy(\.isFinite) { problems.append("\(name) holds values that are not finite") }
    return tensor
  }

  /// Every problem met so far and every tensor that no layer asked for; empty when all is well.
  public func finish() -> [String] {
    problems + tensors.keys.filter { !taken.contains($0) }.sorted().map { "unknown \($0)" }
  }
}
