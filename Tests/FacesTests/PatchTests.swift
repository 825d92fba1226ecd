// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport
import Testing

@Suite struct Patches {
  @Test(arguments: PixelFormat.allCases)
  func aPatchIsThePieceOfTheFrame(format: PixelFormat) throws {
    let (from, to) = (Frame(format, 65, 47, color: busy), Frame(format, 65, 47))
    let patch = try #require(try from.patch(Region(x: 11, y: 7, width: 90, height: 20)))
    #expect(patch.region == Region(x: 10, y: 6, width: 55, height: 22))
    let expected = Frame(format, 65, 47)
    for component in format.components {
      let size = component.size(65, 47)
      for y in 0..<size.height {
        for x in 0..<size.width where Plain.isInside(patch.region, component, x, y) {
          expected[component, x, y] = from[component, x, y]
        }
      }
    }
    try to.apply(patch)
    #expect(to.bytes == expected.bytes)
  }

  @Test(arguments: PixelFormat.allCases)
  func aCropOfItIsTheFrames(format: PixelFormat) throws {
    for (scale, site) in [(0.5, sites[0]), (1.7, sites[1])] {
      let frame = Frame(format, 161, 123, site: site, color: busy)
      let place = try #require(Similarity(a: scale, b: 0.1, tx: -60 * scale, ty: -40 * scale))
      let patch = try #require(try frame.patch(Region(x: 12, y: 0, width: 149, height: 123)))
      let window = FaceWindow(side: 32)
      let seen = Faces.crop(patch, window, at: place)
      let expected = try frame.crop(place, window)
      // In the smaller of the two crops, the window's left edge is outside the patch.
      for i in 0..<32 * 32 where place.inverse(Double(i % 32) * 3 - 4, Double(i / 32) * 3).x > 14 {
        for c in 3 * i..<3 * i + 3 { #expect(abs(seen.values[c] - expected.values[c]) < 2e-3) }
      }
    }
  }

  @Test func itKnowsItsMemory() throws {
    let region = Region(x: 4, y: 6, width: 20, height: 10)
    #expect(try #require(try Frame(.nv12, 64, 48).patch(region)).bytes == 23 * 13 + 2 * 13 * 8 + 23 + 16)
    #expect(try #require(try Frame(.v210, 64, 48).patch(region)).bytes == 2 * (23 * 13 + 2 * 13 * 13 + 23) + 16)
  }

  @Test func nothingOutsideOfTheFrame() throws {
    let frame = Frame(.i420, 33, 31)
    for (x, y, width, height) in [
      (33, 0, 9, 9), (0, 31, 9, 9), (-9, 0, 9, 9), (3, 3, 0, 9), (3, 3, 9, -4), (.max, .min, .max, .max),
    ] {
      #expect(try frame.patch(Region(x: x, y: y, width: width, height: height)) == nil)
    }
    #expect(
      try frame.patch(Region(x: -50, y: -50, width: 500, height: .max))?.region
        == Region(x: 0, y: 0, width: 33, height: 31))
  }
}
