// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport
import Testing

/// A smooth picture: what interpolation loses is below a level.
private func smooth(_ x: Int, _ y: Int) -> SIMD3<Double> {
  [0.3 + Double(x) / 700, 0.7 - Double(y) / 600, 0.4 + Double(x - y) / 1200]
}

/// One colour everywhere, RGB in -1 ... 1.
private func plain(_ r: Float, _ g: Float, _ b: Float) -> Tensor {
  Tensor([96, 96, 3], (0..<96 * 96).flatMap { _ in [r, g, b] })
}

@Suite struct Masking {
  @Test func itIsFullOverTheMouthAndEmptyAtTheEdges() {
    // Lips of the training clips lie in 23 ... 74 x 36 ... 76 (closed to wide open), chins on column 48 down to row 84.
    for (x, y) in [(48, 40), (24, 45), (73, 45), (30, 70), (66, 70), (48, 84)] {
      #expect(mask(Float(x), Float(y)) == 1)
    }
    for i in 0..<96 {
      for (x, y) in [(i, 28), (i, 95), (0, i), (95, i), (3, i), (92, i), (i, 94)] {
        #expect(mask(Float(x), Float(y)) == 0)
      }
    }
    #expect(mask(.nan, 50) == 0 || mask(.nan, 50).isFinite)
  }

  @Test func itIsSoft() {
    for y in 0..<960 {
      for x in 0..<960 {
        let (u, v) = (Float(x) / 10, Float(y) / 10)
        #expect(abs(mask(u + 0.1, v) - mask(u, v)) < 0.03 && abs(mask(u, v + 0.1) - mask(u, v)) < 0.03)
      }
    }
  }
}

@Suite struct Blending {
  /// A turned window of 60 x 60 px, partly beyond the frame's lower edge at odd sizes.
  private func window(scale: Double = 1.6) throws -> Similarity {
    try #require(Similarity(a: scale, b: 0.12 * scale, tx: -30 * scale, ty: -41 * scale))
  }

  /// Bytes of `frame` that a sample with mask > 0 owns, all others being forbidden to change.
  private func allowed(_ frame: Frame, _ window: Similarity) -> [[Bool]] {
    let marks = Frame(frame.format, frame.width, frame.height, fill: 0)
    for component in frame.format.components {
      let size = component.size(frame.width, frame.height)
      for y in 0..<size.height {
        for x in 0..<size.width {
          for v in y << component.shiftY..<min((y + 1) << component.shiftY, frame.height) {
            for u in x << component.shiftX..<min((x + 1) << component.shiftX, frame.width) {
              let p = window(Double(u), Double(v))
              if mask(Float(p.x), Float(p.y)) > 0 { marks[component, x, y] = 1 }
            }
          }
        }
      }
    }
    return marks.bytes.map { $0.map { $0 == 1 } }
  }

  @Test(arguments: PixelFormat.allCases, [(120, 110), (119, 103), (65, 97)])
  func onlyBytesUnderTheMaskChange(format: PixelFormat, size: (Int, Int)) throws {
    for scale in [0.5, 1, 1.6] {
      let window = try window(scale: scale)
      let frame = Frame(format, size.0, size.1, color: smooth)
      let before = frame.bytes
      let original = try frame.crop(window)
      try frame.blend(plain(1, -1, 1), over: original, window)
      var changed = 0
      for ((old, new), allowed) in zip(zip(before, frame.bytes), allowed(frame, window)) {
        for i in old.indices where old[i] != new[i] {
          changed += 1
          #expect(allowed[i], "byte \(i) of \(format), scale \(scale)")
        }
      }
      #expect(changed > 100)
    }
  }

