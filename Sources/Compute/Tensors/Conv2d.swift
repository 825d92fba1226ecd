// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The convolution layer. As in all layers, the weights are packed once when the model loads, then the layer is called like a
// function. Reference implementations of all layers are in Tests/TensorsTests/Plain.swift.

public import KernelInterface

#if arch(x86_64)
  import CTiles
#endif

public typealias Activation = KernelInterface.Activation

/// Zeros added around a picture before a convolution, in pixels.
public typealias Padding = (top: Int, bottom: Int, left: Int, right: Int)

/// 2-D convolution with zero padding: `[H, W, Cin]` -> `[H', W', Cout]`. PyTorch weight `[Cout, Cin / groups, K, K]`.
public struct Conv2d: Sendable {
  private enum Kind {
    case dense(PackedWeights)
    case depthwise(weight: Storage, bias: Storage)  // [K * K, C], [C]
  }

  private let kind: Kind
  private let kernels: any KernelSet.Type
  private let (cin, cout): (Int, Int)
  private let kernel: (height: Int, width: Int)
  private let stride: Int
  private let padding: Padding

  /// How a convolution is computed. Chosen by its shape, not by timing at load, so that every run gives the same bytes;
  /// measured in meta/decisions/0009-kernels.md.
  public enum Method: String, CaseIterable, Sendable {
    case direct
    case pairs  // direct, multiplying pairs of bf16
    case f2, f4  // Winograd's F(2x2, 3x3), F(4x4, 3x3)
    case tiles  // direct, bf16 on the tile unit
    case split  // the same, each f32 as the sum of two bf16, with the accuracy of f32
  }

  /// The fastest method for images of `size` pixels: the tile unit where there is one, Winograd where its transforms
  /// cost less than they save.
  public static func method(
    _ cin: Int, _ cout: Int, kernel: Int, stride: Int, size: Int, precision: Weights.Precision
  ) -> Method {
    method(cin, cout, kernel: kernel, stride: stride, size: size, precision: precision, on: instructions)
  }

  static func method(
    _ cin: Int, _ cout: Int, kernel: Int, stride: Int, size: Int, precision: Weights.Precision,
    on instructions: InstructionSet
  ) -> Method {
    // Three or four input channels fill only a third of a tile, which is still more than 24 output channels fill of two
    // vectors.
    if instructions.hasTiles, cin >= 8 || cout < 32 { return precision == .bf16 ? .tiles : .split }
    if precision == .bf16, instructions.hasFastPairs, cin >= 8 { return .pairs }
    guard kernel == 3, stride == 1, cin >= 8, cout >= 16 else { return .direct }
    return size >= 256 ? .f4 : .f2
  }

  /// With symmetric padding of kernel / 2, as in all our own networks. `size`: the number of pixels of its input
  /// images. `multiple`: a number that always divides the output's width; only factors up to 4 are used.
  public init(
    _ w: Weights, _ name: String, _ cin: Int, _ cout: Int, kernel: Int = 3, stride: Int = 1, size: Int,
    multiple: Int = 1
  ) {
    let p = kernel / 2
    let method = Self.method(
      cin, cout, kernel: kernel, stride: stride, size: size, precision: w.precision, on: w.instructions)
    let isTiled = method == .tiles || method == .split
    self.init(
      weight: w.take("\(name).weight", [cout, cin, kernel, kernel]), bias: w.take("\(name).bias", [cout]),
      stride: stride, padding: (p, p, p, p), method: method,
      group: isTiled ? Self.group(cin, cout, kernel: kernel, stride: stride, multiple: multiple) : 1,
      on: w.instructions)
  }

  /// How many output pixels the tile unit should compute as one for the fewest products; a divisor of `multiple`.
  package static func group(_ cin: Int, _ cout: Int, kernel: Int, stride: Int, multiple: Int) -> Int {
    func cost(_ group: Int) -> Int {  // of four pixels
      4 / group * Tiles.depths(kernel, cin, stride: stride, group: group)
        * ((group * cout + Tiles.side - 1) / Tiles.side)
    }
    return [1, 2, 4].filter { multiple % $0 == 0 }.min { cost($0) < cost($1) } ?? 1
  }

  /// `groups`: 1, or the number of channels for a depthwise convolution (weight `[C, 1, K, K]`). `method`: Winograd
  /// needs kernel 3, stride 1 and padding 1; `pairs`, `tiles` and `split` need a processor that has them. `streamed`:
  /// see `Linear`.
  public init(
    weight: Tensor, bias: Tensor, stride: Int, padding: Padding, groups: Int = 1, method: Method = .direct,
    streamed: Bool = false
  ) {
    self.init(
      weight: weight, bias: bias, stride: stride, padding: padding, groups: groups, method: method, streamed: streamed,
      on: instructions)
  }

