// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Layers: weights packed once at load, then called like functions. Plain twins are in Tests/TensorsTests/Plain.swift.

import Kernels

/// Zeros added around a picture before a convolution, in pixels.
public typealias Padding = (top: Int, bottom: Int, left: Int, right: Int)

/// 2-D convolution over `[H, W, Cin]` -> `[H', W', Cout]`, zero padding. PyTorch weight `[Cout, Cin / groups, K, K]`.
public struct Conv2d: Sendable {
  private enum Kind {
    case dense(PackedWeights)
    case depthwise(weight: [Float], bias: [Float])  // [K * K, C], [C]
  }

  private let kind: Kind
  private let (cin, cout): (Int, Int)
  private let kernel: (height: Int, width: Int)
  private let stride: Int
  private let padding: Padding

  /// Symmetric padding of kernel / 2, as every convolution of our own networks has.
  public init(
    _ w: Weights, _ name: String, _ cin: Int, _ cout: Int, kernel: Int = 3, stride: Int = 1
  ) {
    let p = kernel / 2
    self.init(
      weight: w.take("\(name).weight", [cout, cin, kernel, kernel]), bias: w.take("\(name).bias", [cout]),
      stride: stride, padding: (p, p, p, p), precision: w.precision)
  }

  /// `groups` is 1 or, for a depthwise convolution, the number of channels (weight `[C, 1, K, K]`, kept in f32).
  public init(
    weight: Tensor, bias: Tensor, stride: Int, padding: Padding, groups: Int = 1, precision: Weights.Precision = .f32
  ) {
    precondition(
      weight.shape.count == 4 && bias.shape == [weight.shape[0]], "weight [Cout, Cin / groups, K, K], bias [Cout]")
    precondition(groups == 1 || weight.shape[..<2] == [groups, 1], "grouped convolutions are depthwise")
    (self.stride, self.padding) = (stride, padding)
    kernel = (weight.shape[2], weight.shape[3])
    cout = weight.shape[0]
    cin = weight.shape[1] * groups
    let taps = kernel.height * kernel.width
    if groups > 1 {
      let channels = cout
      let packed = (0..<taps * channels).map { weight.values[$0 % channels * taps + $0 / channels] }
      kind = .depthwise(weight: packed, bias: bias.values)
    } else {
      kind = .dense(
        PackedWeights(
          weight: weight.values, bias: bias.values, outputs: cout, inputs: cin, taps: taps, isHalf: precision == .bf16))
    }
  }

  public func callAsFunction(_ x: Tensor, activation: Activation = .none) -> Tensor {
    precondition(x.shape.count == 3 && x.shape[2] == cin, "a picture of \(cin) channels")
    let height = x.shape[0] + padding.top + padding.bottom
    let width = x.shape[1] + padding.left + padding.right
    precondition(height >= kernel.height && width >= kernel.width, "a picture at least as large as the kernel")
    let (h, w) = ((height - kernel.height) / stride + 1, (width - kernel.width) / stride + 1)
    let plan: ConvolutionPlan = (
      kernelRows: kernel.height, rowLength: kernel.width * cin, inputRow: width * cin, pixelStep: stride * cin,
      rowStep: stride * width * cin, outputWidth: w
    )
    return Tensor([h, w, cout]) { output in
      if padding == (0, 0, 0, 0) {
        run(x.values, plan, activation, pixels: h * w, output)
      } else {
        Scratch.withFloats(height * width * cin) { padded in
          pad(x.values, height: x.shape[0], width: x.shape[1], into: padded)
          run(padded, plan, activation, pixels: h * w, output)
        }
      }
    }
  }

  private func run(
    _ input: UnsafePointer<Float>, _ plan: ConvolutionPlan, _ activation: Activation, pixels: Int,
    _ output: UnsafeMutablePointer<Float>
  ) {
    switch kind {
    case .dense(let weights):
      product(input, weights, plan, activation, pixels: pixels, output)
    case .depthwise(let weight, let bias):
      shareOut(pixels, cost: cin * kernel.height * kernel.width) {
        convolveDepthwise(input, weights: weight, bias: bias, channels: cin, plan, activation, pixels: $0, output)
      }
    }
  }

  /// A copy with the padding's zeros around it, so that the kernel needs no borders.
  private func pad(
    _ x: UnsafePointer<Float>, height: Int, width: Int, into padded: UnsafeMutablePointer<Float>
  ) {
    let row = (padding.left + width + padding.right) * cin
    padded.update(repeating: 0, count: padding.top * row)
    shareOut(height, cost: 4 * row) { rows in
      for y in rows {
        let to = padded + (padding.top + y) * row
        to.update(repeating: 0, count: padding.left * cin)
        (to + padding.left * cin).update(from: x + y * width * cin, count: width * cin)
        (to + (padding.left + width) * cin).update(repeating: 0, count: padding.right * cin)
      }
    }
    (padded + (padding.top + height) * row).update(repeating: 0, count: padding.bottom * row)
  }
}

/// `[T, Cin]` -> `[T, Cout]`; a vector counts as one row. PyTorch weight `[Cout, Cin]`.
public struct Linear: Sendable {
  private let weights: PackedWeights

