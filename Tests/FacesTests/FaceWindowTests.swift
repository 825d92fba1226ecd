// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport
import Testing

/// The window's own masks. (ShapeTests compares lips with Python.)
@Suite struct FaceWindowTests {
  private let window = FaceWindow(side: 80)

  /// Golden value: `python -m convert.golden_geometry` in Sources/Training.
  @Test func paintingFadesOut() throws {
    let white = Tensor([72, 72, 3], [Float](repeating: 1, count: 72 * 72 * 3))
    let black = white.map { -$1 }
    let faded = window.difference(white, black)
    let red = (0..<80 * 80).map { faded.values[3 * $0] / 2 }
    expectClose(Tensor([80, 80], red), try golden("shape.safetensors")["fade"], 1e-6, "fade")
  }

  /// The fraction of each of 20 x 20 latent pixels that the lips cover, for a mesh with these outlines.
  private func lips(_ corner: (Double) -> SIMD2<Double>, scale: Double = 1) throws -> Tensor {
    var points = [SIMD3<Float>](repeating: .zero, count: 468)
    let rim = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
    for (i, point) in rim.enumerated() {
      let place = corner(Double(i) / 20)
      points[point] = [Float(place.x), Float(place.y), 0]
    }
    let place = try #require(Similarity(a: scale, b: 0, tx: 0, ty: 0))
    return window.lips(try #require(RingedMesh(points)), at: place)
  }

  private func area(_ lips: Tensor) -> Float { (0..<400).reduce(0) { $0 + lips.values[2 * $1] } * 16 }

  /// The 20 corners on the sides of a square.
  private func square(_ t: Double, _ x: ClosedRange<Double>, _ y: ClosedRange<Double>) -> SIMD2<Double> {
    let (side, at) = (Int(4 * t), 4 * t - (4 * t).rounded(.down))
    let (w, h) = (x.upperBound - x.lowerBound, y.upperBound - y.lowerBound)
    switch side {
    case 0: return [x.lowerBound + at * w, y.lowerBound]
    case 1: return [x.upperBound, y.lowerBound + at * h]
    case 2: return [x.upperBound - at * w, y.upperBound]
    default: return [x.lowerBound, y.upperBound - at * h]
    }
  }

  @Test func coverageIsExact() throws {
    // From the left edge of pixel 9: half of the latent pixel that begins at pixel 8, and so on.
    let covered = try lips { square($0, 9.5...21.5, 3.5...10.5) }
    #expect(abs(area(covered) - 84) < 1e-3)
    for (x, y, share) in [
      (2, 1, 0.5), (3, 1, 1), (5, 1, 0.5), (2, 2, 0.375), (3, 2, 0.75), (1, 1, 0), (6, 1, 0), (3, 0, 0), (3, 3, 0),
    ] as [(Int, Int, Float)] {
      #expect(abs(covered.values[2 * (20 * y + x)] - share) < 1e-5, "\(x), \(y)")
    }
  }

  @Test func whatLiesOutsideIsCutOff() throws {
    #expect(abs(area(try lips { square($0, -100...200, -50...300) }) - 6400) < 1e-2)
    #expect(abs(area(try lips { square($0, -100...39.5, -50...39.5) }) - 1600) < 1e-2)
    #expect(area(try lips { square($0, 100...200, 0...50) }) == 0)
    #expect(area(try lips { square($0, 10...20, 30...30) }) == 0)
  }

  @Test func eitherSenseCovers() throws {
    let there = try lips { square($0, 10...30, 20...27) }
    expectClose(try lips { square(abs(0.95 - $0), 10...30, 20...27) }, there, 1e-6, "the other way round")
  }

  @Test(arguments: [Double.nan, .infinity, 1e30, -1e7])
  func oddOutlinesCoverNothing(value: Double) throws {
    let covered = try lips { $0 == 0.5 ? [value, 4] : square($0, 10...30, 20...27) }
    #expect(covered.values.allSatisfy { $0.isFinite && $0 >= 0 && $0 <= 1 })
    #expect(area(covered) == 0)
  }
}
