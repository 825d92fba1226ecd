// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import SyncDiffElement
import Testing

/// The properties of the mark, and `syncdiffdetect`, which finds it.
@Suite struct MarkTests {
  private static let side = 640
  private static let caps = "video/x-raw,format=I420,width=\(side),height=\(side),framerate=25/1"

  private func dubbed(_ properties: [String: String], _ frame: [UInt8]? = nil) throws -> [UInt8] {
    let bench = try Bench(properties, caps: Self.caps, sound: true)
    try bench.pushSound(0)
    let size = Self.side * Self.side * 3 / 2
    bench.push(try bench.frame(0, try frame ?? portrait(side: Self.side), size: size))
    let out = try bench.pull()
    defer { gst_buffer_unref(out) }
    return bytes(of: out)
  }

  @Test("The mark is grey, faint, in painted pixels alone, other for every key and number, and off by name")
  func isInPaintedPixels() throws {
    let (plain, marked) = (try dubbed(["watermark": "false"]), try dubbed([:]))
    let input = try dubbed(["passthrough": "true"])
    #expect(try input == portrait(side: Self.side))
    #expect(try dubbed([:]) == marked)
    let luma = Self.side * Self.side
    #expect(plain[luma...] == marked[luma...])
    let differences = (0..<luma).map { abs(Int(plain[$0]) - Int(marked[$0])) }
    #expect((3...12).contains(differences.max() ?? 0))
    let painted = Set((0..<luma).filter { plain[$0] != input[$0] }.map { $0 / Self.side })
    let rows = Set(differences.indices.filter { differences[$0] > 0 }.map { $0 / Self.side })
    #expect(rows.count > 30 && rows.isSubset(of: painted))
    for other in [["watermark-id": "7"], ["watermark-key": "another"]] {
      let other = try dubbed(other)
      #expect(other != marked && other != plain)
    }
  }

  // MARK: syncdiffdetect

  /// The portrait's luma as means over 5 x 5 px: its canvas is rougher than skin.
  private func smooth() throws -> [UInt8] {
    var frame = try portrait(side: Self.side)
    for step in [1, Self.side] {
      let before = frame
      for i in 2 * step..<Self.side * Self.side - 2 * step {
        frame[i] = UInt8((-2...2).reduce(2) { $0 + Int(before[i + $1 * step]) } / 5)
      }
    }
    return frame
  }

  /// What the detector made of frames.
  private final class Detection {
    let bus = gst_bus_new()
    let harness: UnsafeMutablePointer<GstHarness>
    private var next = 0

    init(_ properties: String = "") throws {
      #expect(gstreamer)
      harness = try #require(gst_harness_new_parse("syncdiffdetect \(properties)"))
      gst_element_set_bus(harness.pointee.element, bus)
      gst_harness_set_src_caps_str(harness, MarkTests.caps)
    }

    deinit {
      gst_element_set_bus(harness.pointee.element, nil)
      gst_harness_teardown(harness)
      gst_object_unref(bus)
    }

    /// Pushes a frame so many times; returns the regions of interest of the last one, having compared all bytes.
    func push(_ frame: [UInt8], times: Int) throws -> [GstVideoRegionOfInterestMeta] {
      var regions: [GstVideoRegionOfInterestMeta] = []
      for _ in 0..<times {
        let buffer = try #require(gst_harness_create_buffer(harness, gsize(frame.count)))
        gst_buffer_fill(buffer, 0, frame, gsize(frame.count))
        buffer.pointee.pts = GstClockTime(next) * frameDuration
        buffer.pointee.duration = frameDuration
        next += 1
        #expect(gst_harness_push(harness, buffer) == GST_FLOW_OK)
        let out = try #require(gst_harness_pull(harness))
        #expect(bytes(of: out) == frame)
        var state: gpointer?
        regions = []
        while let meta = gst_buffer_iterate_meta_filtered(out, &state, gst_video_region_of_interest_meta_api_get_type())
        {
          regions.append(
            UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstVideoRegionOfInterestMeta.self).pointee)
        }
        gst_buffer_unref(out)
      }
      return regions
    }

