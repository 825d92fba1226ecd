// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element does when sound or time is missing, and what it says about it.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import Testing

/// Frames of ten seconds, which is time enough on any machine; two seconds of headroom are from one to the next.
private let slow = "video/x-raw,format=I420,width=\(Bench.side),height=\(Bench.side),framerate=1/10"

extension Bench {
  /// Pushes a portrait for this time, and returns what comes out; nil for the very same buffer.
  fileprivate func dub(_ face: [UInt8], at time: GstClockTime) throws -> [UInt8]? {
    let frame = try frame(0, face)
    frame.pointee.pts = time
    #expect(push(frame) == GST_FLOW_OK)
    let out = try pull()
    defer { gst_buffer_unref(out) }
    let new = bytes(of: out)
    return out == frame && new == face ? nil : new
  }
}

/// How much a picture differs from another, 0 if not at all.
private func difference(_ a: [UInt8]?, _ b: [UInt8]) -> Int {
  a.map { zip($0, b).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) } } ?? 0
}

@Suite struct TimeAndLoadTests {
  let face: [UInt8]

  init() throws { face = try portrait() }

  // MARK: Load

  @Test("Live, late frames go down the ladder and frames in time climb it again, each change with its messages")
  func ladder() throws {
    let bench = try Bench(["missing-audio": "silence"], caps: slow, live: true)
    bench.setClock(60 * second)
    var painted: [Bool] = []
    let times: [GstClockTime] = Array(0..<4) + Array(6..<13)
    for time in times { painted.append(try bench.dub(face, at: time * 10 * second) != nil) }
    let changes = bench.posts("syncdiff-degrade")
    #expect(changes.map { $0["level"] } == ["1", "2", "3", "2", "1", "0"])
    #expect(changes.map { $0["reason"] } == ["late", "late", "late", "headroom", "headroom", "headroom"])
    let seconds: [GstClockTime] = [0, 10, 20, 80, 100, 120]
    #expect(changes.map { $0["running-time"] } == seconds.map { "\($0 * second)" })
    for key in ["timestamp", "stream-time", "duration"] { #expect(changes.allSatisfy { $0[key] != nil }) }
    #expect((Int(changes.first?["late-ns"] ?? "") ?? 0) >= 40_000_000_000)
    // Two frames fade out; the mouth comes back at 80 s.
    #expect(painted == (0..<11).map { $0 < 4 || $0 >= 6 })
    let (stats, qos) = (bench.stats, bench.posts("qos"))
    #expect(stats["frames"] == "11" && stats["overloaded"] == "2" && stats["passed"] == "2" && stats["late"] == "4")
    #expect(qos.count == 6 + 2)
    #expect(qos.last?["processed"] == "8" && qos.last?["dropped"] == "2", "\(qos.last ?? [:])")
    #expect(bench.complaints == [])
  }

  @Test(
    "The ladder is for live frames, unless told otherwise",
    arguments: [("auto", true, true), ("auto", false, false), ("block", true, false), ("degrade", false, true)])
  func overload(value: String, live: Bool, degrades: Bool) throws {
    let bench = try Bench(["overload": value], sound: true, live: live)
    for i in 0..<2 { try bench.pushSound(i) }
    bench.setClock(5 * second)
    for i in 0..<3 { _ = try bench.dub(face, at: GstClockTime(i) * frameDuration) }
    #expect(bench.posts("syncdiff-degrade").count == (degrades ? 3 : 0))
    #expect(bench.posts("qos").isEmpty == !degrades)
  }

  @Test("A late sink is heard if `qos` is set", arguments: [true, false])
  func qos(heard: Bool) throws {
    let bench = try Bench(["qos": "\(heard)", "missing-audio": "silence"], caps: slow, live: true)
    for i in 0..<2 {
      _ = try bench.dub(face, at: GstClockTime(i) * 10 * second)
      gst_harness_push_upstream_event(bench.video, gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 1, 90_000_000, 0))
    }
    let changes = bench.posts("syncdiff-degrade")
    #expect(changes.map { $0["reason"] } == (heard ? ["qos"] : []))
    #expect(changes.map { $0["late-ns"] } == (heard ? ["90000000"] : []))
  }

  @Test("A face that has no mouth yet when frames wear the one before goes untouched, and its mouth fades in")
  func nothingToReuse() throws {
    let bench = try Bench(["missing-audio": "silence"], caps: slow, live: true)
    bench.setClock(15 * second)
    bench.push(try bench.frame(0))
    gst_buffer_unref(try bench.pull())
    var shown: [Int] = []
    for i: GstClockTime in 1..<5 { shown.append(difference(try bench.dub(face, at: i * 10 * second), face)) }
    #expect(bench.posts("syncdiff-degrade").map { $0["level"] } == ["1", "2", "1"])
    #expect(shown[0] == 0 && shown[1] > 0 && 2 * shown[1] < shown[3], "\(shown)")
    #expect(bench.stats["overloaded"] == "1", "\(bench.stats)")
  }

