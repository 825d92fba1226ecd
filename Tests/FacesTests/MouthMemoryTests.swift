// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Testing

/// Stories of mouths that are seen and wanted: the canonical face's, opened so far, and looking so far to the side. What is kept are
/// names. (ShapeTests compares with Python.)
@Suite struct MouthMemoryTests {
  let geometry: Geometry

  init() throws { geometry = try goldenGeometry() }

  /// Of a mouth with this first coefficient, turned by so much (radians, small).
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
    memory.remember(try key(open)) { (name, bytes) }
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

  @Test func whatIsKeptIsToldOldestFirst() throws {
    var memory = MouthMemory<String>()
    for (name, open) in [("half", Float(2)), ("closed", 0), ("open", 4)] { try remember(&memory, name, open) }
    #expect(memory.mouths.map(\.mouth) == ["half", "closed", "open"])
    #expect(memory.mouths.map(\.key) == [try key(2), try key(0), try key(4)])
  }

  @Test func nothingIsShownWhileNothingIsKept() throws {
    var memory = MouthMemory<String>()
    #expect(try shown(&memory, 0) == [])
    memory.remember(try key(0)) { nil }
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

  /// While one takes another's place no third begins to.
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
    memory.remember(try key(1.01)) {
      Issue.record("nothing is to be made")
      return ("second", 1)
    }
    #expect(memory.count == 1)
  }

  @Test func theSideCountsFromWhichItWasSeen() throws {
    var memory = MouthMemory<String>()
    memory.remember(try key(1)) { ("front", 1) }
    memory.remember(try key(1, turn: 0.4)) { ("side", 1) }
    #expect(try shown(&memory, 1, turn: 0.38) == ["side 3/3"])
  }

  @Test func theOlderOneOfTheMostAlikeGoes() throws {
    var memory = MouthMemory<String>()
    // 33 mouths, each apart from the next by 0.4, but for the last, which lies between the fifth and the sixth, nearer to the fifth.
    for i in 0..<32 { try remember(&memory, "\(i)", 0.4 * Float(i)) }
    #expect(memory.count == 32)
    try remember(&memory, "new", 0.4 * 5.4)
    #expect(memory.count == 32)
    #expect(try shown(&memory, 0.4 * 5) == ["new 3/3"])
    #expect(memory.bytes == 32)
  }

  @Test func bytesAreLimited() throws {
    var memory = MouthMemory<String>(budget: 10)
    try remember(&memory, "large", 0, bytes: 6)
    try remember(&memory, "too large", 3, bytes: 11)
    #expect(memory.count == 1 && memory.bytes == 6)
    try remember(&memory, "larger", 3, bytes: 7)
    #expect(memory.count == 1 && memory.bytes == 7)
    #expect(try shown(&memory, 0) == ["larger 3/3"])
  }

  /// A mouth that is no longer kept is shown until another has taken its place.
  @Test func whatIsShownGoesSoftly() throws {
    var memory = MouthMemory<String>(budget: 10)
    try remember(&memory, "old", 0, bytes: 6)
    #expect(try shown(&memory, 0) == ["old 3/3"])
    try remember(&memory, "new", 3, bytes: 6)
    #expect(memory.count == 1)
    #expect(try shown(&memory, 0) == ["new 1/3", "old 2/3"])
    #expect(try shown(&memory, 0) == ["new 2/3", "old 1/3"])
    #expect(try shown(&memory, 0) == ["new 3/3"])
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
