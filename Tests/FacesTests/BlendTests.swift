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
      #expect(window.mask(Float(x), Float(y)) == 1)
    }
    for i in 0..<96 {
      for (x, y) in [(i, 28), (i, 95), (0, i), (95, i), (3, i), (92, i), (i, 94)] {
        #expect(window.mask(Float(x), Float(y)) == 0)
      }
    }
    #expect(window.mask(.nan, 50).isFinite)
  }

  @Test func itIsSoft() {
    for y in 0..<960 {
      for x in 0..<960 {
        let (u, v) = (Float(x) / 10, Float(y) / 10)
        #expect(
          abs(window.mask(u + 0.1, v) - window.mask(u, v)) < 0.03
            && abs(window.mask(u, v + 0.1) - window.mask(u, v)) < 0.03)
      }
    }
  }
}

@Suite struct Blending {
  /// A turned window of 60 x 60 px, partly beyond the frame's lower edge at odd sizes.
  private func place(scale: Double = 1.6) throws -> Similarity {
    try #require(Similarity(a: scale, b: 0.12 * scale, tx: -30 * scale, ty: -41 * scale))
  }

  /// Puts back `old` levels where a sample has a mask above 0.
  private func restore(_ old: Frame, in frame: Frame, _ place: Similarity) -> Int {
    var changed = 0
    for component in frame.format.components {
      let size = component.size(frame.width, frame.height)
      for y in 0..<size.height {
        for x in 0..<size.width where frame[component, x, y] != old[component, x, y] {
          let masked = (y << component.shiftY..<min((y + 1) << component.shiftY, frame.height)).contains { v in
            (x << component.shiftX..<min((x + 1) << component.shiftX, frame.width)).contains { u in
              let p = place(Double(u), Double(v))
              return window.mask(Float(p.x), Float(p.y)) > 0
            }
          }
          guard masked else { continue }
          changed += 1
          frame[component, x, y] = old[component, x, y]
        }
      }
    }
    return changed
  }

  @Test(arguments: PixelFormat.allCases, [(120, 110), (119, 103), (65, 97)])
  func onlyBitsUnderTheMaskChange(format: PixelFormat, size: (Int, Int)) throws {
    for scale in [0.5, 1, 1.6] {
      let place = try place(scale: scale)
      let (frame, old) = (Frame(format, size.0, size.1, color: smooth), Frame(format, size.0, size.1, color: smooth))
      let original = try frame.crop(place)
      try frame.blend(plain(1, -1, 1), over: original, place)
      #expect(restore(old, in: frame, place) > 100)
      #expect(frame.bytes == old.bytes, "\(format), scale \(scale)")
    }
  }

  @Test(arguments: PixelFormat.allCases)
  func theCropItselfChangesNothingThatOneSees(format: PixelFormat) throws {
    for colorimetry in [Colorimetry(.bt601, .limited), Colorimetry(.bt709, .full), Colorimetry(.bt2020, .limited)] {
      for scale in [0.45, 1, 1.6] {
        let place = try place(scale: scale)
        let frame = Frame(format, 161, 152, colorimetry, color: smooth)
        let before = frame.levels
        let original = try frame.crop(place)
        try frame.blend(original, over: original, place)
        let worst = zip(before, frame.levels).map { abs($0 - $1) }.max()
        #expect(try #require(worst) <= 2 << (format.depth - 8), "\(format) \(colorimetry) scale \(scale)")
      }
    }
  }

  @Test(arguments: PixelFormat.allCases)
  func everyFormatGetsTheSameMouth(format: PixelFormat) throws {
    let place = try place(scale: 0.8)
    let mouth = Tensor(
      [96, 96, 3],
      (0..<96 * 96).flatMap { i -> [Float] in
        let slope = Float(i % 96 + i / 96) / 120 - 0.8
        return [slope, slope + 0.1, slope + 0.2]
      })
    func painted(_ format: PixelFormat, _ colorimetry: Colorimetry) throws -> Tensor {
      let frame = Frame(format, 160, 161, colorimetry, color: smooth)
      let original = try frame.crop(place)
      try frame.blend(mouth, over: original, place)
      return try levels(frame.crop(place))
    }
    let expected = try painted(.rgb, Colorimetry(.bt709, .full))
    for colorimetry in [Colorimetry(.bt601, .limited), Colorimetry(.bt709, .limited), Colorimetry(.bt2020, .full)] {
      expectClose(try painted(format, colorimetry), expected, 6, "\(format) \(colorimetry)")
    }
  }

  @Test func aColourCastIsTakenAway() throws {
    let place = try place(scale: 1)
    let frame = Frame(.rgb, 160, 160, Colorimetry(.bt709, .full), color: smooth)
    let before = frame.bytes
    let original = try frame.crop(place)
    var cast = original
    for i in 0..<96 * 96 {
      cast.values[3 * i] += 0.08
      cast.values[3 * i + 2] -= 0.05 + 0.05 * Float(i % 96) / 96
    }
    try frame.blend(cast, over: original, place)
    let worst = zip(before, frame.bytes).flatMap { zip($0, $1) }.map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(worst) <= 3)
  }

  @Test func strengthGoesFromNothingToAll() throws {
    let place = try place(scale: 1)
    func changed(_ strength: Float) throws -> Int {
      let frame = Frame(.y444, 140, 140, Colorimetry(.bt709, .full), color: smooth)
      let before = frame.bytes
      let original = try frame.crop(place)
      try frame.blend(plain(-1, -1, -1), over: original, place, strength)
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
      try frame.blend(small, over: small, place()).isEmpty)
    #expect(frame.bytes == before)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity, 1e30])
  func valuesThatAreNoColoursDoNotTrap(value: Float) throws {
    let frame = Frame(.i420, 120, 111, color: smooth)
    let original = try frame.crop(try place())
    try frame.blend(plain(value, 0, value), over: original, place())
    try frame.blend(original, over: plain(value, 0, value), place())
    // Limited range: nothing painted leaves it.
    #expect(frame.bytes[0].allSatisfy { (16...235).contains($0) })
  }
}

