// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element tells the outside: debug lines, and errors and warnings on the bus. Never under the monitor's lock,
// for whoever listens may call back.

import CGStreamer
import GstSyncDiff

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

extension Stream {
  func postError(
    _ problem: Problem, _ text: String, debug: String? = nil, file: String = #fileID, function: String = #function,
    line: gint = #line
  ) {
    post(GST_MESSAGE_ERROR, problem, text, debug, (file, function, line))
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

  /// A line in the debug category `syncdiff`, or `syncdiff-model`.
  func log(_ level: GstDebugLevel, model: Bool = false, _ text: @autoclosure () -> String) {
    if gst_sync_diff_logs(model ? 1 : 0, level) != 0 { gst_sync_diff_log(element, model ? 1 : 0, level, text()) }
  }
}
