// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Reading and writing frames in their own pixel format, one line at a time: sampling along any line through a plane,
// blending into a row. And cubic sampling of a float picture.

import CKernels
import KernelInterface

extension Kernels {
  public static func sampleLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, offset: Int, step: Int, width: Int, height: Int,
    x: Float, y: Float, dx: Float, dy: Float, count: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    let (right, below) = (width > 1 ? step : 0, height > 1 ? stride : 0)
    // Bytes of the plane that may be read, from `plane` on.
    let end = (height &- 1) &* stride &+ offset &+ (width &- 1) &* step &+ 1
    // The last offset from which four bytes can be read, in this row and the one below.
    let last = end < 1 << 31 && right < 4 ? Int32(truncatingIfNeeded: end &- below &- 4) : -1
    @inline(__always) func run<S: Storage>(_: S.Type) {
      let (highX, highY) = (Float(width &- 1), Float(height &- 1))
      let (lastX, lastY) = (highX > 1 ? highX - 1 : 0, highY > 1 ? highY - 1 : 0)
      var i = 0
      while i < count {
        let t = places + Float(i)
        let (px, py) = (inside(x + t * dx, highX), inside(y + t * dy, highY))
        let (x0, y0) = (whole(px, lastX), whole(py, lastY))
        let (fx, fy) = (px - x0, py - y0)
        let (columns, rows) = (integers(x0), integers(y0))
        // Two neighbours in one word: the left level, and the right one shifted left by 16.
        var (upper, lower) = (SIMD8<UInt32>.zero, SIMD8<UInt32>.zero)
        var isRead = false
        #if AVX2
          if S.isPairInWord(right) && last >= 0 {
            let across = columns &* Int32(truncatingIfNeeded: step) &+ Int32(truncatingIfNeeded: offset)
            let near = NearWords(plane, columns: across, rows: rows, stride: below, reach: 4)
            if near.areNear && near.last &+ 2 &* below &+ 16 <= end {
              (upper, lower) = (S.pairs(near.words(0), right), S.pairs(near.words(1), right))
              isRead = true
            } else {
              let at = rows &* Int32(truncatingIfNeeded: stride) &+ across
              isRead = ckernels_any_beyond(at, last) == 0
              if isRead {
                @inline(__always) func words(_ plane: UnsafeRawPointer) -> SIMD8<UInt32> {
                  unsafeBitCast(ckernels_words(plane, at), to: SIMD8<UInt32>.self)
                }
                (upper, lower) = (S.pairs(words(plane), right), S.pairs(words(plane + below), right))
              }
            }
          }
        #endif
        if !isRead {
          for k in 0..<8 {
            let row = plane + Int(rows[k]) &* stride
            let at = offset &+ Int(columns[k]) &* step
            upper[k] = S.pair(row, at, right)
            lower[k] = S.pair(row + below, at, right)
          }
        }
        let (a, b) = (floats(upper & 0xFFFF), floats(upper &>> 16))
        let (c, d) = (floats(lower & 0xFFFF), floats(lower &>> 16))
        let above = a + fx * (b - a)
        let levels = above + fy * (c + fx * (d - c) - above)
        scatter(levels, count &- i, out + 4 &* i)
        i &+= 8
      }
    }
    switch storage {
    case .byte: run(Byte.self)
    case .low10: run(Low10.self)
    case .high10: run(High10.self)
    case .packed10: run(Packed10.self)
    }
  }

  public static func gatherLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, columns: UnsafePointer<Int32>,
    shift: Int32,
    count: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    @inline(__always) func run<S: Storage>(_: S.Type) {
      for i in 0..<count {
        out[4 &* i] += Float(Int32(truncatingIfNeeded: S.load(row, offset &+ Int(columns[i] &>> shift) &* step)))
      }
    }
    switch storage {
    case .byte: run(Byte.self)
    case .low10: run(Low10.self)
    case .high10: run(High10.self)
    case .packed10: run(Packed10.self)
    }
  }

  public static func windowLine(
    _ source: UnsafePointer<Float>, side: Int, x: Float, y: Float, dx: Float, dy: Float,
    points: UnsafePointer<SIMD2<Float>>, pointCount: Int, count: Int, alpha: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>
  ) {
    let part = 1 / Float(pointCount)
    let (last, stride) = (Float(side &- 1), side &+ 3)
    var i = 0
    while i < count {
      let opacity = UnsafeRawPointer(alpha + i).loadUnaligned(as: SIMD8<Float>.self)
      if holds(opacity .> 0) {
        let t = places + Float(i)
        let (px, py) = (x + t * dx, y + t * dy)
        var sum = SIMD8<Float>.zero
        for point in 0..<pointCount {
          let (cx, cy) = (inside(px + points[point].x, last), inside(py + points[point].y, last))
          let (x0, y0) = (whole(cx, last), whole(cy, last))
          let (fx, fy) = (cx - x0, cy - y0)
          // Along a line they lie between those of the first and the last lane.
          let (column, row) = (min(x0[0], x0[7]), min(y0[0], y0[7]))
          if max(x0[0], x0[7]) <= column + 1 && max(y0[0], y0[7]) <= row + 1 {
            let corner = source + (Int(row) &* stride &+ Int(column))
            sum += catmullRom(corner, stride, fx, fy, isRight: x0 .> column, isBelow: y0 .> row)
          } else {
            let corners = integers(y0) &* Int32(truncatingIfNeeded: stride) &+ integers(x0)
            sum += vector { k in catmullRom(source + Int(corners[k]), stride, fx[k], fy[k]) }
          }
        }
        UnsafeMutableRawPointer(out + i).storeBytes(of: sum * part, as: SIMD8<Float>.self)
      }
      i &+= 8
    }
  }

  public static func paintLine(
    _ row: UnsafeMutableRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    colors: UnsafePointer<Float>, low: Float, high: Float, alpha: UnsafePointer<Float>
  ) {
    var start = 0
    /// Blends eight contiguous samples at a time; after adding 2^23, the low bits of a float hold the nearest level.
    @inline(__always) func eights(
      _ size: Int, _ load: (UnsafeMutableRawPointer) -> SIMD8<Float>,
      _ store: (SIMD8<Int32>, UnsafeMutableRawPointer) -> Void
    ) {
      while count &- start >= 8 {
        let at = row + (offset &+ (first &+ start) &* size)
        let (old, opacity) = (load(at), eight(alpha + start))
        let color = eight(colors + start)
        let above = color.replacing(with: low, where: color .< low)
        let new = old + opacity * (above.replacing(with: high, where: above .> high) - old)
        let kept = new.replacing(with: old, where: .!(opacity .> 0))
        store(unsafeBitCast(kept + 0x1p23, to: SIMD8<Int32>.self), at)
        start &+= 8
      }
    }
    switch (storage, step) {
    case (.byte, 1): eights(1, { ckernels_bytes($0) }, { ckernels_store_bytes($1, $0) })
    case (.low10, 2):
      eights(2, { ckernels_floats(ckernels_shorts($0) & 0x3FF) }) {
        ckernels_store_shorts($1, ckernels_shorts($1) & ~0x3FF | $0 & 0x3FF)
      }
    case (.high10, 2):
      eights(2, { ckernels_floats(ckernels_shorts($0) &>> 6) }) {
        ckernels_store_shorts($1, ckernels_shorts($1) & 0x3F | $0 &<< 6)
      }
    default: break
    }
    @inline(__always) func run<S: Storage>(_: S.Type) {
      for i in start..<count where alpha[i] > 0 {
        let at = offset &+ (first &+ i) &* step
        let old = Float(Int32(truncatingIfNeeded: S.load(row, at)))
        let bounded = colors[i] < low ? low : colors[i] > high ? high : colors[i]
        // After this addition the low bits hold the nearest level.
        let new = old + alpha[i] * (bounded - old) + 0x1p23
        S.store(new.bitPattern & 0xFFFF, row, at)
      }
    }
    switch storage {
    case .byte: run(Byte.self)
    case .low10: run(Low10.self)
    case .high10: run(High10.self)
    case .packed10: run(Packed10.self)
    }
  }
}

