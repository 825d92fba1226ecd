// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a video frame looks like in memory. Every 8-bit format is told by one table: where the samples of its three
// components lie. Names and plane order are GStreamer's (gst-plugins-base, "Raw Video Media Types").

/// 8-bit formats, three components each; a fourth (alpha or padding) is never touched.
public enum PixelFormat: String, CaseIterable, Sendable {
  case i420, yv12, nv12, nv21, y42b, y444, yuy2, uyvy
  case rgb, bgr, rgbx, bgrx, xrgb, xbgr, rgba, bgra, argb, abgr

  public var isRGB: Bool {
    switch self {
    case .i420, .yv12, .nv12, .nv21, .y42b, .y444, .yuy2, .uyvy: false
    default: true
    }
  }

  /// Y, Cb, Cr or R, G, B.
  package var components: [Component] {
    func planar(_ u: Int, _ v: Int, _ shiftX: Int, _ shiftY: Int) -> [Component] {
      [
        Component(plane: 0, offset: 0, step: 1), Component(plane: u, offset: 0, step: 1, shiftX, shiftY),
        Component(plane: v, offset: 0, step: 1, shiftX, shiftY),
      ]
    }
    func paired(_ u: Int, _ v: Int) -> [Component] {
      [
        Component(plane: 0, offset: 0, step: 1), Component(plane: 1, offset: u, step: 2, 1, 1),
        Component(plane: 1, offset: v, step: 2, 1, 1),
      ]
    }
    func packed(_ y: Int, _ u: Int, _ v: Int) -> [Component] {
      [
        Component(plane: 0, offset: y, step: 2), Component(plane: 0, offset: u, step: 4, 1, 0),
        Component(plane: 0, offset: v, step: 4, 1, 0),
      ]
    }
    func pixels(_ r: Int, _ g: Int, _ b: Int, _ step: Int) -> [Component] {
      [r, g, b].map { Component(plane: 0, offset: $0, step: step) }
    }
    return switch self {
    case .i420: planar(1, 2, 1, 1)
    case .yv12: planar(2, 1, 1, 1)
    case .y42b: planar(1, 2, 1, 0)
    case .y444: planar(1, 2, 0, 0)
    case .nv12: paired(0, 1)
    case .nv21: paired(1, 0)
    case .yuy2: packed(0, 1, 3)
    case .uyvy: packed(1, 0, 2)
    case .rgb: pixels(0, 1, 2, 3)
    case .bgr: pixels(2, 1, 0, 3)
    case .rgbx, .rgba: pixels(0, 1, 2, 4)
    case .bgrx, .bgra: pixels(2, 1, 0, 4)
    case .xrgb, .argb: pixels(1, 2, 3, 4)
    case .xbgr, .abgr: pixels(3, 2, 1, 4)
    }
  }
}

/// Where the samples of one component lie: sample (x, y) is byte `offset + x * step` of row y of `plane`. The component
/// has one sample for 2^shiftX x 2^shiftY pixels.
package struct Component: Equatable, Sendable {
  package let plane, offset, step, shiftX, shiftY: Int

  init(plane: Int, offset: Int, step: Int, _ shiftX: Int = 0, _ shiftY: Int = 0) {
    (self.plane, self.offset, self.step, self.shiftX, self.shiftY) = (plane, offset, step, shiftX, shiftY)
  }

  /// Samples in a row of `width` pixels, rows in `height` pixels: the last one may be shared by fewer pixels.
  package func size(_ width: Int, _ height: Int) -> (width: Int, height: Int) {
    ((width + (1 << shiftX) - 1) >> shiftX, (height + (1 << shiftY) - 1) >> shiftY)
  }

  /// Where chroma is sampled (MPEG-2 siting, as H.264 and HEVC have it unless they say otherwise): on the left pixel,
  /// between the rows. Pixel position of sample (x, y).
  func pixel(_ x: Int, _ y: Int) -> (x: Double, y: Double) {
    (Double(x << shiftX), Double(y << shiftY) + (shiftY == 1 ? 0.5 : 0))
  }
}

