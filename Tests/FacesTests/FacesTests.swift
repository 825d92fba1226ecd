// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: `python -m convert.golden_faces` in Sources/Training.

import Faces
import Tensors
import TestSupport
import Testing

/// `size` x `size` pixels of `picture` from (x, y), each repeated `times` times in both directions, as level * scale +
/// offset.
private func part(_ picture: Tensor, x: Int, y: Int, size: Int, times: Int, scale: Float, offset: Float) -> Tensor {
  var out: [Float] = []
  for v in 0..<size * times {
    for u in 0..<size * times {
      let at = 3 * ((y + v / times) * picture.shape[1] + x + u / times)
      out += picture.values[at..<at + 3].map { $0 * scale + offset }
    }
  }
  return Tensor([size * times, size * times, 3], out)
}

@Suite struct FaceNetworks {
  @Test func weightsAreAllUsed() throws {
    let weights = try faceWeights()
    _ = (FaceDetector(weights), FaceMesh(weights))
    #expect(weights.finish() == [])
  }

  @Test func detectorAnswersAsTFLite() throws {
    let golden = try golden("faces.safetensors")
    let picture = part(try portrait(), x: 16, y: 16, size: 128, times: 1, scale: 1 / 127.5, offset: -1)
    let (boxes, scores) = FaceDetector(try faceWeights()).network(picture)
    expectClose(boxes, golden["detector.boxes"], 0.002, "boxes, px of 128")
    expectClose(scores, golden["detector.scores"], 0.005, "scores")
  }

  /// The face is 116 px high: 0.002 px are 0.002 % of it.
  @Test func meshAnswersAsTFLite() throws {
    let golden = try golden("faces.safetensors")
    let (points, features, score) = try mesh()
    expectClose(tensor(points), golden["mesh.points"], 0.002, "points, px of 192")
    expectClose(Tensor([1], [score]), golden["mesh.score"], 1e-4, "score")
    let grid = try grid(golden["lips.grid"])
    expectClose(grid.samples(of: features), golden["lips.features"], 0.002, "features around the lips")
  }

