// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The steps of a random sequence, as they are taken.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import TestSupport

extension Trial {
  func take(_ move: Move) {
    var dice = Dice(move.seed)
    switch move.step.thread {
    case .picture: picture.turn.withLock { takePicture(move.step, &dice) }
    case .sound: sound.turn.withLock { takeSound(move.step, &dice) }
    case .application: takeApplication(move.step, &dice)
    }
  }

  private func takePicture(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .frame: frame(&dice)
    case .tag:
      guard let list = gst_tag_list_new_empty() else { return }
      gst_tag_list_set_scope(list, dice.pick([GST_TAG_SCOPE_STREAM, GST_TAG_SCOPE_GLOBAL]))
      picture.push(gst_event_new_tag(list))
    case .custom:
      picture.push(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty("random")))
    case .gap: picture.push(gst_event_new_gap(picture.time, dice.pick([.max, 0, 40_000_000])))
    case .caps: pictureCaps(&dice)
    case .segment: segment(picture, &dice)
    case .streamStart: streamStart(picture)
    case .query: query(&dice)
    case .end: end(picture)
    default: break
    }
  }

  private func takeSound(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .sound: sound(&dice)
    case .soundGap:
      sound.push(gst_event_new_gap(sound.time, dice.pick([.max, 0, 40_000_000, 3 * second])))
      sound.time += 40_000_000
    case .soundCaps: soundCaps(&dice)
    case .soundSegment: segment(sound, &dice)
    case .soundStreamStart: streamStart(sound)
    case .soundEnd: end(sound)
    default: break
    }
  }

  private func takeApplication(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .flush: flush(picture, &dice)
    case .flushSound: flush(sound, &dice)
    case .flushBoth:
      let order = dice.one(in: 2) ? [picture, sound] : [sound, picture]
      for upstream in order { flush(upstream, &dice) }
    case .seek:
      send(gst_event_new_seek(1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, -1))
    case .qos:
      let time = GstClockTime(dice.pick([1, 40, 1000])) * 40_000_000
      send(gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 1, dice.pick([-1, 1, 90_000_000]), time))
    case .latency:
      let query = gst_query_new_latency()
      withPad("src") { _ = gst_pad_query($0, query) }
      gst_query_unref(query)
    case .stats: _ = stats
    case .property:
      let (name, values) = dice.pick(Self.properties)
      set(name, dice.pick(values))
      if dice.one(in: 40) { set("missing-audio", "error") }
      if dice.one(in: 40) { set("no-face", "error") }
    case .pause:
      gst_element_set_state(element, GST_STATE_PAUSED)
      if dice.one(in: 2) { gst_element_set_state(element, GST_STATE_PLAYING) }
    case .link: if let audio, gst_pad_is_linked(audio) == 0 { gst_pad_link(sound.pad, audio) }
    case .unlink: if let audio { gst_pad_unlink(sound.pad, audio) }
    case .request: request()
    case .release: release()
    case .clock: advance(to: gst_clock_get_time(clock) + GstClockTime(dice.pick([1, 40, 400, 4000])) * 1_000_000)
    case .hold: if isThreaded { downstream.hold() }
    case .refuse:
      if dice.one(in: 3) {
        downstream.refuse(dice.pick([GST_FLOW_EOS, GST_FLOW_NOT_LINKED, GST_FLOW_ERROR, GST_FLOW_CUSTOM_ERROR]))
      }
    default: break
    }
  }

  private static let properties: [(String, [String])] = [
    ("threads", ["0", "1", "2"]), ("lookahead", ["-1", "0", "40000000", "1000000000"]), ("steps", ["0", "1", "2"]),
    ("guidance-scale", ["0", "1", "2"]), ("strength", ["0", "0.5", "1"]), ("seed", ["0", "18446744073709551615"]),
    ("audio-offset", ["0", "200000000", "-200000000", "25000000000", "-25000000000"]),
    ("face-select", ["largest", "center", "left", "right", "roi-meta", "all"]), ("max-faces", ["1", "16"]),
    ("roi", ["", "0,0,64,64", "-5,10,2147483647,2147483647", "9,9,0,9", "a,b"]), ("no-face", ["passthrough"]),
    ("silence", ["close", "passthrough"]), ("silence-threshold", ["-200", "-50", "0"]),
    ("silence-hold", ["0", "300000000", "2000000000"]), ("missing-audio", ["passthrough", "silence"]),
    ("scene-threshold", ["0", "0.01", "0.4", "1"]), ("overload", ["auto", "block", "degrade"]),
    ("processing-latency", ["0", "1", "100000000", "9223372036854775807"]),
    ("stall-timeout", ["1", "1000000", "3000000"]), ("qos", ["true", "false"]),
    ("post-messages", ["", "face+degrade+scene+stats"]), ("stats-interval", ["0", "1", "1000000000"]),
  ]

  var stats: [String: String] {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    g_object_get_property(
      UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self), "stats", &value)
    defer { g_value_unset(&value) }
    return gst_value_get_structure(&value).map(texts) ?? [:]
  }

  private func send(_ event: UnsafeMutablePointer<GstEvent>?) { withPad("src") { _ = gst_pad_send_event($0, event) } }

  /// The clock never goes back. Whoever waits for it is called.
  func advance(to time: GstClockTime) {
    guard let clock else { return }
    let test = UnsafeMutableRawPointer(clock).assumingMemoryBound(to: GstTestClock.self)
    if time > gst_clock_get_time(clock) { gst_test_clock_set_time(test, time) }
    while let id = gst_test_clock_process_next_clock_id(test) { gst_clock_id_unref(id) }
  }

  func request() {
    guard audio == nil else { return }
    audio = gst_element_request_pad_simple(element, "audio")
    if let audio { gst_pad_link(sound.pad, audio) }
  }

  func release() {
    guard let audio else { return }
    gst_element_release_request_pad(element, audio)
    gst_object_unref(audio)
    self.audio = nil
  }

  /// Not every flush is START, STOP: START may be missing, STOP come twice. Nobody may be held up by a sink, for a START
  /// that is missing or does not arrive, the pad being unlinked, lets nobody go.
  private func flush(_ upstream: Upstream, _ dice: inout Dice) {
    downstream.open()
    if !(dice.one(in: 4) && upstream.turn.try()) {
      gst_pad_push_event(upstream.pad, gst_event_new_flush_start())
      upstream.turn.lock()
    }
    defer { upstream.turn.unlock() }
    gst_pad_push_event(upstream.pad, gst_event_new_flush_stop(1))
    if upstream === picture { endEpoch(isWhole: false) }
    if dice.one(in: 4) { gst_pad_push_event(upstream.pad, gst_event_new_flush_stop(1)) }
    (upstream.needsSegment, upstream.ended, upstream.time) = (true, false, 0)
  }

  func streamStart(_ upstream: Upstream) {
    upstream.ended = false
    upstream.push(gst_event_new_stream_start("random"))
    upstream.needsSegment = true
  }

  func end(_ upstream: Upstream) {
    if upstream.needsSegment { plainSegment(upstream) }
    upstream.push(gst_event_new_eos())
    upstream.ended = true
  }

  private func plainSegment(_ upstream: Upstream) {
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    upstream.push(gst_event_new_segment(&segment))
    upstream.needsSegment = false
  }

  private func segment(_ upstream: Upstream, _ dice: inout Dice) {
    var segment = GstSegment()
    gst_segment_init(&segment, dice.one(in: 20) ? GST_FORMAT_BYTES : GST_FORMAT_TIME)
    if dice.one(in: 8) { segment.rate = dice.pick([2, 0.5, -1]) }
    if dice.one(in: 8) { segment.applied_rate = 2 }
    if dice.one(in: 8) { segment.base = second }
    if dice.one(in: 8) { segment.start = 100_000_000 }
    if segment.rate < 0 || dice.one(in: 8) { segment.stop = dice.pick([200_000_000, 3600 * second]) }
    if dice.one(in: 8) { segment.offset = 40_000_000 }
    upstream.push(gst_event_new_segment(&segment))
    upstream.needsSegment = false
  }

  // MARK: Pictures

  func pictureCaps(_ dice: inout Dice) {
    portrait = kind == .faces && !dice.one(in: 4) ? dice.pick(portraits) : nil
    let side = portrait?.side ?? dice.pick([64, 64, 65, 80])
    let format = portrait?.format ?? dice.pick(Self.formats)
    let rate = dice.pick(["25/1", "25/1", "50/1", "30000/1001", "0/1", "1/10", "2147483647/1"])
    let interlaced = dice.one(in: 100) ? ",interlace-mode=interleaved" : ""
    let text =
      "video/x-raw,format=\(format),width=\(side),height=\(portrait == nil ? dice.pick([64, 71]) : side),"
      + "framerate=\(rate)\(interlaced)"
    guard let caps = gst_caps_from_string(text) else { return }
    gst_video_info_from_caps(&info, caps)
    if !interlaced.isEmpty { capsRefused = true }
    picture.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  func plainCaps() {
    guard let caps = gst_caps_from_string("video/x-raw,format=I420,width=64,height=64,framerate=25/1") else { return }
    gst_video_info_from_caps(&info, caps)
    portrait = nil
    picture.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  private static let formats = [
    "I420", "YV12", "NV12", "NV21", "Y42B", "Y444", "YUY2", "UYVY", "RGB", "BGR", "RGBx", "BGRx", "xRGB", "xBGR",
    "RGBA", "BGRA", "ARGB", "ABGR", "I420_10LE", "P010_10LE", "I422_10LE", "v210",
  ]

  private func frame(_ dice: inout Dice) {
    if picture.needsSegment { plainSegment(picture) }
    let size = dice.one(in: 50) ? dice.pick([0, 1, 1000]) : info.size
    guard let buffer = gst_buffer_new_allocate(nil, size, nil) else { return }
    if let portrait, size == info.size, !dice.one(in: 8) {
      gst_buffer_fill(buffer, 0, portrait.bytes, size)
    } else {
      gst_buffer_memset(buffer, 0, 128, size)
    }
    frames += 1
    buffer.pointee.offset = guint64(frames)
    buffer.pointee.offset_end = dice.pick([.max, 7])
    buffer.pointee.pts = dice.one(in: 20) ? .max : picture.time
    buffer.pointee.dts = dice.pick([.max, picture.time])
    buffer.pointee.duration = dice.pick([.max, 0, 40_000_000, 40_000_000, 40_000_000, .max - 1])
    for flag in [GST_BUFFER_FLAG_DISCONT, GST_BUFFER_FLAG_GAP, GST_BUFFER_FLAG_MARKER, GST_BUFFER_FLAG_DELTA_UNIT] {
      if dice.one(in: 20) { buffer.pointee.mini_object.flags |= flag.rawValue }
    }
    if dice.one(in: 20) {
      gst_buffer_add_video_region_of_interest_meta(
        buffer, dice.pick(["face", "car"]), dice.pick([0, 9, .max]), 0, 60, 60)
    }
    picture.time += GstClockTime(dice.pick([40, 40, 40, 40, 40, 20, 0, 500, 3_000])) * 1_000_000
    if dice.one(in: 30) { picture.time = dice.pick([0, 1, second, 3600 * second, .max / 2]) }
    let mark = Mark.frame(Facts(buffer, untouched: downstream.untouched))
    census.count(buffer)
    if gst_pad_push(picture.pad, buffer) == GST_FLOW_OK {
      if picture.ended { report("a frame was taken after EOS") }
      picture.taken.append(mark)
    }
  }

  /// Queries that a source asks.
  private func query(_ dice: inout Dice) {
    let caps = gst_video_info_to_caps(&info)
    let query = dice.pick([
      { gst_query_new_allocation(caps, 1) }, { gst_query_new_drain() }, { gst_query_new_accept_caps(caps) },
      { gst_query_new_caps(nil) }, { gst_query_new_allocation(nil, 0) }, { gst_query_new_duration(GST_FORMAT_TIME) },
    ])()
    gst_pad_peer_query(picture.pad, query)
    gst_query_unref(query)
    if let caps { gst_caps_unref(caps) }
  }

  // MARK: Sound

  func soundCaps(_ dice: inout Dice) {
    let format = dice.pick(["S16LE", "S24LE", "S32LE", "F32LE", "F64LE"])
    let channels = dice.pick([1, 2, 3, 8])
    let rate = dice.pick([8_000, 16_000, 44_100, 48_000])
    let layout = dice.one(in: 4) ? "non-interleaved" : "interleaved"
    let mask = channels > 2 ? ",channel-mask=(bitmask)0" : ""
    let text = "audio/x-raw,format=\(format),rate=\(rate),channels=\(channels),layout=\(layout)\(mask)"
    guard let caps = gst_caps_from_string(text) else { return }
    gst_audio_info_from_caps(&soundInfo, caps)
    sound.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  private func sound(_ dice: inout Dice) {
    if sound.needsSegment { plainSegment(sound) }
    let count = Int(soundInfo.rate) * dice.pick([0, 1, 10, 23, 23, 100, 1000]) / 1000
    guard count > 0 || soundInfo.layout == GST_AUDIO_LAYOUT_INTERLEAVED else { return }
    let size = gsize(count) * gsize(soundInfo.bpf)
    guard let buffer = gst_buffer_new_allocate(nil, size, nil) else { return }
    gst_buffer_memset(buffer, 0, dice.pick([0, 1, 0x40, 0x7F, 0xFF]), size)
    if soundInfo.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED {
      gst_buffer_add_audio_meta(buffer, &soundInfo, gsize(count), nil)
    }
    buffer.pointee.pts = dice.one(in: 20) ? .max : sound.time
    if dice.one(in: 20) { buffer.pointee.mini_object.flags |= GST_BUFFER_FLAG_DISCONT.rawValue }
    census.count(buffer)
    sound.time += GstClockTime(count) * second / GstClockTime(max(soundInfo.rate, 1))
    if dice.one(in: 8) { sound.time += GstClockTime(dice.pick([3, 50, 400, 70_000])) * 1_000_000 }
    if dice.one(in: 30) { sound.time = dice.pick([0, second, 3600 * second, .max / 2]) }
    gst_pad_push(sound.pad, buffer)
  }
}
