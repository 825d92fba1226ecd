// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Layers: weights packed once at load, then called like functions.

public enum Activation: Sendable { case none, relu, silu, gelu }  // gelu: tanh approximation

/// 2-D convolution over `[H, W, Cin]` -> `[H', W', Cout]`, zero padding. PyTorch weight `[Cout, Cin / groups, K, K]`.
public struct Conv2d: Sendable {
  let weight: Tensor
  let bias: Tensor
  let stride: Int
  let padding: (top: Int, bottom: Int, left: Int, right: Int)
  let groups: Int

  /// Symmetric padding of kernel / 2, as every convolution of our own networks has.
  public init(
    _ w: Weights, _ name: String, _ cin: Int, _ cout: Int, kernel: Int = 3, stride: Int = 1
  ) {
    let p = kernel / 2
    self.init(
      weight: w.take("\(name).weight", [cout, cin, kernel, kernel]), bias: w.take("\(name).bias", [cout]),
      stride: stride, padding: (p, p, p, p))
  }

  /// `groups` is 1 or, for a depthwise convolution, the number of channels.
  public init(
    weight: Tensor, bias: Tensor, stride: Int, padding: (top: Int, bottom: Int, left: Int, right: Int), groups: Int = 1
  ) {
    (self.weight, self.bias, self.stride, self.padding, self.groups) = (weight, bias, stride, padding, groups)
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    let (h, w, cin) = (x.shape[0], x.shape[1], x.shape[2])
    let (cout, cg, kh, kw) = (weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3])
    let oh = (h + padding.top + padding.bottom - kh) / stride + 1
    let ow = (w + padding.left + padding.right - kw) / stride + 1
    var out = Tensor(zeros: [oh, ow, cout])
    for y in 0..<oh {
      for xx in 0..<ow {
        for o in 0..<cout {
          var sum = bias.values[o]
          let first = o / (cout / groups) * cg
          for i in 0..<kh {
            for j in 0..<kw {
              let (sy, sx) = (y * stride + i - padding.top, xx * stride + j - padding.left)
              if sy < 0 || sx < 0 || sy >= h || sx >= w { continue }
              for c in 0..<cg {
                sum += x.values[(sy * w + sx) * cin + first + c] * weight.values[((o * cg + c) * kh + i) * kw + j]
              }
            }
          }
          out.values[(y * ow + xx) * cout + o] = sum
        }
      }
    }
    return out
  }
}

/// `[T, Cin]` -> `[T, Cout]`. PyTorch weight `[Cout, Cin]`.
public struct Linear: Sendable {
  let weight: Tensor
  let bias: Tensor

  public init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int) {
    weight = w.take("\(name).weight", [cout, cin])
    bias = w.take("\(name).bias", [cout])
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    let (cout, cin) = (weight.shape[0], weight.shape[1])
    let t = x.values.count / cin
    var out = Tensor(zeros: [t, cout])
    for r in 0..<t {
      for o in 0..<cout {
        var sum = bias.values[o]
        for c in 0..<cin { sum += x.values[r * cin + c] * weight.values[o * cin + c] }
        out.values[r * cout + o] = sum
      }
    }
    return out
  }
}
