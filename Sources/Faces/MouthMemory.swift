// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Mouths of a face that were seen before, and which of them to show (twin of `Memory` in Sources/Training/evaluate/journey.py).
// Lips and what is between them come from the frame whose inner lips were most like the wanted ones, seen from most nearly the
// same side.

private let apart: Float = 0.004  // outer eye distances: mouths that differ less are the same
private let turnCounts: Float = 0.3  // outer eye distances, a turn by one radian
private let better: Float = 0.01  // outer eye distances, by how much another mouth must be nearer to be shown
private let fade = 3  // pictures in which one mouth becomes another

/// What mouths are compared by: the inner rim in the face's own coordinates, its middle taken away, and where the face looks.
public struct MouthKey: Equatable, Sendable {
  public static let count = 2 * FaceMeshPoints.inner.count + 2

  /// The rim's 20 points, x and y of each, and the turn.
  public let values: [Float]

  /// nil of another number of values.
  public init?(_ values: [Float]) {
    guard values.count == Self.count else { return nil }
    self.values = values
  }

  public init(_ shape: FaceShape, _ pose: Pose) {
    let rim = FaceMeshPoints.inner.map { SIMD2(shape.points[$0].x, shape.points[$0].y) }
    let (middle, root) = (rim.reduce(.zero, +) / Float(rim.count), Float(rim.count).squareRoot())
    let turn = turnCounts * pose.turn
    values = rim.flatMap { [($0.x - middle.x) / root, ($0.y - middle.y) / root] } + [turn.x, turn.y]
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

  /// Root mean square over the rim's points, outer eye distances.
  func distance(_ other: MouthKey) -> Float {
    zip(values, other.values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
  }
}

/// The mouths of one face, at most 32, and at most so many bytes. A new one is kept if none is like it, or those are lit otherwise: it
/// takes their place. When they become too many, the older one of the two that are most alike goes. The same input gives the same
/// result.
public struct MouthMemory<Mouth: Sendable>: Sendable {
  public static var most: Int { 32 }  // mouths
  /// Bytes of all that it holds at any time: those that are kept, the one or two that are shown but no longer kept, and one that is
  /// being made. With what else is known of a face (latent, difference, mesh: less than 1 MB) that is less than 16 MB a face.
  public static var budget: Int { 15_000_000 }

  private struct Entry {
    let id: Int
    let key: MouthKey
    let light: Light
    let mouth: Mouth
    let bytes: Int
  }

  private let budget: Int
  /// Bytes of one mouth, at most: the two that are shown and a new one always leave room for it.
  private var largest: Int { budget / 4 }
  private var entries: [Entry] = []  // oldest first
  private var ids = 0
  private var now, before: Entry?  // shown; that which it takes the place of
  private var age = 0  // pictures that `now` has been shown

  public init(budget: Int = Self.budget) { self.budget = budget }

  public var count: Int { entries.count }
  /// Of all that it holds; those that are shown but no longer kept count.
  public var bytes: Int {
    let shown = [now, before].compactMap(\.self).filter { shown in !entries.contains { $0.id == shown.id } }
    return (entries + shown).reduce(0) { $0 + $1.bytes }
  }
  /// All that are kept, oldest first.
  public var mouths: [(key: MouthKey, mouth: Mouth)] { entries.map { ($0.key, $0.mouth) } }

  /// Keeps what `make` makes, if no mouth is like it, or all that are have another light; otherwise nothing is made. `make` is told how
  /// many bytes a mouth may have, and should not begin with one that has more; it is not kept.
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

  /// The mouths to show in the next picture, whose lips shall be like `key`, and their shares, of sum 1; none while none is kept.
  ///
  /// While one takes another's place no third one begins to, so that no share jumps; what is shown until then may no longer be
  /// kept.
  public mutating func choose(_ key: MouthKey) -> [(mouth: Mouth, share: Float)] {
    let distances = entries.map { $0.key.distance(key) }
    guard let least = distances.min(), let nearest = distances.firstIndex(of: least) else { return [] }
    let isNear = zip(entries, distances).contains { $0.id == now?.id && $1 <= least + better }
    if before == nil && !isNear { (before, now, age) = (now, entries[nearest], 0) }
    age += 1
    if age >= fade { before = nil }
    guard let now else { return [] }
    guard let before else { return [(now.mouth, 1)] }
    let share = Float(age) / Float(fade)
    return [(now.mouth, share), (before.mouth, 1 - share)]
  }

  /// A picture was not shown: the next mouth takes no other's place.
  public mutating func interrupt() { (now, before, age) = (nil, nil, 0) }
}
