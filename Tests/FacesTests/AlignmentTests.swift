// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: `python -m convert.golden_faces` in Sources/Training.

import Faces
import Tensors
import TestSupport
import Testing

@Suite struct Alignment {
  @Test func windowIsThatOfPython() throws {
    let golden = try golden("faces.safetensors")
    let values = try #require(golden["track.points"]).values
    let points = (0..<468).map { SIMD3(values[3 * $0], values[3 * $0 + 1], values[3 * $0 + 2]) }
    let w = try #require(FaceWindow.aligned(points))
    let matrix = [w.a, -w.b, w.tx, w.b, w.a, w.ty].map { Float($0) }
    expectClose(Tensor([2, 3], matrix), golden["window"], 1e-3, "window")
  }

  @Test func inverseUndoesIt() throws {
    let window = try #require(Similarity(a: 0.8, b: -0.3, tx: 12, ty: -40))
    let there = window(70, 25)
    let back = window.inverse(there.x, there.y)
    #expect(abs(back.x - 70) < 1e-9 && abs(back.y - 25) < 1e-9)
  }

  @Test(arguments: [
    (Double.nan, 0, 0, 0), (1, .nan, 0, 0), (1, 0, .nan, 0), (1, 0, 0, .infinity), (0, 0, 0, 0), (1e-3, 0, 0, 0),
    (200, 0, 0, 0), (1, 0, 1e300, 0), (.infinity, 0, 0, 0),
  ])
  func unusableTransformsAreRefused(a: Double, b: Double, tx: Double, ty: Double) {
    #expect(Similarity(a: a, b: b, tx: tx, ty: ty) == nil)
  }

  @Test func pointsWithoutAreaHaveNoWindow() {
    #expect(FaceWindow.aligned([]) == nil)
    #expect(FaceWindow.aligned(Array(repeating: [5, 5, 5], count: 468)) == nil)
    #expect(FaceWindow.aligned(Array(repeating: [.nan, 5, 5], count: 468)) == nil)
  }
}