  /// `group`: how many output pixels the tile unit computes as one; must divide the output's width.
  package init(
    weight: Tensor, bias: Tensor, stride: Int, padding: Padding, groups: Int = 1, method: Method = .direct,
    streamed: Bool = false, group: Int = 1, on instructions: InstructionSet
  ) {
    let shape = weight.shape
    precondition(shape.count == 4 && bias.shape == [shape[0]], "weight [Cout, Cin / groups, K, K], bias [Cout]")
    precondition(groups == 1 || shape[..<2] == [groups, 1], "grouped convolutions are depthwise")
    let isPlain = padding == (1, 1, 1, 1) && stride == 1 && shape[2...] == [3, 3]
    precondition(isPlain || method != .f2 && method != .f4, "Winograd for 3 x 3, stride 1, padding 1")
    precondition(
      method == .pairs
        ? instructions.kernels.hasPairs : method != .tiles && method != .split || instructions.hasTiles,
      "a method of this instruction set")
    (self.stride, self.padding, kernels) = (stride, padding, instructions.kernels)
    kernel = (shape[2], shape[3])
    cout = shape[0]
    cin = shape[1] * groups
    let taps = kernel.height * kernel.width
    if groups > 1 {
      let packed = Storage(capacity: taps * cout)
      for i in 0..<taps * cout { packed.memory[i] = weight.values[i % cout * taps + i / cout] }
      let biases = Storage(capacity: cout)
      for i in 0..<cout { biases.memory[i] = bias.values[i] }
      kind = .depthwise(weight: packed, bias: biases)
    } else {
      let packing: PackedWeights.Method =
        switch method {
        case .direct: .direct
        case .pairs: .pairs
        case .f2: .winograd(m: 2)
        case .f4: .winograd(m: 4)
        case .tiles: .tiles
        case .split: .split
        }
      kind = .dense(
        PackedWeights(
          weight: weight.values, bias: bias.values, outputs: cout, inputs: cin, taps: taps, rows: kernel.height,
          method: packing, stride: stride, group: group, products: streamed ? kernels : instructions.products))
    }
  }

  /// `activation(conv(before(norm(x))) + residual)`.
  public func callAsFunction(
    _ x: Tensor, norm: GroupNorm.Scale? = nil, before: Activation = .none, activation: Activation = .none,
    adding residual: Tensor? = nil
  ) -> Tensor {
    let (inputHeight, inputWidth, channels) = x.picture
    precondition(channels == cin, "a picture of \(cin) channels")
    let height = inputHeight + padding.top + padding.bottom
    let width = inputWidth + padding.left + padding.right
    precondition(height >= kernel.height && width >= kernel.width, "a picture at least as large as the kernel")
    let (h, w) = ((height - kernel.height) / stride + 1, (width - kernel.width) / stride + 1)
    precondition(residual.map { $0.values.count == h * w * cout } ?? true, "a residual like the output")
    if case .dense(let weights) = kind { precondition(w % weights.group == 0, "whole groups in a row") }
    return Tensor(h, w, cout) { output in
      x.values.with { x in
        let picture = PaddedPicture(
          input: x, height: inputHeight, width: inputWidth, channels: cin, top: padding.top, left: padding.left,
          right: padding.right, factor: norm?.factor, offset: norm?.offset, activation: before)
        withExtendedLifetime((norm, residual)) {
          run(picture, height, w, h, output, residual?.values.with { $0 }, activation)
        }
      }
    }
  }

  /// For a 3 x 3 depthwise convolution: `pointwise(self(x)) + shortcut`, then PReLU with the channels' `slope`, or ReLU
  /// if that is nil. Fused into two passes on the tile unit.
  public func callAsFunction(
    _ x: Tensor, then pointwise: Conv2d, adding shortcut: Tensor, slope: Tensor?
  ) -> Tensor {
    #if arch(x86_64)
      if case .depthwise(let weight, let bias) = kind, case .dense(let weights) = pointwise.kind,
        weights.method == .split, kernel == (3, 3)
      {
        let (height, width, channels) = x.picture
        let h = (height + padding.top + padding.bottom - 3) / stride + 1
        let w = (width + padding.left + padding.right - 3) / stride + 1
        precondition(channels == cin && cin == weights.inputs, "a picture of \(cin) channels")
        precondition(shortcut.values.count == h * w * weights.outputs, "a shortcut like the output")
        return Tensor(h, w, weights.outputs) { output in
          x.values.with { x in
            let convolution = ctiles_depthwise(
              input: x, height: Int32(height), width: Int32(width), channels: Int32(channels), top: Int32(padding.top),
              left: Int32(padding.left), stride: Int32(stride), columns: Int32(w), weights: weight.memory,
              bias: bias.memory)
            let to = Destination(
              output: output, channels: weights.outputs, bias: weights.bias.memory,
              residual: shortcut.values.with { $0 }, activation: .relu)
            convolveByTiles(depthwise: convolution, rows: h, weights, slope: slope?.values.with { $0 }, to)
          }
          withExtendedLifetime((shortcut, slope)) {}
        }
      }
    #endif
    let y = pointwise(self(x), activation: slope == nil ? .relu : .none, adding: shortcut)
    return slope.map { prelu(y, slope: $0, by: kernels) } ?? y
  }

