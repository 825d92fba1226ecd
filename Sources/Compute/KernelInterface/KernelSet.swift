// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The interface between the layers and the kernels. Sources/Compute/Kernels is compiled once for every instruction set; each
// build is one `KernelSet`, and Tensors selects one at start. Everything here is plain memory, pointers and counts:
// copying a managed type would emit code in one instruction set that the linker could share with the others.

public enum Activation: Sendable {
  case none, relu, silu
  case gelu  // the tanh approximation
  case erfGELU  // x times the normal CDF of x, PyTorch's default GELU
}

/// The storage format of weights.
public enum WeightFormat: Sendable {
  case single  // Float
  case half  // IEEE 754 binary16, converted to Float on the fly: half the memory traffic
  case pairs  // pairs of bf16, multiplied natively with pairs in the input
}

/// A zero-padded input image `[height, width, channels]` of a convolution, with `activation(x * factor + offset)`
/// applied on the way.
public struct PaddedPicture {
  public var input: UnsafePointer<Float>
  public var height, width, channels: Int
  /// Rows of zeros above, and columns of zeros on the left and right.
  public var top, left, right: Int
  /// `[channels]` each; nil: values are unchanged.
  public var factor, offset: UnsafePointer<Float>?
  public var activation: Activation

  public init(
    input: UnsafePointer<Float>, height: Int, width: Int, channels: Int, top: Int, left: Int, right: Int,
    factor: UnsafePointer<Float>?, offset: UnsafePointer<Float>?, activation: Activation
  ) {
    (self.input, self.height, self.width, self.channels) = (input, height, width, channels)
    (self.top, self.left, self.right) = (top, left, right)
    (self.factor, self.offset, self.activation) = (factor, offset, activation)
  }

  public var paddedWidth: Int { left + width + right }
}

/// The output of a product: `activation(sum + bias + residual)`.
public struct Destination {
  public var output: UnsafeMutablePointer<Float>  // [pixels, channels]
  public var channels: Int
  public var bias: UnsafePointer<Float>  // [channels], zero-padded to whole vectors
  public var residual: UnsafePointer<Float>?  // same layout as the output
  public var activation: Activation

  public init(
    output: UnsafeMutablePointer<Float>, channels: Int, bias: UnsafePointer<Float>, residual: UnsafePointer<Float>?,
    activation: Activation
  ) {
    (self.output, self.channels, self.bias) = (output, channels, bias)
    (self.residual, self.activation) = (residual, activation)
  }
}

/// A direct convolution over a padded image, or a matrix product (one kernel row of `cin` values for each pixel). All
/// counts are in elements of the input: values, or pairs of bf16.
public struct Convolution {
  public var input: UnsafeRawPointer
  public var kernelRows: Int
  public var rowLength: Int  // kernel width * cin
  public var inputRow: Int  // from one row of the padded input to the next
  public var pixelStep: Int  // from one output pixel's input to the next one's: stride * cin
  public var rowStep: Int  // the same for output rows: stride * inputRow
  public var outputWidth: Int
  public var weights: UnsafeRawPointer  // [block][kernelRows * rowLength][block width]
  public var format: WeightFormat

  public init(
    input: UnsafeRawPointer, kernelRows: Int, rowLength: Int, inputRow: Int, pixelStep: Int, rowStep: Int,
    outputWidth: Int, weights: UnsafeRawPointer, format: WeightFormat
  ) {
    (self.input, self.kernelRows, self.rowLength, self.inputRow) = (input, kernelRows, rowLength, inputRow)
    (self.pixelStep, self.rowStep, self.outputWidth) = (pixelStep, rowStep, outputWidth)
    (self.weights, self.format) = (weights, format)
  }
}

/// A 3 x 3 convolution of stride 1 by Winograd's method F(m x m, 3 x 3) (Lavin and Gray, arXiv 1509.09308) with m 2 or
/// 4, computed for some rows of tiles at a time.
public struct Winograd {
  public var m: Int
  public var picture: PaddedPicture  // padded by one pixel on every side
  public var weights: UnsafeRawPointer  // [block][(m + 2)^2][cin][block width]
  public var format: WeightFormat  // single or half

  public init(m: Int, picture: PaddedPicture, weights: UnsafeRawPointer, format: WeightFormat) {
    (self.m, self.picture, self.weights, self.format) = (m, picture, weights, format)
  }

  /// Tiles in a row, and rows of tiles.
  public var columns: Int { (picture.width + m - 1) / m }
  public var rows: Int { (picture.height + m - 1) / m }
  public var positions: Int { (m + 2) * (m + 2) }
}

/// How samples are stored in a row. Offsets are in bytes, or in samples for `packed10`.
public enum SampleStorage: UInt8, Sendable {
  case byte
  case low10  // the low 10 bits of two bytes, little endian
  case high10  // the high 10 bits of two bytes, little endian
  case packed10  // three samples of 10 bits in four bytes, little endian, the first in the lowest bits (v210)
}

