// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The face mesh: 468 points from MediaPipe's attention mesh (Grishchenko et al., arXiv 2006.10962) without the eye
// refinement. The network's input is an upright square around the face, 1.5 times as wide as its box. Twin of
// Sources/Training/data/landmarks.py.

import Glibc
import Tensors

public struct FaceMesh: Sendable {
  private static let side = 192  // px, the network's input
  private static let brightness: Float = 0.45  // the mean to which darker inputs are brightened
  private static let darkest: Float = 0.05  // the darkest mean that is fully brightened, which limits the gain to 9

  private let input: Conv2d
  private let inputSlope: Tensor
  private let first: [MobileBlock]
  private let rest: MobileChain
  private let points, score: Conv2d
  private let lips: Lips

  /// Weights `faces.mesh.*` and `faces.lips.*`.
  public init(_ w: Weights) {
    let name = "faces.mesh"
    input = Conv2d(w, "\(name).input", 3, 16, kernel: 3, stride: 2, same: 1)
    inputSlope = w.take("\(name).input.slope", [16])
    first = MobileChain.blocks(w, name, 1...3, channels: 16)
    rest = MobileChain(w, name, 4...17, channels: 16)
    points = Conv2d(w, "\(name).points", 32, 1404, kernel: 3, same: 0)
    score = Conv2d(w, "\(name).score", 32, 1, kernel: 3, same: 0)
    lips = Lips(w)
  }

  /// Image `[192, 192, 3]` in 0 ... 1 -> the 468 points before lip refinement (x, y in image px from the image's
  /// corner, depth in the same unit, smaller is nearer); features `[48, 48, 32]` for the refinement; and the
  /// probability that it is a face.
  package func network(_ picture: Tensor) -> (points: [SIMD3<Float>], features: Tensor, score: Float) {
    let features = first.reduce(prelu(input(picture), slope: inputSlope)) { $1($0) }
    let x = rest(features)
    let (values, logit) = (points(x).values, score(x).values.first ?? -.infinity)
    let points = (0..<468).map { SIMD3(values[3 * $0], values[3 * $0 + 1], values[3 * $0 + 2]) }
    return (points, features, 1 / (1 + expf(-logit)))
  }

  /// Finds the 468 points in `region` (frame px -> input px): x, y in frame px, depth in the same unit.
  func callAsFunction(_ frame: FrameView, region: Similarity) -> (points: [SIMD3<Float>], score: Float) {
    let (points, features, score) = network(Self.picture(frame, region))
    let places = lips.refined(points, features).map { point in
      // The network's coordinates start at the image's corner, a frame's at the centre of its first pixel.
      let place = region.inverse(Double(point.x) - 0.5, Double(point.y) - 0.5)
      return SIMD3(Float(place.x), Float(place.y), point.z / Float(region.scale))
    }
    return (places, score)
  }

  /// The network's input `[192, 192, 3]` in 0 ... 1, brightened if it is dark.
  private static func picture(_ frame: FrameView, _ region: Similarity) -> Tensor {
    let picture = coarseCrop(frame, region, side: side)
    typealias Levels = SIMD16<Float>
    let count = picture.values.count  // a multiple of the vector size
    return picture.values.withUnsafeBufferPointer { values in
      let levels = UnsafeRawBufferPointer(values)
      let places = stride(from: 0, to: 4 * count, by: MemoryLayout<Levels>.size)
      var sums = Levels()
      for place in places { sums += levels.loadUnaligned(fromByteOffset: place, as: Levels.self) }
      let mean = (sums.sum() / Float(count) + 1) / 2
      let gain = brightness / min(max(mean, darkest), brightness)
      return Tensor([side, side, 3]) { output in
        for place in places {
          let level = gain * (levels.loadUnaligned(fromByteOffset: place, as: Levels.self) + 1) / 2
          let bounded = level.replacing(with: 1, where: level .> 1)
          UnsafeMutableRawPointer(output).storeBytes(of: bounded, toByteOffset: place, as: Levels.self)
        }
      }
    }
  }

  /// The input region for a detection.
  static func region(_ detection: Detection) -> Similarity? {
    guard detection.keypoints.count == 6 else { return nil }
    let middle = SIMD2(detection.x + detection.width / 2, detection.y + detection.height / 2)
    return region(middle, max(detection.width, detection.height), detection.keypoints[0], detection.keypoints[1])
  }

  /// The input region for an upright face in this box.
  static func region(_ box: Box) -> Similarity? {
    let half = SIMD2(box.width / 4, 0)
    return region(box.middle, max(box.width, box.height), box.middle - half, box.middle + half)
  }

  /// The input region for a face whose points in the previous frame are known.
  static func region(_ points: [SIMD3<Float>]) -> Similarity? {
    guard points.count == 468, let box = Box(around: points) else { return nil }
    let (right, left) = (points[FaceMeshPoints.eyes.0], points[FaceMeshPoints.eyes.1])
    return region(box.middle, max(box.width, box.height), SIMD2(right.x, right.y), SIMD2(left.x, left.y))
  }

  private static func region(
    _ middle: SIMD2<Float>, _ size: Float, _ right: SIMD2<Float>, _ left: SIMD2<Float>
  ) -> Similarity? {
    let angle = atan2(Double(left.y - right.y), Double(left.x - right.x))
    let half = Double(side - 1) / 2
    return Similarity(
      center: SIMD2<Double>(middle), on: [half, half], angle: angle, scale: Double(side) / (1.5 * Double(size)))
  }
}
