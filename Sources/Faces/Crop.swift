// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Crops from frames, directly from the frame's pixel format: the face window, and the downscaled tiles for the
// detector. Components are interpolated and filtered before they are converted to RGB, which is equivalent, because the
// conversion is linear, and cheaper. Only the visible pixels are read.

import Glibc
import Tensors

/// The window's crop of the frame for a face with `alignment`: `[side, side, 3]`, RGB in -1 ... 1. Outside the
/// frame, edges are replicated.
///
/// Bilinear. When downscaling, the frame is first smoothed by a Gaussian of 0.4 window px against aliasing. Twin of
/// `windows` in Sources/Training/data/prepare.py.
public func crop(_ frame: FrameView, _ window: FaceWindow, at alignment: Similarity) -> Tensor {
  let transform = window.transform(alignment)
  guard transform.scale < 0.7 else { return plainCrop(frame, transform, side: window.side) }
  // Sampled on a finer grid, nearly as dense as the frame, then filtered and decimated in each direction.
  let fine = min(max(Int((0.6 / transform.scale).rounded(.up)), 2), 8)
  let reach = Int((1.2 * Double(fine)).rounded(.up))
  let taps = (-reach...reach).map { Float(exp(-pow(Double($0) / Double(fine) / 0.4, 2) / 2)) }
  return Grid(frame, transform, fine: fine, taps: taps).picture(side: window.side)
}

/// The same without smoothing.
private func plainCrop(_ frame: FrameView, _ window: Similarity, side: Int) -> Tensor {
  Grid(frame, window, fine: 1, taps: [1]).picture(side: side)
}

/// A cheaper crop for the face mesh: when downscaling by more than 2, a pixel is the mean of 2 x 2 samples.
func coarseCrop(_ frame: FrameView, _ window: Similarity, side: Int) -> Tensor {
  guard window.scale < 0.5 else { return plainCrop(frame, window, side: side) }
  return Grid(frame, window, fine: 2, taps: [1, 1]).picture(side: side)
}

/// A downscaled tile of `side` x `side` pixels, one for `scale` x `scale` px of the frame, the first at frame position
/// (x, y); black (-1) outside the frame. `[side, side, 3]`. A pixel is the mean of 2 x 2 samples, so only a small part
/// of a large frame is read.
func tile(_ frame: FrameView, x: Double, y: Double, scale: Double, side: Int) -> Tensor {
  let columns = Places(from: x, scale: scale, count: side, size: frame.width)
  let rows = Places(from: y, scale: scale, count: side, size: frame.height)
  let toRGB = frame.transforms.toRGB
  return Tensor([side, side, 3]) { values in
    values.initialize(repeating: -1, count: side * side * 3)
    inStripes(rows.inside.count) { stripe in
      withUnsafeTemporaryAllocation(of: SIMD4<Float>.self, capacity: columns.samples.count) { line in
        guard let sums = line.baseAddress else { return }
        for i in stripe {
          sums.initialize(repeating: .zero, count: columns.samples.count)
          for (c, samples) in frame.samples.enumerated() {
            let lane = UnsafeMutableRawPointer(sums).assumingMemoryBound(to: Float.self) + c
            for row in rows.samples[2 * i...2 * i + 1] { samples.add(columns.samples, ofRow: Int(row), to: lane) }
          }
          let pixels = values + 3 * ((rows.inside.lowerBound + i) * side + columns.inside.lowerBound)
          for j in 0..<columns.inside.count {
            let color = toRGB((sums[2 * j] + sums[2 * j + 1]) / 4)
            (pixels[3 * j], pixels[3 * j + 1], pixels[3 * j + 2]) = (color.x, color.y, color.z)
          }
        }
      }
    }
  }
}

/// One dimension of a tile: which of its pixels lie inside the frame, and the positions of two samples for each of
/// these.
private struct Places {
  let inside: Range<Int>
  let samples: [Int32]

  init(from start: Double, scale: Double, count: Int, size: Int) {
    let (centers, end) = ((0..<count).map { start + Double($0) * scale }, Double(size) - 0.5)
    let first = centers.firstIndex { $0 > -0.5 } ?? count
    let last = centers.lastIndex { $0 < end } ?? -1
    inside = first..<max(first, last + 1)
    samples = centers[inside].flatMap { center in
      [center - scale / 4, center + scale / 4].map { Int32(min(max($0.rounded(), 0), Double(size - 1))) }
    }
  }
}

