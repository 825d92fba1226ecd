// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Tensors
import TestSupport
import Testing

@Suite struct SoftMasks {
  private let limits = Region(x: 0, y: 0, width: 91, height: 77)

  @Test func itIsItsTwin() {
    let shapes: [[SIMD2<Float>]] = [
      [[20.3, 10.7], [60.1, 15.2], [70.9, 50.6], [30.2, 60.4]],
      [[-20, 30.5], [40.3, -11.2], [120.7, 44.1], [33.3, 90]],
      [[10.5, 10.5], [60.5, 60.5], [60.5, 10.5], [10.5, 60.5]],  // crosses itself
      [[30, 30], [30, 30], [50, 30]],  // without area
      [[44.4, 33.3]],
    ]
    for polygon in shapes {
      for feather: Float in [0, 2.5, 9] {
        let scene = WarpCase(
          source: [], destination: [], triangles: [], region: limits, polygon: polygon, feather: feather)
        let mask = scene.mask
        for y in 0..<limits.height {
          for x in 0..<limits.width {
            let expected = Plain.mask(scene, x, y)
            let (u, v) = (x - mask.region.x, y - mask.region.y)
            guard u >= 0, v >= 0, u < mask.region.width, v < mask.region.height else {
              #expect(expected == 0)
              continue
            }
            #expect(abs(Double(mask.values[v * (mask.region.width + 8) + u]) - expected) < 1e-4)
          }
        }
      }
    }
  }

  @Test func hostilePolygonsAreEmptyOrCutOff() {
    let points: [SIMD2<Float>] = [[.nan, 3], [.infinity, 0], [1e9, 1e9], [2, -.infinity]]
    for point in points {
      #expect(SoftMask([[1, 1], [50, 2], point], feather: 3, in: limits).region.isEmpty)
    }
    #expect(SoftMask([], feather: 3, in: limits).region.isEmpty)
    let wide = SoftMask([[-60000, -60000], [60000, -60000], [0, 60000]], feather: .infinity, in: limits)
    #expect(wide.region == limits && wide.values.allSatisfy { $0.isFinite })
    #expect(SoftMask([[1, 1], [50, 2], [30, 40]], feather: .nan, in: limits).values.contains(1))
  }
}