/// How component values mean colour. For RGB formats only the range counts.
public struct Colorimetry: Equatable, Sendable {
  /// Weights of red and blue in luma: ITU-R BT.601, BT.709, BT.2020 (non-constant luminance).
  public enum Matrix: Sendable { case bt601, bt709, bt2020 }
  /// Limited: luma 16 ... 235, chroma 16 ... 240. Full: 0 ... 255.
  public enum Range: Sendable { case limited, full }

  public var matrix: Matrix
  public var range: Range

  public init(_ matrix: Matrix, _ range: Range) { (self.matrix, self.range) = (matrix, range) }

  /// Component levels 0 ... 255 -> RGB in -1 ... 1, its inverse, and the levels that colours may have.
  func transforms(isRGB: Bool) -> (toRGB: Affine, fromRGB: Affine, low: SIMD4<Float>, high: SIMD4<Float>) {
    let (low, span): (Float, Float) = range == .limited ? (16, 219) : (0, 255)
    if isRGB {
      func scaled(_ k: Float, _ offset: Float) -> Affine {
        Affine([k, 0, 0, 0], [0, k, 0, 0], [0, 0, k, 0], SIMD4(repeating: offset))
      }
      return (
        scaled(2 / span, -1 - 2 * low / span), scaled(span / 2, low + span / 2), SIMD4(repeating: low),
        SIMD4(repeating: low + span)
      )
    }
    let (kr, kb): (Float, Float) =
      switch matrix {
      case .bt601: (0.299, 0.114)
      case .bt709: (0.2126, 0.0722)
      case .bt2020: (0.2627, 0.0593)
      }
    let kg = 1 - kr - kb
    let chroma: Float = range == .limited ? 224 : 255
    // With Y in 0 ... 1 and chroma in -0.5 ... 0.5: R = Y + 2 (1 - kr) Cr, B = Y + 2 (1 - kb) Cb, G from luma's weights.
    let (y, u, v) = (2 / span, 4 * (1 - kb) / chroma, 4 * (1 - kr) / chroma)
    let (gu, gv) = (-u * kb / kg, -v * kr / kg)
    let zero = SIMD4<Float>(repeating: -1 - y * low)
    let to = Affine(
      [y, y, y, 0], [0, gu, u, 0], [v, gv, 0, 0], zero - 128 * SIMD4<Float>(v, gu + gv, u, 0))
    let half = span / 2
    let (cb, cr) = (chroma / (4 * (1 - kb)), chroma / (4 * (1 - kr)))
    let from = Affine(
      [half * kr, -cb * kr, cr * (1 - kr), 0], [half * kg, -cb * kg, -cr * kg, 0],
      [half * kb, cb * (1 - kb), -cr * kb, 0], [low + half, 128, 128, 0])
    let top: Float = range == .limited ? 240 : 255
    return (to, from, [low, low, low, 0], [low + span, top, top, 0])
  }
}

/// Three components to three components: columns of the matrix and the offset.
struct Affine: Sendable {
  let x, y, z, offset: SIMD4<Float>

  init(_ x: SIMD4<Float>, _ y: SIMD4<Float>, _ z: SIMD4<Float>, _ offset: SIMD4<Float>) {
    (self.x, self.y, self.z, self.offset) = (x, y, z, offset)
  }

  @inline(__always)
  func callAsFunction(_ v: SIMD4<Float>) -> SIMD4<Float> { x * v.x + y * v.y + z * v.z + offset }
}

/// A frame to read: planes that somebody else keeps mapped for as long as the view is used.
public struct FrameView {
  public typealias Plane = (base: UnsafeRawPointer, stride: Int)

  public let format: PixelFormat
  public let width, height: Int
  public let colorimetry: Colorimetry
  let samples: (Samples, Samples, Samples)