  public init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int) {
    weights = PackedWeights(
      weight: w.take("\(name).weight", [cout, cin]).values, bias: w.take("\(name).bias", [cout]).values, outputs: cout,
      inputs: cin, taps: 1, isHalf: w.precision == .bf16)
  }

  public func callAsFunction(_ x: Tensor, activation: Activation = .none) -> Tensor {
    precondition(x.shape.last == weights.inputs, "rows of \(weights.inputs) values")
    let rows = x.values.count / weights.inputs
    let plan: ConvolutionPlan = (
      kernelRows: 1, rowLength: weights.inputs, inputRow: 0, pixelStep: weights.inputs, rowStep: 0, outputWidth: rows
    )
    return Tensor([rows, weights.outputs]) {
      product(x.values, weights, plan, activation, pixels: rows, $0)
    }
  }
}

/// The convolution that `plan` describes, shared out by channel blocks first, because the weights are what is large.
private func product(
  _ input: UnsafePointer<Float>, _ weights: PackedWeights, _ plan: ConvolutionPlan, _ activation: Activation,
  pixels: Int, _ output: UnsafeMutablePointer<Float>
) {
  let pieces = pieces(pixels * weights.outputs * weights.inputs * weights.taps)
  let columns = min(pieces, weights.blocks)
  let rows = min((pieces + columns - 1) / columns, (pixels + 23) / 24)
  ThreadPool.shared.parallel(count: rows * columns) { index in
    convolve(
      input, weights, plan, activation, pixels: part(index % rows, of: rows, 0..<pixels, step: 24),
      blocks: part(index / rows, of: columns, 0..<weights.blocks, step: 1), output)
  }
}

/// Into how many pieces to cut so many multiplications: some 20 us each, and not more than hands out evenly.
private func pieces(_ cost: Int) -> Int { max(1, min(16, cost / 1_000_000)) }

/// The `index`-th of `count` even parts, cut at multiples of `step`.
private func part(_ index: Int, of count: Int, _ range: Range<Int>, step: Int) -> Range<Int> {
  let steps = (range.count + step - 1) / step
  let bound = { min(range.upperBound, range.lowerBound + $0 * steps / count * step) }
  return bound(index)..<bound(index + 1)
}

/// Cuts `0..<count` for the thread pool; `cost` is the multiplications of one.
func shareOut(_ count: Int, cost: Int, _ body: (Range<Int>) -> Void) {
  let pieces = min(count, pieces(8 * count * cost))  // such work is bound by memory, not by multiplications
  ThreadPool.shared.parallel(count: pieces) { body(part($0, of: pieces, 0..<count, step: 1)) }
}

/// Group normalisation over `[H, W, C]`, eps 1e-5 (Wu and He 2018).
public struct GroupNorm: Sendable {
  private let weight: [Float]
  private let bias: [Float]
  private let groups: Int

  public init(_ w: Weights, _ name: String, _ channels: Int, groups: Int) {
    weight = w.take("\(name).weight", [channels]).values
    bias = w.take("\(name).bias", [channels]).values
    self.groups = groups
  }

  /// `activation(norm(x) * (1 + scale) + shift)`; scale and shift `[C]`.
  public func callAsFunction(
    _ x: Tensor, scale: [Float]? = nil, shift: [Float]? = nil, activation: Activation = .none
  ) -> Tensor {
    let channels = weight.count
    precondition(x.shape.last == channels && (scale ?? weight).count == channels && (shift ?? bias).count == channels)
    let pixels = x.values.count / channels
    let mean = moment(x, [Float](repeating: 0, count: channels), power: 1)
    let variance = moment(x, mean, power: 2)
    var (factor, offset) = (weight, bias)
    for c in 0..<channels {
      factor[c] /= (variance[c] + 1e-5).squareRoot()
      offset[c] -= mean[c] * factor[c]
      if let scale, let shift {
        factor[c] *= 1 + scale[c]
        offset[c] = offset[c] * (1 + scale[c]) + shift[c]
      }
    }
    return Tensor(x.shape) { output in
      x.values.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        shareOut(pixels, cost: channels) { rows in
          Kernels.scale(
            x + rows.lowerBound * channels, factor: factor, offset: offset, activation, rows: rows.count,
            channels: channels, output + rows.lowerBound * channels)
        }
      }
    }
  }

  /// The mean of (x - mean)^power in the group of each channel, `[C]`.
  private func moment(_ x: Tensor, _ mean: [Float], power: Int) -> [Float] {
    let channels = weight.count
    let (width, pixels) = (channels / groups, x.values.count / channels)
    var sums = [Float](repeating: 0, count: channels)
    sumDeviations(x.values, mean: mean, power: power, rows: pixels, channels: channels, &sums)
    for first in stride(from: 0, to: channels, by: width) {
      let sum = sums[first..<first + width].reduce(0, +)
      for c in first..<first + width { sums[c] = sum / Float(width * pixels) }
    }
    return sums
  }
}

/// Layer normalisation of each row of `[T, C]`, eps 1e-5 (Ba et al. 2016).
public struct LayerNorm: Sendable {
  private let weight: [Float]
  private let bias: [Float]

  public init(_ w: Weights, _ name: String, _ width: Int) {
    weight = w.take("\(name).weight", [width]).values
    bias = w.take("\(name).bias", [width]).values
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    precondition(x.shape.last == weight.count, "rows of \(weight.count) values")
    return Tensor(x.shape) {
      normaliseRows(x.values, weight: weight, bias: bias, rows: x.values.count / weight.count, width: weight.count, $0)
    }
  }

  /// Without scale and shift.
  public static func plain(_ x: Tensor) -> Tensor {
    let width = x.shape.last ?? 1
    return Tensor(x.shape) {
      normaliseRows(x.values, weight: nil, bias: nil, rows: x.values.count / width, width: width, $0)
    }
  }
}
