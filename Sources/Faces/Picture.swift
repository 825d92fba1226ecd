// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A piece of a frame in RGB, independent of any stream's format. A round trip changes 8-bit levels only by rounding;
// subsampled chroma comes back as smooth as interpolation made it.

internal import KernelInterface
import Tensors

/// 8-bit full-range RGB, row by row: `[height, width, 3]`.
public struct Picture: Equatable, Sendable {
  public let width, height: Int
  public let pixels: [UInt8]

  /// nil unless the number of bytes matches the size.
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
  /// The patch in RGB.
  public var picture: Picture { withExtendedLifetime(self) { Picture(view) } }

  /// A picture in the format of `frame`, with its first pixel at (0, 0); nil if it has no pixels, or would take more
  /// than `most` bytes. Subsampled chroma is the mean of the pixels around its site.
  public convenience init?(_ picture: Picture, like frame: FrameView, most: Int = .max) {
    let (_, fromRGB, low, high) = frame.transforms
    let (width, height) = (picture.width, picture.height)
    self.init(like: frame, Region(x: 0, y: 0, width: width, height: height), most: most) { c, component, size, plane in
      let origin = frame.samples[c].origin
      let columns = (0..<size.width).map { Tent($0, shift: component.shiftX, origin: origin.x, count: width) }
      // The weights of RGB levels (0 ... 255) in this component, and its level for black.
      let weights = SIMD3(fromRGB.x[c], fromRGB.y[c], fromRGB.z[c]) / 127.5
      let base = fromRGB(SIMD4(-1, -1, -1, 0))[c]
      inStripes(size.height) { rows in
        var levels = [Float](repeating: 0, count: width)
        var line = [UInt16](repeating: 0, count: size.width)
        for i in rows {
          let row = Tent(i, shift: component.shiftY, origin: origin.y, count: height)
          for x in 0..<width { levels[x] = base }
          for tap in 0..<4 where row.weights[tap] > 0 {
            let (from, down) = (3 * width * Int(row.pixels[tap]), row.weights[tap] * weights)
            for x in 0..<width {
              let at = from + 3 * x
              levels[x] +=
                down.x * Float(picture.pixels[at]) + down.y * Float(picture.pixels[at + 1])
                + down.z * Float(picture.pixels[at + 2])
            }
          }
          for (j, column) in columns.enumerated() {
            var sum: Float = 0
            for tap in 0..<4 { sum += column.weights[tap] * levels[Int(column.pixels[tap])] }
            line[j] = UInt16(min(max(sum, low[c]), high[c]).rounded()).littleEndian
          }
          // For byte samples, the low byte of each word.
          line.withUnsafeBytes { line in
            guard let line = line.baseAddress else { return }
            kernels.unpackLine(
              line, storage: component.storage, offset: 0, step: 2, first: 0, count: size.width,
              plane.base + i * plane.stride)
          }
        }
      }
    }
  }
}

/// A tent filter in one dimension: the pixels that a sample is the mean of, and their weights, of sum 1. Just one pixel
/// without subsampling, otherwise those within two pixels, weighted by proximity.
private struct Tent {
  private(set) var pixels = SIMD4<Int32>.zero
  private(set) var weights = SIMD4<Float>(1, 0, 0, 0)

  init(_ sample: Int, shift: Int, origin: Float, count: Int) {
    guard shift > 0 else {
      pixels.x = Int32(sample)
      return
    }
    for tap in 0..<4 {
      let pixel = 2 * sample - 1 + tap
      pixels[tap] = Int32(min(max(pixel, 0), count - 1))
      weights[tap] = max(1 - abs(Float(tap - 1) - origin) / 2, 0)
    }
    weights /= weights.sum()
  }
}
