// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Convolutions on Intel's tile unit (AMX), see ctiles.h. Measured in meta/decisions/0023-tiles.md.

#if arch(x86_64)
  import CTiles
  import KernelInterface

  /// `to.activation(convolution of the padded image + bias + residual)`. `picture` includes all zeros it needs above
  /// and beside it; with those below, it has `rows` rows. The output is `height` x `width` pixels.
  func convolveByTiles(
    _ picture: PaddedPicture, rows: Int, _ weights: PackedWeights, kernel: (height: Int, width: Int), stride: Int,
    height: Int, width: Int, _ to: Destination
  ) {
    let channels = picture.channels
    // Padding at the right of a row, beyond the next row's left padding, which it shares. Rows are a whole number of
    // pixel groups.
    let right = max(0, picture.right - picture.left)
    let whole = stride * weights.group
    let pitch = (picture.left + picture.width + right + whole - 1) / whole * whole
    let layout = TileLayout(
      kernel: kernel, channels: channels, stride: stride, group: weights.group, rows: rows, pitch: pitch,
      height: height, width: width)
    let written = (rows * pitch + picture.left) * channels + Tiles.depth
    TilePicture.with(max(written, layout.read), isSplit: weights.method == .split) { input in
      let source = ctiles_picture(
        input: picture.input, height: Int32(picture.height), width: Int32(picture.width), channels: Int32(channels),
        top: Int32(picture.top), left: Int32(picture.left), right: Int32(pitch - picture.left - picture.width),
        rows: Int32(rows), stride: Int32(stride), plane: layout.plane, factor: picture.factor, offset: picture.offset,
        activation: picture.activation.ofTiles)
      inStrips(rows, values: rows * pitch * channels) { strip in
        withUnsafePointer(to: source) {
          ctiles_pad($0, Int32(strip.lowerBound), Int32(strip.upperBound), input.values, input.rest)
        }
      }
      multiply(input, layout, weights, to)
    }
  }

  /// The same for a 3 x 3 depthwise convolution followed by a pointwise one. With `slope`, the activation is PReLU.
  func convolveByTiles(
    depthwise convolution: ctiles_depthwise, rows: Int, _ weights: PackedWeights, slope: UnsafePointer<Float>?,
    _ to: Destination
  ) {
    let (width, channels) = (Int(convolution.columns), Int(convolution.channels))
    let pixels = rows * width
    let layout = TileLayout(
      kernel: (1, 1), channels: channels, stride: 1, group: 1, rows: 1, pitch: pixels, height: 1, width: pixels)
    TilePicture.with(layout.read, isSplit: weights.method == .split) { input in
      inStrips(rows, values: pixels * channels) { strip in
        withUnsafePointer(to: convolution) {
          ctiles_convolve_depthwise($0, Int32(strip.lowerBound), Int32(strip.upperBound), input.values, input.rest)
        }
      }
      // The last tile may read beyond the image. The weights are 0 there, but NaN times 0 is NaN.
      for plane in [0, input.rest] {
        (input.values + plane + pixels * channels).initialize(repeating: 0, count: Tiles.depth)
      }
      multiply(input, layout, weights, slope: slope, to)
    }
  }

  /// An image in the layout of ctiles.h.
  private struct TilePicture {
    let values: UnsafeMutablePointer<UInt16>
    let rest: Int

    static func with(_ count: Int, isSplit: Bool, _ body: (TilePicture) -> Void) {
      let plane = (count + 63) / 64 * 64
      let storage = Workspace.shared.lease(isSplit ? plane : plane / 2)
      let values = UnsafeMutableRawPointer(storage.memory).assumingMemoryBound(to: UInt16.self)
      withExtendedLifetime(storage) { body(TilePicture(values: values, rest: isSplit ? plane : 0)) }
    }
  }

  /// The layout of a convolution's input and output.
  private struct TileLayout {
    let kernel: (height: Int, width: Int)
    let channels, stride: Int
    let group: Int  // output pixels computed as one
    let rows, pitch: Int  // of the padded image
    let height, width: Int  // of the output

    /// The number of values in every `stride`-th row together.
    var plane: Int { (rows + stride - 1) / stride * pitch * channels }
    /// Pixel groups in an output row, including those that are discarded, and in the whole output.
    var across: Int { pitch / (stride * group) }
    var groups: Int { (height - 1) * across + width / group }
    /// Tiles of pixel groups.
    var columns: Int { (groups + Tiles.side - 1) / Tiles.side }
    var depths: Int { Tiles.depths(kernel.width, channels, stride: stride, group: group) }
    /// The number of input values that are read.
    var read: Int {
      (stride - 1) * plane
        + (columns * Tiles.side * stride * group + (kernel.height - 1) / stride * pitch) * channels
        + depths * Tiles.depth
    }
  }

  private func multiply(
    _ input: TilePicture, _ layout: TileLayout, _ weights: PackedWeights, slope: UnsafePointer<Float>? = nil,
    _ to: Destination
  ) {
    let convolution = ctiles_convolution(
      input: input.values, rest: input.rest, weights: weights.weights.assumingMemoryBound(to: UInt16.self),
      kernel_rows: Int32(layout.kernel.height), depths: Int32(layout.depths),
      step: layout.group * layout.stride * layout.channels, row: layout.pitch * layout.channels,
      stride: Int32(layout.stride), plane: layout.plane, pitch: Int32(layout.across),
      width: Int32(layout.width / layout.group), output: to.output, channels: Int32(layout.group * to.channels),
      bias: to.bias, residual: to.residual, slope: slope,
      activation: slope == nil ? to.activation.ofTiles : ctiles_prelu)
    // A piece takes about 10 us; a layer of less than two pieces is not split. Fetching weights from the last-level
    // cache takes as long as computing four tiles of pixels.
    let blocks = (weights.outputs + Tiles.side - 1) / Tiles.side
    let products = max(layout.columns, 4) * blocks * layout.kernel.height * layout.depths * (input.rest > 0 ? 3 : 1)
    let pieces = products < 2000 ? 1 : max(2, min(16, products / 1500) / 2 * 2)
    let across = min(pieces, (blocks + 1) / 2)
    let down = min((pieces + across - 1) / across, (layout.columns + 3) / 4)
    ThreadPool.shared.parallel(count: down * across) { index in
      let pixels = part(index % down, of: down, 0..<layout.groups, step: 4 * Tiles.side)
      let blocks = part(index / down, of: across, 0..<blocks, step: 2)
      withUnsafePointer(to: convolution) {
        ctiles_convolve(
          $0, Int32(pixels.lowerBound), Int32(pixels.upperBound), Int32(blocks.lowerBound), Int32(blocks.upperBound))
      }
    }
  }

  /// Splits the rows of an image with `values` values among threads.
  private func inStrips(_ rows: Int, values: Int, _ body: (Range<Int>) -> Void) {
    let strips = max(1, min(16, rows, values / 12_000))
    ThreadPool.shared.parallel(count: strips) { body(part($0, of: strips, 0..<rows, step: 1)) }
  }

  extension Activation {
    fileprivate var ofTiles: ctiles_activation {
      switch self {
      case .none: ctiles_none
      case .relu: ctiles_relu
      case .silu: ctiles_silu
      case .gelu: ctiles_gelu
      case .erfGELU: ctiles_erf_gelu
      }
    }
  }
#endif

/// Tile sizes, see ctiles.h.
enum Tiles {
  static let side = 16
  static let depth = 32

  /// The number of tiles for the products of one kernel row of `width` pixels, for `group` output pixels.
  static func depths(_ width: Int, _ channels: Int, stride: Int, group: Int) -> Int {
    (((group - 1) * stride + width) * channels + depth - 1) / depth
  }
}