/// A square grid of positions in a frame, `fine` times as dense as the crop, and the filter that reduces it.
private struct Grid {
  private let frame: FrameView
  private let toRGB: Affine
  private let start, step: SIMD2<Double>  // frame px along a row; down a column it is (-step.y, step.x)
  private let fine: Int
  private let taps: [Float]  // sum 1, used in both directions

  /// Pixel (0, 0) of the crop shows frame position `origin`, the next one in its row `origin + across`.
  init(_ frame: FrameView, origin: SIMD2<Double>, across: SIMD2<Double>, fine: Int, taps: [Float]) {
    (self.frame, self.fine) = (frame, fine)
    toRGB = frame.transforms.toRGB
    step = across / Double(fine)
    start = origin - Double(taps.count - 1) / 2 * (step + SIMD2(-step.y, step.x))
    let total = taps.reduce(0, +)
    self.taps = taps.map { $0 / total }
  }

  /// The crop's pixels are those of `window`.
  init(_ frame: FrameView, _ window: Similarity, fine: Int, taps: [Float]) {
    let origin = window.inverse(0, 0)
    self.init(frame, origin: origin, across: window.inverse(1, 0) - origin, fine: fine, taps: taps)
  }

  /// `[side, side, 3]`, RGB in -1 ... 1.
  func picture(side: Int) -> Tensor {
    Tensor([side, side, 3]) { out in
      inStripes(side) { rows in write(rows, of: side, to: out + 3 * side * rows.lowerBound) }
    }
  }

  private func write(_ rows: Range<Int>, of side: Int, to out: UnsafeMutablePointer<Float>) {
    let width = (side - 1) * fine + taps.count
    let height = (rows.count - 1) * fine + taps.count
    // One line of the grid, and all lines after horizontal filtering: Y, Cb, Cr or R, G, B levels; the fourth lane is
    // unused.
    withUnsafeTemporaryAllocation(of: SIMD4<Float>.self, capacity: width + height * side) { memory in
      guard let line = memory.baseAddress else { return }
      line.initialize(repeating: .zero, count: width)
      let narrow = line + width
      for row in 0..<height {
        let left = SIMD2<Float>(start + Double(rows.lowerBound * fine + row) * SIMD2(-step.y, step.x))
        for (i, samples) in frame.samples.enumerated() {
          let lane = UnsafeMutableRawPointer(line).assumingMemoryBound(to: Float.self) + i
          samples.line(from: left, step: SIMD2<Float>(step), count: width, to: lane)
        }
        if taps.count == 1 {
          color(line, side, out + 3 * row * side)
        } else {
          filter(line, spacing: fine, 1, narrow + row * side, count: side)
        }
      }
      guard taps.count > 1 else { return }
      for row in 0..<rows.count {
        filter(narrow + row * fine * side, spacing: 1, side, line, count: side)
        color(line, side, out + 3 * row * side)
      }
    }
  }

  @inline(__always)
  private func color(_ line: UnsafePointer<SIMD4<Float>>, _ count: Int, _ out: UnsafeMutablePointer<Float>) {
    for i in 0..<count {
      let (color, pixel) = (toRGB(line[i]), out + 3 * i)
      (pixel[0], pixel[1], pixel[2]) = (color.x, color.y, color.z)
    }
  }

  /// Output i is the weighted sum over the taps k of input `i * spacing + k * apart`.
  @inline(__always)
  private func filter(
    _ input: UnsafePointer<SIMD4<Float>>, spacing: Int, _ apart: Int, _ output: UnsafeMutablePointer<SIMD4<Float>>,
    count: Int
  ) {
    taps.withUnsafeBufferPointer { taps in
      for i in 0..<count {
        var (sum, from) = (SIMD4<Float>.zero, input + i * spacing)
        for tap in taps {
          sum += tap * from.pointee
          from += apart
        }
        (output + i).initialize(to: sum)
      }
    }
  }
}

/// Splits `0..<count` among all threads; pays off from about ten thousand operations on.
func inStripes(_ count: Int, _ body: (Range<Int>) -> Void) {
  let pieces = min(count, 6)
  ThreadPool.shared.parallel(count: pieces) { body($0 * count / pieces..<($0 + 1) * count / pieces) }
}
