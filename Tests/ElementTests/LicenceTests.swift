// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import Glibc
import TestSupport
import Testing

@Suite struct LicenceTests {
  @Test("A model under another licence says so in a warning and in syncdiff-ready; the one that ships is silent")
  func licence() throws {
    let path = try licensedModel("For research only.")
    defer { unlink(path) }
    let cases: [(String?, String?)] = [(path, "The model \(path): For research only."), (nil, nil)]
    for (model, words) in cases {
      let bench = try Bench(sound: true)
      gst_element_set_state(bench.element, GST_STATE_NULL)
      if let model { bench.set("model", model) }
      bench.set("preload", "true")
      #expect(gst_element_set_state(bench.element, GST_STATE_READY) == GST_STATE_CHANGE_SUCCESS)
      let domain = String(cString: g_quark_to_string(gst_resource_error_quark()))
      let complaint = words.map { "\(domain) \(GST_RESOURCE_ERROR_SETTINGS.rawValue): \($0)" }
      let complaints = bench.complaints.map { $0.split(separator: " | ")[0] }  // without their debug text
      #expect(complaints.map { String($0) } == (complaint.map { [$0] } ?? []))
      // As gst_value_serialize writes it.
      #expect(bench.posts("syncdiff-ready").first?["licence"] == words.map { _ in "\"For\\ research\\ only.\"" })
    }
  }
}