  /// `rows`: of the padded image. The output is `columns` x `lines` pixels.
  private func run(
    _ picture: PaddedPicture, _ rows: Int, _ columns: Int, _ lines: Int, _ output: UnsafeMutablePointer<Float>,
    _ residual: UnsafePointer<Float>?, _ activation: Activation
  ) {
    let pixels = columns * lines
    let bias =
      switch kind {
      case .dense(let weights): weights.bias
      case .depthwise(_, let bias): bias
      }
    let to = Destination(
      output: output, channels: cout, bias: bias.memory, residual: residual, activation: activation)
    if case .dense(let weights) = kind, case .winograd(let m) = weights.method {
      let w = Winograd(m: m, picture: picture, weights: weights.weights, format: weights.format)
      return winograd(w, weights, to, by: kernels)
    }
    #if arch(x86_64)
      if case .dense(let weights) = kind, weights.method == .tiles || weights.method == .split {
        return convolveByTiles(
          picture, rows: rows, weights, kernel: kernel, stride: stride, height: lines, width: columns, to)
      }
    #endif
    let paired: Bool
    if case .dense(let weights) = kind { paired = weights.method == .pairs } else { paired = false }
    let channels = paired ? (cin + 1) / 2 : cin  // elements
    let untouched = padding == (0, 0, 0, 0) && picture.factor == nil && picture.activation == .none && !paired
    let size = untouched ? 0 : rows * picture.paddedWidth * channels
    let padded = Workspace.shared.lease(size)
    if !untouched {
      shareOut(rows, cost: 4 * picture.paddedWidth * cin) { part in
        let to = padded.memory + part.lowerBound * picture.paddedWidth * channels
        kernels.pad(picture, rows: part, paired: paired, to)
      }
    }
    let (weights, format): (UnsafeRawPointer, WeightFormat) =
      switch kind {
      case .dense(let weights): (weights.weights, weights.format)
      case .depthwise(let weight, _): (UnsafeRawPointer(weight.memory), .single)
      }
    let convolution = Convolution(
      input: untouched ? UnsafeRawPointer(picture.input) : UnsafeRawPointer(padded.memory),
      kernelRows: kernel.height, rowLength: kernel.width * channels, inputRow: picture.paddedWidth * channels,
      pixelStep: stride * channels, rowStep: stride * picture.paddedWidth * channels, outputWidth: columns,
      weights: weights, format: format)
    switch kind {
    case .dense(let weights):
      product(convolution, weights, pixels: pixels, to, by: kernels)
    case .depthwise:
      shareOut(pixels, cost: cin * kernel.height * kernel.width) {
        kernels.convolveDepthwise(
          convolution, weights: weights.assumingMemoryBound(to: Float.self), pixels: $0, to: to)
      }
    }
    withExtendedLifetime(padded) {}
  }
}

/// With many tiles, or with a single channel block, each task takes some rows of tiles through all stages, so that they
/// stay in its cache. Otherwise all tiles are transformed first and the products are split by channel block, so that
/// each weight is read once.
private func winograd(_ w: Winograd, _ weights: PackedWeights, _ to: Destination, by kernels: any KernelSet.Type) {
  let (m, cin) = (w.m, weights.inputs)
  let lanes = weights.products.lanes
  let width = min((weights.outputs + lanes - 1) / lanes, 2) * lanes  // of a block
  let strip = (m + 2) * (w.columns * m + 2) * cin + 40 * kernels.lanes
  let isOne = weights.blocks == 1  // so only rows can be split
  let group = max(1, min(48 / w.columns, isOne ? (w.rows + 3) / 4 : w.rows))  // rows of tiles
  let groups = (w.rows + group - 1) / group
  if groups >= 4 || isOne {
    let most = group * w.columns
    ThreadPool.shared.parallel(count: groups) { index in
      let rows = group * index..<min(group * (index + 1), w.rows)
      let tiles = rows.count * w.columns
      let transformed = w.positions * most * cin
      Scratch.withFloats(transformed + max(strip, w.positions * most * width + 40 * kernels.lanes)) { memory in
        let scratch = memory + transformed
        kernels.winogradInput(w, rows: rows, first: 0, tiles: tiles, scratch: scratch, memory)
        for block in 0..<weights.blocks {
          weights.products.winogradOutput(w, memory, rows: rows, block: block, scratch: scratch, to: to)
        }
      }
    }
  } else {
    let tiles = w.rows * w.columns
    let transformed = Workspace.shared.lease(w.positions * tiles * cin)
    shareOut(w.rows, cost: 4 * strip) { rows in
      Scratch.withFloats(strip) {
        kernels.winogradInput(
          w, rows: rows, first: rows.lowerBound * w.columns, tiles: tiles, scratch: $0, transformed.memory)
      }
    }
    ThreadPool.shared.parallel(count: weights.blocks) { block in
      Scratch.withFloats(w.positions * tiles * width + 40 * kernels.lanes) {
        weights.products.winogradOutput(w, transformed.memory, rows: 0..<w.rows, block: block, scratch: $0, to: to)
      }
    }
    withExtendedLifetime(transformed) {}
  }
}
