// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import KernelInterface
import Tensors
import TestSupport
import Testing

/// Seeded values with standard deviation `scale`.
private func noise(_ shape: [Int], _ seed: UInt64 = 1, scale: Float = 1) -> Tensor {
  var noise = GaussianNoise(seed: seed)
  return Tensor(shape, noise.fill(shape.reduce(1, *)).map { $0 * scale })
}

/// The nearest bf16 as a `Float`, by arithmetic: eight significant bits.
private func half(_ x: Float) -> Float {
  let step = Float(sign: .plus, exponent: x.exponent - 7, significand: 1)
  return x == 0 ? 0 : (x / step).rounded(.toNearestOrEven) * step
}

/// `activation(x * factor + offset)`, by an identity convolution.
func applied(
  _ scale: GroupNorm.Scale, to x: Tensor, _ activation: Tensors.Activation, on set: InstructionSet = instructions
) -> Tensor {
  let channels = x.shape[2]
  let identity = (0..<channels * channels).map { $0 % (channels + 1) == 0 ? Float(1) : 0 }
  let pass = Conv2d(
    weight: Tensor([channels, channels, 1, 1], identity), bias: Tensor(zeros: [channels]), stride: 1,
    padding: (0, 0, 0, 0), on: set)
  return pass(x, norm: scale, before: activation)
}

/// Every kernel of every instruction set against its naive twin, on awkward sizes.
@Suite struct ParityTests {
  struct Case: CustomTestStringConvertible {
    let size: (Int, Int)
    let cin: Int
    let cout: Int
    var kernel = 3
    var stride = 1
    var padding: Padding = (1, 1, 1, 1)

    var testDescription: String { "\(size) \(cin)->\(cout) kernel \(kernel) stride \(stride) padding \(padding)" }
  }

  static let cases = [
    Case(size: (6, 6), cin: 8, cout: 16), Case(size: (7, 5), cin: 3, cout: 24), Case(size: (9, 11), cin: 13, cout: 4),
    Case(size: (5, 13), cin: 4, cout: 31), Case(size: (24, 24), cin: 31, cout: 3),
    Case(size: (12, 12), cin: 64, cout: 40), Case(size: (1, 1), cin: 24, cout: 13), Case(size: (1, 9), cin: 5, cout: 1),
    Case(size: (24, 24), cin: 64, cout: 64), Case(size: (31, 17), cin: 24, cout: 24),
    Case(size: (66, 50), cin: 13, cout: 33),
    Case(size: (24, 24), cin: 16, cout: 33, stride: 2), Case(size: (13, 7), cin: 24, cout: 48, stride: 2),
    Case(size: (13, 8), cin: 3, cout: 16, kernel: 5, stride: 2, padding: (1, 2, 1, 2)),
    Case(size: (9, 9), cin: 4, cout: 24, kernel: 5, padding: (2, 2, 2, 2)),
    Case(size: (8, 9), cin: 13, cout: 17, stride: 2, padding: (0, 1, 0, 1)),
    Case(size: (8, 9), cin: 13, cout: 17, padding: (3, 0, 0, 2)),
    Case(size: (7, 5), cin: 24, cout: 31, kernel: 1, padding: (0, 0, 0, 0)),
    Case(size: (11, 5), cin: 13, cout: 72, kernel: 1, stride: 2, padding: (0, 0, 0, 0)),
  ]

  /// A method of an instruction set.
  struct Means: CustomTestStringConvertible {
    let set: InstructionSet
    let method: Conv2d.Method
    var testDescription: String { "\(method) on \(set.name)" }
    var isHalf: Bool { method == .pairs || method == .tiles }

    static let all = instructionSets.flatMap { set in
      Conv2d.Method.allCases.filter { method in
        switch method {
        case .direct, .f2, .f4: true
        case .pairs: set.kernels.hasPairs
        case .tiles, .split: set.hasTiles
        }
      }.map { Means(set: set, method: $0) }
    }
  }

