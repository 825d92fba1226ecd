// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element reports: debug lines, and errors, warnings and element messages on the bus. Nothing is posted while the
// state is locked, because a listener may call back.

import CGStreamer
import GstSyncDiff
import SyncDiff
import Tensors

/// The category of a problem, in GStreamer's terms.
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

extension Structure {
  /// Posts an element message.
  func post(at stamps: Timestamps, from element: UnsafeMutablePointer<GstElement>) {
    set("timestamp", UInt64(stamps.timestamp))
    set("stream-time", UInt64(stamps.streamTime))
    set("running-time", UInt64(stamps.runningTime))
    set("duration", UInt64(stamps.duration))
    let object = UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstObject.self)
    gst_element_post_message(element, gst_message_new_element(object, take()))
  }
}

extension Stream {
  /// Posts an element message.
  func post(_ structure: Structure, at stamps: Timestamps) { structure.post(at: stamps, from: base) }

  /// Progress of loading the model.
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
    message.set("latency", refreshLatency())
    if let licence { message.set("licence", licence) }
    post(message, at: Timestamps())
    if let licence { postWarning(.resource(GST_RESOURCE_ERROR_SETTINGS), "The model \(path): \(licence)") }
  }

  /// Posts only the first error of a stream; subsequent ones would hide it.
  func postError(
    _ problem: Problem, _ text: String, debug: String? = nil, file: String = #fileID, function: String = #function,
    line: gint = #line
  ) {
    log(GST_LEVEL_ERROR, text, file: file, function: function, line: line)
    let isFirst = state.change { state in
      defer { state.failed = true }
      return !state.failed
    }
    if isFirst { post(GST_MESSAGE_ERROR, problem, text, debug, (file, function, line)) }
  }

  func postWarning(
    _ problem: Problem, _ text: String, debug: String? = nil, file: String = #fileID, function: String = #function,
    line: gint = #line
  ) {
    log(GST_LEVEL_WARNING, text, file: file, function: function, line: line)
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

  /// A line in the debug category `syncdiff` or `syncdiff-model`. The text is built only if the line is logged.
  func log(
    _ level: GstDebugLevel, model: Bool = false, _ text: @autoclosure () -> String, file: String = #fileID,
    function: String = #function, line: gint = #line
  ) {
    guard gst_sync_diff_logs(model ? 1 : 0, level) != 0 else { return }
    gst_sync_diff_log(element, model ? 1 : 0, level, file, function, line, text())
  }
}