/// Writes the first `count` levels, eight at most, to every fourth float.
@inline(__always)
private func scatter(_ levels: SIMD8<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>) {
  if count >= 8 {
    for k in 0..<8 { out[4 &* k] = levels[k] }
  } else {
    for k in 0..<count { out[4 &* k] = levels[k] }
  }
}

// Computed rather than stored, because every access to a stored global checks whether it is initialised.
var places: SIMD8<Float> { @inline(__always) get { SIMD8(0, 1, 2, 3, 4, 5, 6, 7) } }

/// After this addition the low bits of a float hold its nearest whole number.
private var round: SIMD8<Float> { @inline(__always) get { SIMD8(repeating: 0x1.8p23) } }

#if AVX2
  /// Reads bytes at eight places at once, without gathering, if the places in each half of the lanes are near together:
  /// within 16 bytes of a row, and in that row or the next.
  struct NearWords {
    private let first, second: UnsafeRawPointer
    private let pattern: SIMD8<Int32>
    private let isBelow: SIMD8<Int32>  // -1 or 0
    private let stride: Int
    /// Whether they are. If not, nothing may be read.
    let areNear: Bool
    /// The greater offset of the two halves' bytes from the plane.
    let last: Int

    /// `columns`: byte offsets within the rows. `reach`: the bytes needed from each place on.
    @inline(__always)
    init(_ plane: UnsafeRawPointer, columns: SIMD8<Int32>, rows: SIMD8<Int32>, stride: Int, reach: Int32) {
      let (left, top) = (ckernels_lesser_end(columns), ckernels_lesser_end(rows))
      let (right, below) = (columns &- left, rows &- top)
      areNear = ckernels_any_beyond(right, 16 &- reach) == 0 && ckernels_any_beyond(below, 1) == 0
      let (lower, upper) = (Int(top[0]) &* stride &+ Int(left[0]), Int(top[4]) &* stride &+ Int(left[4]))
      (first, second, last) = (plane + lower, plane + upper, max(lower, upper))
      pattern = right &* 0x0101_0101 &+ 0x0302_0100
      isBelow = 0 &- below
      self.stride = stride
    }

    /// Four bytes, `skipped` bytes after each place and `row` rows below.
    @inline(__always)
    func words(_ row: Int, skipping skipped: Int = 0) -> SIMD8<UInt32> {
      @inline(__always) func bytes(_ row: Int) -> SIMD8<Int32> {
        let wanted = pattern &+ 0x0101_0101 &* Int32(truncatingIfNeeded: skipped)
        return ckernels_shuffled_bytes(first + row &* stride, second + row &* stride, wanted)
      }
      let words = bytes(row)
      return unsigned(ckernels_any(isBelow) != 0 ? words ^ (words ^ bytes(row &+ 1)) & isBelow : words)
    }
  }
