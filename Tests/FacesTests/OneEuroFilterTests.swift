// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Glibc
import Testing

@Suite struct Steadiness {
  private func window(x: Double) throws -> Similarity { try #require(Similarity(a: 0.9, b: 0.1, tx: -x, ty: -50)) }

  /// The distance of two alignments at the mouth, window px.
  private func distance(_ a: Similarity, _ b: Similarity) -> Double {
    let place = a.inverse(40, 29)
    let there = b(place.x, place.y)
    return ((there.x - 40) * (there.x - 40) + (there.y - 29) * (there.y - 29)).squareRoot()
  }

  @Test func aShakingMeasurementIsHeldStill() throws {
    var steady = OneEuroFilter()
    var (last, worst) = (steady(try window(x: 100), after: 0.04), 0.0)
    for i in 1..<100 {
      let now = steady(try window(x: 100 + (i % 2 == 0 ? 0.3 : -0.3)), after: 0.04)
      if i > 10 { worst = max(worst, distance(last, now)) }
      last = now
    }
    #expect(worst < 0.2)  // of 0.6
  }

  @Test func aMovingHeadIsFollowed() throws {
    var steady = OneEuroFilter()
    for i in 0..<50 {
      let now = try window(x: 100 + 3 * Double(i))
      let held = steady(now, after: 0.04)
      if i > 10 { #expect(distance(held, now) < 1) }
    }
  }

  @Test func aJumpIsTakenAtOnce() throws {
    var steady = OneEuroFilter()
    for _ in 0..<20 { _ = steady(try window(x: 100), after: 0.04) }
    let there = try window(x: 300)
    #expect(steady(there, after: 0.04) == there)
  }

  /// A swaying head is followed equally at every frame rate.
  @Test(arguments: [50.0, 100.0])
  func theFrameRateDoesNotMatter(rate: Double) throws {
    func held(_ rate: Double) throws -> [Similarity] {
      var steady = OneEuroFilter()
      return try (0..<Int(2 * rate)).map { i in
        let time = Double(i) / rate
        return steady(try window(x: 100 + 20 * sin(4 * time)), after: 1 / rate)
      }
    }
    let (slow, fast) = (try held(25), try held(rate))
    for (i, window) in slow.enumerated() where i > 5 {
      #expect(distance(window, fast[i * Int(rate / 25)]) < 0.8)  // its speed: up to 72 px a second
    }
  }
}
