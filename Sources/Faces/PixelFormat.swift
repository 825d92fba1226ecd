// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The memory layout of video frames. A single table describes every format by where the samples of its three components
// are. Names and plane order are GStreamer's (gst-plugins-base, "Raw Video Media Types").

package import KernelInterface
import Tensors

/// Formats with three components of 8 or 10 bits; a fourth (alpha or padding) is never touched. Raw values are
/// GStreamer's names in lower case.
public enum PixelFormat: String, CaseIterable, Sendable {
  case i420, yv12, nv12, nv21, y42b, y444, yuy2, uyvy
  case rgb, bgr, rgbx, bgrx, xrgb, xbgr, rgba, bgra, argb, abgr
  case i420Deep = "i420_10le"
  case p010 = "p010_10le"
  case i422Deep = "i422_10le"
  case v210

  public var isRGB: Bool {
    switch self {
    case .rgb, .bgr, .rgbx, .bgrx, .xrgb, .xbgr, .rgba, .bgra, .argb, .abgr: true
    default: false
    }
  }

  /// Bits of a sample.
  public var depth: Int {
    switch self {
    case .i420Deep, .p010, .i422Deep, .v210: 10
    default: 8
    }
  }

  /// Y, Cb, Cr or R, G, B.
  package var components: [Component] {
    func planar(_ u: Int, _ v: Int, _ shiftX: Int, _ shiftY: Int, _ storage: SampleStorage = .byte) -> [Component] {
      [(0, 0, 0), (u, shiftX, shiftY), (v, shiftX, shiftY)].map { plane, shiftX, shiftY in
        Component(plane: plane, offset: 0, step: storage.bytes, shiftX, shiftY, storage)
      }
    }
    func paired(_ u: Int, _ v: Int, _ storage: SampleStorage = .byte) -> [Component] {
      let size = storage.bytes
      return [
        Component(plane: 0, offset: 0, step: size, 0, 0, storage),
        Component(plane: 1, offset: u * size, step: 2 * size, 1, 1, storage),
        Component(plane: 1, offset: v * size, step: 2 * size, 1, 1, storage),
      ]
    }
    func packed(_ y: Int, _ u: Int, _ v: Int, _ storage: SampleStorage = .byte) -> [Component] {
      [
        Component(plane: 0, offset: y, step: 2, 0, 0, storage), Component(plane: 0, offset: u, step: 4, 1, 0, storage),
        Component(plane: 0, offset: v, step: 4, 1, 0, storage),
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
    case .i420Deep: planar(1, 2, 1, 1, .low10)
    case .i422Deep: planar(1, 2, 1, 0, .low10)
    case .p010: paired(0, 1, .high10)
    case .v210: packed(1, 0, 2, .packed10)
    }
  }
}

/// The layout of one component: sample (x, y) is at `offset + x * step` in row y of `plane`, in bytes, or for
/// `packed10` in samples of the row. There is one sample for 2^shiftX x 2^shiftY pixels.
package struct Component: Equatable, Sendable {
  package let plane, offset, step, shiftX, shiftY: Int
  package let storage: SampleStorage

  init(plane: Int, offset: Int, step: Int, _ shiftX: Int = 0, _ shiftY: Int = 0, _ storage: SampleStorage = .byte) {
    (self.plane, self.offset, self.step, self.shiftX, self.shiftY) = (plane, offset, step, shiftX, shiftY)
    self.storage = storage
  }

  /// The samples in a row of `width` pixels and the rows in `height` pixels, rounded up.
  package func size(_ width: Int, _ height: Int) -> (width: Int, height: Int) {
    ((width + (1 << shiftX) - 1) >> shiftX, (height + (1 << shiftY) - 1) >> shiftY)
  }

  /// The bytes of a row up to the end of its last sample.
  package func rowBytes(_ width: Int) -> Int {
    let last = offset + (size(width, 1).width - 1) * step
    return storage == .packed10 ? last / 3 * 4 + 4 : last + storage.bytes
  }
}

extension SampleStorage {
  /// The bytes of a sample that is not packed.
  fileprivate var bytes: Int { self == .byte ? 1 : 2 }
}

/// The chroma site: the position of a subsampled chroma sample, either on the first of its columns or rows, or midway
/// between them.
public struct ChromaSite: Equatable, Sendable {
  public var x, y: Float  // px from the first pixel's centre, in directions with subsampled chroma

