// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: `python -m convert.golden_geometry` in Sources/Training.

import Faces
import Glibc
import Tensors
import TestSupport
import Testing

/// A synthetic speaker's frames, and Python's results for them, element by element.
@Suite struct ShapeTests {
  let golden: [String: Tensor]
  let geometry: Geometry
  let count: Int

  init() throws {
    golden = try TestSupport.golden("shape.safetensors")
    geometry = try goldenGeometry()
    count = try #require(golden["points"]).shape[0]
  }

  /// The mesh of every frame.
  func meshes() throws -> [[SIMD3<Float>]] {
    let values = try #require(golden["points"]).values
    return (0..<count).map { t in
      (0..<468).map { i in
        let at = 3 * (468 * t + i)
        return SIMD3(values[at], values[at + 1], values[at + 2])
      }
    }
  }

  func poses() throws -> [Pose] {
    try meshes().map { try #require(Pose(of: $0, canonical: geometry.canonical)) }
  }

  func shapes() throws -> [FaceShape] {
    try zip(poses(), meshes()).map { try #require(FaceShape($0.unposed($1))) }
  }

  /// Rows `[T, N]` of a golden tensor.
  func rows(_ name: String) throws -> [[Float]] {
    let tensor = try #require(golden[name])
    let width = tensor.values.count / count
    return (0..<count).map { Array(tensor.values[$0 * width..<($0 + 1) * width]) }
  }

  func expect(_ values: [some Sequence<Float>], _ tolerance: Float, _ name: String) {
    guard let shape = golden[name]?.shape else { return expectClose(Tensor(zeros: [0]), nil, 0, name) }
    let flat = values.flatMap { $0 }
    guard flat.count == shape.reduce(1, *) else {
      Issue.record("\(name) has \(flat.count) values, expected \(shape)")
      return
    }
    expectNear(Tensor(shape, flat), golden[name], tolerance, name)
  }

  @Test func poseAndShape() throws {
    let poses = try poses()
    expect(poses.map { [Float($0.scale)] }, 1e-6, "pose.scale")
    expect(poses.map { [$0.turn.x, $0.turn.y] }, 1e-5, "pose.turn")
    expect(try shapes().map { $0.points.flatMap { [$0.x, $0.y, $0.z] } }, 1e-6, "shape")
    expect(try shapes().map { [$0.opening] }, 1e-5, "opening")
    for (pose, (shape, mesh)) in zip(poses, try zip(shapes(), meshes())) {
      let there = pose.posed(shape.points)
      #expect(zip(there, mesh).allSatisfy { ($0 - $1).max() < 1e-3 && ($1 - $0).max() < 1e-3 })
      let (moved, offset) = (pose.posed([shape.points[0] + [0, 0.1, 0]])[0], pose.turned([[0, 0.1, 0]])[0])
      #expect((moved - there[0] - offset).max() < 1e-3)
    }
  }

  @Test func mouthsAreMeasured() throws {
    var neutral = Neutral(geometry)
    let shapes = try shapes()
    let closed = shapes.map { neutral($0, after: 0.04) }
    expect(closed.map { $0.flatMap { [$0.x, $0.y, $0.z] } }, 1e-6, "neutral")
    expect(zip(shapes, closed).map { geometry.coefficients($0, $1) }, 1e-4, "own")
    expect(try rows("wanted").map { geometry.limited($0, to: 0.05) }, 1e-5, "limited")
    expect(try rows("wanted").map { geometry.decided($0) }, 1e-5, "decided")
    var expression = Expression(geometry)
    let predicted = try rows("wanted")
    expect(
      try rows("own").enumerated().map { expression(own: $1, predicted: predicted[$0], after: 0.04) }, 1e-5,
      "expression")
  }

  @Test func mouthsAreMoved() throws {
    let (own, wanted, poses) = (try rows("own"), try rows("limited"), try poses())
    var (before, after, inset, mouth, lips) = ([[Float]](), [[Float]](), [[Float]](), [[Float]](), [[Float]]())
    let place = try #require(Similarity(a: 1, b: 0, tx: 0, ty: 0))
    for (t, shape) in try shapes().enumerated() {
      let moved = geometry.shape(shape, from: own[t], to: wanted[t], facing: geometry.facing(poses[t]))
      let mesh = try #require(RingedMesh(try meshes()[t]))
      let there = try #require(
        mesh.moved(to: poses[t].posed(moved.points))?.unfolded(
          from: mesh, geometry.triangles, unit: Float(poses[t].scale)))
      before.append(mesh.points.flatMap { [$0.x, $0.y] })
      after.append(there.points.flatMap { [$0.x, $0.y] })
      inset.append(there.inset(unit: Float(poses[t].scale)).points.flatMap { [$0.x, $0.y] })
      mouth.append(there.mouth.flatMap { [$0.x, $0.y] })
      lips.append(Array(FaceWindow(side: 80).lips(there, at: place).values))
    }
    expect(poses.map { geometry.facing($0) }, 1e-4, "facing")
    expect(before, 1e-6, "before")
    expect(after, 1e-6, "after")
    expect(inset, 1e-6, "inset")
    expect(mouth, 1e-6, "mouth")
    expect(lips, 1e-4, "lips")
  }

  @Test func mouthsAreRemembered() throws {
    var memory = MouthMemory<Int>()
    let (own, wanted) = (try rows("own"), try rows("limited"))
    var shown: [[Float]] = []
    for (t, (shape, pose)) in try zip(shapes(), poses()).enumerated() {
      memory.remember(MouthKey(shape, pose)) { _ in (t, 1_000_000) }
      let moved = geometry.shape(shape, from: own[t], to: wanted[t], facing: geometry.facing(pose))
      let mouths = memory.choose(MouthKey(moved, pose)) + [(-1, 0)]
      shown.append([Float(mouths[0].mouth), Float(mouths[1].mouth), mouths[0].share, mouths[1].share])
    }
    expect(shown, 1e-6, "choices")
  }

  /// A face that smiles while it speaks keeps smiling; the audio alone decides how far its lips open.
  @Test func aSmileStays() {
    let rest = [Float](repeating: 0, count: 12)
    let smile = geometry.unopened([0, -1, 1, 0.5, 0, 0, 2] + rest.dropFirst(7))
    var expression = Expression(geometry)
    var kept = rest
    for i in 0..<100 {
      let spoken = geometry.limited([sin(Float(i)), 0, cos(Float(2 * i))] + rest.dropFirst(3), to: 1)
      kept = expression(own: zip(smile, spoken).map { $0 + $1 }, predicted: spoken, after: 0.04)
    }
    #expect(zip(kept, smile).allSatisfy { abs($0 - $1) < 1e-3 })
    for i in 0..<200 {
      kept = expression(own: [4 * abs(sin(Float(i)))] + rest.dropFirst(), predicted: rest, after: 0.04)
    }
    let shape = geometry.shape(FaceShape(geometry.canonical)!, from: rest, to: kept)
    #expect(shape.opening <= FaceShape(geometry.canonical)!.opening + 0.005)
  }

  /// A mouth at rest is closed, whatever the first frames showed, and at any frame rate.
  @Test(arguments: [0.01, 0.04, 0.2]) func theClosedMouthIsFound(seconds: Double) throws {
    let face = try #require(FaceShape(geometry.canonical))  // its mouth is a little open
    let rest = [Float](repeating: 0, count: 12)
    var neutral = Neutral(geometry)
    let own = geometry.coefficients(face, neutral(face, after: 0.04))
    let (shape, wide) = (
      geometry.shape(face, from: own, to: rest), geometry.shape(face, from: own, to: [3] + rest.dropFirst())
    )
    #expect(shape.opening < 0.02 && wide.opening > 0.2)
    neutral = Neutral(geometry)
    var closed: ClosedMouth = []
    for i in 0..<Int(8 / seconds) { closed = neutral(Double(i) * seconds < 1 ? wide : shape, after: seconds) }
    let off = geometry.coefficients(shape, closed)
    #expect(off.allSatisfy { abs($0) < 0.35 }, "\(off)")
    #expect(geometry.coefficients(wide, closed)[0] > 2.5)
  }

  @Test func lipsDoNotCross() throws {
    let shape = try #require(FaceShape(geometry.canonical))
    let rest = [Float](repeating: 0, count: 12)
    let crossed = geometry.shape(shape, from: rest, to: [-9] + rest.dropFirst())
    for (upper, lower) in [(13, 14), (82, 87), (312, 317), (191, 95)] {
      #expect(crossed.points[upper].y <= crossed.points[lower].y)
    }
  }

  @Test func numbersThatAreNoneDoNoHarm() throws {
    let shape = try #require(FaceShape(geometry.canonical))
    let rest = [Float](repeating: 0, count: 12)
    for value in [Float.nan, .infinity, -.infinity, 1e30] {
      let odd = geometry.shape(shape, from: rest, to: [Float](repeating: value, count: 12))
      #expect(FaceShape(odd.points) != nil)
      #expect(FaceShape([SIMD3](repeating: [0, value, 0], count: 468)) == nil)
      #expect(Pose(of: [SIMD3](repeating: [0, value, 1], count: 468), canonical: geometry.canonical) == nil)
      var one = geometry.canonical
      one[33].x = value
      #expect(Pose(of: one, canonical: geometry.canonical) == nil)
    }
    #expect(geometry.shape(shape, from: [], to: []) == geometry.shape(shape, from: rest, to: rest))
    #expect(geometry.coefficients(shape, []).allSatisfy { $0 == 0 })
    var neutral = Neutral(geometry)
    var expression = Expression(geometry)
    for seconds in [-1, 0, .nan, .infinity] {
      #expect(neutral(shape, after: seconds).allSatisfy { $0.sum().isFinite })
      let kept = expression(own: [.infinity, -.infinity] + rest.dropFirst(2), predicted: rest, after: seconds)
      #expect(kept.allSatisfy { $0.magnitude <= 3.001 })
    }
  }

  @Test func meshesWithoutAreaHaveNoPose() {
    let points = geometry.canonical
    #expect(Pose(of: [], canonical: points) == nil)
    #expect(Pose(of: points.dropLast(), canonical: points) == nil)
    #expect(Pose(of: points.map { _ in [5, 5, 5] }, canonical: points) == nil)
    #expect(Pose(of: points.map { [$0.y, $0.y, $0.y] }, canonical: points) == nil, "on a line")
    #expect(Pose(of: points.map { 1e-3 * $0 }, canonical: points) == nil)
    #expect(Pose(of: points.map { $0 + [3e6, 0, 0] }, canonical: points) == nil)
    #expect(Pose(of: points, canonical: points) != nil)
    #expect(RingedMesh([]) == nil)
  }
}

/// Values in a model file that would do harm later.
@Suite struct GeometryFileTests {
  @Test(
    arguments: [
      ("low", [1], -1, "geometry.low holds -1.0, which is no point"), ("low", [0], 468, "holds 468.0"),
      ("low", [3], 0.5, "holds 0.5"), ("low", [5], 3, "geometry.low does not rise"),
      ("low", [0], .nan, "geometry.low holds values that are not finite"),
      ("triangles", [7], 540, "triangles holds 540.0"),
      ("canonical", [5], 11, "geometry.canonical holds values beyond 10.0"),
      ("components", [9], -20, "geometry.components holds values beyond"), ("analysis", [9], 1e6, "beyond"),
      ("canonical", Array(0..<1404), 0, "geometry.canonical is no face"),
      ("components", Array(0..<10_000), 0, "geometry.components do not open the lips"),
    ] as [(String, [Int], Float, String)])
  func wrongValuesAreNamed(name: String, places: [Int], value: Float, words: String) throws {
    var tensors = try golden("geometry.safetensors")
    var tensor = try #require(tensors["geometry.\(name)"])
    for i in places where i < tensor.values.count { tensor.values[i] = value }
    tensors["geometry.\(name)"] = tensor
    let weights = Weights(tensors)
    _ = Geometry(weights, coefficients: 12)
    #expect(weights.finish().contains { $0.contains(words) }, "\(weights.finish())")
  }

