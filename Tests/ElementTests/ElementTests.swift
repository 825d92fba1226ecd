// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import Testing

@Suite struct ElementTests {
  // MARK: Frames

  @Test(
    "Without sound, without a face, or in pass-through a frame is pushed as the very same buffer",
    arguments: [([:], false), ([:], true), (["passthrough": "true"], true), (["strength": "0"], true)])
  func sameBuffer(properties: [String: String], sound: Bool) throws {
    let bench = try Bench(properties, sound: sound)
    if sound { try bench.pushSound(0) }
    for i in 0..<10 {
      let frame = try bench.frame(i)
      frame.pointee.offset = 7
      frame.pointee.dts = frame.pointee.pts
      gst_buffer_add_video_region_of_interest_meta(frame, "face", 1, 2, 3, 4)
      let flags = frame.pointee.mini_object.flags
      #expect(bench.push(frame) == GST_FLOW_OK)
      let out = try bench.pull()
      #expect(out == frame)
      #expect(out.pointee.pts == GstClockTime(i) * frameDuration && out.pointee.dts == out.pointee.pts)
      #expect(out.pointee.duration == frameDuration && out.pointee.offset == 7)
      #expect(out.pointee.mini_object.flags == flags)
      #expect(gst_buffer_get_n_meta(out, gst_video_region_of_interest_meta_api_get_type()) == 1)
      gst_buffer_unref(out)
    }
  }