#endif

@inline(__always)
func unsigned(_ v: SIMD8<Int32>) -> SIMD8<UInt32> { unsafeBitCast(v, to: SIMD8<UInt32>.self) }

/// Whether a condition holds in any lane. Swift's `any` might be compiled to a function that all instruction sets
/// share, but in the instructions of one of them.
@inline(__always)
func holds(_ condition: SIMDMask<SIMD8<Int32>>) -> Bool {
  ckernels_any(unsafeBitCast(condition, to: SIMD8<Int32>.self)) != 0
}

@inline(__always)
func eight(_ from: UnsafePointer<Float>) -> SIMD8<Float> {
  UnsafeRawPointer(from).loadUnaligned(as: SIMD8<Float>.self)
}

/// Unrolled, so that no lane is indexed in memory.
@inline(__always)
func vector<Scalar: SIMDScalar>(_ lane: (Int) -> Scalar) -> SIMD8<Scalar> {
  SIMD8(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7))
}

/// Clamps each value to 0 ... high; NaN becomes 0.
@inline(__always)
func inside(_ v: SIMD8<Float>, _ high: Float) -> SIMD8<Float> {
  let low = v.replacing(with: 0, where: .!(v .> 0))
  return low.replacing(with: high, where: low .> high)
}

/// The integer at or just below each value of 0 ... 2^21, limited to `high`: the value lies 0 ... 1 after it.
@inline(__always)
private func whole(_ v: SIMD8<Float>, _ high: Float) -> SIMD8<Float> {
  let below = v - 0.5 + round - round
  return below.replacing(with: high, where: below .> high)
}

