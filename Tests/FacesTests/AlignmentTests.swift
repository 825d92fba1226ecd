// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: Sources/Training/golden_faces.py.

import Faces
import Tensors
import TestSupport
import Testing

@Suite struct Alignment {
  @Test func windowIsThatOfPython() throws {
    let golden = try golden("faces.safetensors")
    let values = try #require(golden["track.points"]).values
    let points = (0..<468).map { SIMD2(values[2 * $0], values[2 * $0 + 1]) }
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
    #expect(FaceWindow.aligned(Array(repeating: [5, 5], count: 468)) == nil)
    #expect(FaceWindow.aligned(Array(repeating: [.nan, 5], count: 468)) == nil)
  }
}

@Suite struct Steadiness {
  private func window(x: Double) throws -> Similarity { try #require(Similarity(a: 0.9, b: 0.1, tx: -x, ty: -50)) }

  /// Window px between two windows, at the mouth.
  private func distance(_ a: Similarity, _ b: Similarity) -> Double {
    let place = a.inverse(48, 40)
    let there = b(place.x, place.y)
    return ((there.x - 48) * (there.x - 48) + (there.y - 40) * (there.y - 40)).squareRoot()
  }

  @Test func aShakingMeasurementIsHeldStill() throws {
    var steady = SteadyWindow()
    var (last, worst) = (steady(try window(x: 100)), 0.0)
    for i in 1..<100 {
      let now = steady(try window(x: 100 + (i % 2 == 0 ? 0.3 : -0.3)))
      if i > 10 { worst = max(worst, distance(last, now)) }
      last = now
    }
    #expect(worst < 0.2)  // of 0.6
  }

  @Test func aMovingHeadIsFollowed() throws {
    var steady = SteadyWindow()
    for i in 0..<50 {
      let now = try window(x: 100 + 3 * Double(i))
      let held = steady(now)
      if i > 10 { #expect(distance(held, now) < 1) }
    }
  }

  @Test func aJumpIsTakenAtOnce() throws {
    var steady = SteadyWindow()
    for _ in 0..<20 { _ = steady(try window(x: 100)) }
    let there = try window(x: 300)
    #expect(steady(there) == there)
  }
}
