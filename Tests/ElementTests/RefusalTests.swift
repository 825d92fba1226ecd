// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What is refused, and what is said about it.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct RefusalTests {
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
    bench.expectRefusal("\(domain) \(code): ", naming: path)
  }

  @Test("Without preload the same error comes with the first frame that needs the model, and ends the stream")
  func lateModel() throws {
    let bench = try Bench(["model": "/nowhere"], sound: true)
    try bench.pushSound(0)
    bench.push(try bench.frame(0))
    #expect(wait { bench.push((try? bench.frame(1)) ?? gst_buffer_new()) == GST_FLOW_ERROR })
    #expect(bench.complains(once: "/nowhere"))
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
    #expect(bench.complains(once: "/nowhere"))
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
    #expect(complaints.first?.contains("audio pad") == true && complaints.first?.contains("max-size-time") == true)
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
    #expect(complaints.count == 1 && complaints.first?.contains("sink pad") == true)
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
}