  /// Planes in GStreamer's order, strides in bytes. nil when a size is not in 1 ... 32768, a plane is missing, or a
  /// stride is too short for its row. Every plane must hold all its rows (the last one may end with its last sample).
  public init?(format: PixelFormat, width: Int, height: Int, planes: [Plane], colorimetry: Colorimetry) {
    guard (1...32768).contains(width), (1...32768).contains(height) else { return nil }
    var samples: [Samples] = []
    for component in format.components {
      let size = component.size(width, height)
      guard component.plane < planes.count,
        planes[component.plane].stride >= component.offset + (size.width - 1) * component.step + 1,
        planes[component.plane].stride <= 1 << 20
      else { return nil }
      let plane = planes[component.plane]
      samples.append(
        Samples(base: plane.base + component.offset, stride: plane.stride, component: component, size: size))
    }
    (self.format, self.width, self.height, self.colorimetry) = (format, width, height, colorimetry)
    self.samples = (samples[0], samples[1], samples[2])
  }
}

/// A frame to paint on.
public struct MutableFrameView {
  public typealias Plane = (base: UnsafeMutableRawPointer, stride: Int)

  /// The same frame, to read.
  public let view: FrameView
  let planes: [Plane]

  /// As `FrameView.init`.
  public init?(format: PixelFormat, width: Int, height: Int, planes: [Plane], colorimetry: Colorimetry) {
    let read = planes.map { (base: UnsafeRawPointer($0.base), stride: $0.stride) }
    guard
      let view = FrameView(
        format: format, width: width, height: height, planes: read, colorimetry: colorimetry)
    else { return nil }
    (self.view, self.planes) = (view, planes)
  }

  /// First byte and row length of a component of `view.format`.
  func start(_ component: Component) -> (base: UnsafeMutableRawPointer, stride: Int) {
    (planes[component.plane].base + component.offset, planes[component.plane].stride)
  }
}

/// The samples of one component of a frame. Any position may be asked for: beyond the edges the nearest sample counts.
struct Samples {
  let base: UnsafeRawPointer
  let stride, step: Int
  let width, height: Int
  private let shift: (x: Int, y: Int)
  private let scaleX, scaleY, offsetY: Float  // pixel position -> sample position

  init(base: UnsafeRawPointer, stride: Int, component: Component, size: (width: Int, height: Int)) {
    (self.base, self.stride, self.step) = (base, stride, component.step)
    (width, height) = size
    shift = (component.shiftX, component.shiftY)
    scaleX = component.shiftX == 1 ? 0.5 : 1
    scaleY = component.shiftY == 1 ? 0.5 : 1
    offsetY = component.shiftY == 1 ? -0.25 : 0
  }

  /// The sample itself, `0 <= x < width`, `0 <= y < height`.
  @inline(__always)
  func level(_ x: Int, _ y: Int) -> Float {
    Float(base.load(fromByteOffset: y &* stride &+ x &* step, as: UInt8.self))
  }

  /// Mean level of square (x, y) of `side` x `side` pixels; the square begins inside of the frame.
  @inline(__always)
  func mean(_ x: Int, _ y: Int, _ side: Int) -> Float {
    let (x0, y0) = (x * side >> shift.x, y * side >> shift.y)
    let (x1, y1) = (max((x + 1) * side >> shift.x, x0 + 1), max((y + 1) * side >> shift.y, y0 + 1))
    var sum: Float = 0
    for v in y0..<min(y1, height) { for u in x0..<min(x1, width) { sum += level(u, v) } }
    return sum / Float((min(y1, height) - y0) * (min(x1, width) - x0))
  }

  /// Bilinear between the four nearest samples of pixel position (x, y); pixel centres have whole coordinates.
  @inline(__always)
  func callAsFunction(_ x: Float, _ y: Float) -> Float {
    let (sx, sy) = (inside(x * scaleX, width), inside(y * scaleY + offsetY, height))
    let (x0, y0) = (Int(sx), Int(sy))
    let (x1, y1) = (min(x0 + 1, width - 1), min(y0 + 1, height - 1))
    let (fx, fy) = (sx - Float(x0), sy - Float(y0))
    let (above, below) = (level(x0, y0), level(x0, y1))
    let top = above + fx * (level(x1, y0) - above)
    let bottom = below + fx * (level(x1, y1) - below)
    return top + fy * (bottom - top)
  }
}

/// `v` brought to 0 ... count - 1; not a number counts as 0.
@inline(__always)
func inside(_ v: Float, _ count: Int) -> Float {
  let high = Float(count - 1)
  let low = v > 0 ? v : 0
  return low < high ? low : high
}
