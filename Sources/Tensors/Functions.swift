// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What layers do between convolutions: functions without weights.

import Kernels

public typealias Activation = Kernels.Activation

public func relu(_ x: Tensor) -> Tensor { activated(x, .relu) }
public func silu(_ x: Tensor) -> Tensor { activated(x, .silu) }
public func gelu(_ x: Tensor) -> Tensor { activated(x, .gelu) }

private func activated(_ x: Tensor, _ activation: Activation) -> Tensor {
  Tensor(x.shape) { output in
    x.values.withUnsafeBufferPointer { x in
      guard let base = x.baseAddress else { return }
      shareOut(x.count, cost: 1) {
        activate(base + $0.lowerBound, activation, count: $0.count, output + $0.lowerBound)
      }
    }
  }
}

/// Negative values times the slope of their channel. `[..., C]`, slope `[C]`.
public func prelu(_ x: Tensor, slope: Tensor) -> Tensor {
  let channels = slope.values.count
  precondition(x.shape.last == channels, "a slope for every channel")
  return Tensor(x.shape) {
    Kernels.prelu(x.values, slope: slope.values, rows: x.values.count / channels, channels: channels, $0)
  }
}

public func + (a: Tensor, b: Tensor) -> Tensor {
  precondition(a.shape == b.shape, "only tensors of one shape can be added")
  return Tensor(a.shape) { add(a.values, b.values, count: a.values.count, $0) }
}

/// Every pixel twice in both directions: `[H, W, C]` -> `[2H, 2W, C]`.
public func upsample2(_ x: Tensor) -> Tensor {
  let (h, w, c) = (x.shape[0], x.shape[1], x.shape[2])
  return Tensor([2 * h, 2 * w, c]) { output in
    x.values.withUnsafeBufferPointer { x in
      guard let x = x.baseAddress else { return }
      for y in 0..<h {
        let row = output + 4 * y * w * c
        for i in 0..<w {
          let pixel = x + (y * w + i) * c
          (row + 2 * i * c).update(from: pixel, count: c)
          (row + (2 * i + 1) * c).update(from: pixel, count: c)
        }
        (row + 2 * w * c).update(from: row, count: 2 * w * c)
      }
    }
  }
}

/// Largest of each 2x2 square: `[H, W, C]` -> `[H/2, W/2, C]`; an odd last row or column is dropped.
public func maxPool2(_ x: Tensor) -> Tensor {
  let (h, w, c) = (x.shape[0] / 2, x.shape[1] / 2, x.shape[2])
  return Tensor([h, w, c]) { output in
    x.values.withUnsafeBufferPointer { values in
      for y in 0..<h {
        for i in 0..<w {
          let above = (2 * y * x.shape[1] + 2 * i) * c
          let below = above + x.shape[1] * c
          for k in 0..<c {
            output[(y * w + i) * c + k] = max(
              max(values[above + k], values[above + c + k]), max(values[below + k], values[below + c + k]))
          }
        }
      }
    }
  }
}

/// Channels of `a`, then channels of `b`: `[H, W, A]`, `[H, W, B]` -> `[H, W, A + B]`.
public func concat(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(a.shape.dropLast() == b.shape.dropLast(), "only pictures of one size can be joined")
  let (ca, cb) = (a.shape.last ?? 1, b.shape.last ?? 1)
  return Tensor(a.shape.dropLast() + [ca + cb]) { output in
    a.values.withUnsafeBufferPointer { a in
      b.values.withUnsafeBufferPointer { b in
        guard let first = a.baseAddress, let second = b.baseAddress else { return }
        for i in 0..<a.count / ca {
          let to = output + i * (ca + cb)
          to.update(from: first + i * ca, count: ca)
          (to + ca).update(from: second + i * cb, count: cb)
        }
      }
    }
  }
}

/// Scaled dot-product attention (Vaswani et al. 2017): queries `[T, C]`, keys and values `[S, C]` -> `[T, C]`,
/// each head on its own C / heads channels.
public func attention(q: Tensor, k: Tensor, v: Tensor, heads: Int) -> Tensor {
  let (t, s, c) = (q.shape[0], k.shape[0], q.shape[1])
  precondition(k.shape == [s, c] && v.shape == [s, c] && c % heads == 0 && s > 0, "q [T, C], k [S, C], v [S, C]")
  return Tensor([t, c]) { attend(q.values, k.values, v.values, t, s, width: c, channels: c, heads: heads, $0) }
}

/// Self-attention of `[T, 3C]`, each row a query, a key and a value side by side -> `[T, C]`.
public func attention(qkv: Tensor, heads: Int) -> Tensor {
  let (t, c) = (qkv.shape[0], qkv.shape[1] / 3)
  precondition(qkv.shape[1] == 3 * c && c % heads == 0 && t > 0, "qkv [T, 3C]")
  return Tensor([t, c]) { output in
    qkv.values.withUnsafeBufferPointer {
      guard let x = $0.baseAddress else { return }
      attend(x, x + c, x + 2 * c, t, t, width: 3 * c, channels: c, heads: heads, output)
    }
  }
}

/// q `[T, width]`, k, v `[S, width]`, of which the first `channels` count; output `[T, channels]`.
private func attend(
  _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, _ t: Int, _ s: Int, width: Int,
  channels: Int, heads: Int, _ output: UnsafeMutablePointer<Float>
) {
  let depth = channels / heads
  shareOut(heads, cost: t * s * depth / 4) { range in
    Scratch.withFloats((depth + 1) * ((s + 15) / 16 * 16)) { scratch in
      for first in range.map({ $0 * depth }) {
        Kernels.attend(
          q: q + first, k: k + first, v: v + first, queries: 0..<t, keys: s, width: width, depth: depth,
          scratch: scratch, output + first, outputWidth: channels)
      }
    }
  }
}
