// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Glibc
import TestSupport
import Testing

/// The canonical face, turned by up to 50 degrees in eight directions, with its mouth moved.
@Suite struct TurnedHeadTests {
  let geometry: Geometry
  private let rest = [Float](repeating: 0, count: 12)

  init() throws { geometry = try goldenGeometry() }

  /// A head with a mouth, and its mesh with another mouth.
  private struct Head {
    let pose: Pose
    let before, moved, after: RingedMesh
    let facing: [Float]
  }

  private func heads(_ degrees: Float, count: Int) throws -> [Head] {
    var dice = Dice(UInt64(degrees) + 1)
    func coefficients() -> [Float] { (0..<12).map { Float.random(in: -1...1, using: &dice) * ($0 == 0 ? 3 : 0.8) } }
    return try (0..<8 * count).map { i in
      let (own, wanted) = (coefficients(), coefficients())
      let shape = geometry.shape(try #require(FaceShape(geometry.canonical)), from: rest, to: own)
      let mesh = Self.turned(shape.points, degrees * .pi / 180, towards: Float(i % 8) * .pi / 4)
      let pose = try #require(Pose(of: mesh, canonical: geometry.canonical))
      let facing = geometry.facing(pose)
      let there = geometry.shape(try #require(FaceShape(pose.unposed(mesh))), from: own, to: wanted, facing: facing)
      let before = try #require(RingedMesh(mesh))
      let moved = try #require(before.moved(to: pose.posed(there.points)))
      let after = try #require(moved.unfolded(from: before, geometry.triangles, unit: Float(pose.scale)))
      return Head(pose: pose, before: before, moved: moved, after: after, facing: facing)
    }
  }

  /// Around an axis in the frame's plane, 100 px large.
  private static func turned(_ points: [SIMD3<Float>], _ angle: Float, towards: Float) -> [SIMD3<Float>] {
    let (c, s) = (cos(towards), sin(towards))
    return points.map { p in
      let (u, v) = (c * p.x + s * p.y, c * p.y - s * p.x)
      let (x, z) = (cos(angle) * u + sin(angle) * p.z, cos(angle) * p.z - sin(angle) * u)
      return 100 * SIMD3(c * x - s * v, s * x + c * v, z) + [300, 200, 0]
    }
  }

  private func folds(_ before: RingedMesh, _ after: RingedMesh, unit: Float) -> [SIMD3<Int32>] {
    geometry.triangles.filter { triangle in
      let (old, new) = (before.area(triangle), after.area(triangle))
      // The points of closed lips may be in any order, so opening is no fold between them.
      let isOpened = old < 0 && before.shows(triangle)
      return old * new < 0 && min(abs(old), abs(new)) > 2e-5 * unit * unit && !isOpened
    }
  }

  @Test(arguments: [0, 10, 20, 30, 40, 50] as [Float]) func noTriangleTurnsOver(degrees: Float) throws {
    let heads = try heads(degrees, count: 12)
    for head in heads { #expect(folds(head.before, head.after, unit: Float(head.pose.scale)).isEmpty) }
    // They would if nothing prevented it.
    #expect(heads.contains { !folds($0.before, $0.moved, unit: Float($0.pose.scale)).isEmpty })
  }

  /// A mouth opens as intended in a frontal view, and nearly so when the head is turned by 30 degrees.
  @Test func mouthsStillOpen() throws {
    for (degrees, tolerance) in [(0, 0.02), (30, 0.03)] as [(Float, Float)] {
      let off = try heads(degrees, count: 12).map { head in
        func opening(_ mesh: RingedMesh) -> Float {
          let inner = mesh.inner
          return (4..<7).reduce(0) { $0 + (inner[20 - $1].y - inner[$1].y) } / 3 / Float(head.pose.scale)
        }
        return abs(opening(head.after) - opening(head.moved))
      }
      #expect(off.reduce(0, +) / Float(off.count) < tolerance, "\(degrees) degrees")
    }
  }

  @Test func whatIsHiddenDoesNotMove() throws {
    for (i, head) in try heads(50, count: 2).enumerated() {
      let still = zip(geometry.low, head.facing).filter { $1 == 0 }.map(\.0)
      #expect(!still.isEmpty || i % 4 == 2, "turned to a side")
      for i in still where !FaceMeshPoints.pairs.contains(where: { $0.0 == i || $0.1 == i }) {
        let way = head.after.points[i] - head.before.points[i]
        #expect((way * way).sum() < 1e-4)
      }
      #expect(geometry.triangles.contains { !head.after.shows($0) })
    }
    for head in try heads(0, count: 1) { #expect(head.facing.allSatisfy { $0 > 0.999 }) }
  }
}