/// The nearest integers, of magnitudes up to 2^21.
@inline(__always)
private func integers(_ v: SIMD8<Float>) -> SIMD8<Int32> {
  unsafeBitCast(v + round, to: SIMD8<Int32>.self) &- 0x4B40_0000
}

/// Of integers below 2^23.
@inline(__always)
func floats(_ v: SIMD8<UInt32>) -> SIMD8<Float> {
  unsafeBitCast(v | 0x4B00_0000, to: SIMD8<Float>.self) - 0x1p23
}

/// Cubic interpolation over 4 x 4 pixels (Catmull-Rom; Keys 1981, a = -0.5) at (fx, fy) after the second pixel in each
/// direction: sharper than bilinear where the picture is enlarged.
@inline(__always)
private func catmullRom(_ corner: UnsafePointer<Float>, _ stride: Int, _ fx: Float, _ fy: Float) -> Float {
  typealias V = SIMD4<Float>
  @inline(__always) func weights(_ t: Float) -> V {
    let cubic = V(1, -2.5, 2, -0.5) + t * V(-0.5, 1.5, -1.5, 0.5)
    return V(0, 1, 0, 0) + t * (V(-0.5, 0, 0.5, 0) + t * cubic)
  }
  @inline(__always) func line(_ i: Int) -> V { UnsafeRawPointer(corner + i &* stride).loadUnaligned(as: V.self) }
  let (wx, wy) = (weights(fx), weights(fy))
  let column = line(0) * wy.x + line(1) * wy.y + line(2) * wy.z + line(3) * wy.w
  return (wx * column).sum()
}

/// The same at eight positions at once: those of `isRight` are a pixel to the right of the others, those of `isBelow` a
/// pixel below.
@inline(__always)
private func catmullRom(
  _ corner: UnsafePointer<Float>, _ stride: Int, _ fx: SIMD8<Float>, _ fy: SIMD8<Float>,
  isRight: SIMDMask<SIMD8<Int32>>, isBelow: SIMDMask<SIMD8<Int32>>
) -> SIMD8<Float> {
  typealias V = SIMD8<Float>
  /// The weights of five pixels, of which the positions of `isNext` use the last four and the others the first four.
  @inline(__always) func weights(_ t: V, _ isNext: SIMDMask<SIMD8<Int32>>) -> (V, V, V, V, V) {
    let a = t * (t * (1 - 0.5 * t) - 0.5)
    let b = t * t * (1.5 * t - 2.5) + 1
    let c = t * (t * (2 - 1.5 * t) + 0.5)
    let d = t * t * (0.5 * t - 0.5)
    return (
      a.replacing(with: 0, where: isNext), b.replacing(with: a, where: isNext), c.replacing(with: b, where: isNext),
      d.replacing(with: c, where: isNext), V.zero.replacing(with: d, where: isNext)
    )
  }
  let (across, down) = (weights(fx, isRight), weights(fy, isBelow))
  let (isWide, isTall) = (holds(isRight), holds(isBelow))
  @inline(__always) func line(_ i: Int) -> V {
    let pixels = corner + i &* stride
    let four = across.0 * pixels[0] + across.1 * pixels[1] + across.2 * pixels[2] + across.3 * pixels[3]
    return isWide ? four + across.4 * pixels[4] : four
  }
  let four = down.0 * line(0) + down.1 * line(1) + down.2 * line(2) + down.3 * line(3)
  return isTall ? four + down.4 * line(4) : four
}

/// Access to a sample in a row. Storing preserves the bits around the sample.
protocol Storage {
  static func load(_ row: UnsafeRawPointer, _ at: Int) -> UInt32
  /// A sample, with the one `right` after it in the high 16 bits.
  static func pair(_ row: UnsafeRawPointer, _ at: Int, _ right: Int) -> UInt32
  /// Whether four bytes from a sample on contain it and the one `right` after it.
  static func isPairInWord(_ right: Int) -> Bool
  /// The same as `pair`, from these four bytes.
  static func pairs(_ words: SIMD8<UInt32>, _ right: Int) -> SIMD8<UInt32>
  static func store(_ level: UInt32, _ row: UnsafeMutableRawPointer, _ at: Int)
}

