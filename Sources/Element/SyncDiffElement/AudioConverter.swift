// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Any audio/x-raw -> 16 kHz mono, placed by running time.

import CGStreamer
import GstSyncDiff
import Speech
import Tensors

/// Lives as long as the audio pad; GStreamer's converter in it from one CAPS event to the next.
package struct AudioConverter: ~Copyable {
  package var segment = GstSegment()
  private(set) var info = GstAudioInfo()
  /// The part that is used: all channels but the 64th, for which GStreamer has no converter.
  private var kept = GstAudioInfo()
  private var mix = ChannelMix(channels: 1)
  private var converter: OpaquePointer?
  /// The sample index at which the next buffer belongs; nil after a jump.
  private var next: Int64?
  /// The same, jump or not; nil at the beginning of a segment.
  private var expected: Int64?

  package init() { gst_segment_init(&segment, GST_FORMAT_UNDEFINED) }

  /// Whether this segment's audio belongs to frames: at other rates they pass unchanged.
  var isOfUse: Bool { segment.format == GST_FORMAT_TIME && segment.rate == 1 && segment.applied_rate == 1 }

  /// Whether its format is known.
  var isReady: Bool { converter != nil }

  /// What comes next may be at any position.
  mutating func restart() { (next, expected) = (nil, nil) }

  /// Audio up to this time is missing: what comes next follows on, after a hole.
  mutating func skip(to time: RunningTime) { (next, expected) = (nil, time.sample) }

  deinit { if let converter { gst_audio_converter_free(converter) } }

  /// Prepares for audio with these caps; false if it cannot be converted.
  package mutating func prepare(_ caps: UnsafeMutablePointer<GstCaps>) -> Bool {
    if let converter { gst_audio_converter_free(converter) }
    (converter, next) = (nil, nil)
    guard read(caps), let format = info.finfo else { return false }
    kept = info
    if info.channels > 63 {
      gst_audio_info_set_format(&kept, format.pointee.format, info.rate, 63, nil)
      kept.layout = info.layout
    }
    let channels = Int(kept.channels)
    var all = GstAudioInfo()
    let rate = gint(Filterbank.sampleRate)
    let positions = withUnsafeBytes(of: info.position) {
      [GstAudioChannelPosition]($0.bindMemory(to: GstAudioChannelPosition.self))
    }
    let isPlaced = info.flags.rawValue & GST_AUDIO_FLAG_UNPOSITIONED.rawValue == 0
    gst_audio_info_set_format(&all, GST_AUDIO_FORMAT_F32LE, rate, kept.channels, isPlaced ? positions : nil)
    func place(_ position: GstAudioChannelPosition) -> Int? {
      isPlaced && channels > 2 ? positions.prefix(channels).firstIndex(of: position) : nil
    }
    mix = ChannelMix(
      channels: channels, centre: place(GST_AUDIO_CHANNEL_POSITION_FRONT_CENTER),
      bass: place(GST_AUDIO_CHANNEL_POSITION_LFE1))
    converter = gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &kept, &all, nil)
    return converter != nil
  }

  /// More than two channels must have a channel mask; if it is missing, they have no positions.
  private mutating func read(_ caps: UnsafeMutablePointer<GstCaps>) -> Bool {
    if gst_audio_info_from_caps(&info, caps) != 0 { return true }
    guard gst_structure_has_field(gst_caps_get_structure(caps, 0), "channel-mask") == 0,
      let unpositioned = gst_caps_copy(caps)
    else { return false }
    defer { gst_caps_unref(unpositioned) }
    var mask = GValue()
    g_value_init(&mask, gst_bitmask_get_type())
    gst_value_set_bitmask(&mask, 0)
    gst_caps_set_value(unpositioned, "channel-mask", &mask)
    return gst_audio_info_from_caps(&info, unpositioned) != 0
  }

  /// The first channels of interleaved audio, as many as are used.
  private func pick(from plane: UnsafeRawPointer, _ frames: Int) -> [UInt8] {
    let (step, size) = (Int(info.bpf), Int(kept.bpf))
    return [UInt8](unsafeUninitializedCapacity: frames * size) { bytes, count in
      let picked = UnsafeMutableRawBufferPointer(bytes)
      for i in 0..<frames {
        UnsafeMutableRawBufferPointer(rebasing: picked[i * size..<(i + 1) * size])
          .copyMemory(from: UnsafeRawBufferPointer(start: plane + i * step, count: size))
      }
      count = frames * size
    }
  }

  /// The buffer's audio as 16 kHz mono. A mapped GstAudioBuffer may point into itself, so it must not move.
  private mutating func samples(of buffer: UnsafeMutablePointer<GstBuffer>, _ converter: OpaquePointer) -> [Float]? {
    var map = GstAudioBuffer()
    let channels = Int(kept.channels)
    let samples: [Float]? = withUnsafeMutablePointer(to: &map) { map in
      guard gst_audio_buffer_map(map, &info, buffer, GST_MAP_READ) != 0 else { return nil }
      defer { gst_audio_buffer_unmap(map) }
      let frames = map.pointee.n_samples
      let count = gst_audio_converter_get_out_frames(converter, frames)
      var samples = [Float](repeating: 0, count: Int(count) * channels)
      func convert(_ planes: UnsafeMutablePointer<gpointer?>?) -> Bool {
        samples.withUnsafeMutableBytes { bytes in
          var out: gpointer? = bytes.baseAddress
          return withStandardArithmetic {  // and restores the audio thread's settings
            gst_audio_converter_samples(converter, GST_AUDIO_CONVERTER_FLAG_NONE, planes, frames, &out, count) != 0
          }
        }
      }
      guard kept.bpf != info.bpf, info.layout == GST_AUDIO_LAYOUT_INTERLEAVED else {
        return convert(map.pointee.planes) ? samples : nil
      }
      guard let plane = map.pointee.planes?.pointee else { return nil }
      var picked = pick(from: plane, Int(frames))
      return picked.withUnsafeMutableBytes { bytes in
        var plane: gpointer? = bytes.baseAddress
        return convert(&plane)
      } ? samples : nil
    }
    return samples.map { mix.mix($0) }
  }

  /// The buffer's audio as 16 kHz mono, and the sample index of its first value. Nil if the buffer cannot be read.
  ///
  /// Contiguous audio is placed by counting, so that timestamps may jitter; after DISCONT or a jump of more than 40 ms it is
  /// placed by its timestamp. Audio without a timestamp follows on, or begins where the segment does.
  package mutating func convert(_ buffer: UnsafeMutablePointer<GstBuffer>) -> (samples: [Float], start: Int64)? {
    guard let converter else { return nil }
    let pts = buffer.pointee.pts
    let stamp = sample(at: pts)
    let discont = buffer.pointee.mini_object.flags & GST_BUFFER_FLAG_DISCONT.rawValue != 0
    let jump = Int64(Filterbank.sampleRate / 25)
    var start = next
    if let expected = next, let stamp, discont || expected.distance(to: stamp).magnitude > jump { start = nil }
    if start == nil {
      gst_audio_converter_reset(converter)
      start = pts == .max ? expected ?? sample(at: segment.start.addingClamped(segment.offset)) : stamp
    }
    guard let start else { return nil }

    guard buffer.isLaid(as: &info), let samples = samples(of: buffer, converter) else { return nil }
    next = start.addingClamped(Int64(samples.count))
    expected = next
    return (samples, start)
  }

  /// The sample index of a timestamp; nil outside the segment.
  private mutating func sample(at timestamp: GstClockTime) -> Int64? {
    let time = gst_segment_to_running_time(&segment, GST_FORMAT_TIME, timestamp)
    return time == .max ? nil : RunningTime(nanoseconds: UInt64(time)).sample
  }
}

extension UnsafeMutablePointer<GstBuffer> {
  /// Whether the buffer's layout matches the caps; otherwise it must not be mapped, because `gst_audio_buffer_map` relies on
  /// both.
  fileprivate func isLaid(as info: inout GstAudioInfo) -> Bool {
    guard let meta = gst_buffer_get_meta(self, gst_audio_meta_api_get_type()) else {
      return info.layout == GST_AUDIO_LAYOUT_INTERLEAVED
    }
    let own = UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstAudioMeta.self)
    return gst_audio_info_is_equal(&own.pointee.info, &info) != 0
  }
}