  @Test func lipsAnswerAsTFLite() throws {
    let golden = try golden("faces.safetensors")
    let answers = try Lips(faceWeights()).network(#require(golden["lips.features"]))
    expectClose(answers, golden["lips.answers"], 0.002, "answers, px of 64")
  }

  /// The three operations between the networks.
  @Test func theGridAroundTheLipsIsThatOfPython() throws {
    let golden = try golden("faces.safetensors")
    let points = try #require(golden["mesh.points"]).values
    let around = Lips.Grid(around: (0..<468).map { [points[3 * $0], points[3 * $0 + 1], points[3 * $0 + 2]] })
    let values = [around.across, around.down, around.start].flatMap { [$0.x, $0.y] }
    expectClose(Tensor([3, 2], values), golden["lips.grid"], 1e-4, "grid")
    let places = try grid(golden["lips.grid"]).places(#require(golden["lips.answers"]))
    expectClose(Tensor([80, 2], places.flatMap { [$0.x, $0.y] }), golden["lips.places"], 1e-4, "places, px of 192")
    let samples = try grid(golden["edge.grid"]).samples(of: #require(golden["edge.features"]))
    expectClose(samples, golden["edge.samples"], 1e-5, "samples, partly outside")
  }

  @Test func refinedPointsAreThoseOfPython() throws {
    let (points, features, _) = try mesh()
    let refined = try Lips(faceWeights()).refined(points, features)
    expectClose(tensor(refined), try golden("faces.safetensors")["lips.refined"], 0.005, "points, px of 192")
  }

  @Test func featuresWithoutNumbersDoNoHarm() throws {
    let points = [SIMD3<Float>](repeating: .init(repeating: .nan), count: 468)
    #expect(try Lips(faceWeights()).refined(points, Tensor(zeros: [48, 48, 32])).count == 468)
  }

  /// Skin just outside the outline moves along, the rest of the face does not.
  @Test func theSkinGoesWithTheLips() throws {
    let points = try mesh().points
    var moved = points
    for i in Lips.points { moved[i].y += 2 }
    let (spread, chin, besideChin, eye) = (Lips.spread(points, moved), 152, 18, 33)
    #expect(Lips.points.allSatisfy { spread[$0] == moved[$0] })
    #expect(spread[besideChin].y - points[besideChin].y > 1)
    #expect(spread[chin] == points[chin] && spread[eye] == points[eye])
  }

  private func mesh() throws -> (points: [SIMD3<Float>], features: Tensor, score: Float) {
    let picture = part(try portrait(), x: 30, y: 16, size: 96, times: 2, scale: 1 / 255, offset: 0)
    return FaceMesh(try faceWeights()).network(picture)
  }

  private func grid(_ values: Tensor?) throws -> Lips.Grid {
    let v = try #require(values).values
    return Lips.Grid(across: [v[0], v[1]], down: [v[2], v[3]], start: [v[4], v[5]])
  }

  private func tensor(_ points: [SIMD3<Float>]) -> Tensor { Tensor([468, 3], points.flatMap { [$0.x, $0.y, $0.z] }) }
}

@Suite struct Tracking {
  /// The largest distance of the points from the golden ones shifted by (x, y), as a fraction of the face's height.
  private func distance(_ face: Face?, _ name: String = "track.points", x: Float = 0, y: Float = 0) throws -> Float {
    let v = try #require(try golden("faces.safetensors")[name]).values
    let points = try #require(face).points
    let places = (0..<468).map { SIMD3(v[3 * $0], v[3 * $0 + 1], v[3 * $0 + 2]) }
    let far = zip(points, places).map { point, place in
      let difference = point - place - [x, y, 0]
      return (difference * difference).sum().squareRoot()
    }
    let heights = places.map { $0.y }
    return try #require(far.max()) / (#require(heights.max()) - #require(heights.min()))
  }

  @Test func pointsLieWherePythonPutsThem() throws {
    var watch = try Watch()
    let face = try frame(.rgb, 160, 160, Colorimetry(.bt601, .full), showing: try portrait()).track(&watch)
    #expect(try distance(face) < 0.005)
    #expect(try #require(face).score > 0.99)
  }

  /// The mesh's input is smoothed and brightened.
  @Test func aLargeDarkFaceIsSeenAsInPython() throws {
    var watch = try Watch()
    let dark = try portrait().map { ($1 / 4).rounded(.down) }
    let face = try frame(.rgb, 960, 960, Colorimetry(.bt601, .full), showing: dark, times: 6).track(&watch)
    #expect(try distance(face, "dark.points") < 0.005)
  }

  /// A mirrored picture gives mirrored points: what remains is the network's asymmetry, not half a pixel of its input.
  @Test func aMirroredFaceHasMirroredPoints() throws {
    let picture = try portrait()
    var mirrored = picture
    for i in 0..<160 * 160 {
      for c in 0..<3 { mirrored.values[3 * i + c] = picture.values[3 * (i / 160 * 160 + 159 - i % 160) + c] }
    }
    let points = try [picture, mirrored].map { picture in
      var watch = try Watch()
      let frame = frame(.rgb, 320, 320, Colorimetry(.bt601, .full), showing: picture, times: 2)
      return try #require(try frame.track(&watch)).points
    }
    let lips = [(61, 291), (78, 308), (40, 270), (91, 321), (0, 0), (17, 17)].flatMap { [$0, ($0.1, $0.0)] }
    let shift = lips.map { (points[0][$0].x - (319 - points[1][$1].x)) / 2 }.reduce(0, +) / Float(lips.count)
    #expect(abs(shift) < 0.15, "\(shift) px, the network's are 0.95 px")
  }

  @Test(arguments: [(1700, 850), (31, 17), (843, 405)])
  func aFaceOf60PixelsIsFoundInFullHD(x: Int, y: Int) throws {
    var watch = try Watch()
    let face = try frame(.i420, 1920, 1080, showing: try portrait(), x: x, y: y).track(&watch)
    let far = try distance(face, x: Float(x), y: Float(y))
    #expect(far < 0.03, "\(far)")
  }

  @Test func aMovingFaceIsFollowedAndAStillOneKeepsItsWindow() throws {
    var watch = try Watch()
    let picture = try portrait()
    for x in [0, 3, 6, 9, 12, 12, 12, 12, 12, 12] {
      let face = try frame(.nv12, 240, 200, showing: picture, x: x, y: 20).track(&watch)
      // The mesh's input is centred on the previous position, so a moving face is a little off its middle.
      #expect(try distance(face, x: Float(x), y: 20) < 0.05)
    }
    let still = frame(.nv12, 240, 200, showing: picture, x: 12, y: 20)
    let (before, after) = (try still.track(&watch), try still.track(&watch))
    let moved = try #require(after).alignment(80, 90) - #require(before).alignment(80, 90)
    // Here the mesh jitters by half a pixel of the window.
    #expect(abs(moved.x) < 0.3 && abs(moved.y) < 0.3, "\(moved)")
  }

  @Test func aLostFaceIsFoundAgainElsewhere() throws {
    var watch = try Watch()
    let picture = try portrait()
    #expect(try frame(.bgrx, 640, 360, showing: picture).track(&watch) != nil)
    // A cut: nothing is left at the old position, and the detector finds the new one in the same frame.
    let face = try frame(.bgrx, 640, 360, showing: picture, x: 400, y: 150).track(&watch)
    #expect(try distance(face, x: 400, y: 150) < 0.02)
  }

  /// A large face is found at once, a small one when the coarse search reaches it: three of 57 tiles in each frame.
  @Test(arguments: [(160, 160, 1), (1920, 1080, 19)])
  func aFaceThatAppearsIsFoundBeforeLong(width: Int, height: Int, limit: Int) throws {
    var watch = try Watch()
    let empty = Frame(.i420, width, height)
    let face = frame(.i420, width, height, showing: try portrait(), x: (width - 160) / 3, y: (height - 160) / 3)
    #expect(try empty.track(&watch) == nil)
    var frames = 1
    while try face.track(&watch) == nil, frames < 30 { frames += 1 }
    #expect(frames <= limit)
    // After a reset the whole frame is searched at once.
    _ = (watch.tracker.reset(), try empty.track(&watch), watch.tracker.reset())
    #expect(try face.track(&watch) != nil)
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 300), (16, 16), (33, 47)])
  func tinyFramesHaveNoFace(width: Int, height: Int) throws {
    var watch = try Watch()
    #expect(try Frame(.i420, width, height).track(&watch) == nil)
  }
}

/// Two portraits in one frame: 53 px wide on the left, twice as large on the right.
@Suite struct SeveralFaces {
  let picture: Tensor