  @Test(arguments: PixelFormat.allCases)
  func theCropItselfChangesNothingThatOneSees(format: PixelFormat) throws {
    for colorimetry in [Colorimetry(.bt601, .limited), Colorimetry(.bt709, .full), Colorimetry(.bt2020, .limited)] {
      for scale in [0.45, 1, 1.6] {
        let window = try window(scale: scale)
        let frame = Frame(format, 161, 152, colorimetry, color: smooth)
        let before = frame.bytes
        let original = try frame.crop(window)
        try frame.blend(original, over: original, window)
        let worst = zip(before, frame.bytes).flatMap { zip($0, $1) }.map { abs(Int($0) - Int($1)) }.max()
        #expect(try #require(worst) <= 2, "\(format) \(colorimetry) scale \(scale)")
      }
    }
  }

  @Test(arguments: PixelFormat.allCases)
  func everyFormatGetsTheSameMouth(format: PixelFormat) throws {
    let window = try window(scale: 0.8)
    let mouth = Tensor(
      [96, 96, 3],
      (0..<96 * 96).flatMap { i -> [Float] in
        let slope = Float(i % 96 + i / 96) / 120 - 0.8
        return [slope, slope + 0.1, slope + 0.2]
      })
    func painted(_ format: PixelFormat, _ colorimetry: Colorimetry) throws -> Tensor {
      let frame = Frame(format, 160, 161, colorimetry, color: smooth)
      let original = try frame.crop(window)
      try frame.blend(mouth, over: original, window)
      return try levels(frame.crop(window))
    }
    let expected = try painted(.rgb, Colorimetry(.bt709, .full))
    for colorimetry in [Colorimetry(.bt601, .limited), Colorimetry(.bt709, .limited), Colorimetry(.bt2020, .full)] {
      expectClose(try painted(format, colorimetry), expected, 6, "\(format) \(colorimetry)")
    }
  }

  @Test func aColourCastIsTakenAway() throws {
    let window = try window(scale: 1)
    let frame = Frame(.rgb, 160, 160, Colorimetry(.bt709, .full), color: smooth)
    let before = frame.bytes
    let original = try frame.crop(window)
    var cast = original
    for i in 0..<96 * 96 {
      cast.values[3 * i] += 0.08
      cast.values[3 * i + 2] -= 0.05 + 0.05 * Float(i % 96) / 96
    }
    try frame.blend(cast, over: original, window)
    let worst = zip(before, frame.bytes).flatMap { zip($0, $1) }.map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(worst) <= 3)
  }

  @Test func strengthGoesFromNothingToAll() throws {
    let window = try window(scale: 1)
    func changed(_ strength: Float) throws -> Int {
      let frame = Frame(.y444, 140, 140, Colorimetry(.bt709, .full), color: smooth)
      let before = frame.bytes
      let original = try frame.crop(window)
      try frame.blend(plain(-1, -1, -1), over: original, window, strength)
      return zip(before, frame.bytes).flatMap { zip($0, $1) }.map { abs(Int($0) - Int($1)) }.reduce(0, +)
    }
    let (none, half, all) = (try changed(0), try changed(0.5), try changed(1))
    #expect(none == 0)
    #expect(try changed(-1) == 0 && changed(.nan) == 0)
    #expect(abs(Double(half) / Double(all) - 0.5) < 0.02)
    #expect(try changed(7) == all)
  }

  @Test func whatCannotBePaintedIsLeftAlone() throws {
    let frame = Frame(.nv12, 120, 110, color: smooth)
    let before = frame.bytes
    let original = plain(0, 0, 0)
    let far = try #require(Similarity(a: 1, b: 0, tx: 1e6, ty: -1e6))
    #expect(
      try frame.blend(original, over: original, far).isEmpty)
    let small = Tensor(zeros: [8, 8, 3])
    #expect(
      try frame.blend(small, over: small, window()).isEmpty)
    #expect(frame.bytes == before)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity, 1e30])
  func valuesThatAreNoColoursDoNotTrap(value: Float) throws {
    let frame = Frame(.i420, 120, 111, color: smooth)
    let original = try frame.crop(try window())
    try frame.blend(plain(value, 0, value), over: original, window())
    try frame.blend(original, over: plain(value, 0, value), window())
    // Limited range: nothing painted leaves it.
    #expect(frame.bytes[0].allSatisfy { (16...235).contains($0) })
  }
}
