// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import TestSupport
import Testing

/// The exemplar memory over sequences of mouths seen and wanted: mouths of the canonical face, with a given opening and
/// turn. What is stored are names. (ShapeTests compares with Python.)
@Suite struct MouthMemoryTests {
  let geometry: Geometry

  init() throws { geometry = try goldenGeometry() }

  /// The key of a mouth with this first coefficient and turn (radians, small).
  private func key(_ open: Float, turn: Float = 0) throws -> MouthKey {
    let rest = [Float](repeating: 0, count: 12)
    let shape = geometry.shape(try #require(FaceShape(geometry.canonical)), from: rest, to: [open] + rest.dropFirst())
    let turned = geometry.canonical.map { SIMD3($0.x + turn * $0.z, $0.y, $0.z - turn * $0.x) }
    return MouthKey(shape, try #require(Pose(of: turned, canonical: geometry.canonical)))
  }

  private func shown(_ memory: inout MouthMemory<String>, _ open: Float, turn: Float = 0) throws -> [String] {
    memory.choose(try key(open, turn: turn)).map { "\($0.mouth) \(Int(($0.share * 3).rounded()))/3" }
  }

  private func remember(_ memory: inout MouthMemory<String>, _ name: String, _ open: Float, bytes: Int = 1) throws {
    memory.remember(try key(open)) { _ in (name, bytes) }
  }

  @Test func aKeyIsItsValuesAndKnowsTheOpening() throws {
    let rest = [Float](repeating: 0, count: 12)
    for open in [Float(0), 3] {
      let shape = geometry.shape(try #require(FaceShape(geometry.canonical)), from: rest, to: [open] + rest.dropFirst())
      let key = try key(open)
      #expect(abs(key.opening - shape.opening) < 1e-5)
      #expect(MouthKey(key.values) == key)
    }
    #expect(try key(3).opening > key(0).opening + 0.01)
    #expect(MouthKey([0]) == nil)
  }

  /// Lips pressed together are as shut as resting ones; their skin would be stretched to twice its height.
  @Test func pressedLipsAreNotTakenForRestingOnes() throws {
    let pose = try #require(Pose(of: geometry.canonical, canonical: geometry.canonical))
    func lips(_ part: Float) throws -> MouthKey {
      var points = geometry.canonical
      for (outer, inner) in [(Self.upperOuter, Self.upperInner), (Self.lowerOuter, Self.lowerInner)] {
        for (o, i) in zip(outer, inner) { points[o].y = points[i].y + part * (points[o].y - points[i].y) }
      }
      return MouthKey(try #require(FaceShape(points)), pose)
    }
    var memory = MouthMemory<String>()
    for (name, part) in [("resting", Float(1)), ("pressed", 0.4)] {
      memory.remember(try lips(part)) { _ in (name, 1) }
    }
    #expect(try lips(0.4).opening == lips(1).opening)
    #expect(memory.choose(try lips(0.9)).map(\.mouth) == ["resting"])
    memory.interrupt()
    #expect(memory.choose(try lips(0.5)).map(\.mouth) == ["pressed"])
  }

  private static let upperInner = [191, 80, 81, 82, 13, 312, 311, 310, 415]
  private static let lowerInner = [95, 88, 178, 87, 14, 317, 402, 318, 324]
  private static let upperOuter = [185, 40, 39, 37, 0, 267, 269, 270, 409]
  private static let lowerOuter = [146, 91, 181, 84, 17, 314, 405, 321, 375]

  @Test func whatIsKeptIsToldOldestFirst() throws {
    var memory = MouthMemory<String>()
    for (name, open) in [("half", Float(2)), ("closed", 0), ("open", 4)] { try remember(&memory, name, open) }
    #expect(memory.mouths.map(\.mouth) == ["half", "closed", "open"])
    #expect(memory.mouths.map(\.key) == [try key(2), try key(0), try key(4)])
  }

  @Test func nothingIsShownWhileNothingIsKept() throws {
    var memory = MouthMemory<String>()
    #expect(try shown(&memory, 0) == [])
    memory.remember(try key(0)) { _ in nil }
    #expect(memory.count == 0)
  }

  @Test func theMostAlikeIsShownAndTakesTheOthersPlaceOverThreePictures() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "closed", 0)
    try remember(&memory, "open", 3)
    #expect(try shown(&memory, 0.2) == ["closed 3/3"])
    #expect(try shown(&memory, 2.8) == ["open 1/3", "closed 2/3"])
    #expect(try shown(&memory, 2.8) == ["open 2/3", "closed 1/3"])
    #expect(try shown(&memory, 2.8) == ["open 3/3"])
  }

  /// A crossfade completes before another one begins.
  @Test func aFadeIsFinished() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "closed", 0)
    try remember(&memory, "half", 2)
    try remember(&memory, "open", 4)
    _ = try shown(&memory, 0)
    #expect(try shown(&memory, 4) == ["open 1/3", "closed 2/3"])
    #expect(try shown(&memory, 2) == ["open 2/3", "closed 1/3"])
    #expect(try shown(&memory, 2) == ["open 3/3"])
    #expect(try shown(&memory, 2) == ["half 1/3", "open 2/3"])
  }

