// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the kernels are called with. Sources/Kernels is compiled once for every instruction set; each build is one
// `KernelSet`, and Tensors chooses among them at start. Everything here is plain memory: pointers and counts, nothing
// whose copying would be compiled in some instruction set and shared with the others.

public enum Activation: Sendable {
  case none, relu, silu
  case gelu  // the tanh approximation
  case erfGELU  // x times the normal distribution at x, as PyTorch's is by default
}

/// How weights are kept.
public enum WeightFormat: Sendable {
  case single  // Float
  case half  // IEEE 754 binary16, computed as Float: half the memory to read
  case pairs  // pairs of bf16, multiplied as such with pairs in the input
}

/// A picture `[height, width, channels]` on its way into a convolution: `activation(x * factor + offset)`, zeros around.
public struct PaddedPicture {
  public var input: UnsafePointer<Float>
  public var height, width, channels: Int
  /// Columns of zeros, and rows of zeros above.
  public var top, left, right: Int
  /// `[channels]` each; nil: the values as they are.
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

/// Where a product's channels go: `activation(sum + bias + residual)`.
public struct Destination {
  public var output: UnsafeMutablePointer<Float>  // [pixels, channels]
  public var channels: Int
  public var bias: UnsafePointer<Float>  // [channels], zeros up to whole vectors
  public var residual: UnsafePointer<Float>?  // like the output
  public var activation: Activation

  public init(
    output: UnsafeMutablePointer<Float>, channels: Int, bias: UnsafePointer<Float>, residual: UnsafePointer<Float>?,
    activation: Activation
  ) {
    (self.output, self.channels, self.bias) = (output, channels, bias)
    (self.residual, self.activation) = (residual, activation)
  }
}

/// A direct convolution over a padded picture, or a matrix product (one row of `cin` values a pixel). All counts in
/// elements of the input: values, or pairs of bf16.
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

/// A 3 x 3 convolution of stride 1 by Winograd's method F(m x m, 3 x 3) (Lavin and Gray, arXiv 1509.09308), m 2 or 4,
/// for some rows of tiles at a time.
public struct Winograd {
  public var m: Int
  public var picture: PaddedPicture  // one pixel on every side
  public var weights: UnsafeRawPointer  // [block][(m + 2)^2][cin][block width]
  public var format: WeightFormat  // single or half

  public init(m: Int, picture: PaddedPicture, weights: UnsafeRawPointer, format: WeightFormat) {
    (self.m, self.picture, self.weights, self.format) = (m, picture, weights, format)
  }

  /// Tiles beside and above each other.
  public var columns: Int { (picture.width + m - 1) / m }
  public var rows: Int { (picture.height + m - 1) / m }
  public var positions: Int { (m + 2) * (m + 2) }
}

/// How the samples of a row lie in memory. Their place is counted in bytes, or in samples where they are packed.
public enum SampleStorage: UInt8, Sendable {
  case byte
  case low10  // the low 10 bits of two bytes, little endian
  case high10  // the high 10 bits of two bytes, little endian
  case packed10  // three samples of 10 bits in four bytes, little endian, the first in the lowest bits (v210)
}

/// What multiplies with packed weights: the kernels of an instruction set, or a library.
public protocol Products: Sendable {
  /// Half the width of a block of packed weights; the last block is so wide if that suffices.
  static var lanes: Int { get }
  /// Whether weights can be halves.
  static var hasHalves: Bool { get }

  /// Output pixels, counted row by row, of one block.
  static func convolve(_ convolution: Convolution, pixels: Range<Int>, block: Int, to: Destination)

  /// Some rows of tiles of one block; input as of `KernelSet.winogradInput`. scratch: `[(m + 2)^2][tiles][block width]` and
  /// 40 vectors.
  static func winogradOutput(
    _ winograd: Winograd, _ input: UnsafePointer<Float>, rows: Range<Int>, block: Int,
    scratch: UnsafeMutablePointer<Float>, to: Destination)
}

/// The kernels of one instruction set. `lanes` are the floats in a vector.
public protocol KernelSet: Products {
  /// As `SYNCDIFF_ISA` names it.
  static var name: String { get }
  /// Whether weights can be pairs.
  static var hasPairs: Bool { get }

  /// Rows (counted with those above) of a padded picture: as values or, `paired`, as bf16 with an even number of channels.
  static func pad(_ picture: PaddedPicture, rows: Range<Int>, paired: Bool, _ output: UnsafeMutableRawPointer)

