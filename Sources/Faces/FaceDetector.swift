// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The face detector: BlazeFace, short range (Bazarevsky et al., arXiv 1907.05047), with MediaPipe's preprocessing,
// anchors and non-maximum suppression. The network detects faces that fill at least about a sixth of its input, so
// after the whole frame it searches overlapping tiles down to a sixth of the frame's longer side, which finds faces of
// 60 px in a 1920 x 1080 frame.

import Glibc
import Tensors

/// A detected face, in frame px; integer coordinates are pixel centres.
public struct Detection: Equatable, Sendable {
  public var x, y, width, height: Float
  /// The person's eyes (right, left), nose tip, mouth, ears (right, left).
  public var keypoints: [SIMD2<Float>]
  public var score: Float

  var box: Box { Box(x: x, y: y, width: width, height: height) }

  func overlap(_ other: Detection) -> Float { box.overlap(other.box) }
}

public struct FaceDetector: Sendable {
  private static let side = 128  // px, the network's input
  private static let threshold: Float = 0.5  // minimum score
  static let sameFace: Float = 0.3  // IoU above which two boxes are the same face

  private let input: Conv2d
  private let blocks: [MobileBlock]
  private let scores1, scores2, boxes1, boxes2: Conv2d
  private let anchors: [SIMD2<Float>]

  /// Weights `faces.detector.*`.
  public init(_ w: Weights) {
    let name = "faces.detector"
    let channels = [24, 24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88, 96, 96, 96, 96, 96]
    input = Conv2d(w, "\(name).input", 3, 24, kernel: 5, stride: 2, same: 3)
    blocks = (1...16).map {
      MobileBlock(
        w, "\(name).block\($0)", channels[$0 - 1], channels[$0], stride: [3, 6, 12].contains($0) ? 2 : 1, slopes: false)
    }
    scores1 = Conv2d(w, "\(name).scores1", 88, 2, kernel: 1, same: 0)
    scores2 = Conv2d(w, "\(name).scores2", 96, 6, kernel: 1, same: 0)
    boxes1 = Conv2d(w, "\(name).boxes1", 88, 32, kernel: 1, same: 0)
    boxes2 = Conv2d(w, "\(name).boxes2", 96, 96, kernel: 1, same: 0)
    // The centres of 16 x 16 cells with two boxes each, and of 8 x 8 cells with six boxes each.
    anchors = [(16, 2), (8, 6)].flatMap { (cells: Int, boxes: Int) in
      (0..<cells * cells * boxes).map { i in
        SIMD2(Float(i / boxes % cells) + 0.5, Float(i / boxes / cells) + 0.5) / Float(cells)
      }
    }
  }

  /// Image `[128, 128, 3]` in -1 ... 1 -> `[896, 16]` box and keypoints relative to each anchor, in px, and `[896]`
  /// scores before the sigmoid.
  package func network(_ picture: Tensor) -> (boxes: Tensor, scores: Tensor) {
    var x = input(picture, activation: .relu)
    for block in blocks[..<11] { x = block(x) }
    let fine = x
    for block in blocks[11...] { x = block(x) }
    return (
      Tensor([896, 16], Array(boxes1(fine).values) + Array(boxes2(x).values)),
      Tensor([896], Array(scores1(fine).values) + Array(scores2(x).values))
    )
  }

  /// Searches the whole frame, then tiles of a third and of a sixth of its longer side, until `accept` returns a result
  /// for what one size of tiles found (best first, duplicates merged).
  func search<Found>(_ frame: FrameView, accept: ([Detection]) -> Found?) -> Found? {
    let tiles = Self.tiles(frame.width, frame.height)
    for side in Self.sides(frame.width, frame.height) {
      let seen = tiles.filter { $0.side == side }.flatMap { detections(frame, $0) }
      if let found = accept(Self.merged(seen)) { return found }
    }
    return nil
  }

