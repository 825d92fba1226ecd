// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// `syncdiffbin`: both streams come out as they were but for the mouths, as far apart as they were, and nothing hangs.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import TestSupport
import Testing

/// What goes by at a pad of a bin: the running times of its buffers, and whether it has ended.
private final class Traffic: @unchecked Sendable {
  private let lock = NSLock()
  private var seen: [GstClockTime] = []
  private var isOver = false
  private var segment = GstSegment()

  init(_ element: UnsafeMutablePointer<GstElement>, _ pad: String) {
    let pad = gst_element_get_static_pad(element, pad)
    let types = GST_PAD_PROBE_TYPE_BUFFER.rawValue | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue
    gst_pad_add_probe(
      pad, GstPadProbeType(rawValue: types),
      { _, info, me in
        if let info, let me { Unmanaged<Traffic>.fromOpaque(me).takeUnretainedValue().note(info) }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passRetained(self).toOpaque(), { if let me = $0 { Unmanaged<Traffic>.fromOpaque(me).release() } })
    gst_object_unref(pad)
  }

  private func note(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    lock.lock()
    defer { lock.unlock() }
    if info.pointee.type.rawValue & GST_PAD_PROBE_TYPE_BUFFER.rawValue != 0 {
      let pts = gst_pad_probe_info_get_buffer(info)?.pointee.pts ?? .max
      seen.append(gst_segment_to_running_time(&segment, GST_FORMAT_TIME, pts))
    } else if let event = gst_pad_probe_info_get_event(info) {
      if event.pointee.type == GST_EVENT_SEGMENT { gst_event_copy_segment(event, &segment) }
      if event.pointee.type == GST_EVENT_EOS { isOver = true }
    }
  }

  var times: [GstClockTime] { lock.withLock { seen } }
  var ended: Bool { lock.withLock { isOver } }
}

/// A bin between two harnesses.
private final class BinBench {
  let element: UnsafeMutablePointer<GstElement>
  let video: UnsafeMutablePointer<GstHarness>
  let audio: UnsafeMutablePointer<GstHarness>

  init(_ properties: [String: String] = [:], live: Bool = false) throws {
    #expect(gstreamer)
    element = try #require(gst_element_factory_make("syncdiffbin", nil))
    let object = UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self)
    for (name, value) in properties.merging(Bench.usual, uniquingKeysWith: { given, _ in given }) {
      gst_util_set_object_arg(object, name, value)
    }
    video = gst_harness_new_with_element(element, "video_sink", "video_src")
    audio = gst_harness_new_with_element(element, "audio_sink", "audio_src")
    for harness in [video, audio] { gst_harness_set_live(harness, live ? 1 : 0) }
    gst_harness_set_src_caps_str(audio, "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved")
    gst_harness_set_src_caps_str(video, Bench.caps)
  }

  deinit {
    gst_harness_teardown(audio)
    gst_harness_teardown(video)
    gst_object_unref(element)
  }

  func pushFrame(_ index: Int, _ bytes: [UInt8]) {
    let buffer = gst_buffer_new_allocate(nil, gsize(bytes.count), nil)
    gst_buffer_fill(buffer, 0, bytes, gsize(bytes.count))
    buffer?.pointee.pts = GstClockTime(index) * frameDuration
    buffer?.pointee.duration = frameDuration
    #expect(gst_harness_push(video, buffer) == GST_FLOW_OK)
  }

  /// Tenth `index` of a second of a tone.
  func pushSound(_ index: Int, frames: Int = 4_800) {
    let samples = (0..<2 * frames).map { Int16($0 % 192 < 96 ? 8_000 : -8_000) }
    let buffer = gst_buffer_new_allocate(nil, gsize(frames * 4), nil)
    gst_buffer_fill(buffer, 0, samples, gsize(frames * 4))
    buffer?.pointee.pts = GstClockTime(index) * second / 10
    buffer?.pointee.duration = second / 10
    #expect(gst_harness_push(audio, buffer) == GST_FLOW_OK)
  }

  func property(_ name: String, of child: String? = nil) -> String? {
    var value = GValue()
    if let child {
      gst_child_proxy_get_property(OpaquePointer(element), "\(child)::\(name)", &value)
    } else {
      g_object_get_property(UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self), name, &value)
    }
    defer { g_value_unset(&value) }
    let text = gst_value_serialize(&value)
    defer { g_free(text) }
    return text.map { String(cString: $0) }
  }
}

