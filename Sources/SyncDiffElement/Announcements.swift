// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Element messages about what is seen: `syncdiff-face` and `syncdiff-scene`, in time with the frame that they are about,
// with the fields of the messages of the element `level`.

import CGStreamer
import Faces
import GstSyncDiff
import SyncDiff

/// Which faces are in view, as far as `syncdiff-face` tells.
package struct FaceNews: Sendable {
  package enum State: String, Sendable { case found, lost, changed }

  private var ids: Set<Int> = []
  private var chosen: Set<Int> = []

  package init() {}

  /// What is new: some face chosen where none was, none where some was, or others in view or chosen than before.
  package mutating func update(_ faces: [Sighting]) -> State? {
    let old = (ids: ids, chosen: chosen)
    ids = Set(faces.map { $0.id })
    chosen = Set(faces.filter { $0.isChosen }.map { $0.id })
    if chosen.isEmpty != old.chosen.isEmpty { return chosen.isEmpty ? .lost : .found }
    return ids == old.ids && chosen == old.chosen ? nil : .changed
  }
}

extension Stream {
  /// Says what changed with this frame.
  func announce(_ scene: Scene, _ frame: Frame, _ settings: Settings) {
    if scene.isCut, wants(GST_SYNC_DIFF_MESSAGES_SCENE, settings) {
      let structure = Structure("syncdiff-scene")
      structure.set("difference", Double(scene.difference))
      post(structure, frame)
    }
    if let state = faceNews.update(scene.sightings), wants(GST_SYNC_DIFF_MESSAGES_FACE, settings) {
      let structure = Structure("syncdiff-face")
      structure.set("state", state.rawValue)
      structure.set(
        "faces",
        scene.sightings.map { face in
          let entry = Structure("face")
          entry.set("id", UInt32(clamping: face.id))
          entry.set("x", Self.whole(face.box.x))
          entry.set("y", Self.whole(face.box.y))
          entry.set("width", Self.whole(face.box.width))
          entry.set("height", Self.whole(face.box.height))
          entry.set("score", Double(face.score))
          entry.set("selected", face.isChosen)
          return entry
        })
      post(structure, frame)
    }
  }

  private func wants(_ kind: GstSyncDiffMessages, _ settings: Settings) -> Bool {
    settings.postMessages.rawValue & kind.rawValue != 0
  }

  /// Posts an element message about a frame.
  private func post(_ structure: Structure, _ frame: Frame) {
    structure.set("timestamp", UInt64(frame.buffer.pointee.pts))
    structure.set("stream-time", UInt64(frame.streamTime))
    structure.set("running-time", frame.time?.nanoseconds ?? .max)
    structure.set("duration", UInt64(frame.buffer.pointee.duration))
    gst_element_post_message(base, gst_message_new_element(object, structure.take()))
  }

  private static func whole(_ value: Float) -> Int32 { Int32(min(max(value.rounded(), -1e9), 1e9)) }
}

/// A GstStructure that is being filled.
private final class Structure {
  private var structure: UnsafeMutablePointer<GstStructure>?

  init(_ name: String) { structure = gst_structure_new_empty(name) }

  deinit { if let structure { gst_structure_free(structure) } }

  /// The structure, which is the caller's from now on.
  func take() -> UnsafeMutablePointer<GstStructure>? {
    defer { structure = nil }
    return structure
  }

  func set(_ field: String, _ value: UInt64) { set(field, "guint64") { g_value_set_uint64(&$0, guint64(value)) } }
  func set(_ field: String, _ value: UInt32) { set(field, "guint") { g_value_set_uint(&$0, value) } }
  func set(_ field: String, _ value: Int32) { set(field, "gint") { g_value_set_int(&$0, value) } }
  func set(_ field: String, _ value: Double) { set(field, "gdouble") { g_value_set_double(&$0, value) } }
  func set(_ field: String, _ value: Bool) { set(field, "gboolean") { g_value_set_boolean(&$0, value ? 1 : 0) } }
  func set(_ field: String, _ value: String) { set(field, "gchararray") { g_value_set_string(&$0, value) } }

  /// A list of structures.
  func set(_ field: String, _ entries: [Structure]) {
    var list = GValue()
    g_value_init(&list, gst_value_list_get_type())
    for entry in entries {
      var value = GValue()
      g_value_init(&value, gst_structure_get_type())
      g_value_take_boxed(&value, entry.take())
      gst_value_list_append_and_take_value(&list, &value)
    }
    if let structure { gst_structure_take_value(structure, field, &list) } else { g_value_unset(&list) }
  }

  private func set(_ field: String, _ type: String, _ assign: (inout GValue) -> Void) {
    var value = GValue()
    g_value_init(&value, g_type_from_name(type))
    assign(&value)
    if let structure { gst_structure_take_value(structure, field, &value) } else { g_value_unset(&value) }
  }
}