  @Test func wrongShapesAreNamed() throws {
    for (name, shape) in [("low", [0]), ("low", [4, 2]), ("triangles", [20_000, 3]), ("canonical", [467, 3])] {
      var tensors = try golden("geometry.safetensors")
      tensors["geometry.\(name)"] = Tensor(zeros: shape)
      let weights = Weights(tensors)
      _ = Geometry(weights, coefficients: 12)
      #expect(weights.finish().contains { $0.hasPrefix("geometry.\(name) is \(shape), expected") })
    }
    let weights = Weights([:])
    _ = Geometry(weights, coefficients: 12)
    #expect(weights.finish().filter { $0.hasPrefix("missing geometry.") }.count == 5)
  }

  @Test func lipsThatAreMissingAreNamed() throws {
    var tensors = try golden("geometry.safetensors")
    let low = try #require(tensors["geometry.low"]).values.filter { $0 != 13 && $0 != 308 }
    tensors["geometry.low"] = Tensor([low.count], low)
    let weights = Weights(tensors)
    _ = Geometry(weights, coefficients: 12)
    #expect(weights.finish().contains("geometry.low lacks the lips' points [13, 308]"))
  }
}

/// From a file of data/shape.py, in float16.
func goldenGeometry(beside test: String = #filePath) throws -> Geometry {
  let weights = Weights(try golden("geometry.safetensors", beside: test))
  let geometry = Geometry(weights, coefficients: 12)
  #expect(weights.finish() == [])
  return geometry
}