  public init(cositedX: Bool, cositedY: Bool) { (x, y) = (cositedX ? 0 : 0.5, cositedY ? 0 : 0.5) }

  /// MPEG-2's site, the default of H.264 and HEVC: on the left pixel, midway between rows.
  public static let left = ChromaSite(cositedX: true, cositedY: false)
}

/// The samples of one component of a frame.
struct Samples {
  let component: Component
  let plane: UnsafeRawPointer
  let stride: Int
  private let width, height: Int
  let scale, offset: SIMD2<Float>  // sample position = pixel position * scale + offset

  fileprivate init(
    _ component: Component, _ plane: FrameView.Plane, size: (width: Int, height: Int), _ site: ChromaSite
  ) {
    (self.component, self.plane, stride) = (component, plane.base, plane.stride)
    (width, height) = size
    scale = [component.shiftX == 1 ? 0.5 : 1, component.shiftY == 1 ? 0.5 : 1]
    offset = [component.shiftX == 1 ? -site.x / 2 : 0, component.shiftY == 1 ? -site.y / 2 : 0]
  }

  /// The pixel position of sample (0, 0); integer coordinates are pixel centres.
  var origin: SIMD2<Float> { -offset / scale }

  /// Writes the levels at `count` pixel positions, each `step` after the previous one, to every fourth float of `out`.
  func line(from start: SIMD2<Float>, step: SIMD2<Float>, count: Int, to out: UnsafeMutablePointer<Float>) {
    let (first, move) = (start * scale + offset, step * scale)
    kernels.sampleLine(
      plane, storage: component.storage, stride: stride, offset: component.offset, step: component.step, width: width,
      height: height, x: first.x, y: first.y, dx: move.x, dy: move.y, count: count, out)
  }

  /// Adds the levels of pixels `columns` of a row to every fourth float of `out`; all must be inside the frame.
  func add(_ columns: [Int32], ofRow row: Int, to out: UnsafeMutablePointer<Float>) {
    kernels.gatherLine(
      plane + (row >> component.shiftY) * stride, storage: component.storage, offset: component.offset,
      step: component.step, columns: columns, shift: Int32(component.shiftX), count: columns.count, out)
  }
}

/// How component values encode colour. RGB formats use only the range.
public struct Colorimetry: Equatable, Sendable {
  /// The luma coefficients: ITU-R BT.601, BT.709, or BT.2020 (non-constant luminance).
  public enum Matrix: Sendable { case bt601, bt709, bt2020 }
  /// Limited: luma 16 ... 235, chroma 16 ... 240, times four for 10 bits. Full: 0 ... 255 or 0 ... 1023.
  public enum Range: Sendable { case limited, full }

  public var matrix: Matrix
  public var range: Range

  public init(_ matrix: Matrix, _ range: Range) { (self.matrix, self.range) = (matrix, range) }

  /// The transform from component levels of `depth` bits to RGB in -1 ... 1, its inverse, and the valid range of
  /// levels.
  func transforms(
    isRGB: Bool, depth: Int
  ) -> (toRGB: Affine, fromRGB: Affine, low: SIMD4<Float>, high: SIMD4<Float>) {
    let unit = Float(1 << (depth - 8))
    let most = 256 * unit - 1
    let (low, span) = range == .limited ? (16 * unit, 219 * unit) : (0, most)
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
    let chroma = range == .limited ? 224 * unit : most
    let middle = 128 * unit
    // With Y in 0 ... 1 and chroma in -0.5 ... 0.5: R = Y + 2 (1 - kr) Cr, B = Y + 2 (1 - kb) Cb, G from luma's weights.
    let (y, u, v) = (2 / span, 4 * (1 - kb) / chroma, 4 * (1 - kr) / chroma)
    let (gu, gv) = (-u * kb / kg, -v * kr / kg)
    let zero = SIMD4<Float>(repeating: -1 - y * low)
    let to = Affine(
      [y, y, y, 0], [0, gu, u, 0], [v, gv, 0, 0], zero - middle * SIMD4<Float>(v, gu + gv, u, 0))
    let half = span / 2
    let (cb, cr) = (chroma / (4 * (1 - kb)), chroma / (4 * (1 - kr)))
    let from = Affine(
      [half * kr, -cb * kr, cr * (1 - kr), 0], [half * kg, -cb * kg, -cr * kg, 0],
      [half * kb, cb * (1 - kb), -cr * kb, 0], [low + half, middle, middle, 0])
    let top = range == .limited ? 240 * unit : most
    return (to, from, [low, low, low, 0], [low + span, top, top, 0])
  }
}

/// An affine transform of three components: columns of the matrix, and the offset.
struct Affine: Sendable {
  let x, y, z, offset: SIMD4<Float>

