// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

import Faces

/// A synthetic face: a box of points around the middle of a picture, whose window shows a smooth pattern.
@Suite struct VisibilityTests {
  private static let side = 240
  private static let frame = 0.04  // seconds
  private let window: Similarity

  init() throws {
    // The window's 80 px are the picture's columns and rows 80 ..< 160.
    window = try #require(Similarity(a: 1, b: 0, tx: -80, ty: -80))
  }

  /// 468 points in a box of this width around (x, y).
  private func points(width: Float = 120, x: Float = 120, y: Float = 120) -> [SIMD3<Float>] {
    (0..<FaceMeshPoints.count).map { i in
      let (u, v) = (Float(i % 26) / 25 - 0.5, Float(i / 26) / 17 - 0.5)
      return [x + width * u, y + width * v, 0]
    }
  }

  /// A pattern with a dark square of `cover` px in the middle of the window, lightened by `light`.
  private func look(
    cover: Int = 0, light: Int = 0, turn: Float = 0, points: [SIMD3<Float>]? = nil, _ visibility: inout Visibility
  ) -> Obstacle? {
    let side = Self.side
    var pixels = [UInt8](repeating: 0, count: side * side * 3)
    for y in 0..<side {
      for x in 0..<side {
        let isCovered = abs(x - 120) * 2 < cover && abs(y - 120) * 2 < cover
        for c in 0..<3 {
          let level = isCovered ? 30 + light : 130 + Int(40 * sin(Double(x + 20 * c) / 9) * cos(Double(y) / 11)) + light
          pixels[(y * side + x) * 3 + c] = UInt8(min(max(level, 0), 255))
        }
      }
    }
    return pixels.withUnsafeBytes { bytes -> Obstacle? in
      guard let base = bytes.baseAddress,
        let view = FrameView(
          format: .rgb, width: side, height: side, planes: [(base: base, stride: side * 3)],
          colorimetry: Colorimetry(.bt709, .full))
      else { return nil }
      return visibility(view, points ?? self.points(), turn: turn, at: window, after: Self.frame)
    }
  }

  @Test("a hand in front of the mouth is noticed at once, and so is its removal")
  func cover() {
    var visibility = Visibility()
    for _ in 0..<30 { #expect(look(&visibility) == nil) }
    for _ in 0..<20 { #expect(look(cover: 60, &visibility) == .covered) }
    #expect(look(&visibility) == nil)
  }

  @Test("a uniform cover of the whole window is not mistaken for a change of light")
  func plainCover() {
    var visibility = Visibility()
    for _ in 0..<30 { #expect(look(&visibility) == nil) }
    for light in [0, 60, 100] { #expect(look(cover: 100, light: light, &visibility) == .covered) }
    #expect(look(&visibility) == nil)
  }

  @Test("neither a moving mouth nor a change of light is a cover")
  func noCover() {
    var visibility = Visibility()
    for _ in 0..<30 { #expect(look(&visibility) == nil) }
    for _ in 0..<10 { #expect(look(cover: 24, &visibility) == nil) }
    for light in stride(from: 0, through: 60, by: 20) { #expect(look(light: light, &visibility) == nil) }
    #expect(look(light: -60, &visibility) == nil)
  }

  @Test("light is the mean level of each quarter")
  func light() {
    var visibility = Visibility()
    #expect(!visibility.light.differs(from: visibility.light))
    _ = look(&visibility)
    let before = visibility.light
    _ = look(cover: 10, &visibility)
    #expect(!visibility.light.differs(from: before))
    _ = look(light: 20, &visibility)
    #expect(visibility.light.differs(from: before) && before.differs(from: visibility.light))
    #expect(!before.differs(from: Light()))
  }

  @Test("nothing counts as a cover in the first second")
  func grace() {
    var visibility = Visibility()
    #expect(look(&visibility) == nil && look(cover: 60, &visibility) == nil)
  }

  @Test("what stays for four seconds becomes the new look")
  func patience() {
    var visibility = Visibility()
    for _ in 0..<30 { _ = look(&visibility) }
    var news: [Int] = []
    let covered = (0..<150).map { i in
      let obstacle = look(cover: 60, &visibility)
      if visibility.isNewLook { news.append(i) }
      return obstacle == .covered
    }
    #expect(news == [covered.firstIndex(of: false)], "reported once, in the first frame that is clear")
    #expect(covered.prefix(98).allSatisfy { $0 })
    #expect(!covered.suffix(48).contains(true))
  }

  @Test("faces that are too small, turned or half outside, with hysteresis")
  func limits() {
    var visibility = Visibility()
    for (width, obstacle) in [(60, nil), (47, .small), (50, .small), (55, nil), (50, nil)] as [(Float, Obstacle?)] {
      #expect(look(points: points(width: width), &visibility) == obstacle, "\(width) px")
    }
    for (degrees, obstacle) in [(0, nil), (49, nil), (52, .turned), (47, .turned), (43, nil)] as [(Float, Obstacle?)] {
      #expect(look(turn: sin(degrees * .pi / 180), &visibility) == obstacle, "\(degrees) degrees")
    }
    #expect(look(points: points(x: 30), &visibility) == .outside)
    #expect(look(points: points(y: 220), &visibility) == .outside)
    #expect(look(&visibility) == nil)
    for (below, obstacle) in [(0.07, nil), (0.09, .outside), (0.06, .outside), (0.04, nil)] as [(Float, Obstacle?)] {
      var points = points()
      points[FaceMeshPoints.chin].y = Float(Self.side) + below * 120
      #expect(look(points: points, &visibility) == obstacle, "a chin \(below) of the width below the picture")
    }
    #expect(look(&visibility) == nil)
  }

  @Test("invalid or missing points hide a face")
  func hostile() {
    var visibility = Visibility()
    #expect(look(points: [], &visibility) == .outside)
    #expect(look(points: Array(points().prefix(100)), &visibility) == .outside)
    #expect(look(points: points(x: .nan), &visibility) != nil)
    #expect(look(turn: .nan, &visibility) == .turned)
  }
}
