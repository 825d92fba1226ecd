// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// A face to paint.
public struct Face: Sendable {
  /// Constant while the face is tracked, and never reused.
  public var id: Int
  /// The 468 points of the face mesh: x, y in frame px, depth in the same unit, smaller is nearer.
  public var points: [SIMD3<Float>]
  /// The mesh's confidence that this is a face, 0.5 ... 1.
  public var score: Float
  /// The transform from frame px to template px, smoothed over time.
  public var alignment: Similarity
  /// 0 ... 1, the opacity of its new mouth: rises over three frames after the face is found or selected, and falls over
  /// three after it is lost or another is selected. 1 at once in the first frame of a shot.
  public var opacity: Float
  /// Not seen in this frame: its points and alignment are the last known ones, while its mouth fades out.
  public var isLost: Bool

  public init(
    id: Int = 0, points: [SIMD3<Float>], score: Float, alignment: Similarity, opacity: Float = 1, isLost: Bool = false
  ) {
    (self.id, self.points, self.score, self.alignment) = (id, points, score, alignment)
    (self.opacity, self.isLost) = (opacity, isLost)
  }
}

/// A face in view, selected or not.
public struct TrackedFace: Equatable, Sendable {
  public let id: Int
  public let box: Box
  public let score: Float
  public let isChosen: Bool
  /// Why it is not painted although it was selected; it then does not count as selected.
  public let obstacle: Obstacle?

  package init(id: Int, box: Box, score: Float, isChosen: Bool, obstacle: Obstacle? = nil) {
    (self.id, self.box, self.score, self.isChosen, self.obstacle) = (id, box, score, isChosen, obstacle)
  }

  /// The same face, not painted because of an obstacle.
  package func hidden(by obstacle: Obstacle) -> TrackedFace {
    TrackedFace(id: id, box: box, score: score, isChosen: false, obstacle: obstacle)
  }
}

/// Tracks the faces of a shot.
///
/// Selected faces are tracked by the mesh, which starts from the face's position in the previous frame. For all others
/// only the box is known. The detector refreshes it: every 80 ms it searches one square, alternately around such a face
/// and at the next tile of the frame, so its cost does not grow with the number of faces. The whole frame is searched
/// at once only when no face is in view. Once that has found none, every frame is searched coarsely: as a whole and in
/// three tiles, different ones each time.
public struct FaceTracker: Sendable {
  private static let minimumScore: Float = 0.5  // minimum score of the mesh
  private static let retryInterval = 0.22  // seconds until a region in which nothing was found is searched again
  private static let coarseInterval = 0.038  // seconds between coarse searches
  private static let lookInterval = 0.078  // seconds between searches for other faces
  private static let maximumMisses = 3  // consecutive misses after which an unselected face is gone
  private static let opacityStep: Float = 1 / 3  // step of the opacity for each frame
  private static let maximumFaces = 16  // faces tracked at most
  private static let mergeIoU: Float = 0.6  // IoU above which two tracked faces are the same

  private let detector: FaceDetector
  private let mesh: FaceMesh
  private var tracks: [Track] = []
  private var ids = 0
  private var last: Double?  // seconds, time of the previous frame
  private var searchFrom = -Double.infinity  // seconds
  private var lookFrom = -Double.infinity  // seconds
  private var looks = 0
  private var coarseSearches: Int?  // coarse searches since the full search found nothing

  private struct Track: Sendable {
    var id: Int
    var box: Box
    var score: Float
    /// Its mesh in the last frame; empty while only its box is known.
    var points: [SIMD3<Float>]
    var alignment: Similarity?
    var filter = OneEuroFilter()
    var opacity: Float = 0
    var isChosen = false
    /// No longer in view, only fading out.
    var isLost = false
    var misses = 0

    init(_ id: Int, _ fit: MeshFit) { (self.id, box, score, points) = (id, fit.box, fit.score, fit.points) }
  }