  init(_ x: SIMD4<Float>, _ y: SIMD4<Float>, _ z: SIMD4<Float>, _ offset: SIMD4<Float>) {
    (self.x, self.y, self.z, self.offset) = (x, y, z, offset)
  }

  @inline(__always)
  func callAsFunction(_ v: SIMD4<Float>) -> SIMD4<Float> { x * v.x + y * v.y + z * v.z + offset }

  /// The transform of a difference, without the offset.
  @inline(__always)
  func linear(_ v: SIMD4<Float>) -> SIMD4<Float> { x * v.x + y * v.y + z * v.z }
}

/// A read-only frame. The planes must stay mapped while the view is used.
public struct FrameView {
  public typealias Plane = (base: UnsafeRawPointer, stride: Int)

  public let format: PixelFormat
  public let width, height: Int
  public let colorimetry: Colorimetry
  let chromaSite: ChromaSite
  let samples: [Samples]  // of the three components

  /// `planes`: in GStreamer's order, strides in bytes. nil if a dimension is outside 1 ... 32768, a plane is missing,
  /// or a stride is too short for its row. Every plane must hold all its rows (the last one may end with its last
  /// sample).
  public init?(
    format: PixelFormat, width: Int, height: Int, planes: [Plane], colorimetry: Colorimetry,
    chromaSite: ChromaSite = .left
  ) {
    guard (1...32768).contains(width), (1...32768).contains(height) else { return nil }
    for component in format.components {
      guard component.plane < planes.count else { return nil }
      let plane = planes[component.plane]
      guard plane.stride >= component.rowBytes(width), plane.stride <= 1 << 20 else { return nil }
    }
    (self.format, self.width, self.height) = (format, width, height)
    (self.colorimetry, self.chromaSite) = (colorimetry, chromaSite)
    samples = format.components.map {
      Samples($0, planes[$0.plane], size: $0.size(width, height), chromaSite)
    }
  }

  /// A frame of `width` x `height` px with the format and colorimetry of another but its own memory layout, one plane
  /// for each component.
  init(like other: FrameView, width: Int, height: Int, components: [Component], planes: [Plane]) {
    (format, self.width, self.height) = (other.format, width, height)
    (colorimetry, chromaSite) = (other.colorimetry, other.chromaSite)
    samples = zip(components, planes).map {
      Samples($0, $1, size: $0.size(width, height), other.chromaSite)
    }
  }

  /// What determines the meaning of its samples.
  public struct Kind: Equatable, Sendable {
    let format: PixelFormat
    let colorimetry: Colorimetry
    let chromaSite: ChromaSite
  }

  public var kind: Kind { Kind(format: format, colorimetry: colorimetry, chromaSite: chromaSite) }

  /// `Colorimetry.transforms` for this format.
  var transforms: (toRGB: Affine, fromRGB: Affine, low: SIMD4<Float>, high: SIMD4<Float>) {
    colorimetry.transforms(isRGB: format.isRGB, depth: format.depth)
  }
}

/// A writable frame.
public struct MutableFrameView {
  public typealias Plane = (base: UnsafeMutableRawPointer, stride: Int)

  /// The same frame, read-only.
  public let view: FrameView
  let planes: [Plane]

  /// See `FrameView.init`.
  public init?(
    format: PixelFormat, width: Int, height: Int, planes: [Plane], colorimetry: Colorimetry,
    chromaSite: ChromaSite = .left
  ) {
    let read = planes.map { (base: UnsafeRawPointer($0.base), stride: $0.stride) }
    guard
      let view = FrameView(
        format: format, width: width, height: height, planes: read, colorimetry: colorimetry, chromaSite: chromaSite)
    else { return nil }
    (self.view, self.planes) = (view, planes)
  }
}
