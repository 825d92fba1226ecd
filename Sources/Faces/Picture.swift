// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A piece of a frame that outlives its stream: RGB, whatever the format. There and back again no level of 8 bits moves by more
// than rounding where chroma is not shared; where it is, it comes back as smooth as it was interpolated.

internal import KernelInterface
import Tensors

/// RGB of 8 bits, full range, row by row: `[height, width, 3]`.
public struct Picture: Equatable, Sendable {
  public let width, height: Int
  public let pixels: [UInt8]

  /// nil unless there are as many bytes as pixels need.
  public init?(width: Int, height: Int, pixels: [UInt8]) {
    guard width >= 0, height >= 0, width <= 1 << 20, height <= 1 << 20, pixels.count == 3 * width * height else {
      return nil
    }
    (self.width, self.height, self.pixels) = (width, height, pixels)
  }

  fileprivate init(_ view: FrameView) {
    (width, height) = (view.width, view.height)
    let (count, toRGB) = (3 * view.width * view.height, view.transforms.toRGB)
    var line = [SIMD4<Float>](repeating: .zero, count: width)
    pixels = [UInt8](unsafeUninitializedCapacity: count) { [width, height] pixels, written in
      for y in 0..<height {
        line.withUnsafeMutableBytes { bytes in
          guard let levels = bytes.baseAddress?.assumingMemoryBound(to: Float.self) else { return }
          for (c, samples) in view.samples.enumerated() {
            samples.line(from: [0, Float(y)], step: [1, 0], count: width, to: levels + c)
          }
        }
        for x in 0..<width {
          let rgb = toRGB(line[x])
          for c in 0..<3 {
            pixels[3 * (y * width + x) + c] = UInt8(min(max(((rgb[c] + 1) * 127.5).rounded(), 0), 255))
          }
        }
      }
      written = count
    }
  }
}

extension Patch {
  /// What it shows.
  public var picture: Picture { withExtendedLifetime(self) { Picture(view) } }

  /// A picture as frames like `frame` would show it, its first pixel at (0, 0); nil without a pixel. Shared chroma is the mean of
  /// the pixels around its place.
  public convenience init?(_ picture: Picture, like frame: FrameView) {
    let (width, height) = (picture.width, picture.height)
    let (_, fromRGB, low, high) = frame.transforms
    let levels = (0..<width * height).map { i in
      let (r, g, b) = (picture.pixels[3 * i], picture.pixels[3 * i + 1], picture.pixels[3 * i + 2])
      return fromRGB(SIMD4(Float(r), Float(g), Float(b), 0) / 127.5 - [1, 1, 1, 0])
    }
    self.init(like: frame, Region(x: 0, y: 0, width: width, height: height)) { c, component, size, plane in
      let origin = frame.samples[c].origin
      let rows = (0..<size.height).map { Tent($0, shift: component.shiftY, origin: origin.y, count: height) }
      let columns = (0..<size.width).map { Tent($0, shift: component.shiftX, origin: origin.x, count: width) }
      for (i, row) in rows.enumerated() {
        let line = columns.flatMap { column in
          var sum: Float = 0
          for (y, down) in row.pixels {
            for (x, across) in column.pixels { sum += down * across * levels[y * width + x][c] }
          }
          let level = UInt16(min(max(sum, low[c]), high[c]).rounded())
          return [UInt8(truncatingIfNeeded: level), UInt8(level >> 8)].prefix(component.step)
        }
        line.withUnsafeBytes { line in
          guard let line = line.baseAddress else { return }
          kernels.unpackLine(
            line, storage: component.storage, offset: 0, step: component.step, first: 0, count: size.width,
            plane.base + i * plane.stride)
        }
      }
    }
  }
}

/// The pixels that a sample is the mean of, in one direction, and their shares, of sum 1: one if it is a pixel's own, else those
/// within two of it, the nearer the more.
private struct Tent {
  let pixels: [(place: Int, share: Float)]

  init(_ sample: Int, shift: Int, origin: Float, count: Int) {
    let (spacing, place) = (1 << shift, shift == 0 ? Float(sample) : origin + Float(sample << shift))
    let first = (sample << shift) - spacing + 1
    let near = (first..<first + 3 * spacing).map { pixel in
      (place: pixel, share: max(1 - abs(Float(pixel) - place) / Float(spacing), 0))
    }
    let total = near.reduce(0) { $0 + $1.share }
    pixels = near.filter { $0.share > 0 }.map { (min(max($0.place, 0), count - 1), $0.share / total) }
  }
}