  /// The mesh's result in one region, with the alignment not yet smoothed.
  private struct MeshFit {
    let points: [SIMD3<Float>]
    let score: Float
    let alignment: Similarity
    let box: Box
  }

  public init(detector: FaceDetector, mesh: FaceMesh) { (self.detector, self.mesh) = (detector, mesh) }

  /// Discards all faces: after a cut, a seek, or new caps.
  public mutating func reset() { self = FaceTracker(detector: detector, mesh: mesh, ids: ids) }

  private init(detector: FaceDetector, mesh: FaceMesh, ids: Int) {
    self.init(detector: detector, mesh: mesh)
    self.ids = ids
  }

  /// All faces in view in the last frame.
  public var trackedFaces: [TrackedFace] {
    tracks.filter { !$0.isLost }.map { TrackedFace(id: $0.id, box: $0.box, score: $0.score, isChosen: $0.isChosen) }
  }

  /// Processes the next frame, shown at `time` (seconds), and returns the faces to paint.
  public mutating func track(
    _ frame: FrameView, at time: Double, selecting selection: FaceSelection = .largest(1)
  ) -> [Face] {
    let isFirst = last == nil
    let elapsed = last.map { time - $0 } ?? 0
    if elapsed < 0 { (searchFrom, lookFrom) = (time, time) }
    last = time
    follow(frame, elapsed)
    find(frame, time, selection)
    choose(frame, elapsed, selection)
    return painted(isFirst)
  }

  // MARK: Following

  /// Runs the mesh where each face was in the previous frame; if it finds none, the detector around that position.
  private mutating func follow(_ frame: FrameView, _ elapsed: Double) {
    for i in tracks.indices where tracks[i].alignment != nil && !tracks[i].isLost {
      let (box, points) = (tracks[i].box, tracks[i].points)
      let seen = FaceMesh.region(points).flatMap { fitMesh(frame, $0) } ?? around(box, in: frame)
      if let seen, isPlausibleMotion(i, seen, elapsed) || around(seen.box, in: frame) != nil {
        update(i, seen, elapsed)
      } else {
        lose(i)
      }
    }
    // Two tracks on the same face: keep the older one.
    for i in tracks.indices.reversed() {
      let (box, isFollowed) = (tracks[i].box, tracks[i].alignment != nil)
      let other = tracks.indices.contains { j in
        j != i && tracks[j].alignment != nil && !tracks[j].isLost && (j < i || !isFollowed)
          && tracks[j].box.overlap(box) > Self.mergeIoU
      }
      if other { tracks.remove(at: i) }
    }
  }

  /// Whether the face can have moved to where the mesh sees it. Otherwise it may not be a face: the mesh also finds
  /// faces in hands.
  private func isPlausibleMotion(_ i: Int, _ seen: MeshFit, _ elapsed: Double) -> Bool {
    var filter = tracks[i].filter
    _ = filter(seen.alignment, after: elapsed)
    return !filter.hasRestarted
  }

  private mutating func update(_ i: Int, _ seen: MeshFit, _ elapsed: Double) {
    let wasFollowed = tracks[i].alignment != nil
    tracks[i].alignment = tracks[i].filter(seen.alignment, after: elapsed)
    // A jump is not motion: another face, confirmed by the detector, has taken its place.
    if wasFollowed, tracks[i].filter.hasRestarted { tracks[i].id = nextID() }
    (tracks[i].box, tracks[i].score, tracks[i].points) = (seen.box, seen.score, seen.points)
    (tracks[i].isLost, tracks[i].misses) = (false, 0)
  }

  private mutating func lose(_ i: Int) { (tracks[i].isLost, tracks[i].isChosen) = (true, false) }

  private mutating func nextID() -> Int {
    ids &+= 1
    return ids
  }

  // MARK: Finding

  private mutating func find(_ frame: FrameView, _ time: Double, _ selection: FaceSelection) {
    if case .within(let regions, _) = selection {
      if !regions.isEmpty { find(frame, time, regions) }
    } else if tracks.contains(where: { !$0.isLost }) {
      lookAround(frame, time)
    } else if time >= searchFrom {
      search(frame, time, selection)
    }
  }

