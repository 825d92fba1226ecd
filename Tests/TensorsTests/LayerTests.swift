// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import TestSupport
import Testing

/// Every layer and function against PyTorch: Golden/golden.py.
@Suite struct LayerTests {
  let golden: [String: Tensor]
  let x: Tensor  // [7, 5, 24]

  init() throws {
    golden = try TestSupport.golden("layers.safetensors")
    x = try #require(golden["x"])
  }

  func conv(_ name: String, cout: Int, kernel: Int, stride: Int) -> Conv2d {
    Conv2d(Weights(golden), name, 24, cout, kernel: kernel, stride: stride, size: 35)
  }

  @Test func convolves() throws {
    expectClose(conv("conv3", cout: 13, kernel: 3, stride: 1)(x, activation: .silu), golden["conv3.out"], 5e-5)
    expectClose(conv("conv3s2", cout: 32, kernel: 3, stride: 2)(x, activation: .silu), golden["conv3s2.out"], 5e-5)
    expectClose(conv("conv1", cout: 16, kernel: 1, stride: 1)(x, activation: .silu), golden["conv1.out"], 5e-5)
    let depthwise = Conv2d(
      weight: try #require(golden["depthwise.weight"]), bias: try #require(golden["depthwise.bias"]), stride: 2,
      padding: (0, 1, 0, 1), groups: 24)
    expectClose(depthwise(x, activation: .relu), golden["depthwise.out"], 1e-5)
  }

  @Test func normalises() throws {
    let norm = GroupNorm(Weights(golden), "norm", 24, groups: 8)
    let (scale, shift) = (try #require(golden["norm.scale"]), try #require(golden["norm.shift"]))
    let modulation = Tensor([1, 48], Array(scale.values) + Array(shift.values))
    expectClose(applied(norm(x, modulation: modulation), to: x, .silu), golden["norm.out"], 1e-5)
    let tokens = x.reshaped([35, 24])
    expectClose(LayerNorm(Weights(golden), "norm", 24)(tokens), golden["layernorm.out"], 1e-5)
    expectClose(LayerNorm.plain(tokens), golden["layernorm.plain"], 1e-5)
  }

  @Test func multipliesAndAttends() throws {
    let tokens = x.reshaped([35, 24])
    let linear = Linear(Weights(golden), "linear", 24, 40, rows: 35)
    expectClose(linear(tokens, activation: .gelu), golden["linear.out"], 5e-5)
    let (k, v) = (try #require(golden["k"]), try #require(golden["v"]))
    expectClose(attention(q: tokens, k: k, v: v, heads: 3), golden["attention.out"], 1e-5)
  }

  @Test func innerLeavesOutTheEdges() {
    let x = Tensor([3, 4, 2], (0..<24).map(Float.init))
    #expect(inner(x) == Tensor([1, 2, 2], [10, 11, 12, 13]))
  }

  @Test func rearranges() throws {
    expectClose(prelu(x, slope: try #require(golden["norm.scale"])), golden["prelu.out"], 0)
    expectClose(upsample2(x), golden["upsample.out"], 0)
    expectClose(maxPool2(x), golden["pool.out"], 0)
    let y = try #require(golden["y"])
    expectClose(concat(x, y), golden["concat.out"], 0)
    #expect(channels(24..<48, of: concat(x, y)) == y)
    #expect(Array((x + y).values) == zip(x.values, y.values).map { $0 + $1 })
    let beside = upsample2(x, beside: concat(upsample2(x), upsample2(x)))
    #expect(beside == concat(upsample2(x), concat(upsample2(x), upsample2(x))))
    #expect(widened(y, to: y.shape[2] + 3) == concat(y, Tensor(zeros: [7, 5, 3])))
  }
}

@Suite struct WeightsTests {
  @Test func namesEveryProblem() {
    let weights = Weights(["a": Tensor(zeros: [2]), "b": Tensor(zeros: [3]), "d": Tensor(zeros: [1])])
    #expect(weights.take("a", [2]) == Tensor(zeros: [2]))
    #expect(weights.take("b", [1, 3]) == Tensor(zeros: [1, 3]))
    #expect(weights.take("c", [4]) == Tensor(zeros: [4]))
    #expect(weights.finish() == ["b is [3], expected [1, 3]", "missing c [4]", "unknown d"])
  }
}