    func marks() -> [[String: String]] {
      var marks: [[String: String]] = []
      while let message = gst_bus_pop(bus) {
        let post = Post(message)
        if post.name == "syncdiff-mark" { marks.append(post.fields) }
        gst_message_unref(message)
      }
      return marks
    }
  }

  @Test("A mark that passes is posted every second and lies on the frames' faces; frames keep their bytes")
  func detects() throws {
    let plain = try smooth()
    let marked = try dubbed(["watermark-id": "4660", "steps": "1"], plain)
    let detection = try Detection()
    #expect(try detection.push(plain, times: 30).isEmpty && detection.marks().isEmpty)
    gst_harness_push_event(detection.harness, gst_event_new_stream_start("another"))
    let regions = try detection.push(marked, times: 30)
    let (marks, region) = (detection.marks(), try #require(regions.first))
    #expect(marks.count == 1 && regions.count == 1)
    #expect(marks.first?["id"] == "4660" && marks.first?["version"] == "0.2", "\(marks)")
    #expect(
      marks.first?["from"] == "\(30 * frameDuration)" && marks.first?["to"] == "\(54 * frameDuration)", "\(marks)")
    #expect(marks.first?["running-time"] == "\(55 * frameDuration)", "\(marks)")
    #expect(String(cString: g_quark_to_string(region.roi_type)) == "syncdiff-mark")
    #expect(
      (280...340).contains(region.x + region.w / 2) && (170...270).contains(region.y + region.h / 2)
        && (100...220).contains(region.w), "\(region)")
    gst_harness_push_event(detection.harness, gst_event_new_eos())
    #expect(detection.marks().map { $0["to"] } == ["\(59 * frameDuration)"])
  }

  @Test("Another key reads nothing, a flush forgets what was half seen, and a model that is not there is refused")
  func detectsByKey() throws {
    let marked = try dubbed(["watermark-key": "mine", "steps": "1"], try smooth())
    #expect(try Detection().push(marked, times: 30).isEmpty)
    let detection = try Detection("watermark-key=mine")
    #expect(try detection.push(marked, times: 4).isEmpty)
    gst_harness_push_event(detection.harness, gst_event_new_flush_start())
    gst_harness_push_event(detection.harness, gst_event_new_flush_stop(1))
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    gst_harness_push_event(detection.harness, gst_event_new_segment(&segment))
    #expect(try !detection.push(marked, times: 30).isEmpty)
    #expect(detection.marks().first?["from"] == "\(4 * frameDuration)")

    let element = gst_element_factory_make("syncdiffdetect", nil)
    defer { gst_object_unref(element) }
    let bus = gst_bus_new()
    defer { gst_object_unref(bus) }
    gst_element_set_bus(element, bus)
    gst_util_set_object_arg(UnsafeMutableRawPointer(element)?.assumingMemoryBound(to: GObject.self), "model", "/none")
    #expect(gst_element_set_state(element, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE)
    let message = try #require(gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR))
    #expect(Post(message).complaint?.contains("there is no model file /none") == true)
    gst_message_unref(message)
    gst_element_set_bus(element, nil)
    gst_element_set_state(element, GST_STATE_NULL)
  }

  @Test("Frames without a time pass with one warning, and a box that is no number is no region")
  func untimed() throws {
    let detection = try Detection()
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_BYTES)
    gst_harness_push_event(detection.harness, gst_event_new_segment(&segment))
    #expect(try detection.push(portrait(side: Self.side), times: 2).isEmpty)
    var warnings: [String] = []
    while let message = gst_bus_pop(detection.bus) {
      if let complaint = Post(message).complaint { warnings.append(complaint) }
      gst_message_unref(message)
    }
    #expect(warnings.count == 1 && warnings.first?.contains("not searched for marks") == true, "\(warnings)")
    for (value, pixel) in [(Float.nan, 0), (-.infinity, 0), (.infinity, 640), (3.6, 4), (-2, 0)] as [(Float, guint)] {
      #expect(pixels(value, 640) == pixel)
    }
  }
}
