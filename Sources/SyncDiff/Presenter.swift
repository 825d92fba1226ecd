// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A presenter: what is known of one person's mouth before a stream begins, how it looks closed and how it looks
// speaking. It is stored as a safetensors file of at most 16 MB:
//
//     neutral.points [L]       the mesh points that speech moves, as in the model
//     neutral.total [L, 3]     `Neutral.total`
//     neutral.weight [1]       `Neutral.weight`
//     keys [N, 44]             `MouthKey.values`, oldest first; N is 1 ... 32
//     meshes [N, 540, 2]       `StoredMouth.mesh`
//     mouths.<i> [h, w, 3]     U8, `Picture.pixels`
//
// with the metadata `format` "syncdiff-presenter", `version` "2" and `crc32`. The loader is as strict as the model's.

import Faces
import Speech
import Tensors

/// One person's mouths. Immutable: any number of streams can share one.
public struct Presenter: Sendable {
  static let format = "syncdiff-presenter"
  static let version = "2"
  static let largestFile = 16 << 20  // bytes, more than a full `MouthMemory` takes
  private static let longest = 4096  // px, the longest side of a mouth's image

  let neutral: Neutral
  /// Oldest first.
  let mouths: [(key: MouthKey, mouth: StoredMouth)]

  /// The number of mouths, 1 ... 32.
  public var count: Int { mouths.count }
  /// The widest opening among them, outer eye distances.
  public var widest: Float { mouths.map { $0.key.opening }.max() ?? 0 }

  /// nil if there is no mouth.
  init?(_ neutral: Neutral, _ seen: MouthMemory<SeenMouth>) {
    var kept = MouthMemory<StoredMouth>()
    for (key, mouth) in seen.mouths {
      let stored = mouth.stored
      kept.remember(key) { _ in (stored, stored.picture.pixels.count) }
    }
    guard kept.count > 0 else { return nil }
    (self.neutral, mouths) = (neutral, kept.mouths)
  }

  /// A memory of its mouths, converted to the format of `frame`. Takes up to `MouthMemory.budget` in addition to the
  /// presenter itself.
  func memory(like frame: FrameView) -> MouthMemory<SeenMouth> {
    var memory = MouthMemory<SeenMouth>()
    for (key, mouth) in mouths {
      memory.remember(key) { most in SeenMouth(mouth, like: frame, most: most).map { ($0, $0.bytes) } }
    }
    return memory
  }

  /// The contents of its file.
  public func written(for model: Model) -> [UInt8] {
    let (points, n) = (model.geometry.low, mouths.count)
    var tensors = [
      WrittenTensor("neutral.points", [points.count], points.map { Float($0) }),
      WrittenTensor("neutral.total", [points.count, 3], neutral.total.flatMap { [$0.x, $0.y, $0.z] }),
      WrittenTensor("neutral.weight", [1], [neutral.weight]),
      WrittenTensor("keys", [n, MouthKey.count], mouths.flatMap { $0.key.values }),
      WrittenTensor(
        "meshes", [n, FaceMeshPoints.ringed, 2], mouths.flatMap { $0.mouth.mesh.flatMap { [$0.x, $0.y] } }),
    ]
    for (i, mouth) in mouths.enumerated() {
      let picture = mouth.mouth.picture
      tensors.append(WrittenTensor("mouths.\(i)", [picture.height, picture.width, 3], picture.pixels))
    }
    return SafeTensors.written(tensors, metadata: ["format": Self.format, "version": Self.version])
  }

  /// Loads and checks the presenter file at `path`.
  public static func load(path: String, for model: Model) throws(LoadError) -> Presenter {
    let file = try SafeTensors.load(.presenter, path: path, largest: largestFile)
    return try withStandardArithmetic { () throws(LoadError) in try Presenter(file, path, model.geometry) }
  }

