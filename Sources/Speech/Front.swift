// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The audio encoder's front end: log-mel rows to features, one every 20 ms. It is the first layers of Whisper-tiny's
// encoder (Radford et al., arXiv 2212.04356), fine-tuned for streaming (twin of `CausalLayer` and `Front` in
// Sources/Training/networks/audio.py). A stream has no edges: before and after its audio there is digital silence, so
// every feature is computed alike.

import Tensors

/// Transformer layer over a stream of rows `[T, C]` with local attention: each row attends to itself, the `before` rows
/// before it and the `after` rows after it. Positions are relative (Shaw et al., arXiv 1803.02155): `near` is added to
/// the keys, `carry` to the values.
package struct CausalLayer: Sendable {
  package static let before = 50

  package let after: Int
  let width: Int
  private let layer: AudioLayer
  private let near: Tensor  // [before + 1 + after, C]
  private let carry: Tensor

  /// `near` and `carry` are `[heads, before + 1 + after, C / heads]` in the file; their shapes determine the layer's
  /// sizes.
  init(_ w: Weights, _ name: String, heads: ClosedRange<Int>, head: ClosedRange<Int>) {
    let near = w.take("\(name).near", within: [heads, Self.before + 1...Self.before + 26, head])
    let (heads, span, head) = (near.shape[0], near.shape[1], near.shape[2])
    (after, width) = (span - Self.before - 1, heads * head)
    self.near = Self.sideBySide(near)
    carry = Self.sideBySide(w.take("\(name).carry", near.shape))
    layer = AudioLayer(
      w, name, width: heads * head, heads: heads, rows: 2, expansion: 4, activation: .erfGELU, streamed: true)
  }

  var heads: Int { layer.heads }

  /// Queries, keys and values of rows, `[T, 3C]`.
  package func queriesKeysValues(_ x: Tensor) -> Tensor { layer.queriesKeysValues(x) }

  /// The layer's outputs for the rows `range` of the stream. `x`: those rows. `qkv`: the queries, keys and values of
  /// at least all rows in reach.
  package func callAsFunction(_ x: Tensor, at range: Range<Int>, qkv: RowHistory) -> Tensor {
    layer.output(
      attention(qkv: qkv, queries: range, before: Self.before, near: near, carry: carry, heads: heads), adding: x)
  }

  /// `[heads, T, D]` -> `[T, heads * D]`.
  private static func sideBySide(_ x: Tensor) -> Tensor {
    let (heads, count, depth) = (x.shape[0], x.shape[1], x.shape[2])
    return Tensor([count, heads * depth]) { output in
      for i in 0..<heads * count * depth {
        let (head, row, channel) = (i / (count * depth), i / depth % count, i % depth)
        output[(row * heads + head) * depth + channel] = x.values[i]
      }
    }
  }
}

/// Rows of `LogMel` `[R, 80]` -> features `[R / 2, C]`, normalised to mean 0 and standard deviation 1 over speech. The
/// convolutions of feature k see the rows 2 k - 2 ... 2 k + 2; its layers attend to other features.
public struct Front: Sendable {
  private let conv1: Conv2d
  private let conv2: Conv2d
  private let place: Tensor
  package let layers: [CausalLayer]
  private let mean: Tensor
  private let deviation: Tensor
  /// C.
  public let width: Int

  public init(_ w: Weights, _ name: String) {
    let first = CausalLayer(w, "\(name).layers.0", heads: 1...16, head: 8...64)
    let (heads, width) = (first.heads, first.width)
    let head = width / heads
    layers = [first, CausalLayer(w, "\(name).layers.1", heads: heads...heads, head: head...head)]
    func convolution(_ part: String, _ inputs: Int, stride: Int) -> Conv2d {
      Conv2d(
        weight: w.take("\(name).\(part).weight", [width, inputs, 3]).reshaped([width, inputs, 3, 1]),
        bias: w.take("\(name).\(part).bias", [width]), stride: stride, padding: (0, 0, 0, 0),
        streamed: true)
    }
    conv1 = convolution("conv1", LogMel.bands, stride: 1)
    conv2 = convolution("conv2", width, stride: 2)
    place = w.take("\(name).place", [width])
    mean = w.take("\(name).mean", [width])
    deviation = w.take("\(name).deviation", [width])
    self.width = width
  }

  /// How many features after its own a feature depends on.
  var after: Int { layers.reduce(0) { $0 + $1.after } }
  /// How many features before its own a feature depends on.
  var before: Int { layers.count * CausalLayer.before }

  /// `[T, 80]` -> `[T - 2, C]`.
  package func convolved1(_ rows: Tensor) -> Tensor {
    conv1(rows.reshaped([rows.shape[0], 1, LogMel.bands]), activation: .erfGELU).tokens
  }

  /// `[2 T + 1, C]` -> `[T, C]`.
  package func convolved2(_ x: Tensor) -> Tensor {
    conv2(x.reshaped([x.shape[0], 1, width]), activation: .erfGELU).tokens.map { $1 + place.values[$0 % width] }
  }

  func normalised(_ x: Tensor) -> Tensor {
    x.map { ($1 - mean.values[$0 % width]) / deviation.values[$0 % width] }
  }

