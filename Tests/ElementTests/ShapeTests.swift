// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What pipelines and user interfaces read before anything plays: name, pads, properties, types.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct ShapeTests {
  private let element: UnsafeMutablePointer<GstElementClass>

  init() throws {
    #expect(gstreamer)
    let known = try #require(g_type_class_ref(gst_sync_diff_get_type()))  // stays for as long as the process
    element = known.assumingMemoryBound(to: GstElementClass.self)
  }

  @Test("Names, class and rank")
  func names() throws {
    #expect(String(cString: g_type_name(gst_sync_diff_get_type())) == "GstSyncDiff")
    let klass = gst_element_class_get_metadata(element, GST_ELEMENT_METADATA_KLASS)
    #expect(klass.map { String(cString: $0) } == "Filter/Effect/Video/Audio")
    let factory = try #require(gst_element_factory_find("syncdiff"))
    defer { gst_object_unref(UnsafeMutableRawPointer(factory)) }
    #expect(gst_plugin_feature_get_rank(factory) == GST_RANK_NONE.rawValue)
  }

  @Test(
    "Every pad takes what it should, and no more",
    arguments: [
      ("sink", "video/x-raw,format=I420,width=64,height=64,framerate=0/1", true),
      ("sink", "video/x-raw,format=v210,width=8192,height=4320,framerate=60000/1001", true),
      ("sink", "video/x-raw,format=BGRx,width=63,height=64,framerate=25/1", false),
      ("sink", "video/x-raw(memory:DMABuf),format=I420,width=64,height=64,framerate=25/1", false),
      ("src", "video/x-raw,format=UYVY,width=641,height=359,framerate=25/1", true),
      ("audio", "audio/x-raw,format=S24LE,rate=8000,channels=64,channel-mask=(bitmask)0,layout=interleaved", true),
      ("audio", "audio/x-raw,format=F64LE,rate=384000,channels=1,layout=non-interleaved", true),
      ("audio", "audio/x-raw,format=S16LE,rate=7999,channels=1,layout=interleaved", false),
      ("audio", "audio/x-raw,format=S16BE,rate=48000,channels=1,layout=interleaved", false),
    ])
  func pads(name: String, caps: String, taken: Bool) throws {
    let template = try #require(gst_element_class_get_pad_template(element, name))
    #expect((template.pointee.presence == GST_PAD_REQUEST) == (name == "audio"))
    let (theirs, ours) = (gst_caps_from_string(caps), gst_pad_template_get_caps(template))
    defer { for caps in [theirs, ours] { gst_caps_unref(caps) } }
    #expect((gst_caps_is_subset(theirs, ours) != 0) == taken)
  }

  @Test("There is one audio pad, and again one when it has been released")
  func audioPad() throws {
    let bench = try Bench()
    let pad = try #require(gst_element_request_pad_simple(bench.element, "audio"))
    #expect(gst_element_request_pad_simple(bench.element, "audio") == nil)
    gst_element_release_request_pad(bench.element, pad)
    gst_object_unref(pad)
    let again = try #require(gst_element_request_pad_simple(bench.element, "audio"))
    gst_element_release_request_pad(bench.element, again)
    gst_object_unref(again)
  }

  /// When a property may change.
  enum Change: String { case ready, playing, controlled }

  @Test(
    "Properties have their types and defaults, and say when they may change",
    arguments: [
      ("model", "gchararray", nil, .ready), ("presenter", "gchararray", nil, .ready),
      ("precision", "GstSyncDiffPrecision", "auto", .ready),
      ("threads", "guint", "0", .ready), ("preload", "gboolean", "true", .ready),
      ("lookahead", "gint64", "-1", .ready), ("steps", "guint", "0", .playing),
      ("guidance-scale", "gdouble", "0", .controlled), ("strength", "gdouble", "1", .controlled),
      ("seed", "guint64", "0", .playing), ("passthrough", "gboolean", "false", .controlled),
      ("audio-offset", "gint64", "0", .playing), ("face-select", "GstSyncDiffFaceSelect", "largest", .controlled),
      ("max-faces", "guint", "4", .playing), ("roi", "gchararray", nil, .playing),
      ("no-face", "GstSyncDiffNoFace", "passthrough", .playing), ("silence", "GstSyncDiffSilence", "close", .playing),
      ("silence-threshold", "gdouble", "-50", .playing), ("silence-hold", "guint64", "300000000", .playing),
      ("missing-audio", "GstSyncDiffMissingAudio", "passthrough", .playing),
      ("scene-threshold", "gdouble", "0.40000000000000002", .playing),
      ("overload", "GstSyncDiffOverload", "auto", .playing), ("processing-latency", "guint64", "0", .playing),
      ("stall-timeout", "guint64", "5000000000", .playing), ("qos", "gboolean", "true", .playing),
      ("post-messages", "GstSyncDiffMessages", "3", .playing), ("stats-interval", "guint64", "0", .playing),
      ("disclosure", "gboolean", "true", .ready), ("watermark", "gboolean", "true", .ready),
      ("watermark-key", "gchararray", nil, .ready), ("watermark-id", "guint", "0", .ready),
    ] as [(String, String, String?, Change)])
  func property(name: String, type: String, value: String?, change: Change) throws {
    let object = UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObjectClass.self)
    let spec = try #require(g_object_class_find_property(object, name))
    let kind = spec.pointee.value_type
    #expect(String(cString: g_type_name(kind)) == type)
    // GST_PARAM_CONTROLLABLE, _MUTABLE_READY and _MUTABLE_PLAYING
    let flags = spec.pointee.flags.rawValue >> UInt32(G_PARAM_USER_SHIFT) & 0b11110
    #expect(flags == (change == .ready ? 0b100 : change == .playing ? 0b10000 : 0b10010))
    let ours = type.hasPrefix("GstSyncDiff")
    #expect((gst_type_is_plugin_api(kind, nil) != 0) == ours)
    #expect(text(g_param_spec_get_default_value(spec)) == value)
    // What a new element has is what the description says.
    let bench = try Bench()
    guard Bench.usual[name] == nil else { return }
    var now = GValue()
    g_value_init(&now, kind)
    g_object_get_property(UnsafeMutableRawPointer(bench.element).assumingMemoryBound(to: GObject.self), name, &now)
    #expect(text(&now) == value)
    g_value_unset(&now)
  }

  @Test(
    "A number that is none changes nothing",
    arguments: ["guidance-scale", "strength", "silence-threshold", "scene-threshold"])
  func notANumber(name: String) throws {
    let bench = try Bench()
    let object = UnsafeMutableRawPointer(bench.element).assumingMemoryBound(to: GObject.self)
    func double(_ number: Double? = nil) -> Double {
      var value = GValue()
      g_value_init(&value, GType(15 << 2))  // G_TYPE_DOUBLE
      if let number {
        g_value_set_double(&value, number)
        g_object_set_property(object, name, &value)
      }
      g_object_get_property(object, name, &value)
      return g_value_get_double(&value)
    }
    let before = double()
    #expect(double(.nan) == before)
  }

  private func text(_ value: UnsafePointer<GValue>?) -> String? {
    if let value, g_type_is_a(value.pointee.g_type, g_type_from_name("GFlags")) != 0 {
      return "\(g_value_get_flags(value))"  // written out they are whole sentences
    }
    guard let value, value.pointee.g_type != g_type_from_name("gchararray") || g_value_get_string(value) != nil,
      let written = gst_value_serialize(value)
    else { return nil }
    defer { g_free(written) }
    return String(cString: written)
  }
}