@Suite struct BinTests {
  /// That a busy machine takes long is no stall.
  private static let dub = "syncdiffbin name=dub steps=1 stall-timeout=\(30 * second)"
  private static let out = "dub.video_src ! fakesink dub.audio_src ! fakesink"
  private static let all = Ending(eos: true, frames: 50)

  /// Plays a clip of 50 frames through a bin, from a demuxer called `in` over `branches`.
  private func dubbed(
    _ mux: String, _ demuxer: String, sound: Int, _ branches: String, dub: String = dub, out: String = out
  ) throws -> Ending {
    let clip = try Clip(mux, sound: sound)
    return try play("filesrc location=\(clip.path) ! \(demuxer) name=in \(dub) \(branches) \(out)")
  }

  // MARK: Nothing hangs

  @Test(
    "Demuxers, with default queues and without any, sound longer, as long and shorter",
    arguments: [("matroskamux", "matroskademux"), ("qtmux", "qtdemux")], [70, 20, 5])
  func demuxers(container: (mux: String, demux: String), sound: Int) throws {
    for queue in ["queue !", ""] {
      let branches = "in.video_0 ! \(queue) jpegdec ! dub.video_sink in.audio_0 ! \(queue) dub.audio_sink"
      #expect(try dubbed(container.mux, container.demux, sound: sound, branches) == Self.all)
    }
  }

  @Test("decodebin and a multiqueue", arguments: [70, 20, 5])
  func others(sound: Int) throws {
    let found = "in. ! dub.video_sink in. ! dub.audio_sink"
    #expect(try dubbed("matroskamux", "decodebin", sound: sound, found) == Self.all)
    let many = """
      multiqueue name=many in.video_0 ! many. in.audio_0 ! many. many. ! jpegdec ! dub.video_sink many. ! dub.audio_sink
      """
    #expect(try dubbed("matroskamux", "matroskademux", sound: sound, many) == Self.all)
  }

  @Test("Into a muxer without another queue, behind an encoder that holds back two seconds", arguments: [70, 20, 5])
  func muxer(sound: Int) throws {
    let out = "dub.video_src ! x264enc ! mp4mux name=mux ! fakesink dub.audio_src ! audioconvert ! avenc_aac ! mux."
    let found = "in. ! dub.video_sink in. ! dub.audio_sink"
    #expect(try dubbed("matroskamux", "decodebin", sound: sound, found, out: out) == Self.all)
  }

  @Test(
    "A pad that nothing comes to: its stream ends, with one warning, and the other one goes on",
    arguments: ["", "appsrc ! dub.audio_sink"])
  func soundless(_ sound: String) throws {
    let ending = try dubbed(
      "matroskamux", "decodebin", sound: 0, "in. ! dub.video_sink \(sound)", dub: "\(Self.dub) stall-timeout=500000000")
    #expect(ending.eos && ending.frames == 50 && ending.error == nil)
    let warning = sound.isEmpty ? "The audio pad is not linked" : "No audio has arrived on the audio pad"
    #expect(ending.warnings.count == 1 && ending.warnings[0].hasPrefix(warning), "\(ending.warnings)")
  }

  @Test("Sound alone")
  func pictureless() throws {
    let line = """
      audiotestsrc num-buffers=2000 ! dub.audio_sink \(Self.dub) stall-timeout=500000000 \(Self.out)
      """
    let warning = "The pad video_sink is not linked: video_src gets EOS."
    #expect(try play(line) == Ending(eos: true, frames: 0, warnings: [warning]))
  }

  @Test("Source pads that nobody takes from hold up nobody", arguments: ["video_src", "audio_src"])
  func untaken(taken: String) throws {
    let found = "in. ! dub.video_sink in. ! dub.audio_sink"
    let ending = try dubbed("matroskamux", "decodebin", sound: 20, found, out: "dub.\(taken) ! fakesink")
    #expect(ending.eos && ending.error == nil, "\(ending)")
  }