  /// Searches the whole frame and three of the tiles, different ones for every `turn`, so that a number of turns covers
  /// all of them.
  func glance<Found>(_ frame: FrameView, turn: Int, accept: ([Detection]) -> Found?) -> Found? {
    let tiles = Self.tiles(frame.width, frame.height)
    let first = 1 + 3 * (turn % max((tiles.count + 1) / 3, 1))
    return accept(Self.merged((tiles[..<1] + tiles[first...].prefix(3)).flatMap { detections(frame, $0) }))
  }

  /// Tile sizes, px: the whole frame, a third and a sixth of its longer side.
  private static func sides(_ width: Int, _ height: Int) -> [Double] {
    let longer = Double(max(width, height))
    return [longer] + [longer / 3, longer / 6].filter { $0 >= Double(side) }
  }

  /// A square of a frame, px.
  struct Tile: Equatable {
    let x, y, side: Double
  }

  /// All tiles of a frame of this size, the whole frame first.
  static func tiles(_ width: Int, _ height: Int) -> [Tile] {
    sides(width, height).flatMap { side in
      starts(height, side).flatMap { y in starts(width, side).map { x in Tile(x: x, y: y, side: side) } }
    }
  }

  /// The detections in one tile, duplicates merged.
  func look(_ frame: FrameView, _ tile: Tile) -> [Detection] { Self.merged(detections(frame, tile)) }

  /// The detections in the square around `box` that is three times as wide.
  func look(_ frame: FrameView, around box: Box) -> [Detection] {
    let (side, middle) = (3 * Double(max(box.width, box.height)), SIMD2<Double>(box.middle))
    return look(frame, Tile(x: middle.x - side / 2, y: middle.y - side / 2, side: side))
  }

  /// The start positions of tiles of `side` along `length` pixels: overlapping by at least a third, or centred if one
  /// is enough.
  private static func starts(_ length: Int, _ side: Double) -> [Double] {
    let rest = Double(length) - side
    guard rest > 0 else { return [rest / 2] }
    let count = Int((rest / (side * 2 / 3)).rounded(.up))
    return (0...count).map { rest * Double($0) / Double(count) }
  }

  /// The network's detections in one tile, in frame px.
  private func detections(_ frame: FrameView, _ square: Tile) -> [Detection] {
    let scale = square.side / Double(Self.side)
    let (boxes, scores) = network(tile(frame, x: square.x, y: square.y, scale: scale, side: Self.side))
    let (side, origin, picture) = (Float(square.side), SIMD2(Float(square.x), Float(square.y)), Float(Self.side))
    return anchors.indices.compactMap { i in
      let score = 1 / (1 + expf(-scores.values[i]))
      guard score >= Self.threshold else { return nil }
      let pairs = (0..<8).map { SIMD2(boxes.values[16 * i + 2 * $0], boxes.values[16 * i + 2 * $0 + 1]) / picture }
      let size = pairs[1] * side
      let corner = origin + (anchors[i] + pairs[0]) * side - size / 2
      guard corner.x.isFinite, corner.y.isFinite, size.x > 0, size.y > 0 else { return nil }
      return Detection(
        x: corner.x, y: corner.y, width: size.x, height: size.y,
        keypoints: pairs[2...].map { origin + (anchors[i] + $0) * side }, score: score)
    }
  }

  /// Weighted non-maximum suppression: overlapping boxes become their mean, weighted by score, with the best score.
  static func merged(_ detections: [Detection]) -> [Detection] {
    var rest = detections.sorted { $0.score > $1.score }
    var faces: [Detection] = []
    while !rest.isEmpty {
      let best = rest.removeFirst()
      let same = [best] + rest.filter { $0.overlap(best) > sameFace }
      rest.removeAll { $0.overlap(best) > sameFace }
      let total = same.reduce(0) { $0 + $1.score }
      func mean(_ value: (Detection) -> Float) -> Float { same.reduce(0) { $0 + value($1) * $1.score } / total }
      faces.append(
        Detection(
          x: mean { $0.x }, y: mean { $0.y }, width: mean { $0.width }, height: mean { $0.height },
          keypoints: best.keypoints.indices.map { k in [mean { $0.keypoints[k].x }, mean { $0.keypoints[k].y }] },
          score: best.score))
    }
    return faces
  }
}
