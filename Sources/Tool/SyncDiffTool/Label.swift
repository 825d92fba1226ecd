// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A visible text in a corner of the video.

import ArgumentParser
import CGStreamer

struct Label {
  enum Corner: String, ExpressibleByArgument, CaseIterable {
    case topLeft = "top-left"
    case topRight = "top-right"
    case bottomLeft = "bottom-left"
    case bottomRight = "bottom-right"
  }

  private let text: String
  private let corner: Corner

  /// Throws if GStreamer cannot render text here.
  init(_ text: String, in corner: Corner) throws {
    guard let factory = gst_element_factory_find("textoverlay") else {
      throw Failure("GStreamer's textoverlay is missing, which --label needs; install gstreamer1.0-x", .badOutput)
    }
    gst_object_unref(UnsafeMutableRawPointer(factory))
    (self.text, self.corner) = (text, corner)
  }

  /// The element in a pipeline description.
  static let element = "textoverlay name=label"

  /// Sets the element's properties: white text with a black outline, 1/22 of the video's height. In HDR at reference white
  /// (ITU-R BT.2408: 58 % of PQ's signal, 75 % of HLG's), not at peak brightness.
  func show(in pipeline: UnsafeMutablePointer<GstElement>, on picture: Picture) {
    let (overlay, height) = (pipeline.element("label"), picture.shownSize.height)
    let grey: UInt32 = picture.colours.isPQ ? 0x94 : picture.colours.isHDR ? 0xBF : 0xFF
    let sides = corner.rawValue.split(separator: "-").map(String.init)
    let settings = [
      ("valignment", sides[0]), ("halignment", sides[1]), ("line-alignment", sides[1]), ("auto-resize", "false"),
      ("font-desc", "Sans Bold \(max(height / 22, 8))px"), ("color", "\(0xFF00_0000 | grey * 0x01_0101)"),
      ("xpad", "\(height / 30)"), ("ypad", "\(height / 30)"),
    ]
    for (name, value) in settings { overlay.object.set(name, to: value) }
    let escaped = g_markup_escape_text(text, -1)
    defer { g_free(escaped) }
    var value = GValue()
    g_value_init(&value, gst_tag_get_type(GST_TAG_COMMENT))  // text
    g_value_set_string(&value, escaped)
    g_object_set_property(overlay.object, "text", &value)
    g_value_unset(&value)
  }
}
