// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// The inside of a polygon with a soft border: 0 outside, rising to 1 within `feather` px inside the outline.
public struct SoftMask: Sendable {
  /// The pixels that it covers, from an even x and y on; it is 0 elsewhere.
  public let region: Region
  /// `[height, width + 8]` of the region, 0 ... 1; the last eight of each row are padding.
  package let values: [Float]

  /// `polygon`: its corners in order, px; inside is where the winding number is not 0. `feather`: at least 1 px. The
  /// mask is empty if a corner is NaN or more than 65536 px away.
  public init(_ polygon: [SIMD2<Float>], feather: Float, in limits: Region) {
    let (low, high) = polygon.reduce(into: (polygon.first ?? .zero, polygon.first ?? .zero)) {
      $0 = (pointwiseMin($0.0, $1), pointwiseMax($0.1, $1))
    }
    let usable = !polygon.isEmpty && polygon.allSatisfy(\.isNear)
    let region =
      usable
      ? Region(from: low, to: high, reach: 0).even(within: limits)
      : Region(x: limits.x, y: limits.y, width: 0, height: 0)
    let feather = feather > 1 ? min(feather, 4096) : 1
    self.region = region
    values = [Float](unsafeUninitializedCapacity: region.isEmpty ? 0 : (region.width + 8) * region.height) {
      values, count in
      guard let values = values.baseAddress, !region.isEmpty else { return }
      count = (region.width + 8) * region.height
      values.initialize(repeating: feather * feather, count: count)
      inStripes(region.height) { Self.write(polygon, feather, region, rows: $0, to: values) }
    }
  }

  /// The greater of this mask and another, the latter times `gate`, whose region must be the other's.
  package func joined(_ other: SoftMask, times gate: Spread) -> SoftMask {
    SoftMask(joining: [(self, nil), (other, gate)])
  }

  private init(joining masks: [(mask: SoftMask, gate: Spread?)]) {
    let regions = masks.map(\.mask.region).filter { !$0.isEmpty }
    let (x, y) = (regions.map(\.x).min() ?? 0, regions.map(\.y).min() ?? 0)
    let region = Region(
      x: x, y: y, width: (regions.map { $0.x + $0.width }.max() ?? 0) - x,
      height: (regions.map { $0.y + $0.height }.max() ?? 0) - y)
    let stride = region.width + 8
    self.region = region
    values = [Float](unsafeUninitializedCapacity: region.isEmpty ? 0 : stride * region.height) { values, count in
      guard let values = values.baseAddress, !region.isEmpty else { return }
      count = stride * region.height
      values.initialize(repeating: 0, count: count)
      inStripes(region.height) { rows in
        for (mask, gate) in masks {
          let held = mask.region
          withUnsafeTemporaryAllocation(of: Float.self, capacity: held.width + 8) { line in
            guard let line = line.baseAddress else { return }
            for row in (held.y - y..<held.y - y + held.height).clamped(to: rows) {
              let from = (row + y - held.y) * (held.width + 8)
              for i in 0..<held.width { (line + i).initialize(to: mask.values[from + i]) }
              gate?.multiply(row: row + y - held.y, line)
              let to = values + row * stride + held.x - x
              for i in 0..<held.width { to[i] = max(to[i], line[i]) }
            }
          }
        }
      }
    }
  }

  private static func write(
    _ polygon: [SIMD2<Float>], _ feather: Float, _ region: Region, rows: Range<Int>,
    to values: UnsafeMutablePointer<Float>
  ) {
    // The change of the winding number at each pixel, with room for what kernels write beyond the end.
    let stride = region.width + 8
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: rows.count * stride) { windings in
      guard let windings = windings.baseAddress else { return }
      windings.initialize(repeating: 0, count: rows.count * stride)
      for (i, p) in polygon.enumerated() {
        let q = polygon[i + 1 < polygon.count ? i + 1 : 0]
        let (top, bottom, sense) = p.y < q.y ? (p, q, Int32(1)) : (q, p, -1)
        for row in (ceiling(top.y) - region.y..<ceiling(bottom.y) - region.y).clamped(to: rows) {
          let x = top.x + (Float(row + region.y) - top.y) / (bottom.y - top.y) * (bottom.x - top.x)
          let column = min(max(ceiling(x) - region.x, 0), region.width)
          windings[(row - rows.lowerBound) * stride + column] &+= sense
        }
        let reach = Region(from: pointwiseMin(p, q), to: pointwiseMax(p, q), reach: feather)
        let near = (reach.y - region.y..<reach.y - region.y + reach.height).clamped(to: rows)
        let across = (reach.x - region.x..<reach.x - region.x + reach.width).clamped(to: 0..<region.width)
        for row in near where !across.isEmpty {
          kernels.nearestLine(
            x: Float(region.x + across.lowerBound), y: Float(region.y + row), fromX: p.x, fromY: p.y, toX: q.x,
            toY: q.y,
            count: across.count, values + row * stride + across.lowerBound)
        }
      }
      for row in rows {
        kernels.featherLine(
          windings + (row - rows.lowerBound) * stride, radius: feather, count: region.width, values + row * stride)
      }
    }
  }

  /// Writes the mask at the samples of a row of a component that it covers: `share` times its mean over each sample's
  /// pixels. `out` starts at sample `columns.lowerBound`.
  func write(
    _ share: Float, row: Int, columns: Range<Int>, of component: Component, to out: UnsafeMutablePointer<Float>
  ) {
    let (shiftX, shiftY) = (component.shiftX, component.shiftY)
    let (left, top, size) = (region.x >> shiftX, region.y >> shiftY, component.size(region.width, region.height))
    guard (top..<top + size.height).contains(row) else { return }
    let stride = region.width + 8
    // An unpaired last row or column counts twice.
    let (first, last) = ((row - top) << shiftY, min((row - top + 1) << shiftY, region.height) - 1)
    values.withUnsafeBufferPointer { values in
      guard let upper = values.baseAddress.map({ $0 + first * stride }) else { return }
      let lower = upper + (last - first) * stride
      for column in (left..<left + size.width).clamped(to: columns) {
        let (a, b) = ((column - left) << shiftX, min((column - left + 1) << shiftX, region.width) - 1)
        out[column - columns.lowerBound] = (upper[a] + upper[b] + lower[a] + lower[b]) * (share / 4)
      }
    }
  }
}
