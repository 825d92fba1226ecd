// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a decoder of Opus leaves out at the beginning (RFC 7845, 4.2). GStreamer's encoder and its demuxer of Matroska give the first
// packet the time of what is heard of it, and a note of the rest; the caps hold the number of samples too, from where muxers take
// it. Those of MP4 and MPEG-TS give the packet the time of all that is in it, and say nothing in the caps.

import CGStreamer
import CGStreamerTools

enum Opus {
  static let caps = "audio/x-opus"
  /// How long a packet lasts at most, nanoseconds.
  static let longest: GstClockTime = 120_000_000
  private static let rate = 48_000
  /// More than a header can say (16 bits of samples, RFC 7845, 5.1); a file may say anything.
  private static let most: GstClockTime = 2_000_000_000

  /// What of a packet's beginning is left out according to its note, nanoseconds.
  static func skipped(of packet: UnsafeMutablePointer<GstBuffer>) -> GstClockTime {
    guard let note = gst_buffer_get_meta(packet, gst_audio_clipping_meta_api_get_type()) else { return 0 }
    let clipping = UnsafeMutableRawPointer(note).assumingMemoryBound(to: GstAudioClippingMeta.self).pointee
    guard clipping.format == GST_FORMAT_DEFAULT else { return 0 }
    return min(clipping.start, most) * 1_000_000_000 / GstClockTime(rate)
  }

  /// Notes that so many nanoseconds of a packet's beginning are left out: on a packet that is writable, and for all that follows
  /// in the caps.
  static func skip(
    _ time: GstClockTime, of packet: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>
  ) {
    let samples = (min(time, most) * GstClockTime(rate) + 500_000_000) / 1_000_000_000
    if skipped(of: packet) == 0 { gst_buffer_add_audio_clipping_meta(packet, GST_FORMAT_DEFAULT, samples, 0) }
    guard let now = gst_pad_get_current_caps(pad) else { return }
    defer { gst_caps_unref(now) }
    var (rate, channels, family, streams, coupled) = (guint32(0), guint8(0), guint8(0), guint8(0), guint8(0))
    var mapping = [guint8](repeating: 0, count: 256)
    guard gst_codec_utils_opus_parse_caps(now, &rate, &channels, &family, &streams, &coupled, &mapping) != 0,
      let header = gst_codec_utils_opus_create_header(
        rate, channels, family, streams, coupled, mapping, guint16(clamping: samples), 0)
    else { return }
    defer { gst_buffer_unref(header) }
    guard let said = gst_codec_utils_opus_create_caps_from_header(header, nil) else { return }
    gst_pad_push_event(pad, gst_event_new_caps(said))
    gst_caps_unref(said)
  }

  /// Lets the decoders in a bin that is not yet playing keep the sound in place: with times that Matroska rounds to milliseconds, and
  /// with packets from MPEG-TS, whose first one has the time of all that is in it.
  static func keepInPlace(in bin: UnsafeMutablePointer<GstElement>) {
    let elementAdded:
      @convention(c) (UnsafeMutablePointer<GstElement>, gpointer, UnsafeMutablePointer<GstElement>, gpointer?) -> Void =
        { bin, _, element, _ in
          guard factoryName(of: element) == "opusdec" else { return }
          element.object.set("tolerance", to: "2000000")
          var isTransportStream = false
          forEachElement(of: bin.bin) { isTransportStream = isTransportStream || factoryName(of: $0) == "tsdemux" }
          guard isTransportStream else { return }
          gst_pad_add_probe(
            element.pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
            { _, info, _ in
              guard let info, let packet = info.buffer, packet.pointee.pts != .max else { return GST_PAD_PROBE_OK }
              let skipped = Opus.skipped(of: packet)
              if skipped > 0 { info.writable(packet)?.pointee.pts += skipped }
              return GST_PAD_PROBE_OK
            }, nil, nil)
        }
    connect(bin, "deep-element-added", unsafeBitCast(elementAdded, to: GCallback.self), nil)
  }
}

extension UnsafeMutablePointer<GstPadProbeInfo> {
  /// Gives a packet of Opus the time of all that is in it, if `skipped` nanoseconds of the first one are left out: that one lasts
  /// longer, the others are later.
  func addSkipped(_ skipped: GstClockTime, to packet: UnsafeMutablePointer<GstBuffer>, isFirst: Bool) {
    guard let changed = writable(packet) else { return }
    if isFirst {
      if changed.pointee.duration != .max { changed.pointee.duration += skipped }
    } else {
      changed.pointee.pts += skipped
      changed.pointee.dts = .max
    }
  }
}
