// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What layers do between convolutions: functions without weights.

import Glibc

public enum Activation: Sendable {
  case none, relu, silu
  case gelu  // the tanh approximation

  func callAsFunction(_ x: Float) -> Float {
    switch self {
    case .none: x
    case .relu: max(x, 0)
    case .silu: x / (1 + expf(-x))
    case .gelu: 0.5 * x * (1 + tanhf(0.7978845608 * (x + 0.044715 * x * x * x)))
    }
  }

  /// Of every value of `x`.
  public func callAsFunction(_ x: Tensor) -> Tensor { Tensor(x.shape, x.values.map { self($0) }) }
}

public func relu(_ x: Tensor) -> Tensor { Activation.relu(x) }
public func silu(_ x: Tensor) -> Tensor { Activation.silu(x) }
public func gelu(_ x: Tensor) -> Tensor { Activation.gelu(x) }

/// Negative values times the slope of their channel. `[..., C]`, slope `[C]`.
public func prelu(_ x: Tensor, slope: Tensor) -> Tensor {
  let width = slope.values.count
  return Tensor(x.shape, x.values.enumerated().map { $1 < 0 ? $1 * slope.values[$0 % width] : $1 })
}

public func + (a: Tensor, b: Tensor) -> Tensor {
  precondition(a.shape == b.shape, "only tensors of one shape can be added")
  return Tensor(a.shape, zip(a.values, b.values).map { $0 + $1 })
}

/// Every pixel twice in both directions: `[H, W, C]` -> `[2H, 2W, C]`.
public func upsample2(_ x: Tensor) -> Tensor {
  let (h, w, c) = (x.shape[0], x.shape[1], x.shape[2])
  var values: [Float] = []
  values.reserveCapacity(4 * x.values.count)
  for y in 0..<2 * h {
    for i in 0..<2 * w {
      let from = (y / 2 * w + i / 2) * c
      values += x.values[from..<from + c]
    }
  }
  return Tensor([2 * h, 2 * w, c], values)
}

/// Largest of each 2x2 square: `[H, W, C]` -> `[H/2, W/2, C]`; an odd last row or column is dropped.
public func maxPool2(_ x: Tensor) -> Tensor {
  let (h, w, c) = (x.shape[0] / 2, x.shape[1] / 2, x.shape[2])
  var out = Tensor(zeros: [h, w, c])
  for y in 0..<h {
    for i in 0..<w {
      for k in 0..<c {
        let at = (2 * y * x.shape[1] + 2 * i) * c + k
        let below = at + x.shape[1] * c
        out.values[(y * w + i) * c + k] = max(
          max(x.values[at], x.values[at + c]), max(x.values[below], x.values[below + c]))
      }
    }
  }
  return out
}

/// Channels of `a`, then channels of `b`: `[H, W, A]`, `[H, W, B]` -> `[H, W, A + B]`.
public func concat(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(a.shape.dropLast() == b.shape.dropLast(), "only pictures of one size can be joined")
  let (ca, cb) = (a.shape.last ?? 1, b.shape.last ?? 1)
  var values: [Float] = []
  values.reserveCapacity(a.values.count + b.values.count)
  for i in 0..<a.values.count / ca {
    values += a.values[i * ca..<(i + 1) * ca]
    values += b.values[i * cb..<(i + 1) * cb]
  }
  return Tensor(a.shape.dropLast() + [ca + cb], values)
}

/// Scaled dot-product attention (Vaswani et al. 2017): queries `[T, C]`, keys and values `[S, C]` -> `[T, C]`,
/// each head on its own C / heads channels.
public func attention(q: Tensor, k: Tensor, v: Tensor, heads: Int) -> Tensor {
  let (t, s, c) = (q.shape[0], k.shape[0], q.shape[1])
  let d = c / heads
  let factor = 1 / Float(d).squareRoot()
  var out = Tensor(zeros: [t, c])
  for first in stride(from: 0, to: c, by: d) {
    for i in 0..<t {
      var weights = (0..<s).map { j in
        (first..<first + d).reduce(Float(0)) { $0 + q.values[i * c + $1] * k.values[j * c + $1] } * factor
      }
      let top = weights.max() ?? 0
      weights = weights.map { expf($0 - top) }
      let total = weights.reduce(0, +)
      for j in 0..<s {
        for n in first..<first + d { out.values[i * c + n] += weights[j] / total * v.values[j * c + n] }
      }
    }
  }
  return out
}

/// Self-attention of `[T, 3C]`, each row a query, a key and a value side by side -> `[T, C]`.
public func attention(qkv: Tensor, heads: Int) -> Tensor {
  let (t, c) = (qkv.shape[0], qkv.shape[1] / 3)
  let parts = (0..<3).map { part in
    Tensor([t, c], (0..<t).flatMap { qkv.values[($0 * 3 + part) * c..<($0 * 3 + part + 1) * c] })
  }
  return attention(q: parts[0], k: parts[1], v: parts[2], heads: heads)
}