@Suite struct Warping {
  @Test(arguments: PixelFormat.allCases, [(131, 97), (64, 65), (75, 60)])
  func composingIsItsTwin(format: PixelFormat, size: (Int, Int)) throws {
    for (i, origin) in [SIMD2<Float>(9.37, 6.81), [-21.63, 20.42]].enumerated() {
      let colorimetry = Colorimetry(.bt601, [.limited, .full][i])
      func frame(_ color: (Int, Int) -> SIMD3<Double>) -> Frame {
        Frame(format, size.0, size.1, colorimetry, site: sites[i], color: color)
      }
      let (own, others) = (frame(busy), [frame(otherwiseBusy), frame { busy($1, $0) }])
      let scene = scene(own, at: origin)
      let remembered = Region(x: 14, y: 12, width: 45, height: 40)
      let sources = [
        scene.source.map { $0 + [2.4, -1.3] }, scene.destination.map { [$0.x * 0.94 + 3, $0.y * 1.05 - 2] },
      ]
      let offsets = [SIMD3<Float>(11, -7, 3), [-20, 90, 0.5]]
      let weights: [Float] = [0.3, 0.5]
      let exemplars = try (0..<2).map {
        Exemplar(
          try #require(try others[$0].patch(remembered)), source: sources[$0], weight: weights[$0], offset: offsets[$0])
      }
      let composition = try #require(try own.composition(scene))
      let patch = try #require(composition.patch(mixing: exemplars, under: scene.mask))
      let held = exemplars[0].patch.region
      let result = frame(busy)
      try result.apply(patch)

      var (worst, beyond, count) = (0.0, 0, 0)
      for (c, component) in format.components.enumerated() {
        let samples = component.size(size.0, size.1)
        for y in 0..<samples.height {
          for x in 0..<samples.width {
            var expected = Double(own[component, x, y])
            if Plain.isInside(patch.region, component, x, y) {
              let alpha = Plain.mask(scene, own, component, x, y)
              let (level, distance) = Plain.warped(own, c, x, y, scene, from: scene.source)
              if distance > 1.0 / 64 { expected = level }
              if alpha > 0 {
                var (other, offset) = (0.0, 0.0)
                for k in 0..<2 {
                  let weight = Double(weights[k]) / 0.8
                  other += weight * Plain.warped(others[k], c, x, y, scene, from: sources[k], held: held).level
                  offset += weight * Double(offsets[k][c])
                }
                expected += 0.8 * alpha * (Plain.limited(other, plus: offset, own, c) - expected)
              }
            }
            let distance = abs(Double(result[component, x, y]) - expected)
            (worst, beyond, count) = (max(worst, distance), beyond + (distance < 0.53 ? 0 : 1), count + 1)
          }
        }
      }
      // Next to a sample, an interpolated level may be limited by the samples of either side.
      #expect(worst < 1 && beyond <= count / 1000, "\(format) \(size) \(origin): \(worst), \(beyond) of \(count)")
      // Everything else is unchanged, bit by bit.
      #expect(result.restore(own, in: patch.region) > 500)
      #expect(result.bytes == own.bytes)
    }
  }

  @Test(arguments: PixelFormat.allCases)
  func whatDoesNotMoveIsNotTouched(format: PixelFormat) throws {
    let frame = Frame(format, 91, 77, color: busy)
    let before = frame.bytes
    var scene = scene(frame)
    scene.destination = scene.source.map { $0 + [0.01, -0.01] }
    try frame.apply(try frame.composition(scene)?.patch(under: scene.mask))
    try frame.apply(try frame.composition(scene)?.patch(under: scene.mask), nil, 0.4)
    #expect(frame.bytes == before)
  }

  @Test(arguments: PixelFormat.allCases)
  func aShiftByWholePixelsIsExact(format: PixelFormat) throws {
    let (frame, old) = (Frame(format, 91, 77, color: busy), Frame(format, 91, 77, color: busy))
    // At whole pixels every edge runs through samples: each must belong to exactly one triangle.
    let region = Region(x: 0, y: 0, width: 91, height: 77)
    var scene = grid(6, at: [20, 18], [10, 8], in: region) { _, _ in .zero }
    scene.source = scene.destination.map { $0 + [-6, 4] }
    try frame.apply(try frame.composition(scene)?.patch())
    for component in format.components {
      let size = component.size(91, 77)
      for y in 0..<size.height {
        for x in 0..<size.width {
          let p = Plain.position(frame, component, x, y)
          let isMoved = p.x >= 20 && p.x < 70 && p.y >= 18 && p.y < 58
          let source = isMoved ? (x - (6 >> component.shiftX), y + (4 >> component.shiftY)) : (x, y)
          #expect(frame[component, x, y] == old[component, source.0, source.1])
        }
      }
    }
  }

  @Test func laterTrianglesCount() throws {
    let (frame, old) = (Frame(.rgb, 60, 50, color: busy), Frame(.rgb, 60, 50, color: busy))
    let corners: [SIMD2<Float>] = [[9.5, 9.5], [39.5, 9.5], [9.5, 39.5]]
    let warp = Warp(
      from: (corners + corners).enumerated().map { $1 + ($0 < 3 ? [5, 0] : [0, 3]) }, to: corners + corners,
      triangles: [[0, 1, 2], [3, 4, 5]], in: Region(x: 0, y: 0, width: 60, height: 50))
    try frame.apply(try frame.paint { Composition($0.view, warp) }?.patch())
    for component in frame.format.components { #expect(frame[component, 12, 12] == old[component, 12, 15]) }
  }

  @Test(arguments: [PixelFormat.nv12, .rgb, .v210, .i422Deep])
  func hostilePointsAreHarmless(format: PixelFormat) throws {
    let values: [Float] = [
      .nan, .infinity, -.infinity, 1e30, -1e9, 65536, -65536, 40000, 0, .leastNonzeroMagnitude, 17, 17.000001, 30.5,
    ]
    var dice = Dice(7)
    for round in 0..<60 {
      let (frame, old) = (Frame(format, 75, 61, color: busy), Frame(format, 75, 61, color: busy))
      var scene = scene(frame, at: [Float(round % 7) * 12 - 30, Float(round % 5) * 14 - 20])
      for _ in 0..<1 + round % 9 {
        let point: SIMD2<Float> = [dice.pick(values), dice.pick(values)]
        let i = Int.random(in: 0..<36, using: &dice)
        if dice.one(in: 2) { scene.source[i] = point } else { scene.destination[i] = point }
        if dice.one(in: 9) { scene.polygon[i % 6] = point }
      }
      scene.triangles += [[-1, 3, 4], [0, 1, 36], [.max, .min, 0], [5, 5, 5], [7, 8, 7]]
      var exemplar = Exemplar(
        try #require(try frame.patch(Region(x: 8, y: 8, width: 40, height: 40))), source: scene.source.reversed())
      exemplar.source[round % 36] = [dice.pick(values), dice.pick(values)]
      exemplar.weight = dice.pick([1, .nan, -1, .infinity, 0.3])
      exemplar.offset = [dice.pick(values), dice.pick(values), 3]
      guard let composition = try frame.composition(scene) else { continue }
      let patch = try #require(composition.patch(mixing: [exemplar, exemplar], under: scene.mask))
      try frame.apply(patch)
      _ = frame.restore(old, in: patch.region)
      #expect(frame.bytes == old.bytes)
    }
  }

  @Test func whatDoesNotFitIsLeftOut() throws {
    let frame = Frame(.nv12, 91, 77, color: busy)
    let scene = scene(frame)
    let other = Exemplar(
      try #require(try Frame(.i420, 91, 77, color: busy).patch(scene.region)), source: scene.source)
    let composition = try #require(try frame.composition(scene))
    let (with, without) = (Frame(.nv12, 91, 77, color: busy), Frame(.nv12, 91, 77, color: busy))
    try with.apply(composition.patch(mixing: [other], under: scene.mask))
    try without.apply(composition.patch(under: scene.mask))
    #expect(with.bytes == without.bytes)
    // A patch of a larger frame or of another format is not applied.
    let before = frame.bytes
    try frame.apply(try Frame(.nv12, 120, 90).patch(Region(x: 60, y: 40, width: 60, height: 50)))
    try frame.apply(other.patch)
    try frame.apply(try with.patch(scene.region), nil, .nan)
    try frame.apply(try with.patch(scene.region), nil, 0)
    #expect(frame.bytes == before)
    var far = scene
    far.region = Region(x: 91, y: 0, width: 40, height: 40)
    #expect(try frame.composition(far) == nil)
  }
}

@Suite struct Applying {
  private func picture(_ side: Int) -> Tensor {
    Tensor([side, side, 3], (0..<side * side * 3).map { Float(($0 * 7 + $0 / side * 5) % 23) / 40 - 0.25 })
  }

  @Test(arguments: PixelFormat.allCases, [(131, 97), (64, 65)])
  func applyingIsItsTwin(format: PixelFormat, size: (Int, Int)) throws {
    // The last two enlarge the window so much that eight samples lie in one or two of its pixels.
    let places = [
      (0.9, 0.2, -10.0, -15.0), (2.3, -0.4, -60, -40), (0.3, 0.1, 2, 4), (0.08, 0.03, 4, 6), (-0.07, -0.02, 14, 15),
    ]
    for (i, (a, b, tx, ty)) in places.enumerated() {
      let colorimetry = Colorimetry([.bt601, .bt709, .bt2020][i % 3], [.limited, .full][i % 2])
      let frame = Frame(format, size.0, size.1, colorimetry, site: sites[i % 2], color: busy)
      let old = Frame(format, size.0, size.1, colorimetry, site: sites[i % 2], color: busy)
      let source = Frame(format, size.0, size.1, colorimetry, site: sites[i % 2], color: otherwiseBusy)
      let place = try #require(Similarity(a: a, b: b, tx: tx, ty: ty))
      let patch = try #require(try source.patch(Region(x: 10, y: 8, width: 70, height: 61)))
      let (picture, strength) = (picture(24), Float(0.7))
      try frame.apply(patch, Difference(picture, at: place), strength)
      var worst = 0.0
      for (c, component) in format.components.enumerated() {
        let samples = component.size(size.0, size.1)
        for y in 0..<samples.height {
          for x in 0..<samples.width {
            let before = Double(old[component, x, y])
            var expected = before
            if Plain.isInside(patch.region, component, x, y) {
              let rgb = Plain.addition(picture, place, Plain.position(frame, component, x, y))
              let level = Plain.limited(
                Double(source[component, x, y]), plus: levels(of: rgb, format, colorimetry)[c], frame, c)
              expected += Double(strength) * (level - before)
            }
            worst = max(worst, abs(Double(frame[component, x, y]) - expected))
          }
        }
      }
      #expect(worst < 0.53, "\(format) \(size) \(i)")
      #expect(frame.restore(old, in: patch.region) > 500)
      #expect(frame.bytes == old.bytes)
    }
  }

  /// A difference of RGB in -1 ... 1 as levels, computed straightforwardly.
  private func levels(of rgb: SIMD3<Double>, _ format: PixelFormat, _ colorimetry: Colorimetry) -> SIMD3<Double> {
    let unit = Double(1 << (format.depth - 8))
    let (luma, chroma) =
      colorimetry.range == .limited ? (219 * unit, 224 * unit) : (256 * unit - 1, 256 * unit - 1)
    if format.isRGB { return rgb * luma / 2 }
    let (kr, kb) =
      switch colorimetry.matrix {
      case .bt601: (0.299, 0.114)
      case .bt709: (0.2126, 0.0722)
      case .bt2020: (0.2627, 0.0593)
      }
    let y = (kr * rgb.x + (1 - kr - kb) * rgb.y + kb * rgb.z) / 2
    return [luma * y, chroma * (rgb.z / 2 - y) / (2 - 2 * kb), chroma * (rgb.x / 2 - y) / (2 - 2 * kr)]
  }

  @Test(arguments: PixelFormat.allCases)
  func onlyWhatTheDifferenceReachesIsTouched(format: PixelFormat) throws {
    let (frame, old) = (Frame(format, 91, 77, color: busy), Frame(format, 91, 77, color: busy))
    let patch = try frame.patch(Region(x: 0, y: 0, width: 91, height: 77))
    // A window over 30 x 30 px; the cubic reaches one more.
    let place = try #require(Similarity(a: 1, b: 0, tx: -30, ty: -20))
    try frame.apply(patch, Difference(picture(30), at: place))
    #expect(frame.restore(old, in: Region(x: 28, y: 18, width: 34, height: 34)) > 500)
    #expect(frame.bytes == old.bytes)
  }

  @Test(arguments: [Float.nan, .infinity, -1e30])
  func valuesThatAreNoColoursAreHarmless(value: Float) throws {
    let frame = Frame(.i420, 91, 77, color: busy)
    let patch = try frame.patch(Region(x: 0, y: 0, width: 91, height: 77))
    let place = try #require(Similarity(a: 1, b: 0, tx: -30, ty: -20))
    try frame.apply(patch, Difference(Tensor([9, 9, 3], Array(repeating: value, count: 243)), at: place))
    #expect(frame.bytes[0].allSatisfy { (16...235).contains($0) || $0 == 77 })
    let before = frame.bytes
    let far = try #require(Similarity(a: 0.01, b: 0, tx: 1e6, ty: -1e6))
    let same = try frame.patch(Region(x: 0, y: 0, width: 91, height: 77))
    try frame.apply(same, Difference(picture(9), at: far))
    try frame.apply(same, Difference(Tensor(zeros: [9, 8, 3]), at: place))
    #expect(frame.bytes == before)
  }
}