  init() throws { picture = try portrait() }

  /// `left`, `right`: where the portraits begin; nil: absent.
  private func pair(left: Int? = 10, right: Int? = 300, contrast: Double = 1) -> Frame {
    Frame(.i420, 640, 340) { x, y in
      for (from, times) in [(left, 1), (right, 2)] {
        guard let from else { continue }
        let (u, v) = ((x - from) / times, (y - 10) / times)
        guard x >= from, y >= 10, u < 160, v < 160 else { continue }
        let at = 3 * (v * 160 + u)
        let rgb = SIMD3(picture.values[at], picture.values[at + 1], picture.values[at + 2])
        return 0.4 + contrast * (SIMD3<Double>(rgb) / 255 - 0.4)
      }
      return SIMD3(repeating: 0.4)
    }
  }

  /// The position of a face's mouth, frame px; the portrait's is near (84, 85).
  private func mouth(_ face: Face) -> Double { face.alignment.inverse(40, 29).x }

  @Test(arguments: [(.largest(1), true), (.left, false), (.right, true), (.center, true)] as [(FaceSelection, Bool)])
  func oneIsChosen(selection: FaceSelection, right: Bool) throws {
    var watch = try Watch()
    for i in 0..<30 {
      let faces = try watch.faces(pair(left: 10 + i), selection)
      #expect(faces.map { mouth($0) > 300 } == [right] && faces[0].opacity == 1)
    }
  }

  @Test func allAreFollowedAndKeepTheirNumbers() throws {
    var watch = try Watch()
    var ids: [Int] = []
    for i in 0..<20 {
      let faces = try watch.faces(pair(left: 10 + 2 * i), .largest(4)).sorted { mouth($0) < mouth($1) }
      try #require(faces.count == 2)
      if i == 0 { ids = faces.map { $0.id } }
      #expect(faces.map { $0.id } == ids && ids[0] != ids[1])
      #expect(abs(mouth(faces[0]) - Double(10 + 2 * i) - 84) < 12, "\(mouth(faces[0]))")
    }
  }

