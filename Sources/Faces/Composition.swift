// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Compositing of a moved face: the frame's own samples, warped, and over them the mouth of other frames.

import Tensors

/// A mouth taken from another frame of the same stream.
public struct Exemplar: Sendable {
  public var patch: Patch
  /// The positions of the warp's mesh in that frame, px.
  public var source: [SIMD2<Float>]
  /// Its weight under the mask, 0 ... 1. If the exemplars' weights sum to less than 1, the frame contributes the rest;
  /// if to more, they are normalised.
  public var weight: Float
  /// Added to its levels, one value for each component.
  public var offset: SIMD3<Float>

  public init(_ patch: Patch, source: [SIMD2<Float>], weight: Float = 1, offset: SIMD3<Float> = .zero) {
    (self.patch, self.source, self.weight, self.offset) = (patch, source, weight, offset)
  }
}

/// A frame and its warp. Copies what it needs of the frame.
public struct Composition {
  let own: Patch
  private let warp: Warp
  private let region: Region

  /// The range of each component's levels.
  var range: SIMD3<Float> {
    let (_, _, low, high) = own.view.transforms
    let range = high - low
    return [range.x, range.y, range.z]
  }

  /// nil if the warp's region lies outside the frame.
  public init?(_ frame: FrameView, _ warp: Warp) {
    region = warp.region.even(within: Region(x: 0, y: 0, width: frame.width, height: frame.height))
    guard !region.isEmpty, let own = Patch(frame, warp.looked(region)) else { return nil }
    (self.own, self.warp) = (own, warp)
  }

  /// The warped frame in the warp's region, with the exemplars blended in under a mask. Samples that move by at most
  /// 1/64 px outside the mask are unchanged.
  ///
  /// Exemplars of another format are ignored. Offsets bring no level out of the valid range.
  public func patch(mixing exemplars: [Exemplar] = [], under mask: SoftMask? = nil) -> Patch? {
    guard let result = Patch(own, region) else { return nil }
    let (_, _, low, high) = own.view.transforms
    let layers = Self.layers(of: exemplars.filter { $0.patch.view.kind == own.view.kind })
    let cover = layers.reduce(0) { $0 + $1.weight }
    let sum = layers.reduce(SIMD3<Float>.zero) { $0 + $1.weight / cover * $1.exemplar.offset }
    let offset = sum.replacing(with: 0, where: sum .!= sum)
    let most = Float(1 << own.view.format.depth) - 1
    eachLine(in: region, of: layers, under: mask) { c, row, line in
      if line.isMasked {
        let masked = line.masked
        kernels.mixLine(
          line.other + masked.lowerBound, offset: offset[c], low: low[c], high: high[c],
          alpha: line.alpha + masked.lowerBound, count: masked.count, line.own + masked.lowerBound)
      }
      let (component, plane) = (result.view.samples[c].component, result.planes[c])
      let y = row - (region.y >> component.shiftY)
      kernels.paintLine(
        plane.base + y * plane.stride, storage: component.storage, offset: 0, step: component.step, first: 0,
        count: line.count, colors: line.own, low: 0, high: most, alpha: line.written)
    }
    return result
  }

  /// The contributing exemplars and their normalised weights, whose sum is at most 1.
  private typealias Layer = (exemplar: Exemplar, weight: Float)

  private static func layers(of exemplars: [Exemplar]) -> [Layer] {
    let weights = exemplars.map { $0.weight > 0 ? min($0.weight, 1) : 0 }
    let total = weights.reduce(0, +)
    return zip(exemplars, weights).filter { $1 > 0 }.map { ($0, $1 / max(total, 1)) }
  }

  /// Calls `body`, on several threads, with a component, a row and its levels, for every row in `region` that has any.
  private func eachLine(
    in region: Region, of layers: [Layer], under mask: SoftMask?, _ body: (Int, Int, LineCompositor.Line) -> Void
  ) {
    let (samples, cover) = (own.view.samples, layers.reduce(0) { $0 + $1.weight })
    // Components whose samples are at the same positions.
    let groups = samples[0].component.shiftX == samples[1].component.shiftX ? [0..<3] : [0..<1, 1..<3]
    for group in groups {
      let component = samples[group.lowerBound].component
      let (columns, rows) = component.samples(of: region)
      let masked = mask.map { component.samples(of: $0.region) } ?? (columns: 0..<0, rows: 0..<0)
      let field = DisplacementField(warp, samples[group.lowerBound], rows: rows)
      let covers = layers.map { exemplar, weight in
        let field = DisplacementField(
          warp.from(exemplar.source), samples[group.lowerBound], rows: masked.rows.clamped(to: rows))
        return WarpedLayer(patch: exemplar.patch, field: field, weight: weight / cover)
      }
      let compositor = LineCompositor(
        own: WarpedLayer(patch: own, field: field, weight: 1), covers: covers, cover: cover, mask: mask, masked: masked,
        group: group, component: component, columns: columns)
      inStripes((rows.count + LineCompositor.band - 1) / LineCompositor.band) { stripe in
        let some =
          rows.lowerBound + stripe.lowerBound * LineCompositor.band..<rows.lowerBound + stripe.upperBound
          * LineCompositor.band
        compositor.eachLine(in: some.clamped(to: rows), body)
      }
    }
  }
}

