// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element tells the outside: debug lines, and errors, warnings and element messages on the bus. Never under the
// monitor's lock, for whoever listens may call back.

import CGStreamer
import GstSyncDiff
import SyncDiff
import Tensors

/// Where a problem belongs, in GStreamer's terms.
enum Problem {
  case resource(GstResourceError)
  case stream(GstStreamError)
  case library(GstLibraryError)

  fileprivate var domainAndCode: (GQuark, gint) {
    switch self {
    case .resource(let code): (gst_resource_error_quark(), gint(bitPattern: code.rawValue))
    case .stream(let code): (gst_stream_error_quark(), gint(bitPattern: code.rawValue))
    case .library(let code): (gst_library_error_quark(), gint(bitPattern: code.rawValue))
    }
  }
}

/// Where in the stream a message belongs, with the fields that the element `level` has. Nanoseconds or
/// GST_CLOCK_TIME_NONE.
struct Moment {
  var timestamp = GstClockTime.max
  var streamTime = GstClockTime.max
  var runningTime = GstClockTime.max
  var duration = GstClockTime.max
}

/// A GstStructure that is being filled.
final class Structure {
  private var structure: UnsafeMutablePointer<GstStructure>?

  init(_ name: String) { structure = gst_structure_new_empty(name) }

  deinit { if let structure { gst_structure_free(structure) } }

  /// The structure, which is the caller's from now on.
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

extension Stream {
  /// Posts an element message.
  func post(_ structure: Structure, at moment: Moment) {
    structure.set("timestamp", UInt64(moment.timestamp))
    structure.set("stream-time", UInt64(moment.streamTime))
    structure.set("running-time", UInt64(moment.runningTime))
    structure.set("duration", UInt64(moment.duration))
    gst_element_post_message(base, gst_message_new_element(object, structure.take()))
  }

  /// How far loading the model is.
  func postProgress(_ type: GstProgressType, _ text: String) {
    log(GST_LEVEL_INFO, model: true, text)
    gst_element_post_message(base, gst_message_new_progress(object, type, "load-model", text))
  }

  /// `syncdiff-ready`, and a warning if the model's licence is not the project's. Times in microseconds.
  func postReady(_ precision: Precision, load: gint64, warmUp: gint64, path: String, licence: String?) {
    let message = Structure("syncdiff-ready")
    message.set("load-ms", Int64(load / 1000))
    message.set("warmup-ms", Int64(warmUp / 1000))
    message.set("isa", instructionSet)
    message.set("precision", precision == .bf16 && multipliesBF16 ? "bf16" : "f32")
    message.set("latency", UInt64(refreshLatency()))
    if let licence { message.set("licence", licence) }
    post(message, at: Moment())
    if let licence { postWarning(.resource(GST_RESOURCE_ERROR_SETTINGS), "The model \(path): \(licence)") }
  }

  /// The first error of a stream; what follows from it, or comes along with it, would only hide it.
  func postError(
    _ problem: Problem, _ text: String, debug: String? = nil, file: String = #fileID, function: String = #function,
    line: gint = #line
  ) {
    let isFirst = monitor.locked {
      defer { failed = true }
      return !failed
    }
    if isFirst { post(GST_MESSAGE_ERROR, problem, text, debug, (file, function, line)) }
  }

  func postWarning(
    _ problem: Problem, _ text: String, debug: String? = nil, file: String = #fileID, function: String = #function,
    line: gint = #line
  ) {
    post(GST_MESSAGE_WARNING, problem, text, debug, (file, function, line))
  }

  private func post(
    _ type: GstMessageType, _ problem: Problem, _ text: String, _ debug: String?,
    _ place: (file: String, function: String, line: gint)
  ) {
    let (domain, code) = problem.domainAndCode
    gst_element_message_full(
      base, type, domain, code, g_strdup(text), debug.map { g_strdup($0) } ?? nil, place.file, place.function,
      place.line)
  }

  /// A line in the debug category `syncdiff`, or `syncdiff-model`. The text is not made unless somebody reads such lines.
  func log(
    _ level: GstDebugLevel, model: Bool = false, _ text: @autoclosure () -> String, file: String = #fileID,
    function: String = #function, line: gint = #line
  ) {
    guard gst_sync_diff_logs(model ? 1 : 0, level) != 0 else { return }
    gst_sync_diff_log(element, model ? 1 : 0, level, file, function, line, text())
  }
}