extension Storage {
  @inline(__always) static func pair(_ row: UnsafeRawPointer, _ at: Int, _ right: Int) -> UInt32 {
    load(row, at) | load(row, at &+ right) &<< 16
  }
  @inline(__always) static func isPairInWord(_ right: Int) -> Bool { false }
  @inline(__always) static func pairs(_ words: SIMD8<UInt32>, _ right: Int) -> SIMD8<UInt32> { words }
}

enum Byte: Storage {
  @inline(__always) static func isPairInWord(_ right: Int) -> Bool { right < 4 }
  @inline(__always) static func pairs(_ words: SIMD8<UInt32>, _ right: Int) -> SIMD8<UInt32> {
    words & 0xFF | (words &>> UInt32(truncatingIfNeeded: 8 &* right) & 0xFF) &<< 16
  }
  @inline(__always) static func pair(_ row: UnsafeRawPointer, _ at: Int, _ right: Int) -> UInt32 {
    guard right == 1 else { return load(row, at) | load(row, at &+ right) &<< 16 }
    let two = UInt32(UInt16(littleEndian: row.loadUnaligned(fromByteOffset: at, as: UInt16.self)))
    return two & 0xFF | (two & 0xFF00) &<< 8
  }
  @inline(__always) static func load(_ row: UnsafeRawPointer, _ at: Int) -> UInt32 {
    UInt32(row.load(fromByteOffset: at, as: UInt8.self))
  }
  @inline(__always) static func store(_ level: UInt32, _ row: UnsafeMutableRawPointer, _ at: Int) {
    row.storeBytes(of: UInt8(truncatingIfNeeded: level), toByteOffset: at, as: UInt8.self)
  }
}

enum Low10: Storage {
  @inline(__always) static func isPairInWord(_ right: Int) -> Bool { right == 2 }
  @inline(__always) static func pairs(_ words: SIMD8<UInt32>, _ right: Int) -> SIMD8<UInt32> { words & 0x3FF_03FF }
  @inline(__always) static func load(_ row: UnsafeRawPointer, _ at: Int) -> UInt32 {
    UInt32(UInt16(littleEndian: row.loadUnaligned(fromByteOffset: at, as: UInt16.self)) & 0x3FF)
  }
  @inline(__always) static func store(_ level: UInt32, _ row: UnsafeMutableRawPointer, _ at: Int) {
    let old = UInt16(littleEndian: row.loadUnaligned(fromByteOffset: at, as: UInt16.self)) & ~0x3FF
    let new = old | UInt16(truncatingIfNeeded: level)
    row.storeBytes(of: new.littleEndian, toByteOffset: at, as: UInt16.self)
  }
}

enum High10: Storage {
  @inline(__always) static func load(_ row: UnsafeRawPointer, _ at: Int) -> UInt32 {
    UInt32(UInt16(littleEndian: row.loadUnaligned(fromByteOffset: at, as: UInt16.self)) &>> 6)
  }
  @inline(__always) static func store(_ level: UInt32, _ row: UnsafeMutableRawPointer, _ at: Int) {
    let old = UInt16(littleEndian: row.loadUnaligned(fromByteOffset: at, as: UInt16.self)) & 0x3F
    let new = old | UInt16(truncatingIfNeeded: level &<< 6)
    row.storeBytes(of: new.littleEndian, toByteOffset: at, as: UInt16.self)
  }
}

enum Packed10: Storage {
  @inline(__always) static func load(_ row: UnsafeRawPointer, _ at: Int) -> UInt32 {
    let word = at / 3
    let bits = UInt32(littleEndian: row.loadUnaligned(fromByteOffset: 4 &* word, as: UInt32.self))
    return bits &>> UInt32(truncatingIfNeeded: 10 &* (at &- 3 &* word)) & 0x3FF
  }
  @inline(__always) static func store(_ level: UInt32, _ row: UnsafeMutableRawPointer, _ at: Int) {
    let word = at / 3
    let shift = UInt32(truncatingIfNeeded: 10 &* (at &- 3 &* word))
    let bits = UInt32(littleEndian: row.loadUnaligned(fromByteOffset: 4 &* word, as: UInt32.self))
    let new = bits & ~(0x3FF &<< shift) | level &<< shift
    row.storeBytes(of: new.littleEndian, toByteOffset: 4 &* word, as: UInt32.self)
  }
}