  @Test("Events keep their place between frames, also those that wait for their sound")
  func order() throws {
    let (bench, face) = (try Bench(sound: true), try portrait())
    for i in 0..<3 {
      bench.push(try bench.frame(i, face))
      bench.pushCustom("after-\(i)")
    }
    g_usleep(100_000)
    #expect(!bench.noted.contains(.frame(pts: 0)))
    try bench.pushSound(0)
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS())
    let outputs = bench.noted.filter { $0 != .event("tag") }
    #expect(
      outputs == [
        .event("stream-start"), .event("caps"), .event("segment"), .frame(pts: 0), .event("after-0"),
        .frame(pts: frameDuration), .event("after-1"), .frame(pts: 2 * frameDuration), .event("after-2"), .event("eos"),
      ])
  }

  @Test("Every frame comes out, however long the sound is", arguments: [0, 1, 4])
  func lengths(secondsOfSound: Int) throws {
    let (bench, face) = (try Bench(["steps": "1"], sound: true), try portrait())
    for i in 0..<secondsOfSound { try bench.pushSound(i) }
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    for i in 0..<30 { #expect(bench.push(try bench.frame(i, face)) == GST_FLOW_OK) }
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS())
    let frames = bench.noted.filter { if case .frame = $0 { true } else { false } }
    #expect(frames == (0..<30).map { .frame(pts: GstClockTime($0) * frameDuration) })
    #expect(bench.complaints == [])
  }

  @Test("A frame without a timestamp follows the one before it, and one warning says so")
  func untimed() throws {
    let bench = try Bench()
    for i in 0..<3 {
      let frame = try bench.frame(i)
      if i > 0 { frame.pointee.pts = .max }
      bench.push(frame)
      gst_buffer_unref(try bench.pull())
    }
    #expect(bench.complaints.count == 1)
  }

  @Test("New caps in mid-stream take their turn")
  func newCaps() throws {
    let bench = try Bench()
    bench.push(try bench.frame(0))
    gst_harness_set_src_caps_str(bench.video, "video/x-raw,format=RGB,width=64,height=64,framerate=25/1")
    bench.push(try bench.frame(1, size: 64 * 64 * 3))
    for _ in 0..<2 { gst_buffer_unref(try bench.pull()) }
    let expected: [Output] = [
      .event("stream-start"), .event("caps"), .event("segment"), .frame(pts: 0), .event("caps"),
      .frame(pts: frameDuration),
    ]
    #expect(bench.noted.filter { $0 != .event("segment") } == expected.filter { $0 != .event("segment") })
  }

  @Test("Other speeds, and backwards, pass untouched, with one warning", arguments: [2, 0.5, -1])
  func rate(_ rate: Double) throws {
    let bench = try Bench(sound: true)
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    segment.rate = rate
    if rate < 0 { segment.stop = 10 * second }
    gst_harness_push_event(bench.video, gst_event_new_segment(&segment))
    for i in 0..<6 {
      if i == 3 {  // as another seek at this rate
        bench.flush(bench.video)
        gst_harness_push_event(bench.video, gst_event_new_segment(&segment))
      }
      bench.push(try bench.frame(i))
      gst_buffer_unref(try bench.pull())
    }
    #expect(bench.complaints.count == 1)
  }

  // MARK: Painting

  @Test("A frame with a face and sound gets a new mouth, and nothing else changes")
  func paints() throws {
    let face = try portrait()
    func dubbed(seed: Int) throws -> [UInt8] {
      let bench = try Bench(["seed": "\(seed)"], sound: true)
      try bench.pushSound(0)
      let frame = gst_buffer_ref(try bench.frame(0, face))  // somebody else holds it too, so it must not change
      defer { gst_buffer_unref(frame) }
      bench.push(try #require(frame))
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      #expect(out != frame && frame.map(bytes) == face)
      #expect(out.pointee.pts == 0 && out.pointee.duration == frameDuration)
      return bytes(of: out)
    }
    let once = try dubbed(seed: 1)
    let changed = (0..<Bench.side * Bench.side).filter { once[$0] != face[$0] }
    let (rows, columns) = (changed.map { $0 / Bench.side }, changed.map { $0 % Bench.side })
    print("changed: rows \(rows.min() ?? 0)-\(rows.max() ?? 0), columns \(columns.min() ?? 0)-\(columns.max() ?? 0)")
    #expect(changed.count > 100 && changed.count < Bench.side * Bench.side / 4)
    #expect(try dubbed(seed: 1) == once)
    #expect(try dubbed(seed: 2) != once)
  }

  /// The bytes of a luma row are those of all samples of a row in v210.
  @Test(
    "Of 10 bits, too, the mouth alone changes",
    arguments: [("I420_10LE", 2), ("P010_10LE", 2), ("I422_10LE", 2), ("v210", 16.0 / 6)])
  func paintsDeepFormats(format: String, bytesPerPixel: Double) throws {
    /// The rows and columns of the luma that change.
    func changed(_ format: String, _ bytesPerPixel: Double) throws -> (rows: Set<Int>, columns: Set<Int>) {
      let bench = try Bench(["guidance-scale": "5"], caps: Bench.caps.replacing("I420", with: format), sound: true)
      let face = try portrait(format)
      try bench.pushSound(0)
      bench.push(try bench.frame(0, face, size: face.count))
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      let (new, row) = (bytes(of: out), Int(Double(Bench.side) * bytesPerPixel))
      let places = (0..<row * Bench.side).filter { new[$0] != face[$0] }
      return (Set(places.map { $0 / row }), Set(places.map { Int(Double($0 % row) / bytesPerPixel) }))
    }
    let (deep, plain) = (try changed(format, bytesPerPixel), try changed("I420", 1))
    #expect(plain.rows.count > 20 && plain.columns.count > 20)
    // Ten bits show how the face's motion fades further out, and six pixels of v210 lie among each other.
    for (deep, plain, near) in [(deep.rows, plain.rows, 8), (deep.columns, plain.columns, 14)] {
      #expect(deep.count > plain.count - 2 * near)
      #expect(deep.allSatisfy { place in plain.contains { abs($0 - place) <= near } })
    }
  }

  @Test("A live frame waits for its sound until its deadline, and then goes untouched")
  func deadline() throws {
    let (bench, face) = (try Bench(sound: true, live: true), try portrait())
    let latency = gst_harness_query_latency(bench.video)
    bench.push(try bench.frame(0, face))
    #expect(gst_harness_wait_for_clock_id_waits(bench.audio, 1, 20) != 0)
    #expect(!bench.noted.contains(.frame(pts: 0)))
    let clock = gst_harness_get_testclock(bench.audio)
    defer { gst_object_unref(clock) }
    gst_test_clock_set_time(clock, 10 * second + latency)
    gst_harness_crank_single_clock_wait(bench.audio)
    let out = try bench.pull()
    #expect(bytes(of: out) == face)
    gst_buffer_unref(out)
  }

  // MARK: Flushes and states

  @Test("A flush lets go of what waits, and the stream goes on after it")
  func flush() throws {
    let (bench, face) = (try Bench(sound: true), try portrait())
    for i in 0..<3 { bench.push(try bench.frame(i, face)) }
    bench.flush(bench.video)
    bench.flush(bench.audio)
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    bench.push(try bench.frame(10, face))
    let out = try bench.pull()
    #expect(out.pointee.pts == 10 * frameDuration)
    gst_buffer_unref(out)
  }

  @Test("A FLUSH_STOP by itself flushes like any other, whatever the element is at", arguments: [true, false])
  func loneFlushStop(sound: Bool) throws {
    let bench = try Bench(["steps": "1", "missing-audio": sound ? "passthrough" : "silence"], sound: sound)
    let face = try portrait()
    for i in 0..<(sound ? 1 : 60) {
      bench.push(try bench.frame(i, face))
      g_usleep(sound ? 200_000 : gulong(i % 8) * 3000)
      if i % 3 == 2 { bench.flush(bench.video) }
      gst_harness_push_event(bench.video, gst_event_new_flush_stop(1))
      bench.begin(bench.video)
    }
    // A frame that waited for its sound is gone, others may have come before they could.
    bench.push(try bench.frame(100, face))
    if sound { gst_harness_push_event(bench.audio, gst_event_new_eos()) }
    #expect(wait { bench.noted.contains(.frame(pts: 100 * frameDuration)) })
    #expect(!sound || !bench.noted.contains(.frame(pts: 0)))
    #expect(wait { bench.stats["frames-held"] == "0" })
    #expect(bench.complaints == [])
  }

  @Test("Downstream may be unlinked and linked again")
  func relink() throws {
    let bench = try Bench()
    let pad = gst_element_get_static_pad(bench.element, "src")
    defer { gst_object_unref(pad) }
    bench.push(try bench.frame(0))
    gst_buffer_unref(try bench.pull())
    #expect(gst_pad_unlink(pad, bench.video.pointee.sinkpad) != 0)
    #expect(wait { (try? bench.push(bench.frame(1))) == GST_FLOW_NOT_LINKED })
    #expect(gst_pad_link(pad, bench.video.pointee.sinkpad) == GST_PAD_LINK_OK)
    for i in 2..<5 {
      #expect(bench.push(try bench.frame(i)) == GST_FLOW_OK)
      #expect(wait { bench.noted.contains(.frame(pts: GstClockTime(i) * frameDuration)) })
    }
  }

  @Test("Downstream's EOS ends its segment: frames of the next one, which was on its way already, are pushed")
  func segmentAfterEOS() throws {
    let bench = try Bench()
    gst_pad_set_chain_function_full(
      bench.video.pointee.sinkpad,
      { _, _, buffer in
        guard let buffer else { return GST_FLOW_ERROR }
        defer { gst_buffer_unref(buffer) }
        return buffer.pointee.pts == 0 ? GST_FLOW_EOS : GST_FLOW_OK
      }, nil, nil)
    try bench.holdingUp {
      bench.push(try bench.frame(0))
      bench.begin(bench.video)
      #expect(bench.push(try bench.frame(1)) == GST_FLOW_OK)
    }
    #expect(wait { bench.noted.contains(.frame(pts: frameDuration)) })
    #expect(bench.push(try bench.frame(2)) == GST_FLOW_OK)
  }

  @Test("NULL and back, ten times, with frames and sound on their way")
  func states() throws {
    let (bench, face) = (try Bench(sound: true), try portrait())
    for _ in 0..<10 {
      bench.push(try bench.frame(0, face))
      try bench.pushSound(0)
      #expect(gst_element_set_state(bench.element, GST_STATE_NULL) == GST_STATE_CHANGE_SUCCESS)
      #expect(gst_element_set_state(bench.element, GST_STATE_PLAYING) == GST_STATE_CHANGE_SUCCESS)
      for harness in [bench.video, bench.audio] { gst_harness_play(harness) }
    }
    #expect(bench.complaints == [])
  }

  @Test("What comes while the element stops is refused as flushing, which nobody upstream reports as an error")
  func stops() throws {
    let (bench, gate) = (try Bench(), NSLock())
    // Unlike a blocked pad, it stays shut while pads are deactivated: the element cannot get to READY.
    gst_pad_set_chain_function_full(
      bench.video.pointee.sinkpad,
      { pad, _, buffer in
        if let gate = pad?.pointee.chaindata {
          Unmanaged<NSLock>.fromOpaque(gate).takeUnretainedValue().withLock { gst_buffer_unref(buffer) }
        }
        return GST_FLOW_OK
      }, Unmanaged.passRetained(gate).toOpaque(), { if let gate = $0 { Unmanaged<NSLock>.fromOpaque(gate).release() } })
    try gate.withLock {
      bench.push(try bench.frame(0))
      #expect(wait { bench.noted.contains(.frame(pts: 0)) })
      gst_element_call_async(bench.element, { element, _ in gst_element_set_state(element, GST_STATE_READY) }, nil, nil)
      #expect(wait { (try? bench.push(bench.frame(1))) == GST_FLOW_FLUSHING })
      gst_harness_push_event(bench.video, gst_event_new_tag(gst_tag_list_new_empty()))
      #expect(bench.push(try bench.frame(2)) == GST_FLOW_FLUSHING)
      #expect(bench.element.pointee.current_state == GST_STATE_PAUSED)  // still on its way
    }
    #expect(wait { bench.element.pointee.current_state == GST_STATE_READY })
    #expect(bench.complaints == [])
  }

  @Test("READY keeps the model, NULL lets it go")
  func keepsModel() throws {
    let bench = try Bench()
    var loads: [Int] = []
    bench.set("preload", "true")
    let states = [
      GST_STATE_READY, GST_STATE_PLAYING, GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_NULL, GST_STATE_READY,
    ]
    for state in states {
      #expect(gst_element_set_state(bench.element, state) == GST_STATE_CHANGE_SUCCESS)
      loads.append(bench.posts("syncdiff-ready").count)
    }
    #expect(loads == [0, 1, 1, 1, 1, 2])
  }

  @Test("Other threads are measured before they are used")
  func measuresThreads() throws {
    let bench = try Bench()
    var loads: [Int] = []
    bench.set("preload", "true")
    for state in [GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_PAUSED, GST_STATE_READY] {
      if loads.count == 3 { bench.set("threads", "1") }
      #expect(gst_element_set_state(bench.element, state) == GST_STATE_CHANGE_SUCCESS)
      loads.append(bench.posts("syncdiff-ready").count)
    }
    #expect(loads == [0, 1, 1, 2, 2])
  }

  // MARK: Refusals

  @Test("Interlaced video is one error that names deinterlace")
  func interlaced() throws {
    let bench = try Bench(caps: "\(Bench.caps),interlace-mode=interleaved")
    #expect(bench.push(try bench.frame(0)) == GST_FLOW_NOT_NEGOTIATED)
    let complaints = bench.complaints
    #expect(complaints.count == 1 && complaints.first?.contains("deinterlace") == true)
  }

  @Test("Video below 64 x 64 is not negotiated")
  func tiny() throws {
    let bench = try Bench(caps: "video/x-raw,format=I420,width=16,height=16,framerate=25/1")
    #expect(bench.push(try bench.frame(0, size: 384)) == GST_FLOW_NOT_NEGOTIATED)
  }

  @Test(
    "A model that is not there or not good is one error, and READY is refused",
    arguments: [
      ("/nowhere/model.safetensors", "gst-resource-error-quark", GST_RESOURCE_ERROR_NOT_FOUND.rawValue),
      (#filePath, "gst-stream-error-quark", GST_STREAM_ERROR_FORMAT.rawValue),
    ])
  func badModel(path: String, domain: String, code: UInt32) throws {
    let bench = try Bench(["model": path])
    gst_element_set_state(bench.element, GST_STATE_NULL)
    bench.set("preload", "true")
    #expect(gst_element_set_state(bench.element, GST_STATE_READY) == GST_STATE_CHANGE_FAILURE)
    let complaints = bench.complaints
    #expect(complaints.count == 1)
    #expect(complaints.first?.hasPrefix("\(domain) \(code): ") == true && complaints.first?.contains(path) == true)
  }

  @Test("Without preload the same error comes with the first frame that needs the model, and ends the stream")
  func lateModel() throws {
    let bench = try Bench(["model": "/nowhere"], sound: true)
    try bench.pushSound(0)
    bench.push(try bench.frame(0))
    #expect(wait { bench.push((try? bench.frame(1)) ?? gst_buffer_new()) == GST_FLOW_ERROR })
    #expect(bench.complaints.count == 1)
  }

  @Test("A model's error stays the only one when the picture is at EOS already")
  func lateModelAtEOS() throws {
    let bench = try Bench(["model": "/nowhere", "passthrough": "true"], sound: true)
    let pad = gst_element_get_static_pad(bench.element, "src")
    defer { gst_object_unref(pad) }
    let types = GstPadProbeType(rawValue: GST_PAD_PROBE_TYPE_BLOCK.rawValue | GST_PAD_PROBE_TYPE_BUFFER.rawValue)
    let block = gst_pad_add_probe(pad, types, { _, _, _ in GST_PAD_PROBE_OK }, nil, nil)
    bench.push(try bench.frame(0))
    #expect(wait { gst_pad_is_blocking(pad) != 0 })
    bench.set("passthrough", "false")
    bench.push(try bench.frame(1))
    gst_harness_push_event(bench.video, gst_event_new_eos())
    gst_pad_remove_probe(pad, block)
    #expect(bench.waitForEOS())
    #expect(bench.complaints.count == 1)
  }

  @Test("No sound on a linked pad: a warning within the stall timeout, then frames pass")
  func stalls() throws {
    let (bench, face) = (try Bench(["stall-timeout": "300000000"], sound: true), try portrait())
    for i in 0..<3 { bench.push(try bench.frame(i, face)) }
    for i in 0..<3 {
      let out = try bench.pull()
      #expect(bytes(of: out) == face && out.pointee.pts == GstClockTime(i) * frameDuration)
      gst_buffer_unref(out)
    }
    let complaints = bench.complaints
    #expect(complaints.count == 1)
    #expect(complaints.first?.contains("pad audio") == true && complaints.first?.contains("max-size-time") == true)
  }

  @Test(
    "Sound a minute ahead waits for the picture, but not for one that does not come: then there is a warning",
    arguments: [false, true])
  func minute(live: Bool) throws {
    let bench = try Bench(["stall-timeout": "1200000000"], sound: true, live: live)
    gst_harness_set_live(bench.audio, 0)
    _ = gst_harness_query_latency(bench.video)
    for i in 0..<60 { #expect(try bench.pushSound(i) == GST_FLOW_OK) }
    let began = g_get_monotonic_time()
    #expect(try bench.pushSound(60) == GST_FLOW_OK)
    #expect(g_get_monotonic_time() - began > 1_000_000)
    let complaints = bench.complaints
    #expect(complaints.count == 1 && complaints.first?.contains("pad sink") == true)
  }

  @Test("Sound that cannot be placed is let go of")
  func unplaced() throws {
    let bench = try Bench(sound: true)
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_BYTES)
    gst_harness_push_event(bench.audio, gst_event_new_segment(&segment))
    let buffer = try #require(gst_buffer_ref(gst_buffer_new_allocate(nil, 400, nil)))
    defer { gst_buffer_unref(buffer) }
    #expect(gst_harness_push(bench.audio, buffer) == GST_FLOW_OK)
    #expect(buffer.pointee.mini_object.refcount == 1)
  }

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
    let complaints = bench.complaints
    #expect(complaints.count == 1)
    let code = GST_RESOURCE_ERROR_NO_SPACE_LEFT.rawValue
    #expect(complaints.first?.hasPrefix("gst-resource-error-quark \(code): ") == true)
  }

  // MARK: Latency

  @Test("No latency without sound; with it the look-ahead, one frame, and the time to paint it")
  func latency() throws {
    let silent = try Bench()
    #expect(gst_harness_query_latency(silent.video) == 0)
    let bench = try Bench(["lookahead": "300000000"], sound: true, live: true)
    #expect(gst_harness_query_latency(bench.video) == 300_000_000 + frameDuration)
    gst_harness_set_upstream_latency(bench.audio, 20_000_000)
    #expect(gst_harness_query_latency(bench.video) == 320_000_000 + frameDuration)
  }

  @Test("A slower sound leaves a picture's source as much room as it has: its frames are held here")
  func mostLatency() throws {
    let bench = try Bench(["lookahead": "300000000"], sound: true, live: true)
    gst_harness_set_upstream_latency(bench.audio, 20_000_000)
    gst_pad_add_probe(
      bench.video.pointee.srcpad, GST_PAD_PROBE_TYPE_QUERY_UPSTREAM,
      { _, info, _ in
        guard let query = info.flatMap({ gst_pad_probe_info_get_query($0) }), query.pointee.type == GST_QUERY_LATENCY
        else { return GST_PAD_PROBE_OK }
        gst_query_set_latency(query, 1, 10_000_000, 40_000_000)
        return GST_PAD_PROBE_HANDLED
      }, nil, nil)
    let query = gst_query_new_latency()
    defer { gst_query_unref(query) }
    #expect(gst_pad_peer_query(bench.video.pointee.sinkpad, query) != 0)
    var (least, most): (GstClockTime, GstClockTime) = (0, 0)
    gst_query_parse_latency(query, nil, &least, &most)
    #expect(least == 320_000_000 + frameDuration && most == least + 30_000_000)
  }

  @Test("QoS is not sent upstream")
  func qos() throws {
    let bench = try Bench()
    gst_harness_push_upstream_event(bench.video, gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 0.5, 100, 0))
    gst_harness_push_upstream_event(bench.video, gst_event_new_reconfigure())
    var types: [GstEventType] = []
    while let event = gst_harness_try_pull_upstream_event(bench.video) {
      types.append(event.pointee.type)
      gst_event_unref(event)
    }
    #expect(!types.contains(GST_EVENT_QOS) && types.contains(GST_EVENT_RECONFIGURE))
  }

  @Test(
    "A seek goes to both branches; a loop's sound waits for its picture to begin, but not for ever",
    arguments: [false, true])
  func seek(isLoop: Bool) throws {
    let bench = try Bench(sound: true)
    let flags = GST_SEEK_FLAG_FLUSH.rawValue | (isLoop ? GST_SEEK_FLAG_SEGMENT.rawValue : 0)
    var seeks = 0
    /// Whether the sound after a seek is let in at once: within a second, of which a busy machine may take some.
    func isLetIn(tries: Int, _ between: () -> Void = {}) throws -> Bool {
      for _ in 0..<tries {
        let began = g_get_monotonic_time()
        gst_harness_push_upstream_event(
          bench.video,
          gst_event_new_seek(
            1, GST_FORMAT_TIME, GstSeekFlags(rawValue: flags), GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, -1))
        seeks += 1
        bench.flush(bench.audio)
        between()
        try bench.pushSound(0)
        if g_get_monotonic_time() - began < 1_000_000 { return true }
      }
      return false
    }
    #expect(try isLetIn(tries: 20) { bench.flush(bench.video) })
    #expect(try isLetIn(tries: isLoop ? 1 : 20) != isLoop)
    for harness in [bench.video, bench.audio] {
      var found = 0
      while let event = gst_harness_try_pull_upstream_event(harness) {
        if event.pointee.type == GST_EVENT_SEEK { found += 1 }
        gst_event_unref(event)
      }
      #expect(found == seeks)
    }
  }

  @Test("A segment that is not in time is one warning for each branch, and frames pass")
  func timeless() throws {
    let bench = try Bench(sound: true)
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_BYTES)
    for harness in [bench.audio, bench.audio, bench.video, bench.video] {
      gst_harness_push_event(harness, gst_event_new_segment(&segment))
    }
    #expect(try bench.pushSound(0) == GST_FLOW_OK)
    bench.push(try bench.frame(0))
    gst_buffer_unref(try bench.pull())
    let complaints = bench.complaints
    #expect(complaints.count == 2 && complaints.allSatisfy { $0.contains("not in time") })
  }

  @Test("While a seek has flushed the sound but not the picture, old frames leave the new sound alone")
  func seekKeepsSound() throws {
    let face = try portrait()
    func dubbed(seeking: Bool) throws -> [UInt8] {
      let bench = try Bench(sound: true)
      if seeking {
        bench.flush(bench.audio)  // through another sink: the element has not heard of a seek
      }
      try bench.pushSound(0)
      if seeking {
        bench.push(try bench.frame(2500))
        gst_buffer_unref(try bench.pull())
        bench.flush(bench.video)
      }
      bench.push(try bench.frame(0, face))
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      return bytes(of: out)
    }
    #expect(try dubbed(seeking: true) == dubbed(seeking: false))
  }

  // MARK: Disclosure

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