  private init(_ file: SafeTensors, _ path: String, _ geometry: Geometry) throws(LoadError) {
    guard file.metadata["format"] == Self.format else {
      throw .malformed(
        .presenter, path: path,
        why: "its metadata does not say that it is a syncdiff presenter; make one with syncdiff learn")
    }
    guard file.metadata["version"] == Self.version else {
      let version = file.metadata["version"] ?? "none"
      throw .malformed(
        .presenter, path: path, why: "it is of version \(version), this syncdiff reads version \(Self.version)")
    }
    let w = Weights(file)
    func values(_ name: String, _ ranges: [ClosedRange<Int>], within most: Float) -> Tensor {
      let tensor = w.take(name, within: ranges)
      if tensor.values.contains(where: { abs($0) > most }) { w.report("\(name) holds values beyond \(most)") }
      return tensor
    }
    let size = geometry.low.count
    if Array(w.take("neutral.points", [size]).values) != geometry.low.map({ Float($0) }) {
      w.report("neutral.points are not the model's; learn it again with this model")
    }
    let weight = values("neutral.weight", [1...1], within: 21).values[0]
    if !(weight > 0) { w.report("neutral.weight is not above 0") }
    let total = values("neutral.total", [size...size, 3...3], within: max(10 * weight, 0)).values
    let sums = (0..<size).map { SIMD3(total[3 * $0], total[3 * $0 + 1], total[3 * $0 + 2]) }
    let (most, row, points) = (MouthMemory<StoredMouth>.most, MouthKey.count, FaceMeshPoints.ringed)
    let keys = values("keys", [1...most, row...row], within: 10)
    let count = keys.shape[0]
    let meshes = values("meshes", [count...count, points...points, 2...2], within: 65536).values
    var mouths: [(key: MouthKey, mouth: StoredMouth)] = []
    for i in 0..<count {
      let name = "mouths.\(i)"
      let picture = w.take(name, within: [1...Self.longest, 1...Self.longest, 3...3])
      if picture.values.contains(where: { !(0...255 ~= $0) }) { w.report("\(name) holds values that are no bytes") }
      let mesh = (i * points..<(i + 1) * points).map { SIMD2(meshes[2 * $0], meshes[2 * $0 + 1]) }
      let pixels = picture.values.map { 0...255 ~= $0 ? UInt8($0) : 0 }
      guard let key = MouthKey(Array(keys.values[i * row..<(i + 1) * row])),
        let picture = Picture(width: picture.shape[1], height: picture.shape[0], pixels: pixels)
      else { continue }
      mouths.append((key, StoredMouth(picture: picture, mesh: mesh)))
    }
    let problems = w.finish()
    guard problems.isEmpty else { throw .malformed(.presenter, path: path, why: problems.joined(separator: "; ")) }
    (neutral, self.mouths) = (Neutral(geometry, total: sums, weight: weight), mouths)
  }
}

/// Learns a presenter from the frames of a stream, in order: the face that is tracked longest without interruption. It
/// runs no painting network.
public struct Learner {
  private var pipeline: FramePipeline
  private var size = SIMD2(0, 0)  // px
  private var last: RunningTime?
  /// For each face in view, by id: seconds during which it was tracked with its mouth visible.
  private var seconds: [Int: Double] = [:]
  private var best: (seconds: Double, memory: FramePipeline.FaceState)?
  /// The number of faces tracked so far. A face that is lost and found again counts twice.
  public private(set) var faces = 0
  /// What the latest frame showed.
  public private(set) var newest = Observation()

  public struct Observation: Sendable {
    /// Faces in view.
    public var faces = 0
    /// Whether any of their mouths can be painted.
    public var isUsable = false
    /// The opening of its lips, outer eye distances.
    public var opening: Float?
  }

  /// `threads`: as in `FramePipeline`.
  public init(model: Model, threads: Int = 0) { pipeline = FramePipeline(model: model, threads: threads) }

  /// How long the longest-tracked face showed its mouth, seconds.
  public var secondsOfFace: Double { best?.seconds ?? 0 }

  /// nil if no mouth was seen.
  public var presenter: Presenter? { best.flatMap { Presenter($0.memory.neutral, $0.memory.mouths) } }

  /// Processes the next frame, shown at `time`.
  public mutating func observe(_ frame: FrameView, at time: RunningTime) {
    let size = SIMD2(frame.width, frame.height)
    if size != self.size { pipeline.reset() }
    let found = pipeline.find(frame, at: time)
    let elapsed = last.map { (Double(time.nanoseconds) - Double($0.nanoseconds)) / 1e9 } ?? 0
    (self.size, last) = (size, time)
    seconds = seconds.filter { pipeline.faceStates[$0.key] != nil }
    for (id, memory) in pipeline.faceStates.sorted(by: { $0.key < $1.key }) {
      faces += seconds[id] == nil ? 1 : 0
      let isSeen = !memory.isLost && memory.observed != nil && memory.visibility.obstacle == nil
      let long = seconds[id].map { $0 + (isSeen ? min(max(elapsed, 0), 0.5) : 0) } ?? 0
      seconds[id] = long
      if long >= best?.seconds ?? 0 { best = (long, memory) }
    }
    let shown = found.faces.first.flatMap { pipeline.faceStates[$0.id] }
    newest = Observation(
      faces: found.trackedFaces.count, isUsable: !found.faces.isEmpty && !found.isHidden,
      opening: shown.flatMap { $0.isLost ? nil : $0.observed?.shape.opening })
  }
}