  /// Searches the given regions only; faces elsewhere are lost.
  private mutating func find(_ frame: FrameView, _ time: Double, _ regions: [Box]) {
    for i in tracks.indices where !regions.contains(where: { $0.contains(tracks[i].box.middle) }) { lose(i) }
    guard time >= searchFrom else { return }
    for region in regions.prefix(Self.maximumFaces)
    where !tracks.contains(where: { !$0.isLost && region.contains($0.box.middle) }) {
      if let seen = largest(in: region, of: frame) { add(seen) } else { searchFrom = time + Self.retryInterval }
    }
  }

  /// Searches the whole frame, or part of it. If only the largest face is wanted, it stops once one is found; otherwise
  /// it searches every tile.
  private mutating func search(_ frame: FrameView, _ time: Double, _ selection: FaceSelection) {
    var seen: [MeshFit] = []
    func accept(_ detections: [Detection]) -> Bool? {
      for detection in detections where !seen.contains(where: { $0.box.overlap(detection.box) > FaceDetector.sameFace })
      {
        if let face = fitMesh(frame, detection) { seen.append(face) }
      }
      return selection == .largest(1) && !seen.isEmpty ? true : nil
    }
    _ =
      coarseSearches.map { detector.glance(frame, turn: $0, accept: accept) } ?? detector.search(frame, accept: accept)
    for face in seen { add(face) }
    coarseSearches = seen.isEmpty ? (coarseSearches ?? -1) &+ 1 : nil
    if seen.isEmpty { searchFrom = time + Self.coarseInterval }
  }

  /// Searches one square: around a face that the mesh does not track, or a tile of the frame.
  private mutating func lookAround(_ frame: FrameView, _ time: Double) {
    guard time >= lookFrom else { return }
    lookFrom = time + Self.lookInterval
    looks &+= 1
    let idle = tracks.indices.filter { tracks[$0].alignment == nil && !tracks[$0].isLost }
    if looks % 2 == 0, !idle.isEmpty {
      let i = idle[looks / 2 % idle.count]
      let box = tracks[i].box
      if let best = detector.look(frame, around: box).max(by: { $0.box.overlap(box) < $1.box.overlap(box) }),
        best.box.overlap(box) > FaceDetector.sameFace
      {
        (tracks[i].box, tracks[i].score, tracks[i].misses) = (best.box, best.score, 0)
      } else {
        tracks[i].misses += 1
        if tracks[i].misses >= Self.maximumMisses { tracks.remove(at: i) }
      }
    } else {
      let tiles = FaceDetector.tiles(frame.width, frame.height)
      for detection in detector.look(frame, tiles[looks / (idle.isEmpty ? 1 : 2) % tiles.count]) {
        let known = tracks.contains { !$0.isLost && $0.box.overlap(detection.box) > FaceDetector.sameFace }
        if !known, let seen = fitMesh(frame, detection) { add(seen) }
      }
    }
  }

  /// Adds a found face, or revives one that was just lost there.
  private mutating func add(_ seen: MeshFit) {
    if let i = tracks.firstIndex(where: { $0.box.overlap(seen.box) > FaceDetector.sameFace }) {
      (tracks[i].box, tracks[i].score, tracks[i].points, tracks[i].isLost) = (seen.box, seen.score, seen.points, false)
    } else if tracks.count < Self.maximumFaces {
      tracks.append(Track(nextID(), seen))
    }
  }

  // MARK: Choosing

