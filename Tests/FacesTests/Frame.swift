// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport

/// A frame that owns its memory. Rows are padded, so that writes beyond them are detected.
final class Frame {
  let format: PixelFormat
  let width, height: Int
  let colorimetry: Colorimetry
  let site: ChromaSite
  private let planes: [(base: UnsafeMutableRawPointer, stride: Int, rows: Int)]

  /// All bytes `fill`.
  init(
    _ format: PixelFormat, _ width: Int, _ height: Int, _ colorimetry: Colorimetry = Colorimetry(.bt709, .limited),
    fill: UInt8 = 77, site: ChromaSite = .left
  ) {
    (self.format, self.width, self.height, self.colorimetry) = (format, width, height, colorimetry)
    self.site = site
    let components = format.components
    planes = (0...(components.map { $0.plane }.max() ?? 0)).map { plane in
      let parts = components.filter { $0.plane == plane }
      let stride = (parts.map { $0.rowBytes(width) }.max() ?? 0) + 7
      let rows = parts.map { $0.size(width, height).height }.max() ?? 0
      let base = UnsafeMutableRawPointer.allocate(byteCount: stride * rows, alignment: 16)
      base.initializeMemory(as: UInt8.self, repeating: fill, count: stride * rows)
      return (base, stride, rows)
    }
  }

  deinit { for plane in planes { plane.base.deallocate() } }

  /// Shows `color(x, y)`, RGB in 0 ... 1. Naive: a sample of a component is the mean over its pixels.
  convenience init(
    _ format: PixelFormat, _ width: Int, _ height: Int, _ colorimetry: Colorimetry = Colorimetry(.bt709, .limited),
    site: ChromaSite = .left, color: (Int, Int) -> SIMD3<Double>
  ) {
    self.init(format, width, height, colorimetry, site: site)
    for (c, component) in format.components.enumerated() {
      let size = component.size(width, height)
      for y in 0..<size.height {
        for x in 0..<size.width {
          var (sum, count) = (0.0, 0.0)
          for v in y << component.shiftY..<min((y + 1) << component.shiftY, height) {
            for u in x << component.shiftX..<min((x + 1) << component.shiftX, width) {
              sum += levels(of: color(u, v), c)
              count += 1
            }
          }
          self[component, x, y] = max(0, min((1 << format.depth) - 1, Int((sum / count).rounded())))
        }
      }
    }
  }

  private func levels(of color: SIMD3<Double>, _ c: Int) -> Double {
    let limited = colorimetry.range == .limited
    let unit = Double(1 << (format.depth - 8))
    let most = 256 * unit - 1
    if format.isRGB { return limited ? 16 + 219 * color[c] : 255 * color[c] }
    let (kr, kb) =
      switch colorimetry.matrix {
      case .bt601: (0.299, 0.114)
      case .bt709: (0.2126, 0.0722)
      case .bt2020: (0.2627, 0.0593)
      }
    let luma = kr * color[0] + (1 - kr - kb) * color[1] + kb * color[2]
    switch c {
    case 0: return limited ? unit * (16 + 219 * luma) : most * luma
    case 1: return 128 * unit + (limited ? 224 * unit : most) * (color[2] - luma) / (2 - 2 * kb)
    default: return 128 * unit + (limited ? 224 * unit : most) * (color[0] - luma) / (2 - 2 * kr)
    }
  }

  /// The location of a sample: `bits` bits from bit `low` on in a little-endian word.
  subscript(component: Component, x: Int, y: Int) -> Int {
    get {
      let (base, bytes, low, bits) = place(component, x, y)
      let word = (0..<bytes).reduce(0) { $0 | Int(base.load(fromByteOffset: $1, as: UInt8.self)) << (8 * $1) }
      return (word >> low) & ((1 << bits) - 1)
    }
    set {
      let (base, bytes, low, bits) = place(component, x, y)
      for i in 0..<bytes {
        let old = base.load(fromByteOffset: i, as: UInt8.self)
        let mask = UInt8(truncatingIfNeeded: (((1 << bits) - 1) << low) >> (8 * i))
        let new = UInt8(truncatingIfNeeded: (newValue << low) >> (8 * i))
        base.storeBytes(of: old & ~mask | new & mask, toByteOffset: i, as: UInt8.self)
      }
    }
  }

