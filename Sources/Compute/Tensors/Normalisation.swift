// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

public import KernelInterface

/// Group normalisation over `[H, W, C]`, eps 1e-5 (Wu and He 2018).
public struct GroupNorm: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let groups: Int
  private let kernels: any KernelSet.Type

  public init(_ w: Weights, _ name: String, _ channels: Int, groups: Int) {
    weight = w.take("\(name).weight", [channels])
    bias = w.take("\(name).bias", [channels])
    (self.groups, kernels) = (groups, w.instructions.kernels)
  }

  /// The norm of one image as x * factor + offset for each channel. The convolution that follows applies it while it
  /// pads.
  public struct Scale: Sendable {
    private let values: Tensor  // [2, C]

    init(_ channels: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
      values = Tensor(2, channels, filledBy: fill)
    }

    /// Valid for the lifetime of the scale.
    var factor: UnsafePointer<Float> { values.values.with { $0 } }
    var offset: UnsafePointer<Float> { factor + values.values.count / 2 }
  }

  /// `norm(x) * (1 + scale) + shift`. `modulation`: `[rows, 2 C]`, of which row `row` holds scale, then shift.
  public func callAsFunction(_ x: Tensor, modulation: Tensor? = nil, row: Int = 0) -> Scale {
    let channels = weight.values.count
    let (h, w, c) = x.picture
    precondition(
      c == channels && (modulation.map { $0.values.count >= 2 * c * (row + 1) } ?? true), "\(channels) channels")
    let (pixels, width) = (h * w, channels / groups)
    let deviations = Tensor(2, channels) { sums in
      x.values.with { x in
        shareOut((channels + 31) / 32, cost: 32 * pixels) { part in
          kernels.sumDeviations(
            x, rows: pixels, width: channels, channels: 32 * part.lowerBound..<min(32 * part.upperBound, channels),
            sums: sums, squares: sums + channels)
        }
      }
    }
    return Scale(channels) { factor in
      let n = Float(pixels)
      for first in stride(from: 0, to: channels, by: width) {
        let group = first..<first + width
        var mean: Float = 0
        for c in group { mean += x.values[c] + deviations.values[c] / n }
        mean /= Float(width)
        // The variance within each channel, and that of the channels' means around the group's mean.
        var variance: Float = 0
        for c in group {
          let shift = deviations.values[c] / n
          let apart = x.values[c] + shift - mean
          variance += deviations.values[channels + c] / n - shift * shift + apart * apart
        }
        variance = max(variance / Float(width), 0)
        let scale = 1 / (variance + 1e-5).squareRoot()
        for c in group {
          var (f, o) = (weight.values[c] * scale, bias.values[c] - mean * weight.values[c] * scale)
          if let modulation {
            let at = 2 * channels * row + c
            f *= 1 + modulation.values[at]
            o = o * (1 + modulation.values[at]) + modulation.values[at + channels]
          }
          (factor[c], factor[channels + c]) = (f, o)
        }
      }
    }
  }
}

/// Layer normalisation of each row of `[T, C]`, eps 1e-5 (Ba et al. 2016).
public struct LayerNorm: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let kernels: any KernelSet.Type

  public init(_ w: Weights, _ name: String, _ width: Int) {
    weight = w.take("\(name).weight", [width])
    bias = w.take("\(name).bias", [width])
    kernels = w.instructions.kernels
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    precondition(x.picture.channels == weight.values.count, "rows of \(weight.values.count) values")
    return Self.normalised(x, weight, bias, by: kernels)
  }

  /// Without scale and shift.
  public static func plain(_ x: Tensor, by kernels: any KernelSet.Type = Tensors.kernels) -> Tensor {
    normalised(x, nil, nil, by: kernels)
  }

  private static func normalised(
    _ x: Tensor, _ weight: Tensor?, _ bias: Tensor?, by kernels: any KernelSet.Type
  ) -> Tensor {
    let width = x.picture.channels
    let rows = x.values.count / max(width, 1)
    return Tensor(like: x) { output in
      let (w, b) = (weight?.values.with { $0 }, bias?.values.with { $0 })
      x.values.with { x in
        shareOut(rows, cost: width) { part in
          let first = part.lowerBound * width
          kernels.normaliseRows(x + first, weight: w, bias: b, rows: part.count, width: width, output + first)
        }
      }
      withExtendedLifetime((weight, bias)) {}
    }
  }
}
