// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Latency, and what else comes back from downstream: QoS and seeks.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct LatencyTests {
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

  @Test("A change is announced where sinks wait for it: live, once; from files never", arguments: [true, false])
  func announced(isLive: Bool) throws {
    let bench = try Bench(sound: true, live: isLive)
    gst_harness_query_latency(bench.video)
    let before = bench.posts("latency").count
    for time in ["40000000", "40000000", "60000000"] { bench.set("processing-latency", time) }
    #expect(bench.posts("latency").count - before == (isLive ? 2 : 0))
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
}
