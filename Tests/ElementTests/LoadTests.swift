// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element does when time is missing, what it says about it, and what is measured.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import Testing

@Suite struct LoadTests {
  private let face: [UInt8]

  init() throws { face = try portrait() }

  @Test("Live, late frames go down the ladder and frames in time climb it again, each change with its messages")
  func ladder() throws {
    let bench = try Bench(["missing-audio": "silence"], caps: slowCaps, live: true)
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
    let bench = try Bench(["qos": "\(heard)", "missing-audio": "silence"], caps: slowCaps, live: true)
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
    let bench = try Bench(["missing-audio": "silence"], caps: slowCaps, live: true)
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
    #expect(bench.complains(once: "No audio has arrived on the audio pad for 300 ms"))
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
    let stalled = try pushed(tooMany, ["stall-timeout": "\(second)"])
    #expect(stalled.complains(once: "No audio has arrived on the audio pad for 1000 ms"))
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