/// A warped patch and its weight.
private struct WarpedLayer {
  let patch: Patch
  let field: DisplacementField
  let weight: Float

  /// Adds its levels at samples `columns` of a row of component `c` to `out`, where `alpha` is above 0.
  func add(
    _ c: Int, row: Int, _ columns: Range<Int>, moved: DisplacementField.Lines, alpha: UnsafePointer<Float>,
    to out: UnsafeMutablePointer<Float>
  ) {
    let (component, plane) = (patch.view.samples[c].component, patch.planes[c])
    let held = component.samples(of: patch.region)
    kernels.warpLine(
      plane.base, storage: component.storage, stride: plane.stride, width: held.columns.count,
      height: held.rows.count, x: Float(columns.lowerBound - held.columns.lowerBound),
      y: Float(row - held.rows.lowerBound), across: moved.across, down: moved.down, kinds: moved.kinds,
      footprints: field.footprints, alpha: alpha, weight: weight, count: columns.count, out)
  }
}

/// Composites line by line, for components whose samples are at the same positions.
private struct LineCompositor {
  /// Rows that are warped together, so that their displacements stay in the cache.
  static let band = 16

  let own: WarpedLayer
  let covers: [WarpedLayer]
  let cover: Float  // the exemplars' total weight under the mask
  let mask: SoftMask?
  let masked: (columns: Range<Int>, rows: Range<Int>)  // samples
  let group: Range<Int>
  let component: Component
  let columns: Range<Int>

  /// The levels of a row of a component.
  struct Line {
    /// The warped frame's levels where `written` is 1, that is, where a sample moves or is masked, and `alpha` is less
    /// than 1; elsewhere 0.
    let own, written: UnsafeMutablePointer<Float>
    /// The exemplars' levels where `alpha`, their opacity, is above 0. Valid only if `isMasked`.
    let other, alpha: UnsafeMutablePointer<Float>
    let isMasked: Bool
    /// The range that may be under the mask, relative to the line's first sample.
    let masked: Range<Int>
    let count: Int
  }

  func eachLine(in rows: Range<Int>, _ body: (Int, Int, Line) -> Void) {
    let length = columns.count + 8  // room for what the kernels write behind
    let size = DisplacementField.Lines.size(length * Self.band)
    let under = masked.columns.clamped(to: columns)
    let start = under.lowerBound - columns.lowerBound
    withUnsafeTemporaryAllocation(byteCount: 20 * length + size * (1 + covers.count), alignment: 64) { memory in
      guard let memory = memory.baseAddress else { return }
      let floats = memory.bindMemory(to: Float.self, capacity: 5 * length)
      floats.initialize(repeating: 0, count: 5 * length)
      let fields = (0...covers.count).map {
        DisplacementField.Lines(memory + (20 * length + $0 * size), length * Self.band)
      }
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: Self.band) {
        let band = first..<min(first + Self.band, rows.upperBound)
        own.field.write(rows: band, columns: columns, to: fields[0], stride: length)
        let isMasked = !covers.isEmpty && masked.rows.overlaps(band)
        for (layer, lines) in zip(covers, fields.dropFirst()) where isMasked {
          layer.field.write(rows: band, columns: under, to: lines + start, stride: length)
        }
        for row in band {
          let line = Line(
            own: floats, written: floats + length, other: floats + 2 * length, alpha: floats + 3 * length,
            isMasked: isMasked && masked.rows.contains(row), masked: start..<start + under.count, count: columns.count)
          write(row, fields.map { $0 + (row - first) * length }, line, seen: floats + 4 * length, body)
        }
      }
    }
  }

  /// `seen`: scratch for the opacity with which the frame itself shows.
  private func write(
    _ row: Int, _ fields: [DisplacementField.Lines], _ line: Line, seen: UnsafeMutablePointer<Float>,
    _ body: (Int, Int, Line) -> Void
  ) {
    line.alpha.update(repeating: 0, count: columns.count + 8)
    if line.isMasked { mask?.write(cover, row: row, columns: columns, of: component, to: line.alpha) }
    let (scaleX, scaleY) = (Float(1 << component.shiftX), Float(1 << component.shiftY))
    guard
      kernels.movedLine(
        fields[0].across, fields[0].down, scaleX: scaleX, scaleY: scaleY, alpha: line.alpha, count: columns.count,
        own: seen, line.written)
    else { return }
    let start = line.masked.lowerBound
    let under = columns.lowerBound + start..<columns.lowerBound + line.masked.upperBound
    for c in group {
      line.own.update(repeating: 0, count: columns.count + 8)
      own.add(c, row: row, columns, moved: fields[0], alpha: seen, to: line.own)
      if line.isMasked {
        (line.other + start).update(repeating: 0, count: under.count + 8)
        for (layer, lines) in zip(covers, fields.dropFirst()) {
          layer.add(c, row: row, under, moved: lines + start, alpha: line.alpha + start, to: line.other + start)
        }
      }
      body(c, row, line)
    }
  }
}