  @Test("While downstream holds a frame up, four more are painted; then all go out in order")
  func paintsAhead() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    try bench.pushSound(0)
    try bench.holdingUp {
      for i in 0..<8 { bench.push(try bench.frame(i, face)) }
      #expect(wait { bench.stats["painted"] == "5" })
      g_usleep(100_000)
      #expect(bench.stats["painted"] == "5" && bench.stats["frames-held"] == "8")
    }
    for i in 0..<8 {
      let out = try bench.pull()
      #expect(out.pointee.pts == GstClockTime(i) * frameDuration)
      gst_buffer_unref(out)
    }
  }

  @Test("That no sound comes is told of when a frame waits for it, not while downstream holds the one before")
  func aheadIsNoStall() throws {
    let bench = try Bench(["steps": "1", "stall-timeout": "300000000"], sound: true)
    try bench.pushSound(0)
    try bench.holdingUp {
      for i in [0, 24] { bench.push(try bench.frame(i, face)) }
      #expect(wait { bench.stats["painted"] == "1" })  // on a busy machine loading the model takes long
      g_usleep(900_000)
      #expect(bench.complaints == [] && bench.stats["painted"] == "1")
    }
    for _ in 0..<2 { gst_buffer_unref(try bench.pull()) }
    #expect(bench.complaints.count == 1)
  }

  @Test("As many frames are held as their sound takes to come, however many come in a second")
  func dense() throws {
    let caps = Bench.caps.replacing("25/1", with: "0/1")
    let bench = try Bench(["lookahead": "800000000", "steps": "1"], caps: caps, sound: true)
    try bench.pushSound(0)
    @Sendable func push(_ number: Int) throws -> GstFlowReturn {
      let frame = try bench.frame(0, face)
      frame.pointee.pts = GstClockTime(number) * 10_000_000
      frame.pointee.duration = .max
      return bench.push(frame)
    }
    try bench.holdingUp {
      _ = try push(0)
      #expect(wait { bench.stats["painted"] == "1" })
      Thread.detachNewThread { for i in 1..<300 { _ = try? push(i) } }
      // The look-ahead, a frame and a tenth of a second, the painted ones and those in hands.
      #expect(wait { bench.stats["frames-held"].flatMap(Int.init).map { $0 >= 94 } == true })
      g_usleep(500_000)
      #expect(bench.stats["frames-held"].flatMap(Int.init).map { $0 <= 104 } == true, "\(bench.stats)")
      gst_harness_push_event(bench.video, gst_event_new_flush_start())
    }
  }

  @Test(
    "More are held where sound lags behind, until its stall is told of, but no more than 256 MB of them",
    arguments: [
      (side: Bench.side, held: 90, tooMany: 102),  // 3.6 s; more than the look-ahead, a frame and 3.5 s
      (side: 2048, held: 42, tooMany: 44),
    ])
  func lagging(side: Int, held: Int, tooMany: Int) throws {
    let (face, caps) = (try portrait(side: side), Bench.caps.replacing("=\(Bench.side)", with: "=\(side)"))
    /// The element after so many frames, none of which has its sound.
    func pushed(_ count: Int, _ properties: [String: String]) throws -> Bench {
      let bench = try Bench(properties.merging(["steps": "1"]) { $1 }, caps: caps, sound: true)
      for i in 0..<count { #expect(bench.push(try bench.frame(i, face, size: face.count)) == GST_FLOW_OK) }
      return bench
    }
    let patient = try pushed(held, [:])
    #expect(patient.stats["frames-held"] == "\(held)" && patient.complaints == [])
    #expect(try pushed(tooMany, ["stall-timeout": "\(second)"]).complaints.count == 1)
  }

  @Test("`post-messages` decides what is posted, `stats-interval` how often")
  func messages() throws {
    let bench = try Bench(["post-messages": "stats", "stats-interval": "1000000000"], sound: true, live: true)
    for i in 0..<4 { try bench.pushSound(i) }
    bench.setClock(5 * second)
    for i in 0..<60 {
      bench.push(try bench.frame(i))
      gst_buffer_unref(try bench.pull())
    }
    #expect(bench.posts("syncdiff-degrade").isEmpty)
    let stats = bench.posts("syncdiff-stats")
    #expect(stats.map { $0["running-time"] } == ["1000000000", "2000000000"])
    #expect(stats.map { $0["frames"] } == ["26", "51"])
  }

  // MARK: Sound that is missing

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
      #expect(bench.complaints.count == 1 && bench.complaints.first?.contains("linked") == true)
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
    #expect(wait { bench.complaints.count == 1 })
    #expect(bench.complaints.first?.contains("ended") == true)
  }

  @Test("`missing-audio=error` needs no face", arguments: [false, true])
  func faceless(linked: Bool) throws {
    let bench = try Bench(["missing-audio": "error"], sound: linked)
    if linked {
      try bench.pushSound(0)
      gst_harness_push_event(bench.audio, gst_event_new_eos())
    }
    bench.push(try bench.frame(40))
    #expect(wait { bench.complaints.count == 1 })
    #expect(bench.complaints.first?.contains(linked ? "ended" : "linked") == true)
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
    #expect(bench.complaints.count == 1 && bench.complaints.first?.contains("No sound is linked") == true)
    #expect(bench.stats["no-sound"] == "9" && bench.stats["passed"] == "9")

    let short = try Bench()
    _ = try short.dub(face, at: 0)
    gst_harness_push_event(short.video, gst_event_new_eos())
    #expect(short.waitForEOS() && short.complaints.count == 1)
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
    #expect(bench.complaints.count == (seconds > 10 ? 1 : 0))
    gst_harness_push_event(bench.video, gst_event_new_eos())
    #expect(bench.waitForEOS())
    #expect(bench.complaints.count == (told ? 1 : 0))
    #expect(bench.complaints.allSatisfy { $0.contains("Nothing but silence") })
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
    #expect(bench.complaints.count == 1 && bench.complaints.first?.contains("Sound without timestamps") == true)
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
    #expect(bench.complaints.count == (picture == 1 ? 0 : 1), "\(bench.complaints)")
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
    #expect(bench.complaints.count == 1)
  }

  @Test("No sound for `stall-timeout` is told of while frames pass for want of time, too")
  func overloadedStall() throws {
    let bench = try Bench(["stall-timeout": "500000000", "steps": "1"], caps: slow, sound: true, live: true)
    _ = gst_harness_query_latency(bench.video)
    bench.setClock(600 * second)
    for i in 0..<6 {
      try bench.pushSound(10 * i)
      _ = try bench.dub(face, at: GstClockTime(i) * 10 * second)
    }
    g_usleep(600_000)
    for i in 6..<8 { #expect(try bench.dub(face, at: GstClockTime(i) * 10 * second) == nil) }
    #expect(bench.posts("syncdiff-degrade").last?["level"] == "3" && bench.stats["overloaded"] != "0")
    #expect(bench.complaints.count == 1 && bench.complaints.first?.contains("No sound has come") == true)
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
    #expect(bench.complaints.count == 1 && bench.complaints.first?.contains("ahead of the clock") == true)
    try bench.pushSound(1)
    #expect(try bench.dub(face, at: second) != nil)
    #expect(bench.stats["painted"] == "2")
  }

  // MARK: Latency, loading

  @Test("`processing-latency` replaces what was measured, and a change of it is told")
  func processingLatency() throws {
    let bench = try Bench(["lookahead": "300000000"], sound: true, live: true)
    #expect(gst_harness_query_latency(bench.video) == 300_000_000 + frameDuration)
    let before = bench.posts("latency").count
    bench.set("processing-latency", "70000000")
    #expect(bench.posts("latency").count == before + 1)
    #expect(gst_harness_query_latency(bench.video) == 370_000_000 + frameDuration)
    bench.set("processing-latency", "70000000")
    bench.set("audio-offset", "0")
    #expect(bench.posts("latency").count == before + 1)
  }

  @Test("Neither `passthrough` nor frames without a face change the latency")
  func steadyLatency() throws {
    let bench = try Bench(["steps": "1"], sound: true)
    try bench.pushSound(0)
    #expect(try bench.dub(face, at: 0) != nil)  // loads the model
    let (latency, told) = (gst_harness_query_latency(bench.video), bench.posts("latency").count)
    for (i, picture) in [face, nil, nil, face].enumerated() {
      bench.set("passthrough", i % 2 == 0 ? "true" : "false")
      bench.push(try bench.frame(i + 1, picture))
      gst_buffer_unref(try bench.pull())
      #expect(gst_harness_query_latency(bench.video) == latency)
    }
    #expect(latency > 255_000_000 && bench.posts("latency").count == told)
  }

  @Test("What painting takes is part of the latency, but never more than a frame where the ladder guards the time")
  func measured() throws {
    let bench = try Bench(["lookahead": "300000000"], sound: true, live: true)
    bench.push(try bench.frame(0))
    gst_buffer_unref(try bench.pull())  // loads the model
    let latency = gst_harness_query_latency(bench.video)
    #expect(latency > 300_000_000 + frameDuration && latency <= 300_000_000 + 2 * frameDuration)
  }

  @Test("Loading a model shows its progress, and what it has come to")
  func ready() throws {
    let bench = try Bench(sound: true)
    gst_element_set_state(bench.element, GST_STATE_NULL)
    bench.set("preload", "true")
    #expect(gst_element_set_state(bench.element, GST_STATE_READY) == GST_STATE_CHANGE_SUCCESS)
    #expect(bench.posts("progress").map { $0["code"] } == ["load-model", "load-model"])
    let ready = bench.posts("syncdiff-ready")
    #expect(ready.count == 1)
    for key in ["load-ms", "warmup-ms", "isa", "precision", "latency", "timestamp", "running-time"] {
      #expect(ready.first?[key] != nil, "\(key)")
    }
    #expect(ready.first?["precision"] == "f32")
    #expect((UInt64(ready.first?["latency"] ?? "") ?? 0) > 255_000_000)
  }
}
