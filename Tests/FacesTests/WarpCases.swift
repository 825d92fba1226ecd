// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the tests of patches, warps and differences share.

import Faces
import Tensors
import TestSupport
import Testing

/// No two neighbours are equal.
func busy(_ x: Int, _ y: Int) -> SIMD3<Double> {
  [Double((x * 7 + y * 13) % 17) / 16, Double((x * 5 + y * 3) % 11) / 10, Double((x * 3 + y * 11) % 7) / 6]
}

func otherwiseBusy(_ x: Int, _ y: Int) -> SIMD3<Double> { busy(x * 3 + y + 5, y * 2 + 1) }

/// A grid of `side` x `side` points, the first at `origin`, `spacing` apart, whose inner points move by `move`.
func grid(
  _ side: Int, at origin: SIMD2<Float>, _ spacing: SIMD2<Float>, in region: Region,
  _ move: (Int, Int) -> SIMD2<Float>
) -> WarpCase {
  var scene = WarpCase(source: [], destination: [], triangles: [], region: region, polygon: [], feather: 3.3)
  for j in 0..<side {
    for i in 0..<side {
      let point = origin + spacing * [Float(i), Float(j)]
      let isInner = i > 0 && j > 0 && i < side - 1 && j < side - 1
      scene.source.append(point)
      scene.destination.append(isInner ? point + move(i, j) : point)
      guard i + 1 < side, j + 1 < side else { continue }
      let (a, b) = (Int32(j * side + i), Int32((j + 1) * side + i))
      scene.triangles += [[a, a + 1, b], [a + 1, b + 1, b]]
    }
  }
  let middle = origin + spacing * Float(side - 1) / 2
  let polygon: [SIMD2<Float>] = [[-1.1, -0.2], [-0.3, -0.8], [0.4, -0.7], [1.2, 0.1], [0.5, 0.9], [-0.6, 0.8]]
  scene.polygon = polygon.map { middle + spacing * $0 }
  return scene
}

/// A distorted face: some triangles shrink, one is folded.
func scene(_ frame: Frame, at origin: SIMD2<Float> = [9.37, 6.81]) -> WarpCase {
  let region = Region(x: Int(origin.x) - 3, y: Int(origin.y) - 2, width: 79, height: 71)
  return grid(6, at: origin, [13.3, 11.7], in: region) { i, j in
    i == 3 && j == 3 ? [-4.2, 14.1] : [Float(i * 7 % 5) * 1.3 - 2.6, Float(j * 5 % 7) - 3.1]
  }
}

let sites = [ChromaSite.left, ChromaSite(cositedX: false, cositedY: false)]

extension Frame {
  func composition(_ scene: WarpCase) throws -> Composition? {
    try paint { Composition($0.view, scene.warp) }
  }

  func patch(_ region: Region) throws -> Patch? { try paint { Patch($0.view, region) } }

  func apply(_ patch: Patch?, _ difference: Difference? = nil, _ strength: Float = 1) throws {
    try paint { Faces.apply(try #require(patch), difference, to: $0, strength: strength) }
  }

  /// Restores `old` levels in a region's samples; returns how many differed.
  func restore(_ old: Frame, in region: Region) -> Int {
    var changed = 0
    for component in format.components {
      let size = component.size(width, height)
      for y in 0..<size.height {
        for x in 0..<size.width where self[component, x, y] != old[component, x, y] {
          guard Plain.isInside(region, component, x, y) else { continue }
          changed += 1
          self[component, x, y] = old[component, x, y]
        }
      }
    }
    return changed
  }
}
