// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Element messages about what is seen: `syncdiff-face` and `syncdiff-scene`, timed with the frame that they are about, with
// the fields that messages of the element `level` have.

import CGStreamer
import Faces
import GstSyncDiff
import SyncDiff

/// The faces in view, as reported by `syncdiff-face`.
package struct FaceChange: Sendable {
  package enum State: String, Sendable { case found, lost, changed }

  /// The obstacle of each face in view, by its id.
  private var obstacles: [Int: Obstacle?] = [:]
  private var chosen: Set<Int> = []

  package init() {}

  /// The new state if it changed: a face was chosen where there was none, or none where there was one, or the faces in view,
  /// chosen or hidden are different ones.
  package mutating func update(_ faces: [TrackedFace]) -> State? {
    let old = (obstacles: obstacles, chosen: chosen)
    obstacles = Dictionary(faces.map { ($0.id, $0.obstacle) }) { first, _ in first }
    chosen = Set(faces.filter { $0.isChosen }.map { $0.id })
    if chosen.isEmpty != old.chosen.isEmpty { return chosen.isEmpty ? .lost : .found }
    return obstacles == old.obstacles && chosen == old.chosen ? nil : .changed
  }
}

/// What to report about faces and scenes, as frames arrive.
struct Announcements {
  private var faces = FaceChange()

  /// Reports what changed with this frame.
  mutating func announce(_ scene: FrameFaces, _ frame: Frame, _ settings: Settings, _ stream: Stream) {
    if scene.isCut {
      stream.log(GST_LEVEL_INFO, "a new scene begins with \(frame), difference \(scene.difference)")
      if settings.posts(GST_SYNC_DIFF_MESSAGES_SCENE) {
        let structure = Structure("syncdiff-scene")
        structure.set("difference", Double(scene.difference))
        stream.post(structure, at: frame.stamps)
      }
    }
    guard let change = faces.update(scene.trackedFaces) else { return }
    stream.log(GST_LEVEL_INFO, "faces \(change.rawValue) in \(frame): \(Self.words(scene.trackedFaces))")
    guard settings.posts(GST_SYNC_DIFF_MESSAGES_FACE) else { return }
    let structure = Structure("syncdiff-face")
    structure.set("state", change.rawValue)
    structure.set("faces", scene.trackedFaces.map(Self.entry))
    stream.post(structure, at: frame.stamps)
  }

  private static func words(_ faces: [TrackedFace]) -> String {
    let all = faces.map { face in
      "face \(face.id)\(face.isChosen ? ", selected" : "")\(face.obstacle.map { ", its mouth is hidden: \($0.rawValue)" } ?? "")"
    }
    return all.isEmpty ? "none in view" : all.joined(separator: "; ")
  }

  private static func entry(_ face: TrackedFace) -> Structure {
    let entry = Structure("face")
    entry.set("id", UInt32(clamping: face.id))
    entry.set("x", whole(face.box.x))
    entry.set("y", whole(face.box.y))
    entry.set("width", whole(face.box.width))
    entry.set("height", whole(face.box.height))
    entry.set("score", Double(face.score))
    entry.set("selected", face.isChosen)
    if let obstacle = face.obstacle { entry.set("obstacle", obstacle.rawValue) }
    return entry
  }

  private static func whole(_ value: Float) -> Int32 { abs(value) < 1e9 ? Int32(value.rounded()) : 0 }
}
