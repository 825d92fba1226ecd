// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A face with its mouth moved: the frame's own pixels, warped, and over them the mouth of other frames of the same face
// (twin of `warped` and `with_exemplar` in Sources/Training/data/warp.py).

/// A mouth copied from a frame, with the skin around it.
public struct SeenMouth: Sendable {
  /// Outer eye distances kept around the skin, and around the lips where there is no room for skin.
  private static let (aroundSkin, aroundLips): (Float, Float) = (0.05, 0.15)

  package let patch: Patch
  let source: [SIMD2<Float>]  // the mesh, inset
  let skin: [SIMD3<Float>?]  // `Skin.levels`

  /// nil if it lies outside the frame, or would take more than `most` bytes without skin. `unit`: outer eye distance, px.
  public init?(_ frame: FrameView, _ mesh: RingedMesh, unit: Float, most: Int = .max) {
    let skin = Region(around: mesh.mouth + Skin.outline.map { mesh.points[$0] }, reach: Self.aroundSkin * unit)
    let lips = Region(around: mesh.mouth, reach: Self.aroundLips * unit)
    guard let skin, let lips, let patch = Patch(frame, skin, most: most) ?? Patch(frame, lips, most: most) else {
      return nil
    }
    self.init(patch, mesh.inset(unit: unit).points)
  }

  /// A stored mouth, converted to the format of `frame`; nil if it has no pixels, or would take more than `most` bytes.
  public init?(_ mouth: StoredMouth, like frame: FrameView, most: Int = .max) {
    guard let patch = Patch(mouth.picture, like: frame, most: most) else { return nil }
    self.init(patch, mouth.mesh)
  }

  private init(_ patch: Patch, _ source: [SIMD2<Float>]) {
    (self.patch, self.source, skin) = (patch, source, Skin.levels(patch, source))
  }

  /// The mouth in a format that can be stored.
  public var stored: StoredMouth {
    let origin = SIMD2(Float(patch.region.x), Float(patch.region.y))
    return StoredMouth(picture: patch.picture, mesh: source.map { $0 - origin })
  }

  /// Its size in memory.
  public var bytes: Int {
    patch.bytes + source.count * MemoryLayout<SIMD2<Float>>.stride + skin.count * MemoryLayout<SIMD3<Float>?>.stride
  }
}

/// A mouth independent of any stream's pixel format.
public struct StoredMouth: Equatable, Sendable {
  /// The lips and their surroundings.
  public let picture: Picture
  /// The face's inset mesh: 540 points, px of the picture.
  public let mesh: [SIMD2<Float>]

  public init(picture: Picture, mesh: [SIMD2<Float>]) { (self.picture, self.mesh) = (picture, mesh) }
}

/// A face in a frame, and the target positions of its mesh.
public struct MovedFace {
  private static let feather: Float = 0.12  // outer eye distances, soft border of another frame's mouth
  private static let still: Float = 1 / 64  // px: smaller motions are ignored

  private let warp: Warp
  private let source: [SIMD2<Float>]
  private let unit: Float
  private let lips: SoftMask

  /// nil if its points are not finite or far outside. Hidden parts of the face do not move. The patch includes all that
  /// `window` shows for `alignment`. `unit`: outer eye distance, px.
  public init?(
    _ before: RingedMesh, to after: RingedMesh, triangles: [SIMD3<Int32>], unit: Float, _ window: FaceWindow,
    at alignment: Similarity
  ) {
    let side = Double(window.side - 1)
    let whole = window.transform(alignment)
    let shown = [(0.0, 0.0), (side, 0.0), (0.0, side), (side, side)].map { SIMD2<Float>(whole.inverse($0.0, $0.1)) }
    let source = before.inset(unit: unit).points
    let visible = triangles.filter { before.shows($0) }
    let isMoved = zip(source, after.points).map { from, to in
      let way = to - from
      return (way * way).sum() > Self.still * Self.still
    }
    let moved = visible.lazy.filter { triangle in (0..<3).contains { isMoved[Int(triangle[$0])] } }
    let places = moved.flatMap { triangle in (0..<3).map { after.points[Int(triangle[$0])] } }
    let outline = Skin.outline.map { after.points[$0] }
    guard let region = Region(around: places + after.mouth + outline + shown, reach: 1) else { return nil }
    warp = Warp(from: source, to: after.points, triangles: visible, in: region)
    // The mask rises inwards from its outline, so the outline is extended by half the feather beyond the enlarged lips.
    let mouth = after.mouth
    let middle = mouth.reduce(.zero, +) / Float(mouth.count)
    let feather = Self.feather * unit
    let grown = mouth.map { corner in
      let spoke = corner - middle
      return corner + feather / 2 / max((spoke * spoke).sum().squareRoot(), 1e-3) * spoke
    }
    lips = SoftMask(grown, feather: feather, in: region)
    (self.source, self.unit) = (source, unit)
  }

  /// The frame with the face moved and the mouths blended in by weight, with the skin around them where it is like the
  /// frame's own; nil if it lies outside the frame.
  public func patch(of frame: FrameView, _ mouths: [(mouth: SeenMouth, share: Float)]) -> Patch? {
    guard let composition = Composition(frame, warp) else { return nil }
    let own = Skin.levels(composition.own, source)
    var gates = [Float](repeating: 0, count: Skin.points.count)
    let exemplars = mouths.filter { $0.mouth.patch.view.kind == composition.own.view.kind }.map { mouth, share in
      let (offset, some) = Skin.compare(own, mouth.skin, range: composition.range)
      gates = zip(gates, some).map { $0 + share * $1 }
      return Exemplar(mouth.patch, source: mouth.source, weight: share, offset: offset)
    }
    guard gates.contains(where: { $0 > 0 }) else { return composition.patch(mixing: exemplars, under: lips) }
    let (outline, points) = (Skin.outline.map { warp.destination[$0] }, Skin.points.map { warp.destination[$0] })
    let skin = SoftMask(outline, feather: Skin.feather * unit, in: warp.region)
    let shown = Spread(gates, at: points, cell: Skin.cell * unit, over: skin.region)
    return composition.patch(mixing: exemplars, under: lips.joined(skin, times: shown))
  }
}

extension Region {
  /// The pixels within `reach` of the points; nil if there are none, or one is NaN or more than 65536 px away.
  fileprivate init?(around points: [SIMD2<Float>], reach: Float) {
    guard let first = points.first, reach.isFinite, points.allSatisfy(\.isNear) else { return nil }
    let (low, high) = points.reduce((first, first)) { (pointwiseMin($0.0, $1), pointwiseMax($0.1, $1)) }
    self.init(from: low, to: high, reach: reach)
  }
}
