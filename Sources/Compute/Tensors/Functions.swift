// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Functions without weights, used between layers.

public import KernelInterface

public func relu(_ x: Tensor) -> Tensor { activated(x, .relu) }
public func silu(_ x: Tensor) -> Tensor { activated(x, .silu) }
public func erfGELU(_ x: Tensor) -> Tensor { activated(x, .erfGELU) }

package func activated(_ x: Tensor, _ activation: Activation, by kernels: any KernelSet.Type = kernels) -> Tensor {
  Tensor(like: x) { output in
    x.values.with { from in
      shareOut(x.values.count, cost: 1) {
        kernels.activate(from + $0.lowerBound, activation, count: $0.count, output + $0.lowerBound)
      }
    }
  }
}

/// PReLU: multiplies negative values by their channel's slope. x `[..., C]`, slope `[C]`.
public func prelu(_ x: Tensor, slope: Tensor, by kernels: any KernelSet.Type = kernels) -> Tensor {
  let channels = slope.values.count
  precondition(x.picture.channels == channels, "a slope for every channel")
  return Tensor(like: x) { output in
    x.values.with { from in
      slope.values.with {
        kernels.prelu(from, slope: $0, rows: x.values.count / channels, channels: channels, output)
      }
    }
  }
}

public func + (a: Tensor, b: Tensor) -> Tensor { sum(a, b) }

package func sum(_ a: Tensor, _ b: Tensor, by kernels: any KernelSet.Type = kernels) -> Tensor {
  precondition(a.values.count == b.values.count, "only tensors of one shape can be added")
  return Tensor(like: a) { output in
    a.values.with { x in b.values.with { kernels.add(x, $0, count: a.values.count, output) } }
  }
}

extension Tensor {
  /// Transforms every value, given its index.
  public func map(_ transform: (_ index: Int, _ value: Float) -> Float) -> Tensor {
    Tensor(like: self) { output in
      values.with { from in for i in 0..<values.count { output[i] = transform(i, from[i]) } }
    }
  }
}

/// Nearest-neighbour upsampling: `[H, W, C]` -> `[2H, 2W, C]`. With `other` `[2H, 2W, D]`, its channels are appended to
/// each pixel: `[2H, 2W, C + D]`.
public func upsample2(_ x: Tensor, beside other: Tensor? = nil) -> Tensor {
  let (h, w, c) = x.picture
  let d = other?.picture.channels ?? 0
  precondition(other.map { $0.values.count == 4 * h * w * d } ?? true, "twice as large a picture")
  let width = c + d
  return Tensor(2 * h, 2 * w, width) { output in
    let beside = other?.values.with { $0 }
    x.values.with { x in
      shareOut(2 * h, cost: w * width) { rows in
        for y in rows {
          for i in 0..<2 * w {
            let to = output + (2 * w * y + i) * width
            to.update(from: x + (w * (y / 2) + i / 2) * c, count: c)
            if let beside { (to + c).update(from: beside + (2 * w * y + i) * d, count: d) }
          }
        }
      }
    }
    withExtendedLifetime(other) {}
  }
}

/// Crops one pixel off every side: `[H, W, C]` -> `[H - 2, W - 2, C]`.
public func inner(_ latent: Tensor) -> Tensor {
  let (height, width, channels) = latent.picture
  precondition(height > 2 && width > 2, "a picture of at least three places each way")
  return Tensor([height - 2, width - 2, channels]) { output in
    latent.values.with { from in
      for y in 0..<height - 2 {
        let row = from + ((y + 1) * width + 1) * channels
        (output + y * (width - 2) * channels).update(from: row, count: (width - 2) * channels)
      }
    }
  }
}

/// Max pooling over 2 x 2 squares: `[H, W, C]` -> `[H/2, W/2, C]`; an odd last row or column is dropped.
public func maxPool2(_ x: Tensor, by kernels: any KernelSet.Type = kernels) -> Tensor {
  let (height, width, c) = x.picture
  let (h, w) = (height / 2, width / 2)
  return Tensor(h, w, c) { output in
    x.values.with { values in
      for y in 0..<h {
        let above = values + 2 * y * width * c
        kernels.maxPool(above, above + width * c, columns: w, channels: c, output + y * w * c)
      }
    }
  }
}

/// Concatenates channels: `[H, W, A]`, `[H, W, B]` -> `[H, W, A + B]`.
public func concat(_ a: Tensor, _ b: Tensor) -> Tensor {
  let ((h, w, ca), (_, _, cb)) = (a.picture, b.picture)
  precondition(b.values.count == h * w * cb, "only pictures of one size can be joined")
  return Tensor(h, w, ca + cb) { output in
    a.values.with { a in
      b.values.with { b in
        for i in 0..<h * w {
          let to = output + i * (ca + cb)
          to.update(from: a + i * ca, count: ca)
          (to + ca).update(from: b + i * cb, count: cb)
        }
      }
    }
  }
}

