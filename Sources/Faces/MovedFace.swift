// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A face with its mouth moved: the frame's own pixels, warped, and over them the mouth of other frames of the same face
// (twin of `warped` and `with_exemplar` in Sources/Training/data/warp.py).

/// A mouth copied from a frame.
public struct SeenMouth: Sendable {
  private static let around: Float = 0.15  // outer eye distances, kept around the lips

  package let patch: Patch
  let source: [SIMD2<Float>]  // the mesh, inset

  /// nil if it lies outside the frame, or would take more than `most` bytes. `unit`: outer eye distance, px.
  public init?(_ frame: FrameView, _ mesh: RingedMesh, unit: Float, most: Int = .max) {
    guard let region = Region(around: mesh.mouth, reach: Self.around * unit),
      let patch = Patch(frame, region, most: most)
    else { return nil }
    (self.patch, source) = (patch, mesh.inset(unit: unit).points)
  }

  /// A stored mouth, converted to the format of `frame`; nil if it has no pixels, or would take more than `most` bytes.
  public init?(_ mouth: StoredMouth, like frame: FrameView, most: Int = .max) {
    guard let patch = Patch(mouth.picture, like: frame, most: most) else { return nil }
    (self.patch, source) = (patch, mouth.mesh)
  }

  /// The mouth in a format that can be stored.
  public var stored: StoredMouth {
    let origin = SIMD2(Float(patch.region.x), Float(patch.region.y))
    return StoredMouth(picture: patch.picture, mesh: source.map { $0 - origin })
  }

  /// Its size in memory.
  public var bytes: Int { patch.bytes + source.count * MemoryLayout<SIMD2<Float>>.stride }
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
  private let mask: SoftMask

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
    guard let region = Region(around: places + after.mouth + shown, reach: 1) else { return nil }
    warp = Warp(from: source, to: after.points, triangles: visible, in: region)
    // The mask rises inwards from its outline, so the outline is extended by half the feather beyond the enlarged lips.
    let outline = after.mouth
    let middle = outline.reduce(.zero, +) / Float(outline.count)
    let feather = Self.feather * unit
    let grown = outline.map { corner in
      let spoke = corner - middle
      return corner + feather / 2 / max((spoke * spoke).sum().squareRoot(), 1e-3) * spoke
    }
    mask = SoftMask(grown, feather: feather, in: region)
  }

  /// The frame with the face moved and the mouths blended in by weight; nil if it lies outside the frame.
  public func patch(of frame: FrameView, _ mouths: [(mouth: SeenMouth, share: Float)]) -> Patch? {
    guard let composition = Composition(frame, warp, mask: mask) else { return nil }
    return composition.patch(
      mixing: mouths.map { mouth, share in
        var exemplar = Exemplar(mouth.patch, source: mouth.source, weight: share)
        exemplar.offset = composition.offset(of: exemplar)
        return exemplar
      })
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