  @Test func aMouthThatIsLittleBetterIsNotWorthAChange() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "a", 0)
    try remember(&memory, "b", 0.4)
    #expect(memory.count == 2)
    #expect(try shown(&memory, 0) == ["a 3/3"])
    #expect(try shown(&memory, 0.3) == ["a 3/3"])
  }

  @Test func theSameMouthIsKeptOnce() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "first", 1)
    memory.remember(try key(1.01)) { _ in
      Issue.record("nothing is to be made")
      return ("second", 1)
    }
    #expect(memory.count == 1)
  }

  @Test func theSideCountsFromWhichItWasSeen() throws {
    var memory = MouthMemory<String>()
    memory.remember(try key(1)) { _ in ("front", 1) }
    memory.remember(try key(1, turn: 0.4)) { _ in ("side", 1) }
    #expect(try shown(&memory, 1, turn: 0.38) == ["side 3/3"])
  }

  @Test func theOlderOneOfTheMostAlikeGoes() throws {
    var memory = MouthMemory<String>()
    // 33 mouths, 0.4 apart from each other, except for the last, which lies between the fifth and the sixth, closer to
    // the fifth.
    for i in 0..<32 { try remember(&memory, "\(i)", 0.4 * Float(i)) }
    #expect(memory.count == 32)
    try remember(&memory, "new", 0.4 * 5.4)
    #expect(memory.count == 32)
    #expect(try shown(&memory, 0.4 * 5) == ["new 3/3"])
    #expect(memory.bytes == 32)
  }

  @Test func bytesAreLimited() throws {
    var memory = MouthMemory<String>(budget: 40)
    try remember(&memory, "large", 0, bytes: 10)
    memory.remember(try key(3)) { most in
      #expect(most == 10)
      return ("too large", most + 1)
    }
    #expect(memory.count == 1 && memory.bytes == 10)
    for (name, open) in [("b", Float(2)), ("c", 4), ("d", 6)] { try remember(&memory, name, open, bytes: 10) }
    #expect(memory.count == 3 && memory.bytes == 30)
  }

  /// A mouth that is no longer kept is shown until its crossfade ends, and counts until then.
  @Test func whatIsShownGoesSoftly() throws {
    var memory = MouthMemory<String>(budget: 40)
    try remember(&memory, "old", 0, bytes: 10)
    #expect(try shown(&memory, 0) == ["old 3/3"])
    for (name, open) in [("near", Float(0.4)), ("b", 3), ("c", 6)] { try remember(&memory, name, open, bytes: 10) }
    #expect(memory.mouths.map(\.mouth) == ["b", "c"] && memory.bytes == 30)
    #expect(try shown(&memory, 3) == ["b 1/3", "old 2/3"])
    #expect(try shown(&memory, 3) == ["b 2/3", "old 1/3"])
    #expect(memory.bytes == 30)
    #expect(try shown(&memory, 3) == ["b 3/3"])
    #expect(memory.bytes == 20)
  }

  /// In any sequence of mouths, the memory never exceeds its budget, including a mouth being added.
  @Test func theBudgetAlwaysHolds() throws {
    var dice = Dice(3)
    var memory = MouthMemory<Int>(budget: 1000)
    for i in 0..<2000 {
      let size = Int.random(in: 1...400, using: &dice)
      let held = memory.bytes
      memory.remember(try key(Float.random(in: -3...3, using: &dice))) { most in
        #expect(held + most <= 1000)
        return size <= most ? (i, size) : nil
      }
      #expect(memory.bytes <= 750 && memory.count <= 32)
      if !dice.one(in: 3) { _ = memory.choose(try key(Float.random(in: -3...3, using: &dice))) }
      if dice.one(in: 40) { memory.interrupt() }
    }
  }

  /// A face that fills a 4K frame, in formats with 4 and fewer bytes for each pixel; in the frame's format and as in a
  /// presenter file.
  @Test(arguments: [PixelFormat.i422Deep, .rgb, .nv12]) func theLargestFacesFit(format: PixelFormat) throws {
    let frame = Frame(format, 3840, 2160)
    for unit: Float in [1100, 2500] {
      var (memory, stored) = (MouthMemory<SeenMouth>(), MouthMemory<SeenMouth>())
      let mesh = try #require(RingedMesh(geometry.canonical.map { unit * $0 + [1900, 700, 0] }))
      try frame.paint { view in
        for i in 0..<12 {
          let key = try key(0.4 * Float(i))
          memory.remember(key) { most in
            SeenMouth(view.view, mesh, unit: unit, most: most).map { ($0, $0.bytes) }
          }
          if let mouth = memory.mouths.last?.mouth.stored {
            stored.remember(key) { most in
              SeenMouth(mouth, like: view.view, most: most).map { ($0, $0.bytes) }
            }
          }
          for memory in [memory, stored] { #expect(memory.bytes < 16_000_000) }
          _ = (memory.choose(key), stored.choose(key))
        }
      }
      #expect(unit > 2000 || memory.count > 0 && stored.count > 0)
      #expect(Set(memory.mouths.map { ObjectIdentifier($0.mouth.patch) }).count == memory.count)
    }
  }

  /// A mouth that has just been seen does not take the place of one that is shown while the same is wanted, unless it is
  /// much better: else the dub's mouth would follow the original's.
  @Test func whileTheSameIsWantedAMouthStays() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "shut", 0)
    let (a, b) = (try key(0), try key(1))
    let one = zip(a.values, b.values).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    let open = 0.03 / one  // as a first coefficient: 0.03 outer eye distances from shut
    #expect(try shown(&memory, open) == ["shut 3/3"])
    try remember(&memory, "better", open)
    #expect(try shown(&memory, open) == ["shut 3/3"])
    #expect(try shown(&memory, open * 1.8) == ["better 1/3", "shut 2/3"])
    memory = MouthMemory()
    try remember(&memory, "shut", 0)
    #expect(try shown(&memory, open * 2) == ["shut 3/3"])
    try remember(&memory, "much better", open * 2)
    #expect(try shown(&memory, open * 2) == ["much better 1/3", "shut 2/3"])
  }

  // MARK: Light

  /// Four quarters, grey.
  private func light(_ left: Float, _ right: Float) -> Light {
    Light(quarters: [left, right, left, right].map { [$0, $0, $0, 0] })
  }

  @Test func anotherLightTakesTheOldOnesPlace() throws {
    var memory = MouthMemory<String>()
    memory.remember(try key(1), light: light(0, 0)) { _ in ("day", 1) }
    memory.remember(try key(3), light: light(0, 0)) { _ in ("open", 1) }
    #expect(try shown(&memory, 1) == ["day 3/3"])
    memory.remember(try key(1.01), light: light(0.05, -0.05)) { _ in ("the same", 1) }
    #expect(memory.mouths.map(\.mouth) == ["day", "open"])
    memory.remember(try key(1.01), light: light(0.05, -0.3)) { _ in ("evening", 1) }
    #expect(memory.mouths.map(\.mouth) == ["open", "evening"])
    // With a crossfade, as for any other mouth.
    #expect(try shown(&memory, 1) == ["evening 1/3", "day 2/3"])
    _ = try shown(&memory, 1)
    #expect(try shown(&memory, 1) == ["evening 3/3"])
  }

  @Test func anUnknownLightIsNoOther() throws {
    var memory = MouthMemory<String>()
    memory.remember(try key(1)) { _ in ("a presenter's", 1) }
    memory.remember(try key(1), light: light(0.9, 0.9)) { _ in ("seen", 1) }
    #expect(memory.mouths.map(\.mouth) == ["a presenter's"])
  }

  @Test func aPictureThatIsNotShownEndsTheFade() throws {
    var memory = MouthMemory<String>()
    try remember(&memory, "closed", 0)
    try remember(&memory, "open", 3)
    _ = (try shown(&memory, 0), try shown(&memory, 3))
    memory.interrupt()
    #expect(try shown(&memory, 0) == ["closed 3/3"])
  }
}
