// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Warping and compositing, one line at a time. Pictures are planar here, with the edge replicated around them, so that
// interpolation depends on no pixel format and needs no bounds checks.

import CKernels
import KernelInterface

extension Kernels {
  public static func unpackLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    _ out: UnsafeMutableRawPointer
  ) {
    @inline(__always) func run<S: Storage, Sample: FixedWidthInteger>(_: S.Type, _: Sample.Type) {
      let (size, start) = (MemoryLayout<Sample>.size, offset &+ first &* step)
      @inline(__always) func put(_ i: Int, _ level: UInt32) {
        out.storeBytes(of: Sample(truncatingIfNeeded: level).littleEndian, toByteOffset: i &* size, as: Sample.self)
      }
      if storage == .byte && step == 1 {
        out.copyMemory(from: row + start, byteCount: count)
      } else {
        for i in 0..<count { put(i, S.load(row, start &+ i &* step)) }
      }
      let last = S.load(row, start &+ (count &- 1) &* step)
      put(-1, S.load(row, start))
      put(count, last)
      put(count &+ 1, last)
    }
    switch storage {
    case .byte: run(Byte.self, UInt8.self)
    case .low10: run(Low10.self, UInt16.self)
    case .high10: run(High10.self, UInt16.self)
    case .packed10: run(Packed10.self, UInt16.self)
    }
  }

  public static func spanLine(
    u: Float, v: Float, du: Float, dv: Float, kind: Int32, count: Int, _ across: UnsafeMutablePointer<Float>,
    _ down: UnsafeMutablePointer<Float>, _ kinds: UnsafeMutablePointer<Int32>
  ) {
    var i = 0
    while i < count {
      let t = places + Float(i)
      let behind = t .>= Float(count)
      write((u + t * du).replacing(with: eight(across + i), where: behind), across + i)
      write((v + t * dv).replacing(with: eight(down + i), where: behind), down + i)
      let old = UnsafeRawPointer(kinds + i).loadUnaligned(as: SIMD8<Int32>.self)
      let kept = unsafeBitCast(behind, to: SIMD8<Int32>.self)
      let new = kind & ~kept | old & kept
      UnsafeMutableRawPointer(kinds + i).storeBytes(of: new, as: SIMD8<Int32>.self)
      i &+= 8
    }
  }

  public static func movedLine(
    _ across: UnsafePointer<Float>, _ down: UnsafePointer<Float>, scaleX: Float, scaleY: Float,
    alpha: UnsafePointer<Float>, count: Int, own: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) -> Bool {
    var i = 0
    var some = SIMD8<Float>.zero
    while i < count {
      let (u, v) = (eight(across + i) * scaleX, eight(down + i) * scaleY)
      let covered = eight(alpha + i)
      let moved = (u * u + v * v .> 0x1p-12) .| (covered .> 0)
      let share = SIMD8<Float>.zero.replacing(with: 1, where: moved)
      write(share, out + i)
      write(share.replacing(with: 0, where: covered .>= 1), own + i)
      some += share
      i &+= 8
    }
    return holds(some .> 0)
  }

  public static func warpLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, width: Int, height: Int, x: Float, y: Float,
    across: UnsafePointer<Float>, down: UnsafePointer<Float>, kinds: UnsafePointer<Int32>,
    footprints: UnsafePointer<SIMD4<Float>>, alpha: UnsafePointer<Float>, weight: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    @inline(__always) func run<P: Planar>(_: P.Type) {
      let picture = Picture<P>(plane, stride, width, height)
      var i = 0
      while i < count {
        if holds(eight(alpha + i) .> 0) {
          let (px, py) = (eight(across + i) + (places + (x + Float(i))), eight(down + i) + y)
          let kind = UnsafeRawPointer(kinds + i).loadUnaligned(as: SIMD8<Int32>.self)
          let level = ckernels_any(kind) != 0 ? picture.mean(px, py, kind, footprints) : picture.level(px, py)
          write(eight(out + i) + weight * level, out + i)
        }
        i &+= 8
      }
    }
    if storage == .byte { run(Bytes.self) } else { run(Words.self) }
  }

  public static func mixLine(
    _ other: UnsafePointer<Float>, offset: Float, low: Float, high: Float, alpha: UnsafePointer<Float>, count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    var i = 0
    while i < count {
      let (old, level) = (eight(out + i), eight(other + i))
      write(old + eight(alpha + i) * (limited(level + offset, low, high, level) - old), out + i)
      i &+= 8
    }
  }

  public static func addLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, low: Float, high: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    @inline(__always) func run<P: Planar>(_: P.Type) {
      var i = 0
      while i < count {
        let level = P.row(row + i &* P.size)
        write(limited(level + eight(out + i), low, high, level), out + i)
        i &+= 8
      }
    }
    if storage == .byte { run(Bytes.self) } else { run(Words.self) }
  }

  public static func nearestLine(
    x: Float, y: Float, fromX: Float, fromY: Float, toX: Float, toY: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let (ex, ey, py) = (toX - fromX, toY - fromY, y - fromY)
    let length = ex * ex + ey * ey
    let part = length > 0 ? 1 / length : 0
    var i = 0
    while i < count {
      let px = places + (x + Float(i) - fromX)
      let t = inside((px * ex + py * ey) * part, 1)
      let (dx, dy) = (px - t * ex, py - t * ey)
      let (new, old) = (dx * dx + dy * dy, eight(out + i))
      write(old.replacing(with: new, where: new .< old), out + i)
      i &+= 8
    }
  }

  public static func featherLine(
    _ windings: UnsafePointer<Int32>, radius: Float, count: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    var (i, winding) = (0, Int32(0))
    while i < count {
      var sums = SIMD8<Int32>.zero
      for k in 0..<8 {
        winding &+= windings[i &+ k]
        sums[k] = winding
      }
      let t = inside(eight(out + i).squareRoot() * (1 / radius), 1)
      write((t * t * (3 - 2 * t)).replacing(with: 0, where: ckernels_floats(sums) .== 0), out + i)
      i &+= 8
    }
  }
}

