// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: `python -m convert.golden_geometry` in Sources/Training.

import Faces
import Tensors
import TestSupport
import Testing

@Suite struct SkinTests {
  private func rows(_ name: String, _ width: Int) throws -> [[Float]] {
    let values = try #require(try golden("shape.safetensors")[name]).values
    return stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
  }

  @Test func framesAreComparedAsInPython() throws {
    let skins = try rows("skins", 3).map { row -> SIMD3<Float>? in SIMD3(row) }
    let (own, other) = (Array(skins[..<66]), Array(skins[66...]))
    let (offset, gates) = Skin.compare(own, other, range: [255, 255, 255])
    expectNear(
      Tensor([3], [offset.x, offset.y, offset.z]), try golden("shape.safetensors")["skin.offset"], 1e-5, "offset")
    expectNear(Tensor([66], gates), try golden("shape.safetensors")["skin.gates"], 1e-4, "gates")
    #expect(gates.contains(1) && gates.contains(0) && gates.contains { $0 > 0 && $0 < 1 })
  }

  @Test func gatesAreSpreadAsInPython() throws {
    let mesh = try rows("after", 2).prefix(540).map { SIMD2($0) }
    let gates = try rows("skin.gates", 1).map { $0[0] }
    let region = Region(x: 0, y: 0, width: 80, height: 80)
    let spread = Spread(gates, at: Skin.points.map { mesh[$0] }, cell: 7.3, over: region)
    var picture = [Float](repeating: 1, count: 80 * 80)
    picture.withUnsafeMutableBufferPointer { values in
      for row in 0..<80 { if let line = values.baseAddress { spread.multiply(row: row, line + row * 80) } }
    }
    expectNear(Tensor([80, 80], picture), try golden("shape.safetensors")["skin.spread"], 1e-4, "spread")
  }

  @Test func withoutAllOfTheSkinOnlyTheLipsCome() {
    let own = [SIMD3<Float>?](repeating: [100, 120, 130], count: 66)
    var other = [SIMD3<Float>?](repeating: [92, 120, 135], count: 66)
    #expect(Skin.compare(own, other, range: [219, 224, 224]).gates == [Float](repeating: 1, count: 66))
    other[17] = nil
    let (offset, gates) = Skin.compare(own, other, range: [219, 224, 224])
    #expect(abs(offset.x - 8) < 1e-4 && abs(offset.z + 5) < 1e-4)
    #expect(gates == [Float](repeating: 0, count: 66))
    #expect(Skin.compare(own, own.map { _ in nil }, range: [219, 224, 224]).offset == .zero)
  }

  @Test(arguments: PixelFormat.allCases) func coloursAreTheMeanOfTheSamplesAround(format: PixelFormat) throws {
    let frame = Frame(format, 91, 77, site: sites[1], color: busy)
    let patch = try #require(try frame.patch(Region(x: 12, y: 8, width: 61, height: 60)))
    for point: SIMD2<Float> in [[30.27, 25.71], [16.13, 12.41], [50, 40]] {
      for reach: Float in [0, 1.3, 3.2] {
        let mean = try #require(patch.mean(around: point, reach: reach))
        for (c, component) in format.components.enumerated() {
          // Half a sample at least, so that there is one.
          let far = (max(reach, 0.5 * Float(1 << component.shiftX)), max(reach, 0.5 * Float(1 << component.shiftY)))
          let size = component.size(91, 77)
          var (sum, count) = (0, 0)
          for y in 0..<size.height {
            for x in 0..<size.width {
              let way = Plain.position(frame, component, x, y) - SIMD2<Double>(point)
              guard way.x >= -Double(far.0), way.x < Double(far.0), way.y >= -Double(far.1), way.y < Double(far.1)
              else {
                continue
              }
              sum += frame[component, x, y]
              count += 1
            }
          }
          #expect(abs(mean[c] - Float(sum) / Float(count)) < 1e-3, "\(format) \(point) \(reach)")
        }
      }
    }
    for point: SIMD2<Float> in [[12.5, 30], [72.9, 30], [30, 67.9], [.nan, 30], [1e30, 3]] {
      #expect(patch.mean(around: point, reach: 2) == nil)
    }
    #expect(patch.mean(around: [30, 30], reach: .nan) == nil)
    // Half a sample more is rounded down here.
    let whole = try #require(try frame.patch(Region(x: 0, y: 0, width: 91, height: 77)))
    for power in 2..<7 {
      let x = (Float(1 << power) - 0.5).nextUp
      #expect(whole.mean(around: [x, x], reach: 0) != nil)
    }
  }

