// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Glibc
import Tensors
import Testing

@Suite struct Cuts {
  /// The difference of each of these frames from the previous one, and where a cut is detected.
  private func watch(_ frames: [Frame], threshold: Float = 0.4) throws -> (scores: [Float], cuts: [Int]) {
    var detector = CutDetector()
    let seen = try frames.map { frame in try frame.paint { detector($0.view, threshold: threshold) } }
    return (seen.map { $0.score }, seen.indices.filter { seen[$0].isCut })
  }

  /// The portrait at (x, 30), with the whole frame's brightness scaled.
  private func shot(_ x: Int, light: Double = 1, _ format: PixelFormat = .i420) throws -> Frame {
    let picture = try portrait()
    return Frame(format, 320, 200) { u, v in
      guard u >= x, v >= 30, u < x + 160, v < 190 else { return SIMD3(repeating: 0.4 * light) }
      return SIMD3(repeating: light / 255 * Double(picture.values[3 * ((v - 30) * 160 + u - x)]))
    }
  }

  /// A plasma of waves; `phase` moves it.
  private func waves(_ phase: Double) -> Frame {
    Frame(.i420, 320, 200) { x, y in
      SIMD3(repeating: 0.5 + 0.4 * sin(Double(x) / 23 + phase) * sin(Double(y) / 31 - phase))
    }
  }

  @Test func motionAndLightAreNoCuts() throws {
    let moving = try (0..<6).map { try shot(60 + $0) }
    let lit = try [1, 0.8, 0.6, 0.5, 0.9, 1].map { try shot(60, light: $0) }
    for frames in [moving, lit] {
      let (scores, cuts) = try watch(frames)
      #expect(cuts == [] && scores.allSatisfy { $0 < 0.3 }, "\(scores)")
    }
  }

  @Test(arguments: [PixelFormat.i420, .bgrx])
  func anotherPictureIsACut(format: PixelFormat) throws {
    let frames = try [shot(20, format), shot(20, format), shot(150, format), shot(150, format), shot(20, format)]
    #expect(try watch(frames).cuts == [2, 4])
  }

  @Test func anotherFaceInTheSamePlaceIsACut() throws {
    let picture = try portrait()
    var other = picture
    let side = picture.shape[1]
    for i in other.values.indices {  // upside down
      other.values[i] = picture.values[((picture.shape[0] - 1 - i / 3 / side) * side + i / 3 % side) * 3 + i % 3]
    }
    let frames = [picture, picture, other].map { frame(.nv12, 320, 200, showing: $0, x: 80, y: 20) }
    #expect(try watch(frames).cuts == [2])
  }

  @Test func blackBetweenTwoShotsIsTwoCuts() throws {
    let black = Frame(.i420, 320, 200) { _, _ in .zero }
    #expect(try watch([shot(60), black, black, shot(60)]).cuts == [1, 3])
    #expect(try watch([shot(60), black, shot(60)]).cuts == [1, 2])
  }

  @Test func aPanIsNoCut() throws {
    let frames = (0..<12).map { waves(Double($0) * 0.35) }
    // Its beginning cannot be told from a cut: the first difference is 0.47.
    #expect(try watch(frames).cuts == [1])
    #expect(try watch(frames, threshold: 0.5).cuts == [])
  }

  @Test func nothingIsACutAtThresholdZero() throws {
    #expect(try watch([shot(20), shot(150)], threshold: 0).cuts == [])
  }

  @Test func framesOfAllSizesCount() throws {
    for (width, height) in [(1, 1), (2, 300), (17, 9)] {
      #expect(try watch([Frame(.i420, width, height), Frame(.i420, width, height)]).cuts == [])
    }
  }
}