  @Test(arguments: cases, Means.all)
  func convolution(_ c: Case, by means: Means) {
    let (set, method) = (means.set, means.method)
    let fits = c.kernel == 3 && c.stride == 1 && c.padding == (1, 1, 1, 1)
    guard fits || method != .f2 && method != .f4 else { return }
    var (x, weight) = (noise([c.size.0, c.size.1, c.cin]), noise([c.cout, c.cin, c.kernel, c.kernel], 2, scale: 0.1))
    let bias = noise([c.cout], 3)
    let fast = Conv2d(weight: weight, bias: bias, stride: c.stride, padding: c.padding, method: method, on: set)
    if means.isHalf { (x, weight) = (x.map { half($1) }, weight.map { half($1) }) }
    let plain = Plain.convolution(x, weight: weight, bias: bias, stride: c.stride, padding: c.padding, groups: 1)
    let tolerance: Float = method == .f4 ? 2e-4 : method == .split ? 1e-4 : 5e-5  // of values up to 10
    for activation in [Tensors.Activation.none, .relu, .silu, .gelu, .erfGELU] {
      expectClose(fast(x, activation: activation), Plain.activation(activation, plain), tolerance, "\(activation)")
    }
    let twice = Plain.activation(.silu, plain + plain)
    expectClose(fast(x, activation: .silu, adding: plain), twice, 2 * tolerance, "residual")

    // A preceding norm and activation, which the convolution applies while it pads.
    let norm = GroupNorm(
      Weights(["n.weight": noise([c.cin], 4), "n.bias": noise([c.cin], 5)], on: set), "n", c.cin, groups: 1)
    var before = applied(norm(x), to: x, .silu)
    if means.isHalf { before = before.map { half($1) } }
    expectClose(
      fast(x, norm: norm(x), before: .silu),
      Plain.convolution(before, weight: weight, bias: bias, stride: c.stride, padding: c.padding, groups: 1),
      means.isHalf ? 5e-3 : tolerance, "norm")
  }

  /// Pixels that the tile unit computes as one.
  @Test(
    arguments: Means.all.filter { $0.method == .tiles || $0.method == .split },
    [
      (cin: 24, cout: 24, kernel: 3, stride: 1, group: 2), (cin: 24, cout: 3, kernel: 3, stride: 1, group: 4),
      (cin: 3, cout: 24, kernel: 3, stride: 1, group: 2), (cin: 13, cout: 17, kernel: 5, stride: 1, group: 4),
      (cin: 13, cout: 17, kernel: 3, stride: 2, group: 2), (cin: 24, cout: 40, kernel: 1, stride: 1, group: 4),
    ])
  func group(by means: Means, _ c: (cin: Int, cout: Int, kernel: Int, stride: Int, group: Int)) {
    let p = c.kernel / 2
    for (height, width) in [(1, 4), (5, 8), (21, 24), (40, 72)] {
      var x = noise([c.stride * height, c.stride * width, c.cin])
      var weight = noise([c.cout, c.cin, c.kernel, c.kernel], 2, scale: 0.1)
      let bias = noise([c.cout], 3)
      let fast = Conv2d(
        weight: weight, bias: bias, stride: c.stride, padding: (p, p, p, p), method: means.method, group: c.group,
        on: means.set)
      if means.isHalf { (x, weight) = (x.map { half($1) }, weight.map { half($1) }) }
      let plain = Plain.convolution(
        x, weight: weight, bias: bias, stride: c.stride, padding: (p, p, p, p), groups: 1)
      let expected = Plain.activation(.silu, plain + plain)
      expectClose(fast(x, activation: .silu, adding: plain), expected, 2e-4, "\(height) x \(width)")
      for threads in 1...3 {
        #expect(ThreadPool.shared.limited(to: threads) { fast(x) } == fast(x))
      }
    }
  }

  @Test func groupsOfTheFewestProducts() {
    #expect(Conv2d.group(24, 24, kernel: 3, stride: 1, multiple: 4) == 2)
    #expect(Conv2d.group(24, 3, kernel: 3, stride: 1, multiple: 4) == 4)
    #expect(Conv2d.group(24, 3, kernel: 3, stride: 1, multiple: 3) == 1)
    #expect(Conv2d.group(64, 64, kernel: 3, stride: 1, multiple: 4) == 1)
  }

  /// Independent of how the work is split and how many threads take part.
  @Test(arguments: Means.all) func sameBytes(by means: Means) {
    let (x, weight) = (noise([40, 40, 48]), noise([72, 48, 3, 3], 2, scale: 0.1))
    let layer = Conv2d(
      weight: weight, bias: noise([72], 3), stride: 1, padding: (1, 1, 1, 1), method: means.method, on: means.set)
    let alone = ThreadPool.shared.limited(to: 1) { layer(x, before: .silu, activation: .silu) }
    for threads in [0, 1, 2, 3] {
      for _ in 0..<5 {
        #expect(ThreadPool.shared.limited(to: threads) { layer(x, before: .silu, activation: .silu) } == alone)
      }
    }
  }