  /// A second face is found within the time it takes to search every tile, and its box follows it.
  @Test func aFaceThatComesLaterIsSeenAndFollowed() throws {
    var watch = try Watch()
    let alone = try #require(try watch.faces(pair(left: nil)).first)
    for i in 0..<80 { #expect(try watch.faces(pair(left: 10 + i)).map { $0.id } == [alone.id]) }
    let seen = watch.tracker.trackedFaces
    try #require(seen.count == 2)
    #expect(seen.map { $0.isChosen } == [true, false])
    let middle = seen[1].box.x + seen[1].box.width / 2
    #expect(abs(middle - 90 - 84) < 15, "\(middle)")
    // It is selected when the first one leaves.
    let next = try watch.faces(pair(left: 90, right: nil)).max { $0.id < $1.id }
    #expect(next?.id == seen[1].id)
  }

  @Test func aFaceThatLeavesIsForgotten() throws {
    var watch = try Watch()
    _ = try watch.faces(pair(), .largest(4))
    #expect(watch.tracker.trackedFaces.count == 2)
    for _ in 0..<30 { _ = try watch.faces(pair(left: nil)) }
    #expect(watch.tracker.trackedFaces.count == 1)
  }

  @Test func aFaceFadesInAndOut() throws {
    var watch = try Watch()
    let empty = pair(left: nil, right: nil)
    #expect(try watch.faces(empty).isEmpty)
    var shown: [Float] = []
    for i in 0..<16 { shown.append(try watch.faces(i < 10 ? pair(left: nil) : empty).first?.opacity ?? 0) }
    let expected: [Float] = [1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 2, 1, 0, 0, 0, 0]
    #expect(shown.map { ($0 * 3).rounded() } == expected, "\(shown)")
    #expect(watch.tracker.trackedFaces == [])
  }

  @Test func aChangeOfTheChoiceIsCrossFaded() throws {
    var watch = try Watch()
    let large = try #require(try watch.faces(pair(), .largest(2)).max { $0.alignment.scale > $1.alignment.scale })
    for _ in 0..<4 { _ = try watch.faces(pair()) }
    for step: Float in [1, 2, 3, 3] {
      let faces = try watch.faces(pair(), .left)
      let (old, new) = (faces.first { $0.id == large.id }, faces.first { $0.id != large.id })
      #expect(((old?.opacity ?? 0) * 3).rounded() == 3 - step && ((new?.opacity ?? 0) * 3).rounded() == step)
    }
  }

  @Test func onlyTheRegionsCount() throws {
    var watch = try Watch()
    let (left, nowhere) = (Box(x: 40, y: 30, width: 90, height: 90), Box(x: 200, y: 200, width: 60, height: 60))
    for _ in 0..<3 { #expect(try watch.faces(pair(), .within([nowhere], 4)).isEmpty) }
    for _ in 0..<6 { _ = try watch.faces(pair(), .within([left, nowhere], 4)) }
    let face = try #require(try watch.faces(pair(), .within([left], 4)).first)
    #expect(mouth(face) < 200)
    // Detectors do not run on every frame: until the next detection, the face is tracked.
    #expect(try watch.faces(pair(left: 14), .within([], 4)).map { $0.id } == [face.id])
    for _ in 0..<3 { _ = try watch.faces(pair(), .within([nowhere], 4)) }
    #expect(try watch.faces(pair(), .within([nowhere], 4)).isEmpty)
  }

  /// The detector does not find a face this faint.
  @Test func aFaceThatFillsItsRegionNeedsNoDetector() throws {
    let faint = pair(right: nil, contrast: 0.05)
    var (watch, other) = (try Watch(), try Watch())
    #expect(try watch.faces(faint).isEmpty)
    let face = try other.faces(faint, .within([Box(x: 40, y: 30, width: 90, height: 90)], 1)).first
    let x = mouth(try #require(face))
    #expect(abs(x - 94) < 12, "\(x)")
  }

  /// A region that covers the whole frame, in which the face is small.
  @Test func aFaceInALargeRegionIsFound() throws {
    var watch = try Watch()
    let face = try watch.faces(pair(right: nil), .within([Box(x: 0, y: 0, width: 640, height: 340)], 1)).first
    let x = mouth(try #require(face))
    #expect(abs(x - 94) < 12, "\(x)")
  }
}