  private func place(
    _ component: Component, _ x: Int, _ y: Int
  ) -> (base: UnsafeMutableRawPointer, bytes: Int, low: Int, bits: Int) {
    let row = planes[component.plane].base + y * planes[component.plane].stride
    let index = component.offset + x * component.step
    return switch component.storage {
    case .byte: (row + index, 1, 0, 8)
    case .low10: (row + index, 2, 0, 10)
    case .high10: (row + index, 2, 6, 10)
    case .packed10: (row + index / 3 * 4, 4, 10 * (index % 3), 10)
    }
  }

  /// The first bytes of a row of a plane.
  func fill(_ plane: Int, row: Int, with bytes: [UInt8]) {
    (planes[plane].base + row * planes[plane].stride).copyMemory(from: bytes, byteCount: bytes.count)
  }

  /// Every sample's level, component after component.
  var levels: [Int] {
    format.components.flatMap { component in
      let size = component.size(width, height)
      return (0..<size.height).flatMap { y in (0..<size.width).map { x in self[component, x, y] } }
    }
  }

  /// Every byte of every plane, padding included.
  var bytes: [[UInt8]] {
    planes.map { Array(UnsafeRawBufferPointer(start: $0.base, count: $0.stride * $0.rows)) }
  }

  /// Lends a view of the frame; the test fails if the view is invalid.
  func paint<Result>(_ body: (MutableFrameView) throws -> Result) throws -> Result {
    guard
      let view = MutableFrameView(
        format: format, width: width, height: height, planes: planes.map { ($0.base, $0.stride) },
        colorimetry: colorimetry, chromaSite: site)
    else { throw Refused() }
    return try withExtendedLifetime(self) { try body(view) }
  }

  func crop(_ place: Similarity, _ window: FaceWindow = window) throws -> Tensor {
    try paint { Faces.crop($0.view, window, at: place) }
  }

  /// The face that is tracked, or was found last.
  func track(_ watch: inout Watch) throws -> Face? { try watch.faces(self).max { $0.id < $1.id } }
}

struct Refused: Error {}

/// The window of the shipped model.
let window = FaceWindow(side: 80)

/// The golden portrait, `[160, 160, 3]`, levels 0 ... 255. Its face is 53 x 60 px.
func portrait() throws -> Tensor {
  guard let picture = try golden("picture.safetensors")["picture"] else { throw Refused() }
  return picture
}

/// `picture` (levels 0 ... 255) in a frame: pixel (0, 0) at (x, y), every pixel repeated `times` times in both
/// directions.
func frame(
  _ format: PixelFormat, _ width: Int, _ height: Int, _ colorimetry: Colorimetry = Colorimetry(.bt709, .limited),
  showing picture: Tensor, x: Int = 0, y: Int = 0, times: Int = 1
) -> Frame {
  Frame(format, width, height, colorimetry) { u, v in
    let (i, j) = ((v - y) / times, (u - x) / times)
    guard v >= y, u >= x, i < picture.shape[0], j < picture.shape[1] else { return SIMD3(repeating: 0.4) }
    let at = 3 * (i * picture.shape[1] + j)
    return SIMD3(Double(picture.values[at]), Double(picture.values[at + 1]), Double(picture.values[at + 2])) / 255
  }
}

/// The committed face networks.
func faceWeights(beside test: String = #filePath) throws -> Weights {
  let root = test.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
  return Weights(try SafeTensors.load(path: "\(root)/meta/models/faces.safetensors"))
}

/// A tracker with a clock of 25 frames a second.
struct Watch {
  var tracker: FaceTracker
  private var frames = 0

  init() throws {
    let weights = try faceWeights()
    tracker = FaceTracker(detector: FaceDetector(weights), mesh: FaceMesh(weights))
  }

  mutating func faces(_ frame: Frame, _ selection: FaceSelection = .largest(1)) throws -> [Face] {
    frames += 1
    return try frame.paint { tracker.track($0.view, at: Double(frames) / 25, selecting: selection) }
  }
}
