// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Foundation
import Tensors
import TestSupport
import Testing

/// Marks, against their Python twin (convert/golden_mark.py), in frames of every format, and where there are none.
@Suite struct WatermarkTests {
  private static let payload = MarkPayload(version: 2, model: 89, user: 4660)
  private let made: [String: Tensor]

  init() throws { made = try golden("mark.safetensors") }

  private func mark(side: Int = 80, key: String = Watermark.publicKey) -> Watermark {
    Watermark(key: key, Self.payload, FaceWindow(side: side))
  }

  @Test func thePatternIsTheTwins() {
    for (side, name) in [(80, "pattern"), (96, "large")] {
      expectClose(Tensor([side, side], mark(side: side).pattern), made[name], 1e-3, name)
    }
  }

  @Test func whatIsAddedAndReadIsTheTwins() throws {
    let (picture, difference) = (try #require(made["picture"]), try #require(made["difference"]))
    let added = mark().added(to: difference, over: picture)
    expectClose(added, made["added"], 1e-4, "added")
    var sum = [Float](repeating: 0, count: 80 * 80)
    Correlator.add(picture + added, to: &sum)
    expectClose(Tensor([80, 80], sum), made["flattened"], 2e-3, "flattened")
    let spectrum = Correlator.spectrum(sum)
    expectClose(Tensor([spectrum.count], spectrum), made["spectrum"], 1e-3, "spectrum")
    let best = Correlator(key: Watermark.publicKey).best(sum)
    #expect(best.payload == Self.payload)
    #expect(abs(best.score - Double(try #require(made["scores"]).values[0])) < 0.05)
  }

  /// Whatever the picture is like, soft or rough, the mark makes it no sharper: fine detail gives way to it.
  @Test(arguments: [0.02, 0.4, 1, 2] as [Float])
  func thePictureStaysAsSharp(contrast: Float) throws {
    let picture = (try #require(made["picture"])).map { _, value in contrast * value }
    let added = mark().added(to: Tensor(zeros: [80, 80, 3]), over: picture)
    func edges(_ window: Tensor) -> Float {
      func luma(_ y: Int, _ x: Int) -> Float {
        let i = 3 * (80 * y + x)
        return 0.299 * window.values[i] + 0.587 * window.values[i + 1] + 0.114 * window.values[i + 2]
      }
      var sum: Float = 0
      for y in 12..<60 {
        for x in 15..<65 {
          let edge = luma(y - 1, x) + luma(y + 1, x) + luma(y, x - 1) + luma(y, x + 1) - 4 * luma(y, x)
          sum += edge * edge
        }
      }
      return sum
    }
    let ratio = edges(picture + added) / edges(picture)
    if contrast < 0.1 {
      #expect(ratio > 1.5, "too little there to give way")
    } else {
      #expect((0.99...1.01).contains(ratio), "\(ratio)")
    }
  }

  /// A window of another size marks the same place in the same way.
  @Test(arguments: PixelFormat.allCases, [80, 96])
  func aFrameOfEveryFormatCarriesIt(format: PixelFormat, side: Int) throws {
    let texture = try #require(made["picture"])
    func color(_ x: Int, _ y: Int) -> SIMD3<Double> {
      let i = 3 * ((y / 3 + 7) % 80 * 80 + (x / 3 + 3) % 80)
      return SIMD3<Double>([0, 1, 2].map { 0.5 + 0.35 * Double(texture.values[i + $0]) })
    }
    let frame = Frame(format, 200, 180, Colorimetry(.bt709, .limited), color: color)
    let before = frame.levels
    let place = try #require(Similarity(a: 0.55, b: 0.03, tx: -12, ty: -8))
    let window = FaceWindow(side: side)
    let correlator = Correlator(key: Watermark.publicKey)
    func read() throws -> (payload: MarkPayload, score: Double) {
      var sum = [Float](repeating: 0, count: 80 * 80)
      try frame.paint { Correlator.add(crop($0.view, Correlator.window, at: place), to: &sum) }
      return correlator.best(sum)
    }
    #expect(try read().score < 8.5)
    try frame.paint { view in
      let shown = crop(view.view, window, at: place)
      let difference = mark(side: side).added(to: Tensor(zeros: [side, side, 3]), over: shown)
      let patch = try #require(Patch(view.view, Region(x: 0, y: 0, width: 200, height: 180)))
      apply(patch, Difference(difference, at: window.transform(place)), to: view, strength: 1)
    }
    let found = try read()
    #expect(found.payload == Self.payload && found.score > 12, "\(found)")
    let most = zip(before, frame.levels).map { abs($0 - $1) }.max() ?? 0
    #expect(most <= 12 << (format.depth - 8))
  }

  @Test func anotherKeyReadsNothing() throws {
    var sum = [Float](repeating: 0, count: 80 * 80)
    Correlator.add(try #require(made["picture"]) + (try #require(made["added"])), to: &sum)
    let best = Correlator(key: "another").best(sum)
    #expect(best.payload != Self.payload && best.score < 8.5)
    sum = [Float](repeating: 0, count: 80 * 80)
    let (picture, none) = (try #require(made["picture"]), Tensor(zeros: [80, 80, 3]))
    Correlator.add(picture + mark(key: "another").added(to: none, over: picture), to: &sum)
    #expect(Correlator(key: "another").best(sum).payload == Self.payload)
  }

  /// The best of 65536 rows of signs for each half: 4.3 deviations of chance, both together 6.1, whatever the picture. The reader's
  /// bound begins at 8.5.
  @Test func noiseAndPicturesHoldNone() throws {
    let correlator = Correlator(key: Watermark.publicKey)
    var noise = GaussianNoise(seed: 1)
    let texture = try #require(made["picture"])
    var scores: [Double] = []
    for trial in 0..<60 {
      let values = noise.fill(80 * 80 * 3)
      let picture = Tensor([80, 80, 3]) { out in
        for i in 0..<80 * 80 * 3 {
          let (y, x) = (i / 3 / 80, i / 3 % 80)
          let shown = texture.values[3 * ((y + trial) % 80 * 80 + (x + 7 * trial) % 80) + i % 3]
          (out + i).initialize(to: trial % 2 == 0 ? 0.2 * values[i] : shown + 0.005 * values[i])
        }
      }
      var sum = [Float](repeating: 0, count: 80 * 80)
      Correlator.add(picture, to: &sum)
      scores.append(correlator.best(sum).score)
    }
    let mean = scores.reduce(0, +) / Double(scores.count)
    #expect((5.9...6.3).contains(mean) && scores.allSatisfy { (5.3..<7.5).contains($0) }, "\(scores)")
  }

  /// Nothing to divide by.
  @Test func aGreyPictureHoldsNone() {
    var sum = [Float](repeating: 0, count: 80 * 80)
    Correlator.add(Tensor(zeros: [80, 80, 3]), to: &sum)
    #expect(Correlator(key: Watermark.publicKey).best(sum).score == 0)
  }
}
