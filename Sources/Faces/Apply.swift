// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Writes a processed patch back into its frame, together with what the networks added to it.

import Tensors

/// A picture to add to a frame: the network's output minus its output for the unpainted input.
public struct Difference {
  /// `[side, side, 3]`: differences of RGB values in -1 ... 1, hence -2 ... 2; 0 where nothing changes.
  public var picture: Tensor
  /// The transform from frame px to px of the window.
  public var transform: Similarity

  public init(_ picture: Tensor, at transform: Similarity) { (self.picture, self.transform) = (picture, transform) }
}

/// Blends `patch` plus `difference` into a frame with opacity `strength` (0 ... 1), within the patch's region. Samples
/// whose value does not change keep all their bits, and so does everything outside the region.
///
/// The difference is upscaled with cubic interpolation, is 0 outside its window, and brings no level out of the valid
/// range. Does nothing if the patch has another format than the frame or extends beyond it. A difference that is not
/// square is ignored.
public func apply(_ patch: Patch, _ difference: Difference? = nil, to target: MutableFrameView, strength: Float) {
  let (frame, region) = (target.view, patch.region)
  guard strength > 0, patch.view.kind == frame.kind, region.x + region.width <= frame.width,
    region.y + region.height <= frame.height
  else { return }
  let addition = difference.flatMap { Addition($0, frame, in: region) }
  let (_, _, low, high) = frame.transforms
  let most = Float(1 << frame.format.depth) - 1
  for (c, samples) in frame.samples.enumerated() {
    let (component, held, plane) = (samples.component, patch.view.samples[c].component, patch.planes[c])
    let (columns, rows) = component.samples(of: region)
    inStripes(rows.count) { stripe in
      let line = columns.count + 8  // room for what kernels write beyond the end
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * line) { memory in
        guard let colors = memory.baseAddress else { return }
        let alpha = colors + line
        alpha.initialize(repeating: min(strength, 1), count: line)
        for i in stripe {
          colors.initialize(repeating: 0, count: line)
          let row = rows.lowerBound + i
          addition?.write(c, samples, row: row, columns, alpha, to: colors)
          kernels.addLine(
            plane.base + i * plane.stride, storage: held.storage, low: low[c], high: high[c], count: columns.count,
            colors)
          kernels.paintLine(
            target.planes[component.plane].base + row * samples.stride, storage: component.storage,
            offset: component.offset, step: component.step, first: columns.lowerBound, count: columns.count,
            colors: colors, low: 0, high: most, alpha: alpha)
        }
      }
    }
  }
}

/// A difference converted to component levels, with a border of zeros.
private struct Addition {
  private let planes: [Float]  // consecutive, in the layout of `windowLine`
  private let side: Int  // px, including the border
  private let transform: Similarity  // frame px -> px of these planes
  private let region: Region  // affected frame px
  private let points: [SIMD2<Float>]  // offsets in px of these planes that are averaged for one sample

  /// nil if it is not square, or has no effect in `region`.
  init?(_ difference: Difference, _ frame: FrameView, in region: Region) {
    let (shape, transform) = (difference.picture.shape, difference.transform.shifted(by: 1))
    guard shape.count == 3, shape[0] == shape[1], shape[2] == 3, (1...4096).contains(shape[0]) else { return nil }
    side = shape[0] + 2
    // The bounds of the non-zero pixels, plus two pixels, the support of a cubic.
    var (first, last) = (SIMD2(repeating: side), SIMD2<Int>.zero)
    for (i, value) in difference.picture.values.enumerated() where value != 0 {
      let pixel = SIMD2(i / 3 % shape[0], i / 3 / shape[0])
      (first, last) = (pointwiseMin(first, pixel), pointwiseMax(last, pixel))
    }
    guard first.x <= last.x else { return nil }
    let (left, top, right, below) = (
      Double(first.x - 1), Double(first.y - 1), Double(last.x + 3), Double(last.y + 3)
    )
    let corners = [(left, top), (right, top), (left, below), (right, below)].map { transform.inverse($0.0, $0.1) }
    let (low, high) = corners.reduce((corners[0], corners[0])) { (pointwiseMin($0.0, $1), pointwiseMax($0.1, $1)) }
    guard SIMD2<Float>(low).isNear, SIMD2<Float>(high).isNear else { return nil }
    self.region = Region(from: SIMD2<Float>(low), to: SIMD2<Float>(high), reach: 1).even(within: region)
    guard !self.region.isEmpty else { return nil }
    self.transform = transform
    // More than one where the window has a higher resolution than the frame.
    let (a, b) = (transform.a, transform.b)
    let spread = transform.scale < 1.5 ? 1 : min(Int(transform.scale.rounded(.up)), 8)
    let places = (0..<spread).map { (Double($0) + 0.5) / Double(spread) - 0.5 }
    points = places.flatMap { v in places.map { u in SIMD2<Float>(SIMD2(a * u - b * v, b * u + a * v)) } }
    planes = Self.levels(of: difference.picture, frame.transforms.fromRGB)
  }

  private static func levels(of picture: Tensor, _ fromRGB: Affine) -> [Float] {
    let (side, stride) = (picture.shape[0], picture.shape[0] + 5)
    let size = stride * stride
    return [Float](unsafeUninitializedCapacity: 3 * size) { planes, count in
      guard let planes = planes.baseAddress else { return }
      planes.initialize(repeating: 0, count: 3 * size)
      count = 3 * size
      picture.values.withUnsafeBufferPointer { values in
        guard let values = values.baseAddress else { return }
        for i in 0..<side * side {
          let v = SIMD4(values[3 * i], values[3 * i + 1], values[3 * i + 2], 0)
          let number = v.replacing(with: 0, where: v .!= v)
          let above = number.replacing(with: -2, where: number .< -2)
          let rgb = above.replacing(with: 2, where: above .> 2)
          let color = fromRGB.linear(rgb)
          let at = planes + ((i / side + 2) * stride + i % side + 2)
          (at[0], at[size], at[2 * size]) = (color.x, color.y, color.z)
        }
      }
    }
  }

  /// Writes its levels at the affected samples among `columns` of a row of component `c`; `alpha` must be above 0
  /// everywhere.
  func write(
    _ c: Int, _ samples: Samples, row: Int, _ columns: Range<Int>, _ alpha: UnsafePointer<Float>,
    to out: UnsafeMutablePointer<Float>
  ) {
    let component = samples.component
    let (reached, rows) = component.samples(of: region)
    let across = reached.clamped(to: columns)
    guard rows.contains(row), !across.isEmpty else { return }
    let pixel =
      SIMD2<Double>(samples.origin)
      + [Double(across.lowerBound << component.shiftX), Double(row << component.shiftY)]
    let start = SIMD2<Float>(transform(pixel.x, pixel.y))
    let step = SIMD2<Float>([transform.a, transform.b]) * Float(1 << component.shiftX)
    planes.withUnsafeBufferPointer { planes in
      points.withUnsafeBufferPointer { points in
        guard let planes = planes.baseAddress, let around = points.baseAddress else { return }
        kernels.windowLine(
          planes + c * (side + 3) * (side + 3), side: side, x: start.x, y: start.y, dx: step.x, dy: step.y,
          points: around, pointCount: points.count, count: across.count, alpha: alpha,
          out + (across.lowerBound - columns.lowerBound))
      }
    }
  }
}