/// Crop and blend against their plain twins, on sizes and places that are awkward.
@Suite struct PictureParity {
  private static let sites = [ChromaSite.left, ChromaSite(cositedX: false, cositedY: false)]
  private static let places: [(Double, Double, Double, Double)] = [
    (0.9, 0.2, -20, -30), (2.3, -0.4, -60, -40), (5.5, 0.3, -300, -250), (1, 0, -80, 10), (-0.8, 0.5, 70, 60),
  ]

  /// No two neighbours alike.
  private func busy(_ x: Int, _ y: Int) -> SIMD3<Double> {
    [Double((x * 7 + y * 13) % 17) / 16, Double((x * 5 + y * 3) % 11) / 10, Double((x * 3 + y * 11) % 7) / 6]
  }

  @Test(arguments: PixelFormat.allCases, [FaceWindow(side: 32, maskTop: 12), FaceWindow(side: 48, maskTop: 16)])
  func theyAgree(format: PixelFormat, window: FaceWindow) throws {
    let side = window.side
    for (i, (a, b, tx, ty)) in Self.places.enumerated() {
      let (width, height) = [(131, 97), (64, 65), (190, 101)][i % 3]
      let colorimetry = Colorimetry([.bt601, .bt709][i % 2], [.limited, .full][i / 2 % 2])
      let place = try #require(Similarity(a: a, b: b, tx: tx, ty: ty))
      let frame = Frame(format, width, height, colorimetry, site: Self.sites[i % 2], color: busy)
      let name = "\(format), side \(side), place \(i)"

      // The plain crop holds levels, so it is turned into RGB by the crop of a frame of one pixel for each of its own.
      let crop = try frame.crop(place, window)
      let plain = Plain.crop(frame, place, side: side)
      let toRGB = try rgb(of: format, colorimetry)
      let expected = plain.flatMap { levels in toRGB.map { ($0 * SIMD4(levels, 1)).sum() } }.map { Float($0) }
      expectClose(crop, Tensor([side, side, 3], expected), 2e-3, name)

      // Blended into itself nothing is matched, so the window's levels are known. RGB beyond -1 ... 1 would be cut off.
      let calm = Tensor(crop.shape, crop.values.map { max(-1, min(1, $0)) * 0.5 })
      let colors = try levels(of: calm, format, colorimetry)
      let wanted = frame.format.components.indices.flatMap { c in
        Plain.blended(colors, into: frame, c, place, side: side, top: Double(window.maskTop))
      }
      try frame.blend(calm, over: calm, place, 1, window)
      let worst = zip(frame.levels, wanted).map { abs(Double($0) - $1) }.max()
      #expect(try #require(worst) < 0.52, "\(name)")
    }
  }

  /// Rows of the affine map from levels to RGB in -1 ... 1, by the book.
  private func rgb(of format: PixelFormat, _ colorimetry: Colorimetry) throws -> [SIMD4<Double>] {
    let (black, luma, grey, chroma) = scales(format, colorimetry)
    if format.isRGB {
      return [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]].map { (row: SIMD4<Double>) in
        var row = row / luma
        row.w = -1 - 2 * black / luma
        return row
      }
    }
    let (kr, kb) = colorimetry.matrix == .bt601 ? (0.299, 0.114) : (0.2126, 0.0722)
    let (u, v) = (4 * (1 - kb) / chroma, 4 * (1 - kr) / chroma)
    let kg = 1 - kr - kb
    return [(0, v), (-u * kb / kg, -v * kr / kg), (u, 0)].map { cb, cr in
      [2 / luma, cb, cr, -1 - 2 * black / luma - grey * (cb + cr)]
    }
  }

  /// Black, the range of luma, grey, and the range of chroma.
  private func scales(_ format: PixelFormat, _ colorimetry: Colorimetry) -> (Double, Double, Double, Double) {
    let unit = Double(1 << (format.depth - 8))
    return colorimetry.range == .limited
      ? (16 * unit, 219 * unit, 128 * unit, 224 * unit) : (0, 256 * unit - 1, 128 * unit, 256 * unit - 1)
  }

  /// Component levels of RGB in -1 ... 1, within what the range allows.
  private func levels(of picture: Tensor, _ format: PixelFormat, _ colorimetry: Colorimetry) throws -> [SIMD3<Double>] {
    let (black, luma, grey, chroma) = scales(format, colorimetry)
    let (kr, kb) = colorimetry.matrix == .bt601 ? (0.299, 0.114) : (0.2126, 0.0722)
    return (0..<picture.values.count / 3).map { i in
      let rgb = SIMD3((0..<3).map { (Double(picture.values[3 * i + $0]) + 1) / 2 })
      if format.isRGB { return black + luma * rgb }
      let y = kr * rgb.x + (1 - kr - kb) * rgb.y + kb * rgb.z
      return [
        black + luma * y, grey + chroma * (rgb.z - y) / (2 - 2 * kb), grey + chroma * (rgb.x - y) / (2 - 2 * kr),
      ]
    }
  }
}
