// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Padding of a convolution's input.

import CKernels
import KernelInterface

extension Kernels {
  /// Copies the image with its padding, so that the convolution needs no border cases, and applies the preceding norm
  /// and activation on the way.
  public static func pad(_ p: PaddedPicture, rows: Range<Int>, paired: Bool, _ output: UnsafeMutableRawPointer) {
    switch p.activation {
    case .none: padRows(Identity.self, p, rows, paired, output)
    case .relu: padRows(ReLU.self, p, rows, paired, output)
    case .silu: padRows(SiLU.self, p, rows, paired, output)
    case .gelu: padRows(GELU.self, p, rows, paired, output)
    case .erfGELU: padRows(ErfGELU.self, p, rows, paired, output)
    }
  }
}

@inline(__always)
private func padRows<C: ActivationFunction>(
  _: C.Type, _ p: PaddedPicture, _ rows: Range<Int>, _ paired: Bool, _ output: UnsafeMutableRawPointer
) {
  #if BF16
    if paired {
      let channels = (p.channels + 1) / 2 * 2
      return padRows(C.self, p, rows, channels, output.assumingMemoryBound(to: UInt16.self)) { values, to, count in
        if count >= lanes {
          ckernels_store_halves(to, values)
        } else {
          withUnsafeTemporaryAllocation(of: UInt16.self, capacity: lanes) { whole in
            ckernels_store_halves(whole.baseAddress, values)
            for i in 0..<count { to[i] = whole[i] }
          }
        }
      }
    }
  #endif
  padRows(C.self, p, rows, p.channels, output.assumingMemoryBound(to: Float.self)) { values, to, count in
    store(values, to, count)
  }
}

/// `channels`: of the output; those beyond the image's are zero.
@inline(__always)
private func padRows<C: ActivationFunction, Element: ExpressibleByIntegerLiteral>(
  _: C.Type, _ p: PaddedPicture, _ rows: Range<Int>, _ channels: Int, _ output: UnsafeMutablePointer<Element>,
  store: (Vector, UnsafeMutablePointer<Element>, Int) -> Void
) {
  let width = p.paddedWidth
  for row in rows {
    var to = output + (row - rows.lowerBound) * width * channels
    let y = row - p.top
    guard y >= 0, y < p.height else {
      to.update(repeating: 0, count: width * channels)
      continue
    }
    to.update(repeating: 0, count: p.left * channels)
    to += p.left * channels
    let from = p.input + y * p.width * p.channels
    if let factor = p.factor, let offset = p.offset {
      for x in 0..<p.width {
        forEachVector(p.channels) { c, valid in
          let values = madd(load(offset + c, valid), load(from + x * p.channels + c, valid), load(factor + c, valid))
          store(C.of(values), to + x * channels + c, valid)
        }
      }
    } else if channels == p.channels {
      forEachVector(p.width * channels) { i, valid in store(C.of(load(from + i, valid)), to + i, valid) }
    } else {
      for x in 0..<p.width {
        forEachVector(p.channels) { c, valid in
          store(C.of(load(from + x * p.channels + c, valid)), to + x * channels + c, valid)
        }
      }
    }
    if channels > p.channels { for x in 0..<p.width { to[x * channels + p.channels] = 0 } }
    to += p.width * channels
    to.update(repeating: 0, count: p.right * channels)
  }
}
