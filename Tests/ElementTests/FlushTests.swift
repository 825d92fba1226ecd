// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Flushes, changes of state, and downstream that comes and goes.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import Testing

@Suite struct FlushTests {
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
}
