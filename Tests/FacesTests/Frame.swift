// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport

/// A frame that owns its memory: rows longer than they need to be, so that a byte too many is seen.
final class Frame {
  let format: PixelFormat
  let width, height: Int
  let colorimetry: Colorimetry
  private let planes: [(base: UnsafeMutableRawPointer, stride: Int, rows: Int)]

  /// All bytes `fill`.
  init(
    _ format: PixelFormat, _ width: Int, _ height: Int, _ colorimetry: Colorimetry = Colorimetry(.bt709, .limited),
    fill: UInt8 = 77
  ) {
    (self.format, self.width, self.height, self.colorimetry) = (format, width, height, colorimetry)
    let components = format.components
    planes = (0...(components.map { $0.plane }.max() ?? 0)).map { plane in
      let sizes = components.filter { $0.plane == plane }.map { ($0.size(width, height), $0.step) }
      let stride = (sizes.map { $0.0.width * $0.1 }.max() ?? 0) + 7
      let rows = sizes.map { $0.0.height }.max() ?? 0
      let base = UnsafeMutableRawPointer.allocate(byteCount: stride * rows, alignment: 16)
      base.initializeMemory(as: UInt8.self, repeating: fill, count: stride * rows)
      return (base, stride, rows)
    }
  }

  deinit { for plane in planes { plane.base.deallocate() } }

  /// Shows `color(x, y)`, RGB in 0 ... 1: the plain way, a sample of a component is the mean over its pixels.
  convenience init(
    _ format: PixelFormat, _ width: Int, _ height: Int, _ colorimetry: Colorimetry = Colorimetry(.bt709, .limited),
    color: (Int, Int) -> SIMD3<Double>
  ) {
    self.init(format, width, height, colorimetry)
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
          self[component, x, y] = UInt8(max(0, min(255, (sum / count).rounded())))
        }
      }
    }
  }

  private func levels(of color: SIMD3<Double>, _ c: Int) -> Double {
    let limited = colorimetry.range == .limited
    if format.isRGB { return limited ? 16 + 219 * color[c] : 255 * color[c] }
    let (kr, kb) =
      switch colorimetry.matrix {
      case .bt601: (0.299, 0.114)
      case .bt709: (0.2126, 0.0722)
      case .bt2020: (0.2627, 0.0593)
      }
    let luma = kr * color[0] + (1 - kr - kb) * color[1] + kb * color[2]
    switch c {
    case 0: return limited ? 16 + 219 * luma : 255 * luma
    case 1: return 128 + (limited ? 224 : 255) * (color[2] - luma) / (2 - 2 * kb)
    default: return 128 + (limited ? 224 : 255) * (color[0] - luma) / (2 - 2 * kr)
    }
  }

  subscript(component: Component, x: Int, y: Int) -> UInt8 {
    get { planes[component.plane].base.load(fromByteOffset: offset(component, x, y), as: UInt8.self) }
    set { planes[component.plane].base.storeBytes(of: newValue, toByteOffset: offset(component, x, y), as: UInt8.self) }
  }

  private func offset(_ component: Component, _ x: Int, _ y: Int) -> Int {
    y * planes[component.plane].stride + component.offset + x * component.step
  }

  /// Every byte of every plane, padding included.
  var bytes: [[UInt8]] {
    planes.map { Array(UnsafeRawBufferPointer(start: $0.base, count: $0.stride * $0.rows)) }
  }

  /// Lends the frame; a frame that is refused fails the test.
  func paint<Result>(_ body: (MutableFrameView) throws -> Result) throws -> Result {
    guard
      let view = MutableFrameView(
        format: format, width: width, height: height, planes: planes.map { ($0.base, $0.stride) },
        colorimetry: colorimetry)
    else { throw Refused() }
    return try withExtendedLifetime(self) { try body(view) }
  }

  func crop(_ window: Similarity) throws -> Tensor { try paint { Faces.crop($0.view, window) } }

  /// The face that is followed, or was found last.
  func track(_ watch: inout Watch) throws -> Face? { try watch.faces(self).max { $0.id < $1.id } }

  @discardableResult
  func blend(_ mouth: Tensor, over original: Tensor, _ window: Similarity, _ strength: Float = 1) throws -> Region {
    try paint { Faces.blend(into: $0, mouth: mouth, original: original, window: window, strength: strength) }
  }
}

struct Refused: Error {}

/// The golden portrait, `[160, 160, 3]`, levels 0 ... 255. Its face is 53 x 60 px.
func portrait() throws -> Tensor {
  guard let picture = try golden("picture.safetensors")["picture"] else { throw Refused() }
  return picture
}

/// `picture` (levels 0 ... 255) in a frame: pixel (0, 0) at (x, y), every pixel `times` times in both directions.
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

/// A tracker that is shown 25 frames a second.
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