@inline(__always)
private func write(_ values: SIMD8<Float>, _ to: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(to).storeBytes(of: values, as: SIMD8<Float>.self)
}

/// Clamps to low ... high, extended to include `level`.
@inline(__always)
private func limited(_ v: SIMD8<Float>, _ low: Float, _ high: Float, _ level: SIMD8<Float>) -> SIMD8<Float> {
  let (least, most) = (
    level.replacing(with: low, where: level .> low), level.replacing(with: high, where: level .< high)
  )
  let above = v.replacing(with: least, where: v .< least)
  return above.replacing(with: most, where: above .> most)
}

/// A planar picture for interpolation, with sample (0, 0) at `plane`.
private struct Picture<P: Planar> {
  let plane: UnsafeRawPointer  // address of the sample before (0, 0) in the row above
  let stride: Int
  let lastX, lastY: Float

  @inline(__always)
  init(_ plane: UnsafeRawPointer, _ stride: Int, _ width: Int, _ height: Int) {
    self.plane = plane - stride - P.size
    self.stride = stride
    (lastX, lastY) = (Float(width &- 1), Float(height &- 1))
  }

  /// The levels at eight positions.
  @inline(__always)
  func level(_ px: SIMD8<Float>, _ py: SIMD8<Float>) -> SIMD8<Float> {
    let (cx, cy) = (inside(px, lastX), inside(py, lastY))
    let (columns, rows) = (ckernels_truncated(cx), ckernels_truncated(cy))
    let (wx, wy) = (weights(cx - ckernels_floats(columns)), weights(cy - ckernels_floats(rows)))
    @inline(__always) func interpolated(_ words: (_ row: Int, _ skipped: Int) -> SIMD8<UInt32>) -> SIMD8<Float> {
      @inline(__always) func four(_ row: Int) -> Four { P.four { words(row, $0) } }
      let (a, b, c, d) = (four(0), four(1), four(2), four(3))
      let value = sum((sum(a, wx), sum(b, wx), sum(c, wx), sum(d, wx)), wy)
      let low = ckernels_lesser(ckernels_lesser(least(a), least(b)), ckernels_lesser(least(c), least(d)))
      return ckernels_lesser(
        ckernels_greater(value, low),
        ckernels_greater(ckernels_greater(most(a), most(b)), ckernels_greater(most(c), most(d))))
    }
    #if AVX2
      let near = NearWords(
        plane, columns: columns &* Int32(truncatingIfNeeded: P.size), rows: rows, stride: stride,
        reach: Int32(truncatingIfNeeded: 4 &* P.size))
      if near.areNear { return interpolated { near.words($0, skipping: $1) } }
    #endif
    // Byte offsets, below 2^32 in a picture of 32768 x 32768 words.
    let corners =
      unsigned(rows) &* UInt32(truncatingIfNeeded: stride) &+ unsigned(columns) &* UInt32(truncatingIfNeeded: P.size)
    return interpolated { row, skipped in
      vector { k in
        let place = Int(corners[k]) &+ row &* stride &+ skipped
        return UInt32(littleEndian: plane.loadUnaligned(fromByteOffset: place, as: UInt32.self))
      }
    }
  }

