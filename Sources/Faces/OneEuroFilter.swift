// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// One-Euro filter (Casiez et al., CHI 2012) for a face's alignment, on its position, scale and rotation: a still head
/// gives a still window, and a moving head is followed without lag. All four values share one cutoff and are measured
/// in window px, time in seconds, so it behaves the same at every frame rate.
///
/// The constants are the knee of a sweep over the GRID clips (25 frames a second) against the temporal Gaussian used in
/// training: 0.37 px rms from it, and a third of the raw mesh's jitter (second difference 0.27 px instead of 0.80 px).
package struct OneEuroFilter: Sendable {
  private static let cutoff = 1.25  // Hz, for a still head
  private static let slope = 0.15  // Hz for each window px / s of speed
  private static let speedCutoff = 1.705  // Hz, for the speed itself
  private static let jump = (least: 16.0, speed: 400.0)  // window px, window px / s: beyond this it is another face
  private static let arm = 53.0  // window px: converts rotation and log scale to a distance

  private var value: SIMD4<Double>?
  private var last = SIMD4<Double>.zero
  private var speed = SIMD4<Double>.zero  // window px / s
  /// Whether the last call restarted the filter.
  package private(set) var hasRestarted = false

  package init() {}

  /// The filtered alignment, `elapsed` seconds after the previous one (clamped to 1 ms ... 0.5 s).
  package mutating func callAsFunction(_ alignment: Similarity, after elapsed: Double) -> Similarity {
    let elapsed = min(max(elapsed, 0.001), 0.5)
    let place = alignment.inverse(FaceWindow.mouth.x, FaceWindow.mouth.y)  // measured at the mouth
    var now = SIMD4(place.x, place.y, log(alignment.scale), alignment.angle)
    let unit = SIMD4(alignment.scale, alignment.scale, Self.arm, Self.arm)
    guard let old = value else { return start(now, alignment) }
    now.w = old.w + remainder(now.w - old.w, 2 * .pi)
    let step = (now - old) * unit
    let jump = max(Self.jump.least, Self.jump.speed * elapsed)
    guard (step * step).sum() < jump * jump else { return start(now, alignment) }
    speed += Self.share(Self.speedCutoff, elapsed) * ((now - last) * unit / elapsed - speed)
    let cutoff = Self.cutoff + Self.slope * (speed * speed).sum().squareRoot()
    let new = old + (now - old) * Self.share(cutoff, elapsed)
    (value, last, hasRestarted) = (new, now, false)
    return Similarity(center: [new.x, new.y], on: FaceWindow.mouth, angle: new.w, scale: exp(new.z)) ?? alignment
  }

  /// The weight of a new value in a low-pass filter with this cutoff (Hz) after this time (seconds).
  private static func share(_ cutoff: Double, _ elapsed: Double) -> Double {
    1 / (1 + 1 / (2 * .pi * cutoff * elapsed))
  }

  private mutating func start(_ now: SIMD4<Double>, _ alignment: Similarity) -> Similarity {
    (value, last, speed, hasRestarted) = (now, now, .zero, true)
    return alignment
  }
}
