// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Layers: weights packed once at load, then called like functions.

/// Zeros added around a picture before a convolution, in pixels.
public typealias Padding = (top: Int, bottom: Int, left: Int, right: Int)

/// 2-D convolution over `[H, W, Cin]` -> `[H', W', Cout]`, zero padding. PyTorch weight `[Cout, Cin / groups, K, K]`.
public struct Conv2d: Sendable {
  let weight: Tensor
  let bias: Tensor
  let stride: Int
  let padding: Padding
  let groups: Int

  /// Symmetric padding of kernel / 2, as every convolution of our own networks has.
  public init(
    _ w: Weights, _ name: String, _ cin: Int, _ cout: Int, kernel: Int = 3, stride: Int = 1
  ) {
    let p = kernel / 2
    self.init(
      weight: w.take("\(name).weight", [cout, cin, kernel, kernel]), bias: w.take("\(name).bias", [cout]),
      stride: stride, padding: (p, p, p, p), precision: w.precision)
  }

  /// `groups` is 1 or, for a depthwise convolution, the number of channels (weight `[C, 1, K, K]`).
  public init(
    weight: Tensor, bias: Tensor, stride: Int, padding: Padding, groups: Int = 1, precision: Weights.Precision = .f32
  ) {
    (self.weight, self.bias, self.stride, self.padding, self.groups) = (weight, bias, stride, padding, groups)
  }

  public func callAsFunction(_ x: Tensor, activation: Activation = .none) -> Tensor {
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
          out.values[(y * ow + xx) * cout + o] = activation(sum)
        }
      }
    }
    return out
  }
}

/// `[T, Cin]` -> `[T, Cout]`; a vector counts as one row. PyTorch weight `[Cout, Cin]`.
public struct Linear: Sendable {
  let weight: Tensor
  let bias: Tensor

  public init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int) {
    weight = w.take("\(name).weight", [cout, cin])
    bias = w.take("\(name).bias", [cout])
  }

  public func callAsFunction(_ x: Tensor, activation: Activation = .none) -> Tensor {
    let (cout, cin) = (weight.shape[0], weight.shape[1])
    let t = x.values.count / cin
    var out = Tensor(zeros: [t, cout])
    for r in 0..<t {
      for o in 0..<cout {
        var sum = bias.values[o]
        for c in 0..<cin { sum += x.values[r * cin + c] * weight.values[o * cin + c] }
        out.values[r * cout + o] = activation(sum)
      }
    }
    return out
  }
}

/// Group normalisation over `[H, W, C]`, eps 1e-5 (Wu and He 2018).
public struct GroupNorm: Sendable {
  let weight: Tensor
  let bias: Tensor
  let groups: Int

  public init(_ w: Weights, _ name: String, _ channels: Int, groups: Int) {
    weight = w.take("\(name).weight", [channels])
    bias = w.take("\(name).bias", [channels])
    self.groups = groups
  }

  /// `activation(norm(x) * (1 + scale) + shift)`; scale and shift `[C]`.
  public func callAsFunction(
    _ x: Tensor, scale: [Float]? = nil, shift: [Float]? = nil, activation: Activation = .none
  ) -> Tensor {
    let channels = weight.values.count
    let (pixels, width) = (x.values.count / channels, channels / groups)
    var out = x
    for g in 0..<groups {
      let indices = (0..<pixels * width).map { $0 / width * channels + g * width + $0 % width }
      let mean = indices.reduce(0) { $0 + x.values[$1] } / Float(indices.count)
      let variance = indices.reduce(0) { $0 + (x.values[$1] - mean) * (x.values[$1] - mean) } / Float(indices.count)
      let factor = 1 / (variance + 1e-5).squareRoot()
      for i in indices {
        let c = i % channels
        let y = (x.values[i] - mean) * factor * weight.values[c] + bias.values[c]
        out.values[i] = activation(y * (1 + (scale?[c] ?? 0)) + (shift?[c] ?? 0))
      }
    }
    return out
  }
}

/// Layer normalisation of each row of `[T, C]`, eps 1e-5 (Ba et al. 2016).
public struct LayerNorm: Sendable {
  let weight: Tensor
  let bias: Tensor

  public init(_ w: Weights, _ name: String, _ width: Int) {
    weight = w.take("\(name).weight", [width])
    bias = w.take("\(name).bias", [width])
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    var out = Self.plain(x)
    let width = weight.values.count
    for i in out.values.indices { out.values[i] = out.values[i] * weight.values[i % width] + bias.values[i % width] }
    return out
  }

  /// Without scale and shift.
  public static func plain(_ x: Tensor) -> Tensor {
    let width = x.shape.last ?? 1
    var out = x
    for row in 0..<x.values.count / width {
      let range = row * width..<(row + 1) * width
      // Counted from the first value: a row of one value (digital silence) becomes exactly 0, not its rounding error.
      let first = x.values[row * width]
      let mean = first + x.values[range].reduce(0) { $0 + ($1 - first) } / Float(width)
      let variance = x.values[range].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(width)
      let factor = 1 / (variance + 1e-5).squareRoot()
      for i in range { out.values[i] = (x.values[i] - mean) * factor }
    }
    return out
  }
}