  /// The means over the footprints of these kinds. Not inlined, because it is rare.
  @inline(never)
  func mean(
    _ px: SIMD8<Float>, _ py: SIMD8<Float>, _ kind: SIMD8<Int32>, _ footprints: UnsafePointer<SIMD4<Float>>
  ) -> SIMD8<Float> {
    var (ax, ay, bx, by) = (SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero)
    var (counts, most) = (SIMD8<Float>(repeating: 1), Int32(1))
    for k in 0..<8 where kind[k] != 0 {
      let footprint = footprints[Int(kind[k] &>> 3)]
      (ax[k], ay[k], bx[k], by[k]) = (footprint.x, footprint.y, footprint.z, footprint.w)
      counts[k] = Float(kind[k] & 7)
      most = max(most, kind[k] & 7)
    }
    let part = 1 / counts
    var sum = SIMD8<Float>.zero
    for j in 0..<most {
      let t = (Float(j) + 0.5) * part - 0.5
      for i in 0..<most {
        let s = (Float(i) + 0.5) * part - 0.5
        let weight = (part * part).replacing(with: 0, where: counts .<= Float(max(i, j)))
        sum += weight * level(px + s * ax + t * bx, py + s * ay + t * by)
      }
    }
    return sum
  }
}

/// Four values for each of eight positions.
private typealias Four = (SIMD8<Float>, SIMD8<Float>, SIMD8<Float>, SIMD8<Float>)

@inline(__always)
private func sum(_ v: Four, _ w: Four) -> SIMD8<Float> {
  ckernels_add_product(
    ckernels_add_product(ckernels_add_product(v.0 * w.0, v.1, w.1), v.2, w.2), v.3, w.3)
}

@inline(__always)
private func least(_ v: Four) -> SIMD8<Float> { ckernels_lesser(ckernels_lesser(v.0, v.1), ckernels_lesser(v.2, v.3)) }

@inline(__always)
private func most(_ v: Four) -> SIMD8<Float> {
  ckernels_greater(ckernels_greater(v.0, v.1), ckernels_greater(v.2, v.3))
}

/// Integers below 2^31 as floats.
@inline(__always)
private func small(_ v: SIMD8<UInt32>) -> SIMD8<Float> { ckernels_floats(unsafeBitCast(v, to: SIMD8<Int32>.self)) }

/// Weights of four neighbours for a position `t` after the second one (Keys 1981, a = -1, which keeps more of a face's
/// detail than the usual -0.5; meta/decisions/0031-detail.md).
@inline(__always)
private func weights(_ t: SIMD8<Float>) -> Four {
  (
    t * (t * (2 - t) - 1), t * t * (t - 2) + 1, t * (t * (1 - t) + 1), t * t * (t - 1)
  )
}

/// Contiguous samples.
private protocol Planar {
  static var size: Int { get }  // bytes
  /// Eight consecutive samples.
  static func row(_ samples: UnsafeRawPointer) -> SIMD8<Float>
}

extension Planar {
  /// Four consecutive samples from each of eight places; `words` reads four bytes, so many bytes after each.
  @inline(__always)
  static func four(_ words: (Int) -> SIMD8<UInt32>) -> Four {
    @inline(__always) func levels(_ i: Int) -> SIMD8<Float> {
      let (word, shift) = (i &* size & ~3, UInt32(truncatingIfNeeded: 8 &* (i &* size & 3)))
      return small(words(word) &>> SIMD8(repeating: shift) & SIMD8(repeating: size == 1 ? 0xFF : 0xFFFF))
    }
    return (levels(0), levels(1), levels(2), levels(3))
  }
}

private enum Bytes: Planar {
  @inline(__always) static var size: Int { 1 }
  @inline(__always) static func row(_ samples: UnsafeRawPointer) -> SIMD8<Float> { ckernels_bytes(samples) }
}

private enum Words: Planar {
  @inline(__always) static var size: Int { 2 }
  @inline(__always) static func row(_ samples: UnsafeRawPointer) -> SIMD8<Float> {
    ckernels_floats(ckernels_shorts(samples))
  }
}
