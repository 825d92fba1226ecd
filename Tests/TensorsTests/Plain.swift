// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The naive twins of the kernels: slow, obvious, summed in Double.

import Glibc
import Tensors

enum Plain {
  /// x `[H, W, Cin]`, weight `[Cout, Cin / groups, K, K]`.
  static func convolution(
    _ x: Tensor, weight: Tensor, bias: Tensor, stride: Int, padding: Padding, groups: Int
  ) -> Tensor {
    let (h, w, cin) = (x.shape[0], x.shape[1], x.shape[2])
    let (cout, cg, kh, kw) = (weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3])
    let oh = (h + padding.top + padding.bottom - kh) / stride + 1
    let ow = (w + padding.left + padding.right - kw) / stride + 1
    var out = [Float](repeating: 0, count: oh * ow * cout)
    for y in 0..<oh {
      for xx in 0..<ow {
        for o in 0..<cout {
          var sum = Double(bias.values[o])
          let first = o / (cout / groups) * cg
          for i in 0..<kh {
            for j in 0..<kw {
              let (sy, sx) = (y * stride + i - padding.top, xx * stride + j - padding.left)
              if sy < 0 || sx < 0 || sy >= h || sx >= w { continue }
              for c in 0..<cg {
                let factor = weight.values[((o * cg + c) * kh + i) * kw + j]
                sum += Double(x.values[(sy * w + sx) * cin + first + c]) * Double(factor)
              }
            }
          }
          out[(y * ow + xx) * cout + o] = Float(sum)
        }
      }
    }
    return Tensor([oh, ow, cout], out)
  }

  static func activation(_ activation: Activation, _ x: Tensor) -> Tensor {
    let values = x.values.map { value in
      let x = Double(value)
      return switch activation {
      case .none: Float(x)
      case .relu: Float(max(x, 0))
      case .silu: Float(x / (1 + exp(-x)))
      case .gelu: Float(0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))))
      case .erfGELU: Float(0.5 * x * erfc(-x / 2.0.squareRoot()))
      }
    }
    return Tensor(x.shape, values)
  }

  /// Over groups of channels of `[H, W, C]`, without scale and shift.
  static func groupNorm(_ x: Tensor, groups: Int) -> Tensor {
    let channels = x.shape[2]
    let (pixels, width) = (x.values.count / channels, channels / groups)
    var out = Array(x.values)
    for g in 0..<groups {
      let indices = (0..<pixels * width).map { $0 / width * channels + g * width + $0 % width }
      normalise(&out, indices)
    }
    return Tensor(x.shape, out)
  }

  /// Each row of `[T, C]`.
  static func layerNorm(_ x: Tensor) -> Tensor {
    let width = x.shape[1]
    var out = Array(x.values)
    for row in 0..<x.shape[0] { normalise(&out, Array(row * width..<(row + 1) * width)) }
    return Tensor(x.shape, out)
  }

  private static func normalise(_ x: inout [Float], _ indices: [Int]) {
    let mean = indices.reduce(0) { $0 + Double(x[$1]) } / Double(indices.count)
    let variance =
      indices.reduce(0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / Double(indices.count)
    for i in indices { x[i] = Float((Double(x[i]) - mean) / (variance + 1e-5).squareRoot()) }
  }

  /// Local attention over rows `[T, 3C]` of query, key and value side by side: each of the rows `queries` attends to
  /// `near.shape[0]` rows, beginning `before` rows before it.
  static func attention(
    qkv: Tensor, queries: Range<Int>, before: Int, near: Tensor, carry: Tensor, heads: Int
  ) -> Tensor {
    let (span, c) = (near.shape[0], near.shape[1])
    func row(_ index: Int, _ part: Int) -> [Float] {
      Array(qkv.values[(3 * index + part) * c..<(3 * index + part + 1) * c])
    }
    let rows = queries.map { query in
      let others = query - before..<query - before + span
      return attention(
        q: Tensor([1, c], row(query, 0)), k: Tensor([span, c], others.flatMap { row($0, 1) }) + near,
        v: Tensor([span, c], others.flatMap { row($0, 2) }) + carry, heads: heads)
    }
    return Tensor([queries.count, c], rows.flatMap { Array($0.values) })
  }

  static func attention(q: Tensor, k: Tensor, v: Tensor, heads: Int) -> Tensor {
    let (t, s, c) = (q.shape[0], k.shape[0], q.shape[1])
    let d = c / heads
    var out = [Float](repeating: 0, count: t * c)
    for first in stride(from: 0, to: c, by: d) {
      for i in 0..<t {
        let scores = (0..<s).map { j in
          (first..<first + d).reduce(0) { $0 + Double(q.values[i * c + $1] * k.values[j * c + $1]) }
        }
        let weights = scores.map { exp($0 / Double(d).squareRoot()) }
        let total = weights.reduce(0, +)
        for n in first..<first + d {
          out[i * c + n] = Float((0..<s).reduce(0) { $0 + weights[$1] / total * Double(v.values[$1 * c + n]) })
        }
      }
    }
    return Tensor([t, c], out)
  }
}
