// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// A face in a frame.
public struct Face: Sendable {
  /// The 468 points of the face mesh, frame px.
  public var points: [SIMD2<Float>]
  /// How sure the mesh is that this is a face, 0.5 ... 1.
  public var score: Float
  /// Frame px -> px of the face window, steadied over time.
  public var window: Similarity
  /// Not the face of the frame before, moved on: the first of a stream, found again, or elsewhere after a cut.
  public var isNew = false

  public init(points: [SIMD2<Float>], score: Float, window: Similarity) {
    (self.points, self.score, self.window) = (points, score, window)
  }
}

/// Follows the largest face of a stream, frame by frame.
///
/// The mesh looks where the face was in the frame before; only when there was none, or the mesh no longer sees a face
/// there, the detector searches the frame. While the picture shows no face at all, that is done in every sixth frame.
public struct FaceTracker: Sendable {
  private static let threshold: Float = 0.5  // of the mesh's score
  private static let rest = 5  // frames without a search after one that found nothing

  private let detector: FaceDetector
  private let mesh: FaceMesh
  private var points: [SIMD2<Float>]?
  private var steady = SteadyWindow()
  private var pause = 0

  public init(detector: FaceDetector, mesh: FaceMesh) { (self.detector, self.mesh) = (detector, mesh) }

  /// Forgets the face: after a cut, a seek, or new caps.
  public mutating func reset() { (points, steady, pause) = (nil, SteadyWindow(), 0) }

  /// The face in the next frame of the stream; nil when there is none.
  public mutating func track(_ frame: FrameView) -> Face? {
    if let points, let region = FaceMesh.region(points), let face = face(frame, region) { return follow(face) }
    if points != nil { reset() }
    guard pause == 0 else {
      pause -= 1
      return nil
    }
    // Largest first; the mesh has the last word, as tiles show the detector things that only look like faces.
    let found = detector.search(frame) { detections in
      for detection in detections.sorted(by: { $0.width > $1.width }) {
        if let region = FaceMesh.region(detection), let face = face(frame, region) { return face }
      }
      return nil as Face?
    }
    guard let found else {
      pause = Self.rest
      return nil
    }
    // The detector's region is rough; the mesh's own is the one it will be followed by.
    return follow(FaceMesh.region(found.points).flatMap { face(frame, $0) } ?? found)
  }

  /// The face in `region`, its window not steadied yet; nil when the mesh sees none or it lies outside of the frame.
  private func face(_ frame: FrameView, _ region: Similarity) -> Face? {
    let (points, score) = mesh(frame, region: region)
    guard score >= Self.threshold, let window = FaceWindow.aligned(points) else { return nil }
    let mouth = window.inverse(48, 40)
    guard mouth.x >= 0, mouth.y >= 0, mouth.x < Double(frame.width), mouth.y < Double(frame.height) else { return nil }
    return Face(points: points, score: score, window: window)
  }

  private mutating func follow(_ face: Face) -> Face {
    points = face.points
    var face = face
    face.window = steady(face.window)
    face.isNew = steady.started
    return face
  }
}