  /// Large areas are not read whole: a fraction of the samples is enough.
  @Test func aLargeAreaIsSampled() throws {
    let frame = Frame(.rgb, 200, 200) { x, _ in SIMD3(repeating: Double(x) / 200) }
    let mean = try #require(
      try frame.patch(Region(x: 0, y: 0, width: 200, height: 200))?.mean(around: [100, 100], reach: 60))
    #expect(abs(mean.x - (16 + 219 * 0.5)) < 10)
  }

  @Test func aJoinedMaskIsTheGreaterOfTheTwo() {
    let limits = Region(x: 0, y: 0, width: 90, height: 70)
    let (lips, skin): ([SIMD2<Float>], [SIMD2<Float>]) = (
      [[30, 20], [70, 22], [68, 40], [28, 38]], [[10.5, 26], [60, 24], [50, 60], [12, 55]]
    )
    let (a, b) = (SoftMask(lips, feather: 4, in: limits), SoftMask(skin, feather: 9, in: limits))
    for gates: [Float] in [[1, 1], [0.25, 0.75], [0, 0]] {
      let spread = Spread(gates, at: [[20, 40], [50, 40]], cell: 12, over: b.region)
      let joined = a.joined(b, times: spread)
      func value(_ mask: SoftMask, _ x: Int, _ y: Int) -> Float {
        let (u, v) = (x - mask.region.x, y - mask.region.y)
        guard u >= 0, v >= 0, u < mask.region.width, v < mask.region.height else { return 0 }
        return mask.values[v * (mask.region.width + 8) + u]
      }
      for y in 0..<70 {
        var line = (b.region.x..<b.region.x + b.region.width).map { value(b, $0, y) }
        line.withUnsafeMutableBufferPointer { line in
          guard b.region.y <= y, y < b.region.y + b.region.height, let line = line.baseAddress else { return }
          spread.multiply(row: y - b.region.y, line)
        }
        for x in 0..<90 {
          let i = x - b.region.x
          #expect(value(joined, x, y) == max(value(a, x, y), line.indices.contains(i) ? line[i] : 0))
        }
      }
    }
    let nothing = SoftMask([], feather: 4, in: limits)
    let none = Spread([], at: [], cell: 3, over: nothing.region)
    #expect(nothing.joined(nothing, times: none).region.isEmpty)
    let alone = a.joined(nothing, times: none)
    let isPadding = { (value: Float) in value > 1 }
    #expect(alone.region == a.region && zip(alone.values, a.values).allSatisfy { $0 == $1 || isPadding($1) })
  }

  @Test func hostilePointsSpreadNothing() {
    let region = Region(x: 4, y: 2, width: 30, height: 20)
    for cell: Float in [.nan, -3, 0, .infinity, 5] {
      let spread = Spread(
        [1, 1, 1, 1], at: [[.nan, 3], [1e30, 3], [-.infinity, 0], [40000, 9]], cell: cell, over: region)
      var line = [Float](repeating: 1, count: 30)
      line.withUnsafeMutableBufferPointer { if let line = $0.baseAddress { spread.multiply(row: 19, line) } }
      #expect(line.allSatisfy { $0.isFinite && $0 < 1e-3 })
    }
  }

  /// A disc on the chin, in the frame or in the one that the mouth is from. As light as speech makes it, it comes and goes
  /// with the mouth; a microphone is neither pasted nor removed.
  @Test(arguments: [PixelFormat.i420, .rgb, .v210, .nv12]) func whatIsBeforeTheSkinStays(format: PixelFormat) throws {
    let geometry = try goldenGeometry()
    let mesh = try #require(RingedMesh(geometry.canonical.map { 160 * $0 + [150, 60, 0] }))
    let chin = mesh.points[200]
    func frame(_ disc: Double) -> Frame {
      Frame(format, 300, 300) { x, y in
        let way = SIMD2(Double(x), Double(y)) - SIMD2<Double>(chin)
        return SIMD3(repeating: 0.5 + ((way * way).sum() < 20 * 20 ? disc : 0))
      }
    }
    func luma(_ frame: Frame) -> Double { Double(frame[format.components[0], Int(chin.x), Int(chin.y)]) }
    for (own, other, brought) in [
      (0.0, 0.04, true), (0.04, 0, true), (0, -0.4, false), (-0.4, 0, false), (0, 0.3, false),
    ] {
      let (target, seen, old) = (frame(own), frame(other), luma(frame(own)))
      let mouth = try #require(try seen.paint { SeenMouth($0.view, mesh, unit: 160) })
      let place = try #require(Similarity(a: 0.5, b: 0, tx: 0, ty: 0))
      let face = try #require(
        MovedFace(mesh, to: mesh, triangles: geometry.triangles, unit: 160, FaceWindow(side: 80), at: place))
      try target.apply(try target.paint { face.patch(of: $0.view, [(mouth, 1)]) })
      let share = (luma(target) - old) / (luma(seen) - old)
      #expect(brought ? (0.7...1).contains(share) : abs(share) < 0.02, "\(own) \(other): \(share)")
    }
  }
}
