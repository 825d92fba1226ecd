// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: Sources/Training/golden_faces.py.

import Faces
import Tensors
import TestSupport
import Testing

/// `[2, 3]` as geometry.py writes it.
func similarity(_ matrix: Tensor?) throws -> Similarity {
  let m = try #require(matrix).values.map { Double($0) }
  return try #require(Similarity(a: m[0], b: m[3], tx: m[2], ty: m[5]))
}

/// Levels 0 ... 255 of RGB in -1 ... 1.
func levels(_ tensor: Tensor) -> Tensor { Tensor(tensor.shape, tensor.values.map { ($0 + 1) * 127.5 }) }

@Suite struct Cropping {
  private let full = Colorimetry(.bt601, .full)

  @Test func windowIsWhatOpenCVCuts() throws {
    let golden = try golden("faces.safetensors")
    let frame = frame(.rgb, 160, 160, full, showing: try portrait())
    // OpenCV counts in 1/32 px and rounds levels: two levels at the sharpest edges.
    let window = try similarity(golden["window"])
    expectClose(try levels(frame.crop(window)), golden["crop"], 3, "window smaller than 96 px in the frame")
  }

  @Test func aLargeFaceIsSmoothedAsInTraining() throws {
    let golden = try golden("faces.safetensors")
    let frame = frame(.rgb, 480, 480, full, showing: try portrait(), times: 3)
    let window = try similarity(golden["window3"])
    expectClose(try levels(frame.crop(window)), golden["crop3"], 10, "window larger than 96 px in the frame")
  }

  @Test(arguments: PixelFormat.allCases)
  func everyFormatShowsTheSame(format: PixelFormat) throws {
    let window = try #require(Similarity(a: 0.8, b: 0.05, tx: -3, ty: 4))
    // A smooth picture, so that coarser chroma is no loss.
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
      #expect(values.count == 96 * 96 * 3 && values.allSatisfy { $0.isFinite })
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
