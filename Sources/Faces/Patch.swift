// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A copied piece of a frame, in the frame's own sample values; only the memory layout changes.

internal import KernelInterface
import Tensors

/// The samples of a rectangle of a frame, each component in its own plane: bytes, or 16-bit words for 10-bit samples.
public final class Patch: @unchecked Sendable {
  // Sendable: only `Composition.patch` writes, into a patch that it has just made.

  /// The pixels of the frame that it covers; x and y are even, so that chroma is aligned as in the frame.
  public let region: Region
  /// Its size in memory.
  public let bytes: Int
  /// The region as a frame of its own.
  let view: FrameView
  /// The planes of `view`. Each is surrounded by replicated edges, one sample before and above, two after and below.
  let planes: [MutableFrameView.Plane]
  private let memory: UnsafeMutableRawPointer

  /// Copies `region` of a frame, extended to even x and y and clipped to the frame; nil if it is empty, or would take
  /// more than `most` bytes.
  public convenience init?(_ frame: FrameView, _ region: Region, most: Int = .max) {
    let region = region.even(within: Region(x: 0, y: 0, width: frame.width, height: frame.height))
    self.init(frame, region, startingAt: region.x, region.y, most: most)
  }

  /// Copies `region` of another patch.
  convenience init?(_ other: Patch, _ region: Region) {
    let region = region.even(within: other.region)
    self.init(other.view, region, startingAt: region.x - other.region.x, region.y - other.region.y)
    withExtendedLifetime(other) {}
  }

  /// Copies the pixels of `view` from (x, y) on, which are `region` of a frame.
  private convenience init?(
    _ view: FrameView, _ region: Region, startingAt x: Int, _ y: Int, most: Int = .max
  ) {
    self.init(like: view, region, most: most) { i, component, size, plane in
      let samples = view.samples[i]
      let top = y >> component.shiftY
      inStripes(size.height) { rows in
        for row in rows {
          kernels.unpackLine(
            samples.plane + (top + row) * samples.stride, storage: samples.component.storage,
            offset: samples.component.offset, step: samples.component.step, first: x >> component.shiftX,
            count: size.width, plane.base + row * plane.stride)
        }
      }
    }
  }

  /// A patch in the format of `view`; nil if it is empty, or would take more than `most` bytes. `fill` writes the rows
  /// of each component into its plane (`unpackLine`).
  init?(
    like view: FrameView, _ region: Region, most: Int = .max,
    filledBy fill: (Int, Component, (width: Int, height: Int), MutableFrameView.Plane) -> Void
  ) {
    guard !region.isEmpty else { return nil }
    let storage: SampleStorage = view.format.depth == 8 ? .byte : .low10
    let bytes = storage == .byte ? 1 : 2
    let components = view.samples.enumerated().map { i, samples in
      let (shiftX, shiftY) = (samples.component.shiftX, samples.component.shiftY)
      return Component(plane: i, offset: 0, step: bytes, shiftX, shiftY, storage)
    }
    let sizes = components.map { $0.size(region.width, region.height) }
    // Kernels may read 16 bytes from any sample, and a row more.
    let beyond = sizes.reduce(0) { max($0, $1.width + 3) } * bytes + 16
    let total = sizes.reduce(beyond) { $0 + ($1.width + 3) * ($1.height + 3) * bytes }
    guard total <= most else { return nil }
    memory = .allocate(byteCount: total, alignment: 64)
    (self.region, self.bytes) = (region, total)
    var next = memory
    planes = sizes.map { size in
      let stride = (size.width + 3) * bytes
      defer { next += stride * (size.height + 3) }
      return (next + stride + bytes, stride)
    }
    next.initializeMemory(as: UInt8.self, repeating: 0, count: beyond)
    self.view = FrameView(
      like: view, width: region.width, height: region.height, components: components,
      planes: planes.map { (UnsafeRawPointer($0.base), $0.stride) })
    for (i, component) in components.enumerated() {
      let (plane, size) = (planes[i], sizes[i])
      fill(i, component, size, plane)
      let first = plane.base - bytes
      let last = first + (size.height - 1) * plane.stride
      for (row, from) in [(first - plane.stride, first), (last + plane.stride, last), (last + 2 * plane.stride, last)] {
        row.copyMemory(from: from, byteCount: plane.stride)
      }
    }
  }

  deinit { memory.deallocate() }

  /// The mean levels of the samples within `reach` px of a point of the frame in both directions, at most about 8 x 8
  /// of them; nil unless all are in the patch.
  package func mean(around point: SIMD2<Float>, reach: Float) -> SIMD3<Float>? {
    guard point.isNear, reach >= 0, reach < 4096 else { return nil }
    var mean = SIMD3<Float>.zero
    for (c, samples) in view.samples.enumerated() {
      let (component, plane) = (samples.component, planes[c])
      let size = component.size(region.width, region.height)
      let place = (point - [Float(region.x), Float(region.y)]) * samples.scale + samples.offset
      let far = pointwiseMax(reach * samples.scale, [0.5, 0.5])
      // At least one sample, also where `place + far` is rounded down.
      func around(_ place: Float, _ far: Float) -> ClosedRange<Int> {
        let first = ceiling(place - far)
        return first...max(first, ceiling(place + far) - 1)
      }
      let (columns, rows) = (around(place.x, far.x), around(place.y, far.y))
      guard columns.lowerBound >= 0, columns.upperBound < size.width, rows.lowerBound >= 0,
        rows.upperBound < size.height
      else { return nil }
      let (across, down) = ((columns.count + 7) / 8, (rows.count + 7) / 8)
      var (sum, count) = (0, 0)
      for row in stride(from: rows.lowerBound, through: rows.upperBound, by: down) {
        let line = UnsafeRawPointer(plane.base + row * plane.stride)
        for column in stride(from: columns.lowerBound, through: columns.upperBound, by: across) {
          sum +=
            component.storage == .byte
            ? Int(line.load(fromByteOffset: column, as: UInt8.self))
            : Int(line.load(fromByteOffset: 2 * column, as: UInt16.self))
          count += 1
        }
      }
      mean[c] = Float(sum) / Float(count)
    }
    return mean
  }
}

/// The window's crop of the patch, as of a frame; outside the patch, edges are replicated.
public func crop(_ patch: Patch, _ window: FaceWindow, at alignment: Similarity) -> Tensor {
  withExtendedLifetime(patch) {
    crop(patch.view, window, at: alignment.counted(fromX: patch.region.x, y: patch.region.y))
  }
}