  @Test(arguments: [(3, 1), (8, 2), (13, 1), (24, 2), (31, 1), (64, 1), (64, 2)], instructionSets)
  func depthwise(_ shape: (channels: Int, stride: Int), on set: InstructionSet) {
    let (channels, stride) = shape
    let x = noise([9, 14, channels])
    for (kernel, padding) in [(3, (1, 1, 1, 1)), (3, (0, 1, 0, 1)), (5, (1, 2, 2, 1))] as [(Int, Padding)] {
      let (weight, bias) = (noise([channels, 1, kernel, kernel], 2), noise([channels], 3))
      let fast = Conv2d(weight: weight, bias: bias, stride: stride, padding: padding, groups: channels, on: set)
      let plain = Plain.convolution(x, weight: weight, bias: bias, stride: stride, padding: padding, groups: channels)
      expectClose(fast(x, activation: .relu), Plain.activation(.relu, plain), 1e-5)
    }
  }

  /// A depthwise and a pointwise convolution with a residual connection, as in the face networks.
  @Test(arguments: [(3, 8, 1), (13, 24, 2), (16, 16, 1), (24, 31, 1), (64, 40, 2)], instructionSets)
  func depthwiseThenPointwise(_ shape: (cin: Int, cout: Int, stride: Int), on set: InstructionSet) {
    let (cin, cout, stride) = shape
    let (x, slope) = (noise([10, 14, cin]), noise([cout], 6))
    let (w1, b1) = (noise([cin, 1, 3, 3], 2), noise([cin], 3))
    let (w2, b2) = (noise([cout, cin, 1, 1], 4, scale: 0.1), noise([cout], 5))
    let padding: Padding = stride == 1 ? (1, 1, 1, 1) : (0, 1, 0, 1)
    let depthwise = Conv2d(weight: w1, bias: b1, stride: stride, padding: padding, groups: cin, on: set)
    let pointwise = Conv2d(
      weight: w2, bias: b2, stride: 1, padding: (0, 0, 0, 0), method: set.hasTiles ? .split : .direct, on: set)
    let plain = Plain.convolution(
      Plain.convolution(x, weight: w1, bias: b1, stride: stride, padding: padding, groups: cin), weight: w2, bias: b2,
      stride: 1, padding: (0, 0, 0, 0), groups: 1)
    let shortcut = noise(plain.shape, 7)
    let sum = plain + shortcut
    expectClose(
      depthwise(x, then: pointwise, adding: shortcut, slope: nil), Plain.activation(.relu, sum), 1e-4, "ReLU")
    expectClose(
      depthwise(x, then: pointwise, adding: shortcut, slope: slope),
      sum.map { $1 < 0 ? $1 * slope.values[$0 % cout] : $1 }, 1e-4, "PReLU")
  }

  @Test(arguments: [(1, 13, 4), (1, 256, 384), (14, 104, 192), (5, 192, 31), (36, 33, 24), (100, 128, 130)], Way.all)
  func linear(_ shape: (rows: Int, cin: Int, cout: Int), by way: Way) {
    let (rows, cin, cout) = shape
    var (x, weight, bias) = (noise([rows, cin]), noise([cout, cin], 2, scale: 0.1), noise([cout], 3))
    let weights = Weights(["l.weight": weight, "l.bias": bias], precision: way.precision, on: way.set)
    let fast = Linear(weights, "l", cin, cout, rows: rows)
    let isHalf = way.precision == .bf16 && (way.set.hasTiles && rows >= 8 || way.set.hasFastPairs)
    if isHalf { (x, weight) = (x.map { half($1) }, weight.map { half($1) }) }
    let plain = Plain.convolution(
      x.reshaped([rows, 1, cin]), weight: weight.reshaped([cout, cin, 1, 1]), bias: bias, stride: 1,
      padding: (0, 0, 0, 0), groups: 1)
    let tolerance: Float = way.set.hasTiles ? 5e-5 : 1e-5
    expectClose(fast(x), plain.reshaped([rows, cout]), tolerance)
    expectClose(fast(x, activation: .gelu), Plain.activation(.gelu, plain).reshaped([rows, cout]), tolerance)
    expectClose(fast(x, adding: plain), (plain + plain).reshaped([rows, cout]), tolerance)
  }

