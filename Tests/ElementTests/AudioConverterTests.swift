// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerCheck
import CTensors
import Glibc
import SyncDiffElement
import Testing

@Suite struct AudioConverterTests {
  /// A second at `rate` with a click in the middle of every channel, brought to `format` by audioconvert.
  private func click(rate: Int, channels: String, format: String) throws -> UnsafeMutablePointer<GstBuffer> {
    let harness = gst_harness_new_parse("audioconvert ! capsfilter caps=\"\(format)\"")
    defer { gst_harness_teardown(harness) }
    gst_harness_set_src_caps_str(harness, "audio/x-raw,format=F32LE,rate=\(rate),\(channels),layout=interleaved")
    let count = Int(channels.split(whereSeparator: { $0 == "=" || $0 == "," })[1]) ?? 1
    var samples = [Float](repeating: 0, count: rate * count)
    for i in rate / 2 * count..<(rate / 2 + rate / 8_000) * count { samples[i] = 0.9 }
    let buffer = try #require(gst_buffer_new_allocate(nil, gsize(samples.count * 4), nil))
    gst_buffer_fill(buffer, 0, samples, gsize(samples.count * 4))
    buffer.pointee.pts = 0
    gst_harness_push(harness, buffer)
    return try #require(gst_harness_pull(harness))
  }

  private func converter(_ format: String) throws -> AudioConverter {
    #expect(gstreamer)
    var converter = AudioConverter()
    let caps = try #require(gst_caps_from_string(format))
    defer { gst_caps_unref(caps) }
    let prepared = converter.prepare(caps)
    #expect(prepared)
    gst_segment_init(&converter.segment, GST_FORMAT_TIME)
    return converter
  }

  @Test(
    "Every kind of sound arrives at its time",
    arguments: [
      ("S16LE", 48_000, "channels=2"), ("F32LE", 44_100, "channels=1"), ("S24LE", 8_000, "channels=2"),
      ("F64LE", 96_000, "channels=6,channel-mask=(bitmask)0x3f"), ("S32LE", 384_000, "channels=2"),
      ("S16LE", 48_000, "channels=16,channel-mask=(bitmask)0x0"), ("F32LE", 16_000, "channels=1"),
      ("F32LE", 44_100, "channels=2,channel-mask=(bitmask)0x0"),
    ])
  func converts(sample: String, rate: Int, channels: String) throws {
    for layout in ["interleaved", "non-interleaved"] {
      let format = "audio/x-raw,format=\(sample),rate=\(rate),\(channels),layout=\(layout)"
      var converter = try converter(format)
      let buffer = try click(rate: rate, channels: channels, format: format)
      defer { gst_buffer_unref(buffer) }
      let converted = converter.convert(buffer)
      let (samples, start) = try #require(converted)
      let loudest = try #require(samples.indices.max { abs(samples[$0]) < abs(samples[$1]) })
      #expect(start == 0 && (15_900...16_000).contains(samples.count), "\(samples.count)")  // the filter keeps a little
      #expect(abs(loudest - 8_000) <= 2 && abs(samples[loudest]) > 0.1, "\(format): \(loudest), \(samples[loudest])")
    }
  }

  @Test(
    "Of channels without positions all count that are not much quieter than the loudest", arguments: [1, 2, 3, 63, 64])
  func allOfThem(channels: Int) throws {
    for (planar, masked) in [(false, true), (true, true), (false, channels < 3)] {
      let layout = planar ? "non-interleaved" : "interleaved"
      let mask = channels > 1 && masked ? ",channel-mask=(bitmask)0" : ""
      let format = "audio/x-raw,format=F32LE,rate=16000,channels=\(channels),layout=\(layout)\(mask)"
      var converter = try converter(format)
      // Channel c is c + 1 throughout; less than a tenth of the loudest is silence beside it.
      let frames = 1600
      let samples = (0..<frames * channels).map { Float((planar ? $0 / frames : $0 % channels) + 1) / 64 }
      let buffer = try #require(gst_buffer_new_allocate(nil, gsize(samples.count * 4), nil))
      defer { gst_buffer_unref(buffer) }
      gst_buffer_fill(buffer, 0, samples, gsize(samples.count * 4))
      buffer.pointee.pts = 0
      if planar {
        var info = GstAudioInfo()
        let caps = gst_caps_from_string(format)
        gst_audio_info_from_caps(&info, caps)
        gst_caps_unref(caps)
        gst_buffer_add_audio_meta(buffer, &info, gsize(frames), nil)
      }
      let heard = converter.convert(buffer)?.samples
      let audible = (1...min(channels, 63)).filter { $0 * 10 >= min(channels, 63) }.map { Float($0) / 64 }
      let expected = audible.reduce(0, +) / Float(audible.count)
      #expect(heard?.count == frames && heard?.allSatisfy { abs($0 - expected) < 1e-6 } == true, "\(layout)")
    }
  }

  /// A second of two tones, each sample of channel c the voice (1), its opposite (-1), other sound (2) or nothing (0).
  private func mixed(_ mix: inout ChannelMix, _ channels: [Float]) -> [Float] {
    mix.mix(
      (0..<16_000).flatMap { i in
        channels.map { $0 == 2 ? 0.5 * sinf(Float(i) * 0.31) : $0 * Self.voice(i) }
      })
  }

