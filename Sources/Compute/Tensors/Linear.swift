// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface

#if arch(x86_64)
  import CTiles
#endif

/// Fully connected layer: `[T, Cin]` -> `[T, Cout]`; a vector counts as one row. PyTorch weight `[Cout, Cin]`.
public struct Linear: Sendable {
  private let weights: PackedWeights
  private let kernels: any KernelSet.Type

  /// `rows`: the expected number of rows; the tile unit computes sixteen at a time and does not pay off for a few.
  /// `streamed`: rows arrive in batches of any size, so the result for a row must not depend on the batch.
  public init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int, rows: Int, streamed: Bool = false) {
    kernels = w.instructions.kernels
    let isHalf = w.precision == .bf16
    let method: PackedWeights.Method =
      if w.instructions.hasTiles, rows >= 8 {
        isHalf ? .tiles : .split
      } else {
        isHalf && w.instructions.hasFastPairs ? .pairs : .direct
      }
    weights = PackedWeights(
      weight: w.take("\(name).weight", [cout, cin]).values, bias: w.take("\(name).bias", [cout]).values, outputs: cout,
      inputs: cin, taps: 1, rows: 1, method: method, products: streamed ? kernels : w.instructions.products)
  }

  /// `activation(linear(x) + residual)`.
  public func callAsFunction(
    _ x: Tensor, activation: Activation = .none, adding residual: Tensor? = nil
  ) -> Tensor {
    let (inputs, outputs) = (weights.inputs, weights.outputs)
    precondition(x.values.count % inputs == 0, "rows of \(inputs) values")
    let rows = x.values.count / inputs
    precondition(residual.map { $0.values.count == rows * outputs } ?? true, "a residual like the output")
    let paired = weights.method == .pairs
    let length = paired ? (inputs + 1) / 2 : inputs
    return Tensor(rows, outputs) { output in
      x.values.with { x in
        let picture = PaddedPicture(
          input: x, height: rows, width: 1, channels: inputs, top: 0, left: 0, right: 0, factor: nil, offset: nil,
          activation: .none)
        let to = Destination(
          output: output, channels: outputs, bias: weights.bias.memory, residual: residual?.values.with { $0 },
          activation: activation)
        #if arch(x86_64)
          if weights.method == .tiles || weights.method == .split {
            convolveByTiles(picture, rows: rows, weights, kernel: (1, 1), stride: 1, height: rows, width: 1, to)
            return withExtendedLifetime(residual) {}
          }
        #endif
        let pairs = Workspace.shared.lease(paired ? rows * length : 0)
        if paired { kernels.pad(picture, rows: 0..<rows, paired: true, pairs.memory) }
        let convolution = Convolution(
          input: paired ? UnsafeRawPointer(pairs.memory) : UnsafeRawPointer(x), kernelRows: 1, rowLength: length,
          inputRow: 0, pixelStep: length, rowStep: 0, outputWidth: rows, weights: weights.weights,
          format: weights.format)
        product(convolution, weights, pixels: rows, to, by: kernels)
        withExtendedLifetime((pairs, residual)) {}
      }
    }
  }
}