  /// What is left to do with sums of products made elsewhere, bias included, that lie `step` floats apart.
  static func finishRows(
    _ sums: UnsafePointer<Float>, step: Int, pixels: Range<Int>, channels: Range<Int>, to: Destination)

  /// The same with `winogradOutput`'s products of some channels, `[(m + 2)^2][tiles][width]`, without bias; behind them 40
  /// vectors of scratch.
  static func winogradOutput(
    _ winograd: Winograd, products: UnsafeMutablePointer<Float>, rows: Range<Int>, channels: Range<Int>, width: Int,
    to: Destination)

  /// Every channel by itself. weights `[taps, channels]`; `rowLength` is kernel width * channels.
  static func convolveDepthwise(
    _ convolution: Convolution, weights: UnsafePointer<Float>, pixels: Range<Int>, to: Destination)

  /// Transforms some rows of tiles: output `[(m + 2)^2][tiles][cin]`, where the rows start at tile `first`.
  /// scratch: 40 vectors and m + 2 padded rows.
  static func winogradInput(
    _ winograd: Winograd, rows: Range<Int>, first: Int, tiles: Int, scratch: UnsafeMutablePointer<Float>,
    _ output: UnsafeMutablePointer<Float>)

  /// Per channel of `[rows, width]`, the sums of x - x0 and of (x - x0)^2 over the rows, x0 being the first row's.
  static func sumDeviations(
    _ x: UnsafePointer<Float>, rows: Int, width: Int, channels: Range<Int>, sums: UnsafeMutablePointer<Float>,
    squares: UnsafeMutablePointer<Float>)

  /// Each row of `[rows, width]` to mean 0 and deviation 1, then times weight plus bias, both `[width]` or nil.
  static func normaliseRows(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>?, bias: UnsafePointer<Float>?, rows: Int, width: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// Scaled dot-product attention of one head: q `[T, width]`, k, v `[S, width]`, output `[T, outputWidth]`; the head's
  /// own `depth` channels start at the pointers. scratch: (depth + 4) * S rounded up to whole vectors.
  static func attend(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, queries: Range<Int>, keys: Int,
    width: Int, depth: Int, scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>,
    outputWidth: Int)

  /// The same over a stream: query i listens to the `span` rows of k and v `[T - 1 + span, width]` from row i on; to the
  /// n-th of their keys near n is added, to their values carry n, both `[span, outputWidth]`. q has the width of k.
  /// scratch: span rounded up to whole vectors.
  static func attendAround(
    q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>, near: UnsafePointer<Float>,
    carry: UnsafePointer<Float>, queries: Int, span: Int, width: Int, depth: Int,
    scratch: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, outputWidth: Int)

  static func activate(
    _ x: UnsafePointer<Float>, _ activation: Activation, count: Int, _ output: UnsafeMutablePointer<Float>)

  static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int, _ output: UnsafeMutablePointer<Float>)

  /// Largest of each 2 x 2 of two rows `[2 columns, channels]`: output `[columns, channels]`.
  static func maxPool(
    _ above: UnsafePointer<Float>, _ below: UnsafePointer<Float>, columns: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// `[rows, channels]`, slope `[channels]`.
  static func prelu(
    _ x: UnsafePointer<Float>, slope: UnsafePointer<Float>, rows: Int, channels: Int,
    _ output: UnsafeMutablePointer<Float>)

  /// Writes `count` levels into every fourth float of `out`: bilinear between the four nearest samples of places along a
  /// line, the first at (x, y), each (dx, dy) beyond the one before. Beyond the edges the nearest sample counts.
  ///
  /// Sample (x, y) of the plane lies at `offset + x * step` of the row that begins at byte `y * stride`; `width` x `height`
  /// samples, at most 32768 each.
  static func sampleLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, offset: Int, step: Int, width: Int, height: Int,
    x: Float, y: Float, dx: Float, dy: Float, count: Int, _ out: UnsafeMutablePointer<Float>
  )

  /// Adds the levels of samples `columns[i] >> shift` of a row to every fourth float of `out`.
  static func gatherLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, columns: UnsafePointer<Int32>,
    shift: Int32,
    count: Int, _ out: UnsafeMutablePointer<Float>
  )

