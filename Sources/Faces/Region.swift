// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A rectangle of frame pixels.
public struct Region: Equatable, Sendable {
  public var x, y, width, height: Int
  public var isEmpty: Bool { width <= 0 || height <= 0 }

  public init(x: Int, y: Int, width: Int, height: Int) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }
}

extension Component {
  /// The samples of a region whose x and y are even.
  func samples(of region: Region) -> (columns: Range<Int>, rows: Range<Int>) {
    let (size, x, y) = (size(region.width, region.height), region.x >> shiftX, region.y >> shiftY)
    return (x..<x + size.width, y..<y + size.height)
  }
}

extension Region {
  /// The intersection, extended to even x, y, width and height where `limits` allows it. `limits` must begin at even
  /// pixels.
  func even(within limits: Region) -> Region {
    func clipped(_ start: Int, _ count: Int, _ low: Int, _ size: Int) -> (from: Int, count: Int) {
      let end = start.addingReportingOverflow(count).partialValue
      guard count > 0, start < low + size, end > low else { return (low, 0) }
      let from = max(start, low) & ~1
      return (from, min((min(end, low + size) + 1) & ~1, low + size) - from)
    }
    let (x, y) = (clipped(self.x, width, limits.x, limits.width), clipped(self.y, height, limits.y, limits.height))
    return Region(x: x.from, y: y.from, width: x.count, height: y.count)
  }

  /// The pixels within `reach` of the rectangle from `low` to `high`; both must be near (`isNear`).
  init(from low: SIMD2<Float>, to high: SIMD2<Float>, reach: Float) {
    let (x, y) = (ceiling(low.x - reach), ceiling(low.y - reach))
    self.init(
      x: x, y: y, width: ceiling(high.x + reach) + 1 - x, height: ceiling(high.y + reach) + 1 - y)
  }
}

extension SIMD2<Float> {
  /// Whether it is a position that can be sampled; false for NaN.
  var isNear: Bool { abs(x) <= 65536 && abs(y) <= 65536 }
}

/// The least integer that is not below `v`; 0 for NaN and for huge values. (`rounded` would be a function call.)
@inline(__always)
func ceiling(_ v: Float) -> Int {
  guard abs(v) <= 0x1p20 else { return 0 }
  let whole = Int(v)
  return Float(whole) < v ? whole + 1 : whole
}
