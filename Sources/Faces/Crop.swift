// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Pictures out of frames, straight from the frame's own format: the face window, and the small copies that the detector
// looks at. Components are interpolated first and turned into RGB then; the two are the same, as the turn is linear.

import Glibc
import Tensors

/// RGB in -1 ... 1, one SIMD4 a pixel (the fourth value means nothing), row-major.
struct Picture {
  let width, height: Int
  var pixels: [SIMD4<Float>]

  /// `[H, W, 3]`.
  var tensor: Tensor {
    let values = [Float](unsafeUninitializedCapacity: 3 * pixels.count) { values, count in
      for (i, p) in pixels.enumerated() {
        (values[3 * i], values[3 * i + 1], values[3 * i + 2]) = (p.x, p.y, p.z)
      }
      count = 3 * pixels.count
    }
    return Tensor([height, width, 3], values)
  }
}

/// What `window` shows of the frame: `[side, side, 3]`, RGB in -1 ... 1. Beyond the frame its edges go on.
///
/// Bilinear; where the window is smaller than the face in the frame the frame is first smoothed by a Gaussian of 0.4
/// window px, so that nothing aliases. Twin of `windows` in Sources/Training/prepare.py.
public func crop(_ frame: FrameView, _ window: Similarity, side: Int = FaceWindow.side) -> Tensor {
  guard window.scale < 0.7 else { return plainCrop(frame, window, side: side) }
  // A finer grid, nearly as dense as the frame, smoothed and thinned in each direction.
  let fine = min(max(Int((0.6 / window.scale).rounded(.up)), 2), 8)
  let reach = Int((1.2 * Double(fine)).rounded(.up))
  let grid = sampled(
    frame, window, from: -Double(reach) / Double(fine), spacing: 1 / Double(fine),
    count: (side - 1) * fine + 1 + 2 * reach)
  var taps = (-reach...reach).map { Float(exp(-pow(Double($0) / Double(fine) / 0.4, 2) / 2)) }
  let total = taps.reduce(0, +)
  taps = taps.map { $0 / total }
  return thinned(thinned(grid, taps, fine, side), taps, fine, side).tensor
}

/// The same without smoothing, as MediaPipe shows faces to the mesh.
func plainCrop(_ frame: FrameView, _ window: Similarity, side: Int) -> Tensor {
  sampled(frame, window, from: 0, spacing: 1, count: side).tensor
}

/// `count` x `count` points of the window, the first at (from, from), `spacing` window px apart.
private func sampled(_ frame: FrameView, _ window: Similarity, from: Double, spacing: Double, count: Int) -> Picture {
  let toRGB = frame.colorimetry.transforms(isRGB: frame.format.isRGB).toRGB
  let (first, second, third) = frame.samples
  let start = window.inverse(from, from)
  let step = window.inverse(from + spacing, from) - start  // along a row; down a column it is (-step.y, step.x)
  var out = Picture(width: count, height: count, pixels: Array(repeating: .zero, count: count * count))
  out.pixels.withUnsafeMutableBufferPointer { buffer in
    guard let pixels = buffer.baseAddress else { return }
    inStripes(count) { rows in
      for row in rows {
        let left = start + Double(row) * SIMD2(-step.y, step.x)
        for column in 0..<count {
          let point = SIMD2<Float>(left + Double(column) * step)
          let levels = SIMD4(first(point.x, point.y), second(point.x, point.y), third(point.x, point.y), 0)
          pixels[row * count + column] = toRGB(levels)
        }
      }
    }
  }
  return out
}

/// Rows filtered by `taps` at every `step`-th place and written as columns: twice gives both directions.
private func thinned(_ picture: Picture, _ taps: [Float], _ step: Int, _ count: Int) -> Picture {
  var out = Picture(
    width: picture.height, height: count, pixels: Array(repeating: .zero, count: picture.height * count))
  out.pixels.withUnsafeMutableBufferPointer { pixels in
    picture.pixels.withUnsafeBufferPointer { source in
      for y in 0..<picture.height {
        for i in 0..<count {
          var sum = SIMD4<Float>.zero
          for (k, tap) in taps.enumerated() { sum += tap * source[y * picture.width + i * step + k] }
          pixels[i * picture.height + y] = sum
        }
      }
    }
  }
  return out
}

