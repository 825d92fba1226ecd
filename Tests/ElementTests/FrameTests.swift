// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Frames come out as they came in, in their places; painted ones in a new mouth only.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct FrameTests {
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
    #expect(bench.complains(once: "Video frames without timestamps."))
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
    #expect(bench.complains(once: "Lips can only be synchronised at normal speed."))
  }

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
}
