// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// 468 points on a face (Kartynnik et al., arXiv 1907.06724), with MediaPipe's preprocessing: the network sees an upright
// square around the face, 1.5 times as wide as its box.

import Glibc
import Tensors

public struct FaceMesh: Sendable {
  private static let side = 192  // px, the network's picture
  private static let eyes = (33, 263)  // outer corners: the line between them is level in the picture

  private let input: Conv2d
  private let inputSlope: Tensor
  private let trunk: [MobileBlock]
  private let points, score: Branch

  /// One answer of the network: `blocks` at 128 channels, 32 channels from `reduce` on.
  private struct Branch: Sendable {
    let blocks: [MobileBlock]
    let reduce: Conv2d
    let slope: Tensor
    let last: MobileBlock
    let output: Conv2d

    init(_ w: Weights, _ name: String, blocks count: Int, outputs: Int) {
      blocks = (1...count).map {
        MobileBlock(w, "\(name).block\($0)", 128, 128, stride: $0 == 1 ? 2 : 1, slopes: true)
      }
      reduce = Conv2d(w, "\(name).reduce", 128, 32, kernel: 1, same: 0)
      slope = w.take("\(name).reduce.slope", [32])
      last = MobileBlock(w, "\(name).block\(count + 1)", 32, 32, slopes: true)
      output = Conv2d(w, "\(name).output", 32, outputs, kernel: 3, same: 0)
    }

    func callAsFunction(_ x: Tensor) -> Values {
      var x = x
      for block in blocks { x = block(x) }
      return output(last(prelu(reduce(x), slope: slope))).values
    }
  }

  /// Weights `faces.mesh.*`.
  public init(_ w: Weights) {
    let name = "faces.mesh"
    let channels = [16, 16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128]
    input = Conv2d(w, "\(name).input", 3, 16, kernel: 3, stride: 2, same: 1)
    inputSlope = w.take("\(name).input.slope", [16])
    trunk = (1...14).map {
      MobileBlock(
        w, "\(name).block\($0)", channels[$0 - 1], channels[$0], stride: [3, 6, 9, 12].contains($0) ? 2 : 1,
        slopes: true)
    }
    points = Branch(w, "\(name).points", blocks: 3, outputs: 1404)
    score = Branch(w, "\(name).score", blocks: 1, outputs: 1)
  }

  /// Picture `[192, 192, 3]` in 0 ... 1 -> `[468, 3]` x, y in px of the picture, depth; 0 ... 1 that it is a face.
  package func network(_ picture: Tensor) -> (points: Tensor, score: Float) {
    var x = prelu(input(picture), slope: inputSlope)
    for block in trunk { x = block(x) }
    let logit = score(x).first ?? -.infinity
    return (Tensor([468, 3], points(x)), 1 / (1 + expf(-logit)))
  }

  /// The 468 points in frame px, looked for in `region` (frame px -> px of the network's picture).
  func callAsFunction(_ frame: FrameView, region: Similarity) -> (points: [SIMD2<Float>], score: Float) {
    let (points, score) = network(plainCrop(frame, region, side: Self.side).map { ($1 + 1) / 2 })
    let places = (0..<468).map {
      SIMD2<Float>(region.inverse(Double(points.values[3 * $0]), Double(points.values[3 * $0 + 1])))
    }
    return (places, score)
  }

  /// Where to look for the points of a face that the detector saw.
  static func region(_ detection: Detection) -> Similarity? {
    guard detection.keypoints.count == 6 else { return nil }
    let middle = SIMD2(detection.x + detection.width / 2, detection.y + detection.height / 2)
    return region(middle, max(detection.width, detection.height), detection.keypoints[0], detection.keypoints[1])
  }

  /// Where to look for the points of a face that stands upright in this box.
  static func region(_ box: Box) -> Similarity? {
    let half = SIMD2(box.width / 4, 0)
    return region(box.middle, max(box.width, box.height), box.middle - half, box.middle + half)
  }

  /// Where to look for the points of a face whose points in the frame before are known.
  static func region(_ points: [SIMD2<Float>]) -> Similarity? {
    guard points.count == 468, let first = points.first else { return nil }
    var (low, high) = (first, first)
    for point in points {
      low = pointwiseMin(low, point)
      high = pointwiseMax(high, point)
    }
    return region((low + high) / 2, max(high.x - low.x, high.y - low.y), points[eyes.0], points[eyes.1])
  }

  private static func region(
    _ middle: SIMD2<Float>, _ size: Float, _ right: SIMD2<Float>, _ left: SIMD2<Float>
  ) -> Similarity? {
    let angle = atan2(Double(left.y - right.y), Double(left.x - right.x))
    let half = Double(side) / 2
    return Similarity(
      center: SIMD2<Double>(middle), on: [half, half], angle: angle, scale: Double(side) / (1.5 * Double(size)))
  }
}