/// A provider of matrix products with packed weights: the kernels of an instruction set, or a library.
public protocol Products: Sendable {
  /// Half the width of a block of packed weights. The last block has this width if that suffices.
  static var lanes: Int { get }
  /// Whether it supports weights stored as halves.
  static var hasHalves: Bool { get }

  /// Computes one channel block of some output pixels, which are counted row by row.
  static func convolve(_ convolution: Convolution, pixels: Range<Int>, block: Int, to: Destination)

  /// Computes one channel block of some rows of tiles. `input`: from `KernelSet.winogradInput`. `scratch`: `[(m +
  /// 2)^2][tiles][block width]` and 40 vectors.
  static func winogradOutput(
    _ winograd: Winograd, _ input: UnsafePointer<Float>, rows: Range<Int>, block: Int,
    scratch: UnsafeMutablePointer<Float>, to: Destination)
}

/// The kernels of one instruction set. `lanes` is the number of floats in a vector.
public protocol KernelSet: Products {
  /// Its name in `SYNCDIFF_ISA`.
  static var name: String { get }
  /// Whether it supports weights as pairs of bf16.
  static var hasPairs: Bool { get }

  /// Writes rows of the padded image (row 0 is the first padding row): as floats or, if `paired`, as bf16 with the
  /// number of channels rounded up to even.
  static func pad(_ picture: PaddedPicture, rows: Range<Int>, paired: Bool, _ output: UnsafeMutableRawPointer)

  /// Applies residual and activation to sums computed elsewhere, bias included, which are `step` floats apart.
  static func finishRows(
    _ sums: UnsafePointer<Float>, step: Int, pixels: Range<Int>, channels: Range<Int>, to: Destination)

  /// Transforms back the products of some channels, `[(m + 2)^2][tiles][width]`, without bias, and applies bias,
  /// residual and activation. 40 vectors of scratch follow the products.
  static func winogradOutput(
    _ winograd: Winograd, products: UnsafeMutablePointer<Float>, rows: Range<Int>, channels: Range<Int>, width: Int,
    to: Destination)

  /// Depthwise convolution. weights `[taps, channels]`; `rowLength` is kernel width * channels.
  static func convolveDepthwise(
    _ convolution: Convolution, weights: UnsafePointer<Float>, pixels: Range<Int>, to: Destination)

  /// Transforms the input of some rows of tiles to `[(m + 2)^2][tiles][cin]`, where the rows start at tile `first`.
  /// scratch: 40 vectors and m + 2 padded rows.
  static func winogradInput(
    _ winograd: Winograd, rows: Range<Int>, first: Int, tiles: Int, scratch: UnsafeMutablePointer<Float>,
    _ output: UnsafeMutablePointer<Float>)

  /// For each channel of `[rows, width]`, the sums over the rows of x - x0 and (x - x0)^2, where x0 is the value in the
  /// first row.
  static func sumDeviations(
    _ x: UnsafePointer<Float>, rows: Int, width: Int, channels: Range<Int>, sums: UnsafeMutablePointer<Float>,
    squares: UnsafeMutablePointer<Float>)

  /// Normalises each row of `[rows, width]` to mean 0 and standard deviation 1, then applies weight and bias, both
  /// `[width]` or nil.
  static func normaliseRows(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, rows: Int, width: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// Scaled dot-product attention of one head: q `[T, width]`, k, v `[S, width]`, output `[T, outputWidth]`. The
  /// pointers address the first of the head's `depth` channels. scratch: (depth + 4) * S rounded up to whole vectors.
  static func attend(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, queries: Range<Int>, keys: Int,
    width: Int, depth: Int, scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>,
    outputWidth: Int)

  /// The same, locally over a stream: query i attends to the `span` rows of k and v `[T - 1 + span, width]` from row i
  /// on. `near` and `carry`, `[span, outputWidth]`, hold a relative-position embedding for each of these rows, added to
  /// its key and to its value. q has the width of k. scratch: span rounded up to whole vectors.
  static func attendAround(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, near: UnsafePointer<Float>,
    carry: UnsafePointer<Float>, queries: Int, span: Int, width: Int, depth: Int,
    scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, outputWidth: Int)

  static func activate(
    _ x: UnsafePointer<Float>, _ activation: Activation, count: Int, _ output: UnsafeMutablePointer<Float>)

  static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int, _ output: UnsafeMutablePointer<Float>)

  /// Max pooling over 2 x 2 of two rows `[2 columns, channels]`: output `[columns, channels]`.
  static func maxPool(
    _ above: UnsafePointer<Float>, _ below: UnsafePointer<Float>, columns: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// x `[rows, channels]`, slope `[channels]`.
  static func prelu(
    _ x: UnsafePointer<Float>, slope: UnsafePointer<Float>, rows: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// Samples a plane along a line, with bilinear interpolation: writes `count` levels to every fourth float of `out`,
  /// the first at (x, y), each (dx, dy) after the previous one. Positions outside are clamped to the edge.
  ///
  /// Sample (x, y) of the plane is at `offset + x * step` in the row that begins at byte `y * stride`. The plane has
  /// `width` x `height` samples, at most 32768 each.
  static func sampleLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, offset: Int, step: Int, width: Int, height: Int,
    x: Float, y: Float, dx: Float, dy: Float, count: Int, _ out: UnsafeMutablePointer<Float>
  )

  /// Adds the levels of the samples `columns[i] >> shift` of a row to every fourth float of `out`.
  static func gatherLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, columns: UnsafePointer<Int32>,
    shift: Int32,
    count: Int, _ out: UnsafeMutablePointer<Float>
  )