  @Test(
    arguments: [(1, 2, 8, 2), (7, 5, 24, 8), (3, 9, 13, 1), (5, 5, 31, 31), (24, 24, 64, 8), (2, 3, 4, 2)],
    instructionSets)
  func groupNorm(_ shape: (h: Int, w: Int, channels: Int, groups: Int), on set: InstructionSet) {
    let (h, w, channels, groups) = shape
    let x = noise([h, w, channels]).map { $1 + 30 }  // a mean far from zero must not cost precision
    let weights = Weights(["n.weight": noise([channels], 2), "n.bias": noise([channels], 3)], on: set)
    let norm = GroupNorm(weights, "n", channels, groups: groups)
    let modulation = noise([2, 2 * channels], 4)
    let (weight, bias) = (noise([channels], 2).values, noise([channels], 3).values)
    var plain = Plain.groupNorm(x, groups: groups)
    for i in plain.values.indices {
      let c = i % channels
      let y = plain.values[i] * weight[c] + bias[c]
      plain.values[i] = y * (1 + modulation.values[2 * channels + c]) + modulation.values[3 * channels + c]
    }
    expectClose(
      applied(norm(x, modulation: modulation, row: 1), to: x, .silu, on: set), Plain.activation(.silu, plain), 1e-4)
  }

  @Test(arguments: [(1, 1), (3, 7), (14, 192), (5, 104), (4, 13)], instructionSets)
  func layerNorm(_ shape: (rows: Int, width: Int), on set: InstructionSet) {
    let (rows, width) = shape
    let x = noise([rows, width])
    expectClose(LayerNorm.plain(x, by: set.kernels), Plain.layerNorm(x), 1e-5)
    let silence = Tensor([rows, width], [Float](repeating: -36.0437, count: rows * width))
    #expect(LayerNorm.plain(silence, by: set.kernels) == Tensor(zeros: [rows, width]))
    let ones = Tensor([width], [Float](repeating: 1, count: width))
    let layer = LayerNorm(Weights(["n.weight": ones, "n.bias": ones], on: set), "n", width)
    expectClose(layer(x), Plain.layerNorm(x).map { $1 + 1 }, 1e-5)
  }

  @Test(
    arguments: [(144, 14, 128, 4), (36, 36, 192, 6), (14, 14, 192, 6), (5, 1, 26, 2), (3, 17, 13, 1)], instructionSets)
  func attends(_ shape: (queries: Int, keys: Int, width: Int, heads: Int), on set: InstructionSet) {
    let (queries, keys, width, heads) = shape
    let (q, k, v) = (noise([queries, width]), noise([keys, width], 2), noise([keys, width], 3))
    expectClose(
      attention(q: q, k: k, v: v, heads: heads, by: set.kernels), Plain.attention(q: q, k: k, v: v, heads: heads), 1e-5)
  }

  @Test(arguments: instructionSets) func attendsToItself(on set: InstructionSet) {
    let qkv = noise([5, 3 * 24])
    func part(_ n: Int) -> Tensor {
      let rows = (0..<5).map { (row: Int) -> ArraySlice<Float> in
        Array(qkv.values)[(row * 3 + n) * 24..<(row * 3 + n + 1) * 24]
      }
      return Tensor([5, 24], rows.flatMap { $0 })
    }
    expectClose(
      attention(qkv: qkv, heads: 3, by: set.kernels), Plain.attention(q: part(0), k: part(1), v: part(2), heads: 3),
      1e-5)
  }

  @Test(
    arguments: [(5, 55, 50, 384, 6), (1, 51, 50, 64, 1), (7, 9, 3, 26, 2), (2, 1, 0, 13, 1), (3, 17, 16, 72, 3)],
    instructionSets)
  func attendsAround(
    _ shape: (queries: Int, span: Int, before: Int, width: Int, heads: Int), on set: InstructionSet
  ) {
    let (queries, span, before, width, heads) = shape
    let qkv = noise([queries + span + 3, 3 * width])
    let (near, carry) = (noise([span, width], 2), noise([span, width], 3))
    var track = RowHistory(width: 3 * width)
    track.restart(at: 100)
    track.append(qkv.values)
    track.forget(before: 102)
    let first = before + 2
    expectClose(
      attention(
        qkv: track, queries: 100 + first..<100 + first + queries, before: before, near: near, carry: carry,
        heads: heads, by: set.kernels),
      Plain.attention(
        qkv: qkv, queries: first..<first + queries, before: before, near: near, carry: carry, heads: heads),
      1e-5)
  }