/// Copies of a frame, each half as large as the one before; the first has one pixel for `factor` x `factor` of the
/// frame's. Remainders at the right and lower edges are left out.
struct Pyramid {
  let factor: Int
  let levels: [Picture]

  /// `smallest`: px, the last level is the last one whose longer side is at least this.
  init(_ frame: FrameView, factor: Int, smallest: Int) {
    self.factor = factor
    var levels = [reduced(frame, factor)]
    while let last = levels.last, max(last.width, last.height) >= 2 * smallest, min(last.width, last.height) > 1 {
      levels.append(halved(last))
    }
    self.levels = levels
  }

  /// `side` x `side` pixels, one for `scale` x `scale` of the frame's, the first at frame position (x, y): bilinear, -1
  /// (black) outside of the frame. `[side, side, 3]`.
  func tile(x: Double, y: Double, scale: Double, side: Int) -> Tensor {
    var (k, picture) = (Double(factor), levels[0])
    for level in levels.dropFirst() where 2 * k <= scale { (k, picture) = (2 * k, level) }
    // Pixel i of the level shows frame pixels k i ... k i + k - 1: its centre lies at k i + (k - 1) / 2.
    let step = Float(scale / k)
    let (left, top) = (Float((x - (k - 1) / 2) / k), Float((y - (k - 1) / 2) / k))
    var out = Picture(width: side, height: side, pixels: Array(repeating: SIMD4(repeating: -1), count: side * side))
    out.pixels.withUnsafeMutableBufferPointer { out in
      picture.pixels.withUnsafeBufferPointer { pixels in
        func pixel(_ x: Int, _ y: Int) -> SIMD4<Float> {
          x < 0 || y < 0 || x >= picture.width || y >= picture.height
            ? SIMD4(repeating: -1) : pixels[y * picture.width + x]
        }
        for row in 0..<side {
          let y = top + Float(row) * step
          guard y > -1, y < Float(picture.height) else { continue }
          let y0 = Int(y + 1) - 1
          for column in 0..<side {
            let x = left + Float(column) * step
            guard x > -1, x < Float(picture.width) else { continue }
            let x0 = Int(x + 1) - 1
            let (fx, fy) = (x - Float(x0), y - Float(y0))
            let upper = pixel(x0, y0) * (1 - fx) + pixel(x0 + 1, y0) * fx
            let lower = pixel(x0, y0 + 1) * (1 - fx) + pixel(x0 + 1, y0 + 1) * fx
            out[row * side + column] = upper * (1 - fy) + lower * fy
          }
        }
      }
    }
    return out.tensor
  }
}

/// Mean colours of the `factor` x `factor` squares of a frame.
private func reduced(_ frame: FrameView, _ factor: Int) -> Picture {
  let toRGB = frame.colorimetry.transforms(isRGB: frame.format.isRGB).toRGB
  let (width, height) = (max(frame.width / factor, 1), max(frame.height / factor, 1))
  var out = Picture(width: width, height: height, pixels: Array(repeating: .zero, count: width * height))
  let (first, second, third) = frame.samples
  out.pixels.withUnsafeMutableBufferPointer { buffer in
    guard let pixels = buffer.baseAddress else { return }
    inStripes(height) { rows in
      for row in rows {
        for column in 0..<width {
          let levels = SIMD4(
            first.mean(column, row, factor), second.mean(column, row, factor), third.mean(column, row, factor), 0)
          pixels[row * width + column] = toRGB(levels)
        }
      }
    }
  }
  return out
}

private func halved(_ picture: Picture) -> Picture {
  let (width, height) = (picture.width / 2, picture.height / 2)
  var out = Picture(width: width, height: height, pixels: Array(repeating: .zero, count: width * height))
  out.pixels.withUnsafeMutableBufferPointer { pixels in
    picture.pixels.withUnsafeBufferPointer { source in
      for y in 0..<height {
        for x in 0..<width {
          let at = 2 * y * picture.width + 2 * x
          pixels[y * width + x] =
            (source[at] + source[at + 1] + source[at + picture.width] + source[at + picture.width + 1]) / 4
        }
      }
    }
  }
  return out
}

/// Hands out `0..<count` in a few pieces to all threads; worth it from some ten thousand operations on.
func inStripes(_ count: Int, _ body: (Range<Int>) -> Void) {
  let pieces = min(count, 8)
  ThreadPool.shared.parallel(count: pieces) { body($0 * count / pieces..<($0 + 1) * count / pieces) }
}