  @Test(
    "Demuxers tell late that the sound has ended",
    arguments: [("matroskamux", "matroskademux"), ("qtmux", "qtdemux")], [12, 35])
  func shorter(container: (mux: String, demux: String), sound: Int) throws {
    let clip = try Clip(container.mux, frames: 125, sound: sound)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! \(container.demux) name=in \(Self.dub) \
      in.video_0 ! queue ! jpegdec ! dub.video_sink in.audio_0 ! queue ! dub.audio_sink \(Self.out)
      """)
    #expect(ending == Ending(eos: true, frames: 125))
  }

  @Test("Sound of its own, much longer than the picture")
  func endless() throws {
    let ending = try dubbed(
      "matroskamux", "decodebin", sound: 0, "in. ! dub.video_sink audiotestsrc ! dub.audio_sink",
      out: "dub.video_src ! fakesink")
    #expect(ending == Self.all)
  }

  @Test("A paused seek to where the sound ends before the picture", arguments: [1900, 2100])
  func pausedSeek(milliseconds: gint64) throws {
    let clip = try Clip("qtmux", frames: 125, sound: 20)
    let pipeline = try Pipeline(
      """
      filesrc location=\(clip.path) ! qtdemux name=in \(Self.dub) \
      in.video_0 ! queue ! jpegdec ! dub.video_sink in.audio_0 ! queue ! dub.audio_sink \
      dub.video_src ! fakesink sync=true dub.audio_src ! fakesink sync=true
      """)
    gst_element_set_state(pipeline.element, GST_STATE_PAUSED)
    #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
    let flags = GstSeekFlags(rawValue: GST_SEEK_FLAG_FLUSH.rawValue | GST_SEEK_FLAG_ACCURATE.rawValue)
    #expect(gst_element_seek_simple(pipeline.element, GST_FORMAT_TIME, flags, milliseconds * 1_000_000) != 0)
    #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
    #expect(!pipeline.complains)
  }

  @Test("A pipeline that rests in PAUSED has no stall")
  func paused() throws {
    let pipeline = try Pipeline(
      """
      filesrc location=\(portraitPath) ! jpegdec ! videoscale ! videoconvert \
      ! video/x-raw,format=I420,width=240,height=240 ! imagefreeze ! video/x-raw,framerate=25/1 ! dub.video_sink \
      audiotestsrc ! dub.audio_sink \(Self.dub) stall-timeout=\(3 * second) \
      dub.video_src ! queue ! fakesink sync=true dub.audio_src ! queue ! fakesink sync=true
      """)
    for (state, time) in [(GST_STATE_PLAYING, 500_000), (GST_STATE_PAUSED, 4_000_000), (GST_STATE_PLAYING, 200_000)] {
      gst_element_set_state(pipeline.element, state)
      #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
      g_usleep(gulong(time))
    }
    #expect(!pipeline.complains)
  }

  @Test("Seeks at any moment, at any rate: picture and sound come again")
  func seeks() throws {
    let clip = try Clip("matroskamux", sound: 20)
    let pipeline = try Pipeline(
      """
      filesrc location=\(clip.path) ! matroskademux name=in \(Self.dub) \
      in.video_0 ! queue ! jpegdec ! dub.video_sink in.audio_0 ! queue ! dub.audio_sink \
      dub.video_src ! fakesink sync=true dub.audio_src ! fakesink sync=true
      """)
    gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
    var dice = Dice(5)
    for _ in 0..<20 {
      #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
      g_usleep(gulong.random(in: 0...100_000, using: &dice))
      let (rate, place) = (dice.pick([1, 1, 0.5, 2]), gint64.random(in: 0..<2_000_000_000, using: &dice))
      #expect(
        gst_element_seek(
          pipeline.element, rate, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, place, GST_SEEK_TYPE_NONE, 0)
          != 0)
    }
    #expect(pipeline.ending().eos)
  }

  @Test("It may be stopped at any moment, and started again", arguments: [true, false])
  func teardown(live: Bool) throws {
    let pipeline = try Pipeline(
      """
      filesrc location=\(portraitPath) ! jpegdec ! videoscale ! videoconvert \
      ! video/x-raw,format=I420,width=240,height=240 ! imagefreeze is-live=\(live) ! video/x-raw,framerate=50/1 \
      ! dub.video_sink audiotestsrc is-live=\(live) ! dub.audio_sink \(Self.dub) \
      dub.video_src ! queue ! fakesink dub.audio_src ! queue ! fakesink
      """)
    var dice = Dice(6)
    for _ in 0..<15 {
      gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
      g_usleep(gulong.random(in: 0...200_000, using: &dice))
      let state = dice.pick([GST_STATE_NULL, GST_STATE_READY])
      #expect(gst_element_set_state(pipeline.element, state) == GST_STATE_CHANGE_SUCCESS)
    }
    #expect(!pipeline.complains)
  }

  // MARK: What comes out

  @Test("Picture and sound leave with the times that they came with", arguments: [70, 20, 5])
  func times(sound: Int) throws {
    let clip = try Clip("qtmux", sound: sound)
    let pipeline = try Pipeline(
      """
      filesrc location=\(clip.path) ! decodebin name=in in. ! dub.video_sink in. ! dub.audio_sink \(Self.dub) \(Self.out)
      """)
    let bin = UnsafeMutableRawPointer(pipeline.element).assumingMemoryBound(to: GstBin.self)
    let dub = try #require(gst_bin_get_by_name(bin, "dub"))
    defer { gst_object_unref(dub) }
    let traffic = ["video_sink", "audio_sink", "video_src", "audio_src"].map { Traffic(dub, $0) }
    gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
    #expect(pipeline.ending().eos)
    #expect(traffic.allSatisfy { $0.ended })
    #expect(traffic[0].times.count == 50 && traffic[0].times == traffic[2].times)
    #expect(!traffic[1].times.isEmpty && traffic[1].times == traffic[3].times)
  }

  @Test("Only the mouth changes, and the sound not at all; new caps in mid-stream take their turn")
  func bytesAndCaps() throws {
    let (bench, face) = (try BinBench(["steps": "1"]), try portrait())
    for i in 0..<10 { bench.pushSound(i) }
    bench.pushFrame(0, face)
    var out = try #require(gst_harness_pull(bench.video))
    let changed = zip(bytes(of: out), face).count { $0 != $1 }
    #expect(changed > 100 && changed < face.count / 4)
    gst_buffer_unref(out)
    for _ in 0..<10 {
      out = try #require(gst_harness_pull(bench.audio))
      #expect(bytes(of: out).prefix(4) == [0x40, 0x1F, 0x40, 0x1F] && gst_buffer_get_size(out) == 4_800 * 4)
      gst_buffer_unref(out)
    }

    gst_harness_set_src_caps_str(bench.video, "video/x-raw,format=RGB,width=64,height=64,framerate=25/1")
    gst_harness_set_src_caps_str(bench.audio, "audio/x-raw,format=U8,rate=8000,channels=1,layout=interleaved")
    bench.pushSound(10, frames: 200)
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    bench.pushFrame(1, [UInt8](repeating: 128, count: 64 * 64 * 3))
    for (harness, size) in [(bench.video, 64 * 64 * 3), (bench.audio, 800)] {
      out = try #require(gst_harness_pull(harness))
      #expect(gst_buffer_get_size(out) == gsize(size))
      gst_buffer_unref(out)
    }
  }

  @Test("Live, both pads report the latency of the picture, and the sound leaves when that is over")
  func latency() throws {
    let bench = try BinBench(["lookahead": "300000000", "processing-latency": "60000000"], live: true)
    let latency = gst_harness_query_latency(bench.video)
    #expect(latency == 360_000_000 + frameDuration)
    #expect(gst_harness_query_latency(bench.audio) == latency)
    let clock = gst_harness_get_testclock(bench.audio)
    defer { gst_object_unref(clock) }
    bench.pushSound(1)
    var wait: GstClockID?
    gst_test_clock_wait_for_next_pending_id(clock, &wait)
    let due = gst_clock_id_get_time(wait)
    gst_clock_id_unref(wait)
    #expect(due == second / 10 + latency - 20_000_000)
    #expect(gst_harness_try_pull(bench.audio) == nil)
    gst_harness_crank_single_clock_wait(bench.audio)
    gst_buffer_unref(gst_harness_pull(bench.audio))
  }

  // MARK: Shape

  @Test("Properties and presets are those of the syncdiff inside")
  func properties() throws {
    let bench = try BinBench(["strength": "0.5", "face-select": "all"])
    for (name, value) in [("strength", "0.5"), ("face-select", "all"), ("max-faces", "4")] {
      #expect(bench.property(name) == value && bench.property(name, of: "syncdiff") == value)
    }
    #expect(gst_preset_load_preset(OpaquePointer(bench.element), "archive") != 0)
    #expect(bench.property("steps") == "3" && bench.property("steps", of: "syncdiff") == "3")
    #expect(bench.property("stats")?.contains("syncdiff-stats") == true)
  }
}