  /// The feature of an infinite digital silence, `[1, C]`.
  var silence: Tensor {
    let row = LogMel.row(LogMel.silence, loudest: LogMel.faintest)
    var x = convolved2(convolved1(Tensor([5, LogMel.bands], [[Float]](repeating: row, count: 5).joined())))
    for layer in layers {
      let qkv = Array(layer.queriesKeysValues(x).values)
      var all = RowHistory(width: qkv.count)
      for _ in 0...CausalLayer.before + layer.after { all.append(qkv) }
      x = layer(x, at: CausalLayer.before..<CausalLayer.before + 1, qkv: all)
    }
    return normalised(x)
  }
}

/// The features of one stream, each computed once, on first demand, together with everything it depends on, and kept
/// while its audio does not change. Feature k needs the rows up to 2 k + 2 + 2 `after`.
struct FeatureStream: Sendable {
  let front: Front
  private var loudest = RowHistory(width: 1)  // the loudest band of each row
  private var rows = RowHistory(width: LogMel.bands)
  private var conv1: RowHistory
  private var layers: [(inputs: RowHistory, qkv: RowHistory)]
  private var features: RowHistory

  init(_ front: Front) {
    self.front = front
    (conv1, features) = (RowHistory(width: front.width), RowHistory(width: front.width))
    layers = front.layers.map { _ in (RowHistory(width: front.width), RowHistory(width: 3 * front.width)) }
    restart(at: 0)
  }

  /// Prepares for a request of these features. Returns the first sample that computing them needs.
  mutating func prepare(for wanted: Range<Int>) -> Int64 {
    if wanted.lowerBound < features.first || wanted.lowerBound - front.before >= layers[0].inputs.end {
      restart(at: wanted.lowerBound)
    }
    return Int64(loudest.end * Filterbank.step)
  }

  /// The features `wanted`, `[wanted.count, C]`, from audio that continues at the sample `prepare` returned. Features
  /// that depend on samples from `limit` on are unknown and 0, which is their mean.
  mutating func read(_ wanted: Range<Int>, of sound: Excerpt, until limit: Int64) -> Tensor {
    let end = features(of: Filterbank.rows(endingBy: limit))
    let known = wanted.lowerBound..<min(max(wanted.lowerBound, end), wanted.upperBound)
    if known.upperBound > features.end { extend(to: known.upperBound, sound) }
    let values = features.rows(known)
    if wanted.lowerBound - features.first >= Self.spare { forget(before: wanted.lowerBound) }
    guard known != wanted else { return values }
    let padded = values.values + [Float](repeating: 0, count: (wanted.count - known.count) * front.width)
    return Tensor([wanted.count, front.width], padded)
  }

  /// The end of the features that rows before `rows` suffice for.
  private func features(of rows: Int) -> Int { (rows - 1) >> 1 - front.after }

  /// Discards everything that depends on audio from `sample` on.
  mutating func cut(to sample: Int64) {
    let known = Filterbank.rows(endingBy: sample)
    guard known < loudest.end else { return }
    var end = (known - 1) >> 1
    guard end - front.after >= features.first else { return restart(at: features.first) }
    loudest.cut(to: known)
    rows.cut(to: known)
    conv1.cut(to: known - 1)
    for (i, layer) in front.layers.enumerated() {
      layers[i].inputs.cut(to: end)
      layers[i].qkv.cut(to: end)
      end -= layer.after
    }
    features.cut(to: end)
  }

  /// Features are discarded in batches of this size.
  private static let spare = 64

  private mutating func extend(to end: Int, _ sound: Excerpt) {
    let inputs = end + front.after
    for row in loudest.end...2 * inputs {
      let levels = sound.row(row).map(LogMel.levels) ?? LogMel.silence
      loudest.append(CollectionOfOne(levels.max() ?? 0))
      guard row == rows.end else { continue }
      let most = loudest.rows(row - LogMel.memory..<row + 1).values.max() ?? 0
      rows.append(LogMel.row(levels, loudest: most))
    }
    conv1.append(front.convolved1(rows.rows(conv1.end - 1..<2 * inputs + 1)).values)
    var x = front.convolved2(conv1.rows(2 * layers[0].inputs.end - 1..<2 * inputs))
    for (i, layer) in front.layers.enumerated() {
      layers[i].inputs.append(x.values)
      layers[i].qkv.append(layer.queriesKeysValues(x).values)
      let made = (i + 1 < layers.count ? layers[i + 1].inputs.end : features.end)..<layers[i].inputs.end - layer.after
      x = layer(layers[i].inputs.rows(made), at: made, qkv: layers[i].qkv)
    }
    features.append(front.normalised(x).values)
  }

  /// Makes `feature` the next one, with no history.
  private mutating func restart(at feature: Int) { forEachHistory(from: feature) { $0.restart(at: $1) } }

  /// Discards all that the features from `feature` on do not need, even when they have to be recomputed.
  private mutating func forget(before feature: Int) { forEachHistory(from: feature) { $0.forget(before: $1) } }

  /// Calls `body` with each history and the first index in it that `feature` needs.
  private mutating func forEachHistory(from feature: Int, _ body: (inout RowHistory, Int) -> Void) {
    var first = feature - front.before
    body(&loudest, 2 * first - 2 - LogMel.memory)
    body(&rows, 2 * first - 2)
    body(&conv1, 2 * first - 1)
    for i in layers.indices {
      body(&layers[i].inputs, first)
      body(&layers[i].qkv, first)
      first += CausalLayer.before
    }
    body(&features, feature)
  }
}