  /// Samples a square picture along a line with cubic interpolation: writes `count` levels to `out`, the first at (x,
  /// y), each (dx, dy) after the previous one; up to 7 more are written. Groups of eight whose `alpha` are all 0 are
  /// skipped.
  ///
  /// `source` has rows of `side + 3` floats with the border replicated, one pixel before and two after, so that
  /// interpolation needs no bounds checks. Each level is the mean over the offsets `points`.
  static func windowLine(
    _ source: UnsafePointer<Float>, side: Int, x: Float, y: Float, dx: Float, dy: Float,
    points: UnsafePointer<SIMD2<Float>>, pointCount: Int, count: Int, alpha: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>
  )

  /// Blends `colors[i]`, clamped to `low ... high`, into samples `first ..< first + count` of a row with opacity
  /// `alpha[i]` (0 ... 1). Samples with opacity 0 keep all their bits.
  static func paintLine(
    _ row: UnsafeMutableRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    colors: UnsafePointer<Float>, low: Float, high: Float, alpha: UnsafePointer<Float>
  )

  /// Copies samples `first ..< first + count` of a row to a planar row of bytes, or of `low10` for 10 bits. The first
  /// sample is replicated once before them, the last one twice after them.
  static func unpackLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    _ out: UnsafeMutableRawPointer)

  /// Writes `count` linearly changing displacements of one row of a warp: (u, v), then each (du, dv) more; and `kind`
  /// for each. Up to 7 more are read and written back unchanged.
  static func spanLine(
    u: Float, v: Float, du: Float, dv: Float, kind: Int32, count: Int, _ across: UnsafeMutablePointer<Float>,
    _ down: UnsafeMutablePointer<Float>, _ kinds: UnsafeMutablePointer<Int32>)

  /// Finds the samples to be written: `out` is 1 where a displacement, times (scaleX, scaleY), is longer than 1/64 or
  /// `alpha` is above 0, else 0. `own` is the same, except for 0 where `alpha` is 1, which hides the warped frame. Up
  /// to 7 more are written. Returns whether any is 1.
  static func movedLine(
    _ across: UnsafePointer<Float>, _ down: UnsafePointer<Float>, scaleX: Float, scaleY: Float,
    alpha: UnsafePointer<Float>, count: Int, own: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) -> Bool

  /// Adds `weight` times the levels of a planar picture at `count` displaced positions to `out`: position i is (x + i,
  /// y) plus its displacement. Groups of eight whose `alpha` are all 0 are skipped; up to 7 more are read and written.
  ///
  /// Interpolation is cubic over 4 x 4 samples (Keys, a = -1), limited to the least and greatest of these. Each row of
  /// the picture is replicated by one sample before and two after, and so is each column. Positions outside are clamped
  /// to the edge.
  ///
  /// A kind other than 0 is the index of a footprint (xx, yx, xy, yy), shifted left by 3, plus n: the level is then the
  /// mean of n x n positions in the parallelogram with sides (xx, yx) and (xy, yy) around the position.
  static func warpLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, width: Int, height: Int, x: Float, y: Float,
    across: UnsafePointer<Float>, down: UnsafePointer<Float>, kinds: UnsafePointer<Int32>,
    footprints: UnsafePointer<SIMD4<Float>>, alpha: UnsafePointer<Float>, weight: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Blends `other[i] + offset` into `out[i]` with opacity `alpha[i]` (0 ... 1). The sum is clamped to `low ... high`,
  /// or to `other[i]` where that lies outside. Up to 7 more are read and written.
  static func mixLine(
    _ other: UnsafePointer<Float>, offset: Float, low: Float, high: Float, alpha: UnsafePointer<Float>, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Adds the levels of a planar row to `out`, clamped in the same way; up to 7 more.
  static func addLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, low: Float, high: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Lowers `out` to the squared distances of the positions (x + i, y) from the line segment between (fromX, fromY) and
  /// (toX, toY), where these are smaller. Up to 7 more are read and written.
  static func nearestLine(
    x: Float, y: Float, fromX: Float, fromY: Float, toX: Float, toY: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Turns squared distances from an outline into a mask: 0 outside, rising smoothly to 1 within `radius`. Inside is
  /// where the prefix sum of the windings is not 0. Up to 7 more are read and written.
  static func featherLine(
    _ windings: UnsafePointer<Int32>, radius: Float, count: Int, _ out: UnsafeMutablePointer<Float>)
}
