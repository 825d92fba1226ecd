// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The tag that says that the picture was made by AI.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct DisclosureTests {
  @Test(
    "With sound the output says that it was made by AI, beside what upstream says",
    arguments: [
      (properties: [:], sound: true, title: nil, disclosed: true),
      (properties: [:], sound: true, title: "News", disclosed: true),
      (properties: [:], sound: false, title: "News", disclosed: false),
      (properties: ["disclosure": "false"], sound: true, title: "News", disclosed: false),
    ] as [(properties: [String: String], sound: Bool, title: String?, disclosed: Bool)])
  func disclosed(properties: [String: String], sound: Bool, title: String?, disclosed: Bool) throws {
    let bench = try Bench(properties.merging(["passthrough": "true"]) { $1 }, sound: sound)
    if let title {
      let tags = gst_tag_list_new_from_string("taglist, title=\"\(title)\"")
      gst_harness_push_event(bench.video, gst_event_new_tag(tags))
    }
    bench.push(try bench.frame(0))
    gst_buffer_unref(try bench.pull())
    let pad = gst_element_get_static_pad(bench.element, "src")
    defer { gst_object_unref(pad) }
    var text = ""
    if let event = gst_pad_get_sticky_event(pad, GST_EVENT_TAG, 0) {
      var tags: UnsafeMutablePointer<GstTagList>?
      gst_event_parse_tag(event, &tags)
      let string = gst_tag_list_to_string(tags)
      text = string.map { String(cString: $0) } ?? ""
      g_free(string)
      gst_event_unref(event)
    }
    #expect(text.contains("compositeWithTrainedAlgorithmicMedia") == disclosed)
    #expect(title.map { text.contains($0) } ?? true)
  }
}