  private static func voice(_ i: Int) -> Float { 0.1 * sinf(Float(i) * 0.07) }

  @Test(
    "A voice is heard at its loudness wherever it is",
    arguments: [
      [1], [1, 1], [1, 0], [0, 1], [1, -1], [0, 0, 0, 0, 1, 0, 0, 0], [1, -1, 1, -1], [Float](repeating: 1, count: 16),
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ] as [[Float]])
  func voice(channels: [Float]) {
    var mix = ChannelMix(channels: channels.count)
    let heard = mixed(&mix, channels)
    #expect(heard.count == 16_000)
    for (i, sample) in heard.enumerated() where abs(abs(sample) - abs(Self.voice(i))) > 1e-6 {
      Issue.record("\(channels), sample \(i): \(sample) instead of \(Self.voice(i))")
      break
    }
  }

  @Test("A voice in the centre is heard beside louder music, and the bass does not drown it")
  func centre() {
    var film = ChannelMix(channels: 6, centre: 2, bass: 3)
    #expect(zip(mixed(&film, [2, 2, 1, 2, 2, 2]), (0..<16_000).map(Self.voice)).allSatisfy { abs($0 - $1) < 1e-6 })
    var silentCentre = ChannelMix(channels: 6, centre: 2, bass: 3)
    #expect(
      zip(mixed(&silentCentre, [1, 1, 0, 2, 0, 0]), (0..<16_000).map(Self.voice)).allSatisfy { abs($0 - $1) < 1e-6 })
  }

  @Test("A voice that goes from one channel to another is at its loudness again half a second later")
  func changesChannel() {
    var mix = ChannelMix(channels: 8)
    let samples = (0..<16_000).flatMap { i in (0..<8).map { $0 == (i < 8000 ? 0 : 5) ? Self.voice(i) : 0 } }
    let heard = mix.mix(samples)
    #expect((0..<8000).allSatisfy { abs(heard[$0] - Self.voice($0)) < 1e-6 })
    #expect((15_900..<16_000).allSatisfy { abs(heard[$0] - Self.voice($0)) < 1e-6 })
  }

  @Test("Sound whose metadata is not its caps' is a hole")
  func otherMetadata() throws {
    let form = "audio/x-raw,format=S24LE,rate=48000,layout=non-interleaved"
    var converter = try converter("\(form),channels=8,channel-mask=(bitmask)0")
    let buffer = try click(rate: 48_000, channels: "channels=2", format: "\(form),channels=2")
    defer { gst_buffer_unref(buffer) }
    let converted = converter.convert(buffer)
    #expect(converted == nil)
  }

  @Test("The conversion leaves its thread's arithmetic as it was")
  func arithmetic() throws {
    let format = "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved"
    var converter = try converter(format)
    let buffer = try click(rate: 48_000, channels: "channels=2", format: format)
    defer { gst_buffer_unref(buffer) }
    let before = ctensors_arithmetic_standard()
    let standard = ctensors_arithmetic_standard()
    let converted = converter.convert(buffer)
    let after = ctensors_arithmetic_standard()
    ctensors_arithmetic_restore(before)
    #expect(converted != nil && after & 0x8040 == standard & 0x8040)
  }

  @Test("Sound without timestamps begins with its segment and follows on, through a change of caps too")
  func untimed() throws {
    let format = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved"
    var converter = try converter(format)
    (converter.segment.start, converter.segment.base) = (5_000_000_000, 1_000_000_000)
    for expected in [16_000, 17_600, 19_200] as [Int64] {
      let buffer = try #require(gst_buffer_new_allocate(nil, 3200, nil))
      defer { gst_buffer_unref(buffer) }
      gst_buffer_memset(buffer, 0, 0, 3200)
      let start = converter.convert(buffer)?.start
      #expect(start == expected)
      guard expected == 17_600, let caps = gst_caps_from_string(format) else { continue }
      let prepared = converter.prepare(caps)
      gst_caps_unref(caps)
      #expect(prepared)
    }
  }

  @Test("Jitter is counted over, a jump and DISCONT are placed by their timestamp")
  func placement() throws {
    var converter = try converter("audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved")
    // Timestamp in ms, DISCONT, where it belongs: 100 ms (1600 samples) each.
    let steps: [(UInt64, Bool, Int64)] = [
      (1000, true, 16_000), (1103, false, 17_600), (1161, false, 19_200), (1350, false, 21_600), (1460, true, 23_360),
      (100, false, 1_600),
    ]
    for (time, discont, expected) in steps {
      let buffer = try #require(gst_buffer_new_allocate(nil, 3200, nil))
      defer { gst_buffer_unref(buffer) }
      gst_buffer_memset(buffer, 0, 0, 3200)
      buffer.pointee.pts = GstClockTime(time * 1_000_000)
      if discont { buffer.pointee.mini_object.flags |= GST_BUFFER_FLAG_DISCONT.rawValue }
      let start = converter.convert(buffer)?.start
      #expect(start == expected)
    }
  }
}
