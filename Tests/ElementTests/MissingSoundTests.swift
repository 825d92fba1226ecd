// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element does when sound is missing, or not where it is expected.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Testing

@Suite struct MissingSoundTests {
  private let face: [UInt8]

  init() throws { face = try portrait() }

  @Test("When the sound ends the mouth fades back over three frames, and in over three when it returns")
  func fade() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    try bench.pushSound(0)
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    var shown: [Int] = []
    for i in 23..<29 { shown.append(difference(try bench.dub(face, at: GstClockTime(i) * frameDuration), face)) }
    #expect(shown[1] > shown[2] && shown[2] > shown[3] && shown[3] > 0)
    #expect(shown[4] == 0 && shown[5] == 0)
    #expect(bench.complaints == [])
  }

  @Test("`missing-audio` without a link: untouched, painted as silent, or one error", arguments: [0, 1, 2])
  func unlinked(policy: Int) throws {
    let bench = try Bench(["missing-audio": ["passthrough", "silence", "error"][policy], "steps": "1"])
    if policy == 2 {
      #expect(wait { bench.push((try? bench.frame(0, face)) ?? gst_buffer_new()) == GST_FLOW_ERROR })
      #expect(bench.complains(once: "The audio pad is not linked."))
    } else {
      #expect(try (bench.dub(face, at: 0) != nil) == (policy == 1))
      #expect(bench.complaints == [])
    }
  }

  @Test("`missing-audio=error` when the sound ends before the picture")
  func endsEarly() throws {
    let bench = try Bench(["missing-audio": "error", "steps": "1"], sound: true)
    try bench.pushSound(0)
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    #expect(try bench.dub(face, at: second) != nil)  // ends may differ by silence-hold
    bench.push(try bench.frame(40, face))
    #expect(wait { bench.complains(once: "The audio has ended before the video.") })
  }

  @Test("`missing-audio=error` needs no face", arguments: [false, true])
  func faceless(linked: Bool) throws {
    let bench = try Bench(["missing-audio": "error"], sound: linked)
    if linked {
      try bench.pushSound(0)
      gst_harness_push_event(bench.audio, gst_event_new_eos())
    }
    bench.push(try bench.frame(40))
    let why = linked ? "The audio has ended before the video." : "The audio pad is not linked."
    #expect(wait { bench.complains(once: why) })
  }

  @Test("Without a link, frames count as without sound; after two seconds, or at the end, one warning says so")
  func unlinkedWarning() throws {
    let bench = try Bench()
    func push(_ times: some Sequence<Int>) throws {
      for time in times { #expect(try bench.dub(face, at: GstClockTime(time) * second) == nil) }
    }
    try push(0..<2)
    #expect(bench.complaints == [])
    try push(2..<9)
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS())
    #expect(bench.complains(once: "The audio pad is not linked: frames pass through unchanged."))
    #expect(bench.stats["no-sound"] == "9" && bench.stats["passed"] == "9")

    let short = try Bench()
    _ = try short.dub(face, at: 0)
    gst_harness_push_event(short.video, gst_event_new_eos())
    #expect(short.waitForEOS() && short.complains(once: "The audio pad is not linked"))
  }

  @Test(
    "Who asks for untouched frames, or closed mouths, or links late, is not told that no sound is linked",
    arguments: [["passthrough": "true"], ["strength": "0"], ["missing-audio": "silence", "steps": "1"], [:]])
  func unlinkedOnPurpose(properties: [String: String]) throws {
    let bench = try Bench(properties)
    for time in 0..<(properties.isEmpty ? 2 : 5) { _ = try bench.dub(face, at: GstClockTime(time) * second) }
    if properties.isEmpty {
      let pad = gst_element_request_pad_simple(bench.element, "audio")
      let source = gst_pad_new("sound", GST_PAD_SRC)
      gst_pad_set_active(source, 1)
      #expect(gst_pad_link(source, pad) == GST_PAD_LINK_OK)
      for object in [pad, source] { gst_object_unref(object) }
    }
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS() && bench.complaints == [])
  }

  @Test(
    "Only silence from the beginning is one warning after ten seconds, or at the end, and counts as no sound",
    arguments: [("close", 12, true), ("passthrough", 12, true), ("close", 4, true), ("close", 1, false)])
  func onlySilence(silence: String, seconds: Int, told: Bool) throws {
    let bench = try Bench(["silence": silence, "steps": "1"], sound: true)
    for i in 0...seconds { try bench.pushSound(i, level: 20) }  // -64 dBFS
    for i in 0..<seconds { _ = try bench.dub(face, at: GstClockTime(i) * second) }
    let warning = "The audio has been nothing but silence."
    #expect(seconds > 10 ? bench.complains(once: warning) : bench.complaints == [])
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS())
    #expect(told ? bench.complains(once: warning) : bench.complaints == [])
    #expect(bench.stats["no-sound"] == (told ? "\(seconds)" : "0"), "\(bench.stats)")
  }

  @Test("Silence after sound is a pause", arguments: [0, 3])
  func pause(from second: Int) throws {
    let bench = try Bench(["steps": "1"], sound: true)
    for i in 0..<14 { try bench.pushSound(i, level: i == second ? 8_000 : 0) }
    for i in 0..<13 { _ = try bench.dub(face, at: GstClockTime(i) * GstClockTime(1_000_000_000)) }
    #expect(bench.complaints == [] && bench.stats["no-sound"] == "0")
  }

  @Test("Sound without timestamps is heard, with one warning")
  func untimed() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    for _ in 0..<2 { try bench.pushSound(nil) }
    for i in [0, 30] { #expect(try bench.dub(face, at: GstClockTime(i) * frameDuration) != nil) }
    #expect(bench.complains(once: "Audio buffers without timestamps."))
  }

  @Test(
    "At another rate sound waits for no frame, and frames let the sound go",
    arguments: [(picture: 1, sound: 2, seconds: 130), (picture: 2, sound: 1, seconds: 90)])
  func rates(picture: Double, sound: Double, seconds: Int) throws {
    let bench = try Bench(sound: true)
    for (harness, rate) in [(bench.video, picture), (bench.audio, sound)] {
      var segment = GstSegment()
      gst_segment_init(&segment, GST_FORMAT_TIME)
      segment.rate = rate
      gst_harness_push_event(harness, gst_event_new_segment(&segment))
    }
    if picture != 1 {
      bench.push(try bench.frame(2000))  // at 80 s, which is 40 s of running time
      gst_buffer_unref(try bench.pull())
    }
    for i in 0..<seconds { #expect(try bench.pushSound(i) == GST_FLOW_OK) }
    let warning = "Lips can only be synchronised at normal speed."
    #expect(picture == 1 ? bench.complaints == [] : bench.complains(once: warning), "\(bench.complaints)")
  }

  @Test("A hole in the sound is silence for `silence-hold`, then frames pass")
  func hole() throws {
    let bench = try Bench(["steps": "1", "silence-hold": "200000000"], sound: true)
    try bench.pushSound(0)
    try bench.pushSound(3)
    // The first two frames beyond the hold fade out.
    for (time, painted) in [(900, true), (1160, true), (1240, true), (1280, true), (1320, false), (3100, true)] {
      #expect(try (bench.dub(face, at: GstClockTime(time) * 1_000_000) != nil) == painted, "\(time) ms")
    }
    #expect(bench.stats["no-sound"] == "1")
  }

  @Test("Sound that jumps back without a flush is heard like any other")
  func jumpBack() throws {
    /// A frame in the sound of second 20, then some in that of another second, of which the last.
    func dubbed(at other: Int, level: Int16 = 8_000) throws -> [UInt8] {
      let bench = try Bench(["steps": "1", "guidance-scale": "5"], sound: true)
      for i in 20..<23 { try bench.pushSound(i) }
      _ = try bench.dub(face, at: 21 * second)
      for i in other..<other + 3 { try bench.pushSound(i, level: level) }
      let times = (0..<5).map { GstClockTime(other + 1) * second + $0 * frameDuration }
      return try #require(try times.map { try bench.dub(face, at: $0) }.last ?? nil)
    }
    let (back, forward, silent) = (try dubbed(at: 5), try dubbed(at: 30), try dubbed(at: 30, level: 0))
    #expect(3 * difference(back, forward) < difference(back, silent))
  }

  @Test(
    "A gap that upstream tells of is silence that has arrived, as far as it lies in the segment",
    arguments: [nil, second / 2])
  func gap(stop: GstClockTime?) throws {
    let bench = try Bench(["steps": "1"], sound: true)
    if let stop {
      var segment = GstSegment()
      gst_segment_init(&segment, GST_FORMAT_TIME)
      segment.stop = stop
      gst_harness_push_event(bench.audio, gst_event_new_segment(&segment))
    }
    bench.push(try bench.frame(0, face))
    g_usleep(100_000)
    #expect(!bench.noted.contains(.frame(pts: 0)))
    gst_harness_push_event(bench.audio, gst_event_new_gap(0, second))
    let out = try bench.pull()
    #expect(bytes(of: out) != face)
    gst_buffer_unref(out)
  }

  @Test("Sound of other caps in mid-stream goes on where it was")
  func newSound() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    try bench.pushSound(0)
    gst_harness_set_src_caps_str(bench.audio, "audio/x-raw,format=F32LE,rate=44100,channels=1,layout=interleaved")
    let buffer = try #require(gst_buffer_new_allocate(nil, 44_100 * 4, nil))
    gst_buffer_memset(buffer, 0, 0, 44_100 * 4)
    buffer.pointee.pts = second
    #expect(gst_harness_push(bench.audio, buffer) == GST_FLOW_OK)
    for i in [10, 20, 30, 40] { #expect(try bench.dub(face, at: GstClockTime(i) * frameDuration) != nil) }
    #expect(bench.complaints == [])
  }

  @Test("Frames of no certain rate find their sound by their timestamps")
  func variableRate() throws {
    let bench = try Bench(["steps": "1"], caps: Bench.caps.replacing("25/1", with: "0/1"), sound: true)
    for i in 0..<2 { try bench.pushSound(i) }
    for time in [0, 7, 480, 481, 1200] { #expect(try bench.dub(face, at: GstClockTime(time) * 1_000_000) != nil) }
    bench.push(try bench.frame(50, face))  // at 2 s
    g_usleep(100_000)
    #expect(!bench.noted.contains(.frame(pts: 2 * second)))
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    gst_buffer_unref(try bench.pull())
  }

  @Test("`passthrough` means this very frame, when it is set and when it is taken back")
  func passthrough() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    try bench.pushSound(0)
    var shown: [Int] = []
    for i in 0..<6 {
      if i == 2 || i == 4 { bench.set("passthrough", i == 2 ? "true" : "false") }
      shown.append(difference(try bench.dub(face, at: GstClockTime(i) * frameDuration), face))
    }
    #expect(shown[1] > 0 && shown[2] == 0 && shown[3] == 0)
    #expect(2 * shown[4] > shown[1])  // a third of it if it faded in
  }

  @Test("A requested pad without a link holds nobody up; linking and unlinking take effect at once")
  func requested() throws {
    let bench = try Bench(["steps": "1"])
    let pad = gst_element_request_pad_simple(bench.element, "audio")
    defer { gst_object_unref(pad) }
    #expect(try bench.dub(face, at: 0) == nil)
    let source = gst_pad_new("sound", GST_PAD_SRC)
    defer { gst_object_unref(source) }
    gst_pad_set_active(source, 1)
    #expect(gst_pad_link(source, pad) == GST_PAD_LINK_OK)
    bench.push(try bench.frame(1, face))
    g_usleep(100_000)
    #expect(!bench.noted.contains(.frame(pts: frameDuration)))
    #expect(gst_pad_unlink(source, pad) != 0)
    gst_buffer_unref(try bench.pull())
    #expect(bench.complaints == [])
    gst_element_release_request_pad(bench.element, pad)
  }

  @Test("Live, no sound at all for `stall-timeout` is one warning, while frames go at their deadlines")
  func liveStall() throws {
    let bench = try Bench(["stall-timeout": "1000000"], sound: true, live: true)
    _ = gst_harness_query_latency(bench.video)
    bench.setClock(5 * second)
    for i in 0..<3 { #expect(try bench.dub(face, at: GstClockTime(i) * frameDuration) == nil) }
    #expect(bench.complains(once: "No audio has arrived on the audio pad for "))
  }

  @Test("No sound for `stall-timeout` is told of while frames pass for want of time, too")
  func overloadedStall() throws {
    let bench = try Bench(["stall-timeout": "500000000", "steps": "1"], caps: slowCaps, sound: true, live: true)
    _ = gst_harness_query_latency(bench.video)
    bench.setClock(600 * second)
    for i in 0..<6 {
      try bench.pushSound(10 * i)
      _ = try bench.dub(face, at: GstClockTime(i) * 10 * second)
    }
    g_usleep(600_000)
    for i in 6..<8 { #expect(try bench.dub(face, at: GstClockTime(i) * 10 * second) == nil) }
    #expect(bench.posts("syncdiff-degrade").last?["level"] == "3" && bench.stats["overloaded"] != "0")
    #expect(bench.complains(once: "No audio has arrived on the audio pad for "))
  }

  @Test(
    "A live frame with a timestamp further ahead than the latency and `stall-timeout` goes at once, the next are as before"
  )
  func farAhead() throws {
    let bench = try Bench(["stall-timeout": "600000000000", "steps": "1"], sound: true, live: true)
    _ = gst_harness_query_latency(bench.video)
    try bench.pushSound(0)
    #expect(try bench.dub(face, at: 0) != nil)
    bench.push(try bench.frame(90_000, face))
    gst_buffer_unref(try bench.pull())
    #expect(bench.complains(once: "A live frame is too far ahead of the clock"))
    try bench.pushSound(1)
    #expect(try bench.dub(face, at: second) != nil)
    #expect(bench.stats["painted"] == "2")
  }
}
