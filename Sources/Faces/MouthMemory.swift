// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The exemplar memory: mouths of a face seen earlier, and the choice of which to show (twin of `MouthMemory` in
// Sources/Training/evaluate/frame_pipeline.py). The lips and the inside of the mouth come from the frame whose inner lip edges
// and lips were most like the wanted ones, from nearly the same viewing angle.

private let apart: Float = 0.004  // outer eye distances: mouths closer than this are the same
private let turnCounts: Float = 0.3  // outer eye distances that a turn by one radian counts as
private let thicknessCounts: Float = 1  // the weight of how much of each lip shows
/// Outer eye distances: hysteresis before another mouth is shown, once what is wanted has changed by `change`, and as long
/// as it has not. The latter is large, because otherwise mouths would follow what has just been seen.
private let (better, muchBetter, change): (Float, Float, Float) = (0.01, 0.04, 0.02)
private let fade = 3  // frames over which one mouth crossfades to another

/// The key by which mouths are compared: the inner lip edge in face coordinates, centred, the direction of the face, and
/// how much of each lip shows: pressed lips are shut like resting ones, but have too little skin to be made into those.
public struct MouthKey: Equatable, Sendable {
  public static let count = 2 * FaceMeshPoints.inner.count + 4

  /// x and y of the lip edge's 20 points, the turn, then the mean thickness of the upper and the lower lip.
  public let values: [Float]

  /// nil for any other number of values.
  public init?(_ values: [Float]) {
    guard values.count == Self.count else { return nil }
    self.values = values
  }

  public init(_ shape: FaceShape, _ pose: Pose) {
    let rim = FaceMeshPoints.inner.map { SIMD2(shape.points[$0].x, shape.points[$0].y) }
    let (middle, root) = (rim.reduce(.zero, +) / Float(rim.count), Float(rim.count).squareRoot())
    let turn = turnCounts * pose.turn
    let lips = [
      (FaceMeshPoints.upperOuter, FaceMeshPoints.upperInner), (FaceMeshPoints.lowerOuter, FaceMeshPoints.lowerInner),
    ]
    let thickness = lips.map { outer, inner in
      let gaps = zip(outer, inner).map { abs(shape.points[$0].y - shape.points[$1].y) }
      return thicknessCounts * gaps.reduce(0, +) / Float(gaps.count)
    }
    values = rim.flatMap { [($0.x - middle.x) / root, ($0.y - middle.y) / root] } + [turn.x, turn.y] + thickness
  }

  /// Mean gap between the lips, outer eye distances (`FaceShape.opening`).
  public var opening: Float {
    let root = Float(FaceMeshPoints.inner.count).squareRoot()
    let gaps = FaceMeshPoints.middle.map { upper, lower in
      let gap = root * (place(of: lower) - place(of: upper))
      return (gap * gap).sum().squareRoot()
    }
    return gaps.reduce(0, +) / Float(gaps.count)
  }

  private func place(of point: Int) -> SIMD2<Float> {
    guard let i = FaceMeshPoints.inner.firstIndex(of: point) else { return .zero }
    return [values[2 * i], values[2 * i + 1]]
  }

  /// Root mean square distance over the lip edge's points, outer eye distances.
  func distance(_ other: MouthKey) -> Float {
    zip(values, other.values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
  }
}

/// The mouths of one face, at most 32, within a memory budget. A new mouth is kept if no kept one is like it, or if
/// those that are were lit differently; it then replaces them. When there are too many, the older of the two most
/// similar mouths is dropped. Deterministic.
public struct MouthMemory<Mouth: Sendable>: Sendable {
  public static var most: Int { 32 }  // mouths
  /// Maximum bytes at any time: the kept mouths, one or two that are still shown but no longer kept, and one being
  /// added. Together with what else is known of a face (latent, difference, mesh: less than 1 MB) that is less than 16
  /// MB for each face.
  public static var budget: Int { 15_000_000 }

  private struct Entry {
    let id: Int
    let key: MouthKey
    let light: Light
    let mouth: Mouth
    let bytes: Int
  }

  private let budget: Int
  /// Maximum bytes of one mouth, so that the two shown and a new one always fit.
  private var largest: Int { budget / 4 }
  private var entries: [Entry] = []  // oldest first
  private var ids = 0
  private var now, before: Entry?  // the mouth shown, and the one it is crossfading from
  private var age = 0  // frames for which `now` has been shown
  private var wanted: MouthKey?  // what was wanted when it last had changed

  public init(budget: Int = Self.budget) { self.budget = budget }

  public var count: Int { entries.count }
  /// Bytes held, including mouths that are shown but no longer kept.
  public var bytes: Int {
    let shown = [now, before].compactMap(\.self).filter { shown in !entries.contains { $0.id == shown.id } }
    return (entries + shown).reduce(0) { $0 + $1.bytes }
  }
  /// All kept mouths, oldest first.
  public var mouths: [(key: MouthKey, mouth: Mouth)] { entries.map { ($0.key, $0.mouth) } }

  /// Keeps the mouth from `make`, unless there is one like it with the same light, in which case `make` is not called.
  /// `make` gets the maximum size of a mouth in bytes and should not start on a larger one, which would not be kept.
  public mutating func remember(
    _ key: MouthKey, light: Light = Light(), _ make: (_ most: Int) -> (mouth: Mouth, bytes: Int)?
  ) {
    let isAlike = entries.map { $0.key.distance(key) < apart }
    guard zip(entries, isAlike).allSatisfy({ !$1 || $0.light.differs(from: light) }),
      let (mouth, bytes) = make(largest),
      bytes <= largest
    else { return }
    entries = zip(entries, isAlike).filter { !$1 }.map { $0.0 }
    entries.append(Entry(id: ids, key: key, light: light, mouth: mouth, bytes: bytes))
    ids &+= 1
    while entries.count > Self.most || self.bytes > budget - largest { entries.remove(at: olderOfTheMostAlike()) }
  }

  private func olderOfTheMostAlike() -> Int {
    var (older, least) = (0, Float.infinity)
    for i in entries.indices {
      for j in entries.indices.suffix(from: i + 1) {
        let distance = entries[i].key.distance(entries[j].key)
        if distance < least { (older, least) = (i, distance) }
      }
    }
    return older
  }

  /// The mouths to show in the next frame, whose lips shall be like `key`, and their weights, of sum 1; empty if none
  /// is kept.
  ///
  /// A crossfade always completes before the next one begins, so that no weight jumps; it may use mouths that are no
  /// longer kept.
  public mutating func choose(_ key: MouthKey) -> [(mouth: Mouth, share: Float)] {
    let distances = entries.map { $0.key.distance(key) }
    guard let least = distances.min(), let nearest = distances.firstIndex(of: least) else { return [] }
    if before == nil {
      let hasChanged = wanted.map { $0.distance(key) > change } ?? true
      if hasChanged { wanted = key }
      let most = least + (hasChanged ? better : muchBetter)
      let isNear = zip(entries, distances).contains { $0.id == now?.id && $1 <= most }
      if !isNear { (before, now, age) = (now, entries[nearest], 0) }
    }
    age += 1
    if age >= fade { before = nil }
    guard let now else { return [] }
    guard let before else { return [(now.mouth, 1)] }
    let share = Float(age) / Float(fade)
    return [(now.mouth, share), (before.mouth, 1 - share)]
  }

  /// Reports a frame that was not painted: the next mouth starts without a crossfade.
  public mutating func interrupt() { (now, before, age, wanted) = (nil, nil, 0, nil) }
}
