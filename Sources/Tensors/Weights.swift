// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Named tensors of a model file, taken one by one while the networks are built.
///
/// A layer asks for what it needs by name and shape. What is missing or misshapen is noted and zeros are handed out,
/// so that one pass over the networks finds every problem; `finish()` then throws them all, with the names that
/// nobody asked for.
public final class Weights {
  private var tensors: [String: Tensor]
  private var taken: Set<String> = []
  public private(set) var problems: [String] = []

  public init(_ tensors: [String: Tensor]) { self.tensors = tensors }

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
    return tensor
  }

  /// Every problem met so far and every tensor that no layer asked for; empty when all is well.
  public func finish() -> [String] {
    problems + tensors.keys.filter { !taken.contains($0) }.sorted().map { "unknown \($0)" }
  }
}
