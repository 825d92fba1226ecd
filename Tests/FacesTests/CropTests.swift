// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: `python -m convert.golden_faces` in Sources/Training.

import Faces
import Tensors
import TestSupport
import Testing

/// A transform `[2, 3]` in the layout of data/geometry.py.
func similarity(_ matrix: Tensor?) throws -> Similarity {
  let m = try #require(matrix).values.map { Double($0) }
  return try #require(Similarity(a: m[0], b: m[3], tx: m[2], ty: m[5]))
}

/// Converts RGB in -1 ... 1 to levels 0 ... 255.
func levels(_ tensor: Tensor) -> Tensor { Tensor(tensor.shape, tensor.values.map { ($0 + 1) * 127.5 }) }

@Suite struct Cropping {
  private let full = Colorimetry(.bt601, .full)

  @Test func windowIsWhatOpenCVCuts() throws {
    let golden = try golden("faces.safetensors")
    let frame = frame(.rgb, 160, 160, full, showing: try portrait())
    // OpenCV works in 1/32 px and rounds levels, which makes up to two levels at the sharpest edges.
    let window = try similarity(golden["window"])
    expectClose(try levels(frame.crop(window)), golden["crop"], 3, "window smaller than its pixels in the frame")
  }

  @Test func aLargeFaceIsSmoothedAsInTraining() throws {
    let golden = try golden("faces.safetensors")
    let frame = frame(.rgb, 480, 480, full, showing: try portrait(), times: 3)
    let window = try similarity(golden["window3"])
    expectClose(try levels(frame.crop(window)), golden["crop3"], 10, "window larger than its pixels in the frame")
  }

  @Test(arguments: PixelFormat.allCases)
  func everyFormatShowsTheSame(format: PixelFormat) throws {
    let window = try #require(Similarity(a: 0.8, b: 0.05, tx: -3, ty: 4))
    // A smooth picture, so that subsampling chroma loses nothing.
    func color(_ x: Int, _ y: Int) -> SIMD3<Double> {
      [0.2 + Double(x) / 300, 0.8 - Double(y) / 250, 0.3 + Double(x + y) / 600]
    }
    let expected = try levels(Frame(.y444, 129, 117, full, color: color).crop(window))
    for matrix in [Colorimetry.Matrix.bt601, .bt709, .bt2020] {
      for range in [Colorimetry.Range.full, .limited] {
        let frame = Frame(format, 129, 117, Colorimetry(matrix, range), color: color)
        expectClose(try levels(frame.crop(window)), expected, 3.5, "\(format) \(matrix) \(range)")
      }
    }
  }

  @Test(arguments: [(1e6, -1e6, 1.0), (0, 0, 100), (-5e5, 10, 0.01), (40, 40, 1)])
  func anyTransformGivesAWindow(tx: Double, ty: Double, scale: Double) throws {
    let window = try #require(Similarity(a: scale, b: 0, tx: tx, ty: ty))
    for (width, height) in [(1, 1), (3, 2), (64, 65)] {
      let values = try Frame(.i420, width, height).crop(window).values
      #expect(values.count == 80 * 80 * 3 && values.allSatisfy { $0.isFinite })
    }
  }

  @Test func impossibleFramesAreRefused() {
    let bytes = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
    defer { bytes.deallocate() }
    func view(_ format: PixelFormat, _ width: Int, _ height: Int, strides: [Int]) -> FrameView? {
      FrameView(
        format: format, width: width, height: height, planes: strides.map { (UnsafeRawPointer(bytes), $0) },
        colorimetry: full)
    }
    #expect(view(.rgb, 5, 4, strides: [15]) != nil)
    #expect(view(.rgb, 5, 4, strides: [14]) == nil, "row longer than the stride")
    #expect(view(.i420, 4, 4, strides: [4, 2]) == nil, "a plane is missing")
    #expect(view(.rgb, 0, 4, strides: [15]) == nil)
    #expect(view(.rgb, 5, -1, strides: [15]) == nil)
    #expect(view(.rgb, .max, .max, strides: [.max]) == nil)
    #expect(view(.y444, 4, 4, strides: [.max, .max, .max]) == nil)
  }
}

/// Against its naive twin, with awkward sizes and transforms.
@Suite struct CropParity {
  private static let sites = [ChromaSite.left, ChromaSite(cositedX: false, cositedY: false)]
  private static let places: [(Double, Double, Double, Double)] = [
    (0.9, 0.2, -20, -30), (2.3, -0.4, -60, -40), (5.5, 0.3, -300, -250), (1, 0, -80, 10), (-0.8, 0.5, 70, 60),
  ]

  /// No two neighbours are equal.
  private func busy(_ x: Int, _ y: Int) -> SIMD3<Double> {
    [Double((x * 7 + y * 13) % 17) / 16, Double((x * 5 + y * 3) % 11) / 10, Double((x * 3 + y * 11) % 7) / 6]
  }

  @Test(arguments: PixelFormat.allCases, [FaceWindow(side: 32), FaceWindow(side: 48)])
  func theyAgree(format: PixelFormat, window: FaceWindow) throws {
    let side = window.side
    for (i, (a, b, tx, ty)) in Self.places.enumerated() {
      let (width, height) = [(131, 97), (64, 65), (190, 101)][i % 3]
      let colorimetry = Colorimetry([.bt601, .bt709][i % 2], [.limited, .full][i / 2 % 2])
      let place = try #require(Similarity(a: a, b: b, tx: tx, ty: ty))
      let frame = Frame(format, width, height, colorimetry, site: Self.sites[i % 2], color: busy)
      let name = "\(format), side \(side), place \(i)"

      // The naive crop holds levels, so it is converted to RGB by cropping a frame with one pixel for each of its own.
      let crop = try frame.crop(place, window)
      let plain = Plain.crop(frame, place, side: side)
      let toRGB = try rgb(of: format, colorimetry)
      let expected = plain.flatMap { levels in toRGB.map { ($0 * SIMD4(levels, 1)).sum() } }.map { Float($0) }
      expectClose(crop, Tensor([side, side, 3], expected), 2e-3, name)
    }
  }

  /// The rows of the affine map from levels to RGB in -1 ... 1, as defined by the standards.
  private func rgb(of format: PixelFormat, _ colorimetry: Colorimetry) throws -> [SIMD4<Double>] {
    let (black, luma, grey, chroma) = scales(format, colorimetry)
    if format.isRGB {
      return [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]].map { (row: SIMD4<Double>) in
        var row = row / luma
        row.w = -1 - 2 * black / luma
        return row
      }
    }
    let (kr, kb) = colorimetry.matrix == .bt601 ? (0.299, 0.114) : (0.2126, 0.0722)
    let (u, v) = (4 * (1 - kb) / chroma, 4 * (1 - kr) / chroma)
    let kg = 1 - kr - kb
    return [(0, v), (-u * kb / kg, -v * kr / kg), (u, 0)].map { cb, cr in
      [2 / luma, cb, cr, -1 - 2 * black / luma - grey * (cb + cr)]
    }
  }

  /// Black, the range of luma, grey, and the range of chroma.
  private func scales(_ format: PixelFormat, _ colorimetry: Colorimetry) -> (Double, Double, Double, Double) {
    let unit = Double(1 << (format.depth - 8))
    return colorimetry.range == .limited
      ? (16 * unit, 219 * unit, 128 * unit, 224 * unit) : (0, 256 * unit - 1, 128 * unit, 256 * unit - 1)
  }
}