  private mutating func choose(_ frame: FrameView, _ elapsed: Double, _ selection: FaceSelection) {
    while true {
      let candidates = tracks.filter { !$0.isLost }.map {
        FaceSelection.Candidate(id: $0.id, box: $0.box, isChosen: $0.isChosen)
      }
      let chosen = selection.chosen(candidates, frame.width, frame.height)
      for i in tracks.indices { tracks[i].isChosen = !tracks[i].isLost && chosen.contains(tracks[i].id) }
      guard let i = tracks.firstIndex(where: { $0.isChosen && $0.alignment == nil }) else { return }
      // The mesh decides whether it is a face.
      if !begin(i, frame, elapsed) { tracks.remove(at: i) }
    }
  }

  /// Starts tracking a face with the mesh.
  private mutating func begin(_ i: Int, _ frame: FrameView, _ elapsed: Double) -> Bool {
    // The detector's region is rough; run the mesh again on the region it will be tracked in.
    let seen = FaceMesh.region(tracks[i].points).flatMap { fitMesh(frame, $0) }
    guard let seen = seen ?? around(tracks[i].box, in: frame) else { return false }
    update(i, seen, elapsed)
    return true
  }

  private mutating func painted(_ isFirst: Bool) -> [Face] {
    for i in tracks.indices {
      let step = isFirst ? 1 : Self.opacityStep
      let opacity = tracks[i].opacity + (tracks[i].isChosen ? step : -step)
      tracks[i].opacity = opacity < step / 2 ? 0 : min(opacity, 1)
      if tracks[i].opacity == 0 {  // from now on only its box is tracked
        (tracks[i].alignment, tracks[i].points, tracks[i].filter) = (nil, [], OneEuroFilter())
      }
    }
    tracks.removeAll { $0.isLost && $0.opacity == 0 }
    return tracks.compactMap { track in
      track.alignment.map {
        Face(
          id: track.id, points: track.points, score: track.score, alignment: $0, opacity: track.opacity,
          isLost: track.isLost)
      }
    }
  }

  // MARK: Seeing

  /// The face in `region`; nil if the mesh finds none, or its mouth is outside the frame.
  private func fitMesh(_ frame: FrameView, _ region: Similarity) -> MeshFit? {
    let (points, score) = mesh(frame, region: region)
    guard score >= Self.minimumScore, let alignment = FaceWindow.aligned(points), let box = Box(around: points) else {
      return nil
    }
    let mouth = alignment.inverse(FaceWindow.mouth.x, FaceWindow.mouth.y)
    guard mouth.x >= 0, mouth.y >= 0, mouth.x < Double(frame.width), mouth.y < Double(frame.height) else { return nil }
    return MeshFit(points: points, score: score, alignment: alignment, box: box)
  }

  private func fitMesh(_ frame: FrameView, _ detection: Detection) -> MeshFit? {
    FaceMesh.region(detection).flatMap { fitMesh(frame, $0) }
  }

  /// Runs the detector around a face's last position.
  private func around(_ box: Box, in frame: FrameView) -> MeshFit? {
    detector.look(frame, around: box).filter { $0.box.overlap(box) > FaceDetector.sameFace }.lazy
      .compactMap { fitMesh(frame, $0) }.first
  }

  /// A given region may be the box of a face, which then needs no detector, or an area of any size that contains one.
  private func largest(in region: Box, of frame: FrameView) -> MeshFit? {
    let whole = FaceMesh.region(region).flatMap { fitMesh(frame, $0) }
    if let whole, whole.box.overlap(region) > FaceDetector.sameFace { return whole }
    func seen(_ detections: [Detection]) -> MeshFit? {
      detections.filter { region.contains($0.box.middle) }.sorted { $0.width > $1.width }.lazy
        .compactMap { fitMesh(frame, $0) }.first
    }
    let size = (width: Int(min(region.width, Float(frame.width))), height: Int(min(region.height, Float(frame.height))))
    if let face = seen(detector.look(frame, around: region)) { return face }
    for tile in FaceDetector.tiles(size.width, size.height) {
      let tile = FaceDetector.Tile(x: tile.x + Double(region.x), y: tile.y + Double(region.y), side: tile.side)
      if let face = seen(detector.look(frame, tile)) { return face }
    }
    return nil
  }
}
