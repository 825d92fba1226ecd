// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whose memory frames lie in, how many there are, and how they are laid out.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct AllocationTests {
  @Test(
    "Held frames are asked of upstream, whether downstream has a pool or not, and strides of its own are welcome",
    arguments: [false, true])
  func allocation(sound: Bool) throws {
    let bench = try Bench(["lookahead": "300000000"], sound: sound)
    let pad = gst_element_get_static_pad(bench.element, "sink")
    defer { gst_object_unref(pad) }
    func ask() throws {
      let caps = gst_caps_from_string(Bench.caps)
      let query = gst_query_new_allocation(caps, 1)
      gst_caps_unref(caps)
      defer { gst_query_unref(query) }
      #expect(gst_pad_query(pad, query) != 0)
      #expect(gst_query_find_allocation_meta(query, gst_video_meta_api_get_type(), nil) != 0)
      try #require(gst_query_get_n_allocation_pools(query) == 1)
      var (size, least, most): (guint, guint, guint) = (0, 0, 0)
      gst_query_parse_nth_allocation_pool(query, 0, nil, &size, &least, &most)
      // 340 ms of latency, a frame in case upstream is live, and 100 ms more are 12 frames; 4 may be painted ahead.
      #expect(size == Bench.frameSize && least == (sound ? 12 + 4 + 2 + 2 : 4) && most == 0)
    }
    try ask()
    // Behind a frame that waits for its sound, too.
    bench.push(try bench.frame(0))
    try ask()
  }

  @Test("When the sound is linked, upstream is told to ask again how many frames are held")
  func reconfigures() throws {
    let bench = try Bench()
    let source = bench.video.pointee.srcpad
    gst_pad_check_reconfigure(source)
    #expect(gst_pad_needs_reconfigure(source) == 0)
    let audio = gst_harness_new_with_element(bench.element, "audio", nil)
    defer { gst_harness_teardown(audio) }
    #expect(gst_pad_needs_reconfigure(source) != 0)
  }

  @Test(
    "Strides of its own reach only those downstream who know them, whatever is asked later while frames are held",
    arguments: [true, false])
  func strides(known: Bool) throws {
    let caps = "video/x-raw,format=RGB,width=66,height=64,framerate=25/1"
    let bench = try Bench(caps: caps, sound: true)
    if known { gst_harness_add_propose_allocation_meta(bench.video, gst_video_meta_api_get_type(), nil) }
    for held in [false, true] {
      let query = gst_query_new_allocation(gst_pad_get_current_caps(bench.video.pointee.srcpad), 1)
      defer { gst_query_unref(query) }
      #expect(gst_pad_peer_query(bench.video.pointee.srcpad, query) != 0)
      if !held { bench.push(try bench.frame(0, size: 200 * 64)) }
    }
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    gst_buffer_unref(try bench.pull())
    let (width, height, stride) = (66 * 3, 64, 256)
    let frame = try bench.frame(3, (0..<stride * height).map { UInt8($0 % 251) }, size: stride * height)
    var (offsets, strides): ([gsize], [gint]) = ([0, 0, 0, 0], [gint(stride), 0, 0, 0])
    gst_buffer_add_video_meta_full(
      frame, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, 66, 64, 1, &offsets, &strides)
    gst_buffer_add_video_region_of_interest_meta(frame, "face", 1, 2, 3, 4)
    bench.push(frame)
    let out = try bench.pull()
    defer { gst_buffer_unref(out) }
    #expect((out == frame) == known)
    #expect(out.pointee.pts == 3 * frameDuration && out.pointee.duration == frameDuration)
    #expect(gst_buffer_get_n_meta(out, gst_video_region_of_interest_meta_api_get_type()) == 1)
    guard !known else {
      // Downstream may be another now, and nobody has asked it.
      let frame = try bench.frame(4, size: stride * height)
      gst_harness_push_upstream_event(bench.video, gst_event_new_reconfigure())
      gst_buffer_add_video_meta_full(
        frame, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, 66, 64, 1, &offsets, &strides)
      bench.push(frame)
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      #expect(out != frame && gst_buffer_get_video_meta(out) == nil)
      return
    }
    #expect(gst_buffer_get_video_meta(out) == nil)
    let new = bytes(of: out)
    let packed = 200  // GstVideoInfo rounds lines up to 4 bytes
    #expect(new.count == packed * height)
    for row in 0..<height {
      #expect((0..<width).allSatisfy { new[row * packed + $0] == UInt8((row * stride + $0) % 251) })
    }
  }

  @Test("A frame that there is no memory to copy is an error")
  func noMemory() throws {
    #expect(gstreamer)
    refuseMemory()
    defer { gst_allocator_set_default(gst_allocator_find("SystemMemory")) }
    let bench = try Bench(caps: "video/x-raw,format=RGB,width=74,height=66,framerate=25/1")
    let query = gst_query_new_allocation(gst_pad_get_current_caps(bench.video.pointee.srcpad), 1)
    defer { gst_query_unref(query) }
    #expect(gst_pad_peer_query(bench.video.pointee.srcpad, query) != 0)
    func frame() throws -> UnsafeMutablePointer<GstBuffer> {
      let frame = try bench.frame(0, size: 256 * 66)
      var (offsets, strides): ([gsize], [gint]) = ([0, 0, 0, 0], [256, 0, 0, 0])
      gst_buffer_add_video_meta_full(
        frame, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB, 74, 66, 1, &offsets, &strides)
      return frame
    }
    #expect(wait { (try? bench.push(frame())) == GST_FLOW_ERROR })
    #expect(bench.noted.allSatisfy { $0 != .frame(pts: 0) })
    let code = GST_RESOURCE_ERROR_NO_SPACE_LEFT.rawValue
    #expect(bench.complains(once: "gst-resource-error-quark \(code): Cannot allocate memory for a frame."))
  }
}

/// From now on there is no memory for 66 lines of 224 bytes, and for everything else there is.
private func refuseMemory() {
  let type = g_type_register_static_simple(
    gst_allocator_get_type(), "RefusingAllocator", guint(MemoryLayout<GstAllocatorClass>.size),
    { allocatorClass, _ in
      allocatorClass?.assumingMemoryBound(to: GstAllocatorClass.self).pointee.alloc = { _, size, params in
        guard size != 66 * 224 else { return nil }
        let system = gst_allocator_find("SystemMemory")
        defer { gst_object_unref(system) }
        return gst_allocator_alloc(system, size, params)
      }
    }, guint(MemoryLayout<GstAllocator>.size), nil, GTypeFlags(rawValue: 0))
  let allocator = g_object_new_with_properties(type, 0, nil, nil)
  gst_object_ref_sink(allocator)
  gst_allocator_set_default(UnsafeMutableRawPointer(allocator)?.assumingMemoryBound(to: GstAllocator.self))
}
