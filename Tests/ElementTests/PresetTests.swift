// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import GstSyncDiff
import SyncDiffElement
import Testing

/// One after the other: GStreamer reads the file when presets are first asked for, without a lock.
@Suite(.serialized) struct PresetTests {
  /// The groups of meta/presets/GstSyncDiff.prs, each with its properties in text form.
  private func file() throws -> [String: [String: String]] {
    let file = g_key_file_new()
    defer { g_key_file_free(file) }
    let path = try #require(presetFolder()) + "/GstSyncDiff.prs"
    try #require(g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, nil) != 0)
    var groups: [String: [String: String]] = [:]
    for group in strings(g_key_file_get_groups(file, nil)) where !group.hasPrefix("_") {
      for key in strings(g_key_file_get_keys(file, group, nil, nil)) {
        let value = g_key_file_get_string(file, group, key, nil)
        defer { g_free(value) }
        groups[group, default: [:]][key] = value.map { String(cString: $0) }
      }
    }
    return groups
  }

  /// A vector of strings that is ours to free.
  private func strings(_ vector: UnsafeMutablePointer<UnsafeMutablePointer<gchar>?>?) -> [String] {
    defer { g_strfreev(vector) }
    var result: [String] = []
    while let vector, let string = vector[result.count] { result.append(String(cString: string)) }
    return result
  }

  @Test("Each preset is found without being told where, and says for what it is")
  func names() throws {
    #expect(gstreamer)
    let element = try #require(gst_element_factory_make("syncdiff", nil))
    defer { gst_object_unref(element) }
    let preset = OpaquePointer(element)
    #expect(strings(gst_preset_get_preset_names(preset)) == ["archive", "broadcast", "draft", "realtime"])
    for name in try file().keys {
      var comment: UnsafeMutablePointer<gchar>?
      #expect(gst_preset_get_meta(preset, name, "comment", &comment) != 0)
      g_free(comment)
    }
  }

  @Test("All that a preset names is a property with that value, and the same properties are named by all")
  func values() throws {
    #expect(gstreamer)
    let presets = try file()
    #expect(Set(presets.values.map { Set($0.keys) }).count == 1)
    for (name, values) in presets {
      let element = try #require(gst_element_factory_make("syncdiff", nil))
      defer { gst_object_unref(element) }
      let object = UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self)
      let properties = g_type_class_peek(gst_sync_diff_get_type()).assumingMemoryBound(to: GObjectClass.self)
      #expect(gst_preset_load_preset(OpaquePointer(element), name) != 0)
      for (property, text) in values where !property.hasPrefix("_meta/") {
        let specification = try #require(g_object_class_find_property(properties, property), "\(property)")
        var (value, wanted) = (GValue(), GValue())
        g_value_init(&wanted, specification.pointee.value_type)
        #expect(gst_value_deserialize(&wanted, text) != 0, "\(name): \(property)=\(text)")
        g_object_get_property(object, property, &value)
        #expect(gst_value_compare(&value, &wanted) == GST_VALUE_EQUAL, "\(name): \(property)=\(text)")
        g_value_unset(&value)
        g_value_unset(&wanted)
      }
    }
  }
}