  /// Writes the window's levels at `count` places along a line, the first at (x, y), each (dx, dy) beyond the one before;
  /// up to 7 more are written. Eight in a row whose shares are all 0 are left out.
  ///
  /// `source` holds rows of `side + 3` floats with the border repeated, one pixel before and two behind, so that
  /// interpolation needs no limits. A level is the mean of those at `points` around the place.
  static func windowLine(
    _ source: UnsafePointer<Float>, side: Int, x: Float, y: Float, dx: Float, dy: Float,
    points: UnsafePointer<SIMD2<Float>>, pointCount: Int, count: Int, shares: UnsafePointer<Float>,
    _ out: UnsafeMutablePointer<Float>
  )

  /// Mixes `shares[i]` (0 ... 1) of `colors[i]`, limited to `low ... high`, into samples `first ..< first + count` of a row.
  /// Samples with a share of 0 keep all their bits.
  static func paintLine(
    _ row: UnsafeMutableRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    colors: UnsafePointer<Float>, low: Float, high: Float, shares: UnsafePointer<Float>
  )

  /// Copies samples `first ..< first + count` of a row to a planar row: bytes, or of 10 bits `low10`. The first
  /// is repeated once before them, the last twice behind.
  static func unpackLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, offset: Int, step: Int, first: Int, count: Int,
    _ out: UnsafeMutableRawPointer)

  /// Writes `count` values of a piece of a warp's row: displacements (u, v), the first, each (du, dv) more than the one
  /// before, and `kind`. Up to 7 more are read and written back.
  static func spanLine(
    u: Float, v: Float, du: Float, dv: Float, kind: Int32, count: Int, _ across: UnsafeMutablePointer<Float>,
    _ down: UnsafeMutablePointer<Float>, _ kinds: UnsafeMutablePointer<Int32>)

  /// Writes 1 to `out` where a displacement, times (scaleX, scaleY), is longer than 1/64 or `alpha` is above 0, else 0; and the same to
  /// `own`, but 0 where `alpha` is 1; up to 7 more. Returns whether there was a 1.
  static func movedLine(
    _ across: UnsafePointer<Float>, _ down: UnsafePointer<Float>, scaleX: Float, scaleY: Float,
    alpha: UnsafePointer<Float>, count: Int, own: UnsafeMutablePointer<Float>, _ out: UnsafeMutablePointer<Float>
  ) -> Bool

  /// Adds `weight` times the levels of a planar picture at `count` displaced places to `out`: place i is (x + i, y) and its
  /// displacement. Eight in a row whose shares are all 0 are left out; up to 7 more are read and written.
  ///
  /// Interpolated by cubics through 4 x 4 samples (Keys, a = -1) and limited to the least and the greatest of these. The
  /// rows of the picture go on for one sample before and two behind, and so do its columns. Beyond it its edges go on.
  ///
  /// Where a kind is not 0 its low 3 bits are n, the rest the number of a footprint, (xx, yx, xy, yy): the level is the mean
  /// of n x n places in the parallelogram of the sides (xx, yx) and (xy, yy) around the place.
  static func warpLine(
    _ plane: UnsafeRawPointer, storage: SampleStorage, stride: Int, width: Int, height: Int, x: Float, y: Float,
    across: UnsafePointer<Float>, down: UnsafePointer<Float>, kinds: UnsafePointer<Int32>,
    footprints: UnsafePointer<SIMD4<Float>>, shares: UnsafePointer<Float>, weight: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Mixes `alpha[i]` (0 ... 1) of `other[i] + offset` into `out[i]`. The sum is limited to `low ... high`, or to the level
  /// that it was if that lies beyond. Up to 7 more are read and written.
  static func mixLine(
    _ other: UnsafePointer<Float>, offset: Float, low: Float, high: Float, alpha: UnsafePointer<Float>, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Adds the levels of a planar row to `out`, limited in the same way; up to 7 more.
  static func addLine(
    _ row: UnsafeRawPointer, storage: SampleStorage, low: Float, high: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Lowers `out` to the squared distances of the places (x + i, y) from the line between (fromX, fromY) and (toX, toY).
  /// Up to 7 more are read and written.
  static func nearestLine(
    x: Float, y: Float, fromX: Float, fromY: Float, toX: Float, toY: Float, count: Int,
    _ out: UnsafeMutablePointer<Float>)

  /// Turns squared distances from an outline into a mask that is 0 outside and rises within `radius` to 1, softly. Inside is
  /// where the sum of the windings up to there is not 0. Up to 7 more are read and written.
  static func featherLine(
    _ windings: UnsafePointer<Int32>, radius: Float, count: Int, _ out: UnsafeMutablePointer<Float>)
}