  /// The exponential's whole range, and beyond.
  @Test(arguments: instructionSets) func activations(on set: InstructionSet) {
    func expect(_ activation: Tensors.Activation, _ x: Tensor, _ tolerance: Float) {
      expectClose(
        activated(x, activation, by: set.kernels), Plain.activation(activation, x), tolerance, "\(activation)")
    }
    let x = Tensor([4003], (-2001...2001).map { Float($0) * 0.05 })
    let near = Tensor([4003], (-2001...2001).map { Float($0) * 0.003 })
    for (activation, tolerance) in [(.relu, 0), (.silu, 1e-5), (.gelu, 1e-5), (.erfGELU, 1e-5)]
      as [(Tensors.Activation, Float)]
    {
      expect(activation, x, tolerance)
    }
    expect(.erfGELU, near, 1e-6)
    let far = Tensor([4], [-1e30, -200, 200, 1e30])
    for activation in [Tensors.Activation.silu, .erfGELU] {
      expectClose(activated(far, activation, by: set.kernels), Tensor([4], [0, 0, 200, 1e30]), 1e-5)
    }
  }

  @Test(arguments: [1, 13, 16, 100], instructionSets) func elementwise(channels: Int, on set: InstructionSet) {
    let (a, b, slope) = (noise([7, channels]), noise([7, channels], 2), noise([channels], 3))
    #expect(Array(sum(a, b, by: set.kernels).values) == zip(a.values, b.values).map { $0 + $1 })
    let sloped = a.map { $1 < 0 ? $1 * slope.values[$0 % channels] : $1 }
    expectClose(prelu(a, slope: slope, by: set.kernels), sloped, 0)
    let x = noise([5, 7, channels], 4)
    let largest = (0..<2 * 3 * channels).map { i in
      let (y, column, c) = (2 * (i / (3 * channels)), 2 * (i / channels % 3), i % channels)
      let square = [(y, column), (y, column + 1), (y + 1, column), (y + 1, column + 1)]
      return square.map { x.values[($0 * 7 + $1) * channels + c] }.max() ?? 0
    }
    #expect(Array(maxPool2(x, by: set.kernels).values) == largest)
  }

  /// Norm and activation in the tile unit's input, over the whole range.
  @Test(arguments: Means.all.filter { $0.set.hasTiles }) func activationsOnTheWay(by means: Means) {
    let x = Tensor([1, 4003, 1], (-2001...2001).map { Float($0) * 0.05 })
    let one = Tensor([1, 1, 1, 1], [1])
    guard means.method != .f2, means.method != .f4 else { return }
    let pass = Conv2d(
      weight: one, bias: Tensor(zeros: [1]), stride: 1, padding: (0, 0, 0, 0), method: means.method, on: means.set)
    for activation in [Tensors.Activation.none, .relu, .silu, .gelu, .erfGELU] {
      let plain = Plain.activation(activation, x)
      for (actual, expected) in zip(pass(x, before: activation).values, plain.values) {
        #expect(abs(actual - expected) <= (means.isHalf ? 5e-3 : 1e-5) * max(1, abs(expected)), "\(activation)")
      }
    }
  }
}

@Suite struct ProcessorTests {
  @Test func thisOneSuffices() { #expect(processorProblem == nil) }
}

@Suite struct RefusalTests {
  /// The kernel refuses the tile unit to a process with such a thread, and the next best instruction set computes the
  /// same.
  @Test func aHostWithSmallSignalStacksIsUndisturbed() throws {
    let host = Process()
    host.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
      .deletingLastPathComponent().appendingPathComponent("SmallStacks")
    let out = Pipe()
    host.standardOutput = out
    try host.run()
    let said = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    host.waitUntilExit()
    #expect(host.terminationReason == .exit && host.terminationStatus == 0)
    let others = instructionSets.filter { !$0.hasTiles }
    #expect(said == "\(instructions.hasTiles ? others[0].name : instructions.name) true\n")
  }
}
