// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import Testing

/// Patches as RGB, and back.
@Suite struct PictureTests {
  /// Colours that change by up to 4 levels from pixel to pixel, so that an error of half a pixel is detected.
  private func ramp(_ x: Int, _ y: Int) -> SIMD3<Double> {
    [0.2 + Double(x) * 4 / 255, 0.3 + Double(y) * 3 / 255, 0.75 - Double(x + y) * 2 / 255]
  }

  @Test(
    arguments: PixelFormat.allCases,
    [ChromaSite.left, ChromaSite(cositedX: false, cositedY: false), ChromaSite(cositedX: true, cositedY: true)])
  func comesBack(format: PixelFormat, site: ChromaSite) throws {
    for range in [Colorimetry.Range.limited, .full] {
      let frame = Frame(format, 31, 24, Colorimetry(.bt601, range), site: site, color: ramp)
      let back = Frame(format, 31, 24, Colorimetry(.bt601, range), site: site)
      try frame.paint { view in
        let patch = try #require(Patch(view.view, Region(x: 0, y: 0, width: 31, height: 24)))
        let picture = patch.picture
        #expect(picture.width == 31 && picture.height == 24)
        try back.paint { target in
          apply(try #require(Patch(picture, like: target.view)), to: target, strength: 1)
        }
      }
      let one = 1 << (format.depth - 8)
      for component in format.components {
        let size = component.size(31, 24)
        for y in 1..<size.height - 1 {
          for x in 1..<size.width - 1 {
            #expect(abs(frame[component, x, y] - back[component, x, y]) <= (one == 1 ? 1 : 3), "\(component) \(x) \(y)")
          }
        }
      }
    }
  }

  @Test func showsItsColours() throws {
    let frame = Frame(.nv12, 16, 8) { _, _ in [1, 0.5, 0] }
    let patch = try frame.paint { try #require(Patch($0.view, Region(x: 4, y: 2, width: 6, height: 3))) }
    let picture = patch.picture
    #expect(picture.width == 6 && picture.height == 4)
    for i in picture.pixels.indices { #expect(abs(Int(picture.pixels[i]) - [255, 128, 0][i % 3]) <= 2) }
  }

  /// Including edges and positions beyond them; positions are not computed identically to the last bit.
  @Test func isTheSamePatchWhereNothingIsRounded() throws {
    func busy(_ x: Int, _ y: Int) -> SIMD3<Double> {
      [Double((x * 7 + y * 3) % 11) / 10, Double((x * y) % 7) / 6, Double((x + 5 * y) % 13) / 12]
    }
    let colorimetry = Colorimetry(.bt709, .full)
    let (region, all) = (Region(x: 20, y: 16, width: 17, height: 13), Region(x: 0, y: 0, width: 64, height: 48))
    let square: [SIMD2<Float>] = [[12, 8], [52, 8], [52, 40], [12, 40]]
    func composed(_ exemplar: (FrameView) -> (Patch?, SIMD2<Float>)) throws -> [[UInt8]] {
      let frame = Frame(.rgb, 64, 48, colorimetry, color: busy)
      try frame.paint { target in
        let (patch, shift) = exemplar(target.view)
        let warp = Warp(from: square, to: square, triangles: [[0, 1, 2], [0, 2, 3]], in: all)
        let composition = try #require(Composition(target.view, warp))
        let source = square.map { 0.625 * $0 + [9.25, 8.5] - shift }
        let mixed = composition.patch(
          mixing: [Exemplar(try #require(patch), source: source)],
          under: SoftMask(square.map { 0.9 * $0 + 3 }, feather: 4, in: all))
        apply(try #require(mixed), to: target, strength: 1)
      }
      return frame.bytes
    }
    let own = try composed { (Patch($0, region), .zero) }
    let stored = try composed { view in (Patch(view, region).flatMap { Patch($0.picture, like: view) }, [20, 16]) }
    #expect(zip(own.joined(), stored.joined()).allSatisfy { abs(Int($0) - Int($1)) <= 1 })
    #expect(own != Frame(.rgb, 64, 48, colorimetry, color: busy).bytes)
  }

  @Test func nothingIsNoPatch() throws {
    let none = try #require(Picture(width: 0, height: 3, pixels: []))
    #expect(try Frame(.i420, 64, 64).paint { Patch(none, like: $0.view) == nil })
    #expect(Picture(width: 2, height: 2, pixels: [0]) == nil)
    #expect(Picture(width: -1, height: -1, pixels: [0, 0, 0]) == nil)
  }
}