/// Selects channels: `[H, W, C]` -> `[H, W, range.count]`.
public func channels(_ range: Range<Int>, of x: Tensor) -> Tensor {
  let (h, w, c) = x.picture
  precondition(range.lowerBound >= 0 && range.upperBound <= c, "channels that there are")
  return Tensor(h, w, range.count) { output in
    x.values.with { x in
      for i in 0..<h * w { (output + i * range.count).update(from: x + i * c + range.lowerBound, count: range.count) }
    }
  }
}

/// Pads the channels with zeros: `[H, W, C]` -> `[H, W, channels]`.
public func widened(_ x: Tensor, to channels: Int) -> Tensor {
  let (h, w, c) = x.picture
  precondition(channels >= c, "at least the channels that there are")
  if channels == c { return x }
  return Tensor(h, w, channels) { output in
    x.values.with { x in
      for i in 0..<h * w {
        (output + i * channels).update(from: x + i * c, count: c)
        (output + i * channels + c).update(repeating: 0, count: channels - c)
      }
    }
  }
}

/// Scaled dot-product attention (Vaswani et al. 2017): queries `[T, C]`, keys and values `[S, C]` -> `[T, C]`. Each
/// head has C / heads channels of its own.
public func attention(
  q: Tensor, k: Tensor, v: Tensor, heads: Int, by kernels: any KernelSet.Type = kernels
) -> Tensor {
  let ((t, _, c), (s, _, _)) = (q.picture, k.picture)
  precondition(
    k.values.count == s * c && v.values.count == s * c && c % heads == 0 && s > 0, "q [T, C], k [S, C], v [S, C]")
  return Tensor(t, c) { output in
    q.values.with { q in
      k.values.with { k in
        v.values.with { attend(q, k, $0, t, s, width: c, channels: c, heads: heads, output, by: kernels) }
      }
    }
  }
}

/// Self-attention over `[T, 3C]`, rows of query, key and value side by side -> `[T, C]`.
public func attention(qkv: Tensor, heads: Int, by kernels: any KernelSet.Type = kernels) -> Tensor {
  let (t, _, width) = qkv.picture
  let c = width / 3
  precondition(width == 3 * c && c % heads == 0 && t > 0, "qkv [T, 3C]")
  return Tensor(t, c) { output in
    qkv.values.with { x in
      attend(x, x + c, x + 2 * c, t, t, width: 3 * c, channels: c, heads: heads, output, by: kernels)
    }
  }
}

/// Local self-attention over a stream, with relative positions (Shaw et al., arXiv 1803.02155) -> `[queries.count, C]`.
/// Each of the rows `queries` of `qkv` (`[T, 3C]`: query, key, value side by side) attends to the `before` rows before
/// it, itself and the rows after it, `before + 1 + after` in all, which is the number of rows of `near` and `carry`
/// (`[before + 1 + after, C]`). `near` is added to the keys, `carry` to the values.
public func attention(
  qkv: RowHistory, queries: Range<Int>, before: Int, near: Tensor, carry: Tensor, heads: Int,
  by kernels: any KernelSet.Type = kernels
) -> Tensor {
  let (span, _, c) = near.picture
  precondition(
    qkv.width == 3 * c && carry.values.count == span * c && c % heads == 0 && before < span, "qkv [T, 3C], near, carry")
  precondition(
    qkv.first <= queries.lowerBound - before && queries.upperBound - 1 - before + span <= qkv.end, "rows that are held")
  let depth = c / heads
  return Tensor(queries.count, c) { output in
    _ = qkv.with(from: queries.lowerBound) { q in
      near.values.with { near in
        carry.values.with { carry in
          let k = q - before * 3 * c + c
          shareOut(heads, cost: queries.count * span * (depth + 10) / 4) { range in
            Scratch.withFloats(span + kernels.lanes) { scratch in
              for head in range {
                let first = head * depth
                kernels.attendAround(
                  q: q + first, k: k + first, v: k + c + first, near: near + first, carry: carry + first,
                  queries: queries.count, span: span, width: 3 * c, depth: depth, scratch: scratch, output + first,
                  outputWidth: c)
              }
            }
          }
        }
      }
    }
  }
}

/// q `[T, width]`, k, v `[S, width]`, using the first `channels` of each row; output `[T, channels]`.
private func attend(
  _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, _ v: UnsafePointer<Float>, _ t: Int, _ s: Int, width: Int,
  channels: Int, heads: Int, _ output: UnsafeMutablePointer<Float>, by kernels: any KernelSet.Type
) {
  let depth = channels / heads
  shareOut(heads, cost: t * s * (depth + 10) / 4) { range in
    Scratch.withFloats((depth + 4) * (s + kernels.lanes)) { scratch in
      for head in range {
        let first = head * depth
        kernels.attend(
          q: q + first, k: k + first, v: v + first, queries: 0..<t, keys: s, width: width, depth: depth,
          scratch: scratch, output + first, outputWidth: channels)
      }
    }
  }
}
