// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Golden values: Sources/Training/golden_faces.py.

import Faces
import Tensors
import TestSupport
import Testing

/// `size` x `size` pixels of `picture` from (x, y), each `times` times in both directions, as level * scale + offset.
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
    expectClose(scores, golden["detector.scores"], 0.002, "scores")
  }

  @Test func meshAnswersAsTFLite() throws {
    let golden = try golden("faces.safetensors")
    let picture = part(try portrait(), x: 30, y: 16, size: 96, times: 2, scale: 1 / 255, offset: 0)
    let (points, score) = FaceMesh(try faceWeights()).network(picture)
    // The face is 116 px high: 0.002 px are 0.002 % of it.
    expectClose(points, golden["mesh.points"], 0.002, "points, px of 192")
    expectClose(Tensor([1], [score]), golden["mesh.score"], 1e-4, "score")
  }
}

@Suite struct Tracking {
  /// Largest distance of the points from the golden ones, moved by (x, y), in shares of the face's height.
  private func distance(_ face: Face?, x: Float = 0, y: Float = 0) throws -> Float {
    let expected = try #require(try golden("faces.safetensors")["track.points"])
    let points = try #require(face).points
    let far = points.indices.map { i in
      let difference = points[i] - [expected.values[2 * i] + x, expected.values[2 * i + 1] + y]
      return (difference * difference).sum().squareRoot()
    }
    return try #require(far.max()) / 60
  }

  @Test func pointsLieWhereMediaPipePutsThem() throws {
    var tracker = try tracker()
    let face = try frame(.rgb, 160, 160, Colorimetry(.bt601, .full), showing: try portrait()).track(&tracker)
    #expect(try distance(face) < 0.002)
    #expect(try #require(face).score > 0.99)
  }

  @Test(arguments: [(1700, 850), (31, 17), (843, 405)])
  func aFaceOf60PixelsIsFoundInFullHD(x: Int, y: Int) throws {
    var tracker = try tracker()
    let face = try frame(.i420, 1920, 1080, showing: try portrait(), x: x, y: y).track(&tracker)
    #expect(try distance(face, x: Float(x), y: Float(y)) < 0.02)
  }

  @Test func aMovingFaceIsFollowedAndAStillOneKeepsItsWindow() throws {
    var tracker = try tracker()
    let picture = try portrait()
    for x in [0, 3, 6, 9, 12, 12, 12, 12, 12, 12] {
      let face = try frame(.nv12, 240, 200, showing: picture, x: x, y: 20).track(&tracker)
      // The mesh sees a moving face where it was, so a little off the middle of its picture.
      #expect(try distance(face, x: Float(x), y: 20) < 0.05)
    }
    let still = frame(.nv12, 240, 200, showing: picture, x: 12, y: 20)
    let (before, after) = (try still.track(&tracker), try still.track(&tracker))
    let moved = try #require(after).window(80, 90) - #require(before).window(80, 90)
    #expect(abs(moved.x) < 0.1 && abs(moved.y) < 0.1)
  }

  @Test func aLostFaceIsFoundAgainElsewhere() throws {
    var tracker = try tracker()
    let picture = try portrait()
    #expect(try frame(.bgrx, 640, 360, showing: picture).track(&tracker) != nil)
    // A cut: the old place shows nothing, and the detector finds the new one in the same frame.
    let face = try frame(.bgrx, 640, 360, showing: picture, x: 400, y: 150).track(&tracker)
    #expect(try distance(face, x: 400, y: 150) < 0.02)
  }

  @Test func withoutAFaceTheSearchRests() throws {
    var tracker = try tracker()
    let empty = Frame(.i420, 128, 96)
    let face = frame(.i420, 160, 160, showing: try portrait())
    #expect(try empty.track(&tracker) == nil)
    for _ in 0..<5 { #expect(try face.track(&tracker) == nil) }
    #expect(try face.track(&tracker) != nil)
    _ = (tracker.reset(), try empty.track(&tracker), tracker.reset())
    #expect(try face.track(&tracker) != nil)
  }

  @Test(arguments: [(1, 1), (2, 1), (1, 300), (16, 16), (33, 47)])
  func tinyFramesHaveNoFace(width: Int, height: Int) throws {
    var tracker = try tracker()
    #expect(try Frame(.i420, width, height).track(&tracker) == nil)
  }
}
