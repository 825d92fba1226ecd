// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// A GstStructure that is being filled.
final class Structure {
  private var structure: UnsafeMutablePointer<GstStructure>?

  init(_ name: String) { structure = gst_structure_new_empty(name) }

  deinit { if let structure { gst_structure_free(structure) } }

  /// Returns the structure, which the caller owns from now on.
  func take() -> UnsafeMutablePointer<GstStructure>? {
    defer { structure = nil }
    return structure
  }

  func set(_ field: String, _ value: UInt64) { set(field, "guint64") { g_value_set_uint64(&$0, guint64(value)) } }
  func set(_ field: String, _ value: Int64) { set(field, "gint64") { g_value_set_int64(&$0, gint64(value)) } }
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
