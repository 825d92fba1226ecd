// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// qtdemux 1.22 ends a track once the time in the track, which an edit list may let begin late, reaches the duration of the movie:
// so AAC, MP3 and Opus lose their last packet, and what was trimmed in an editor nearly all. It also leaves out tracks that last
// less than a fifth of the movie. It does neither if the movie does not say its duration.
//
// Not mended where bytes are pushed into qtdemux in pieces, as from URLs that Download.swift leaves to GStreamer.

import CGStreamer

/// Lets the demuxers of MP4 and QuickTime files in a bin that is not yet playing read all of each track.
func readWholeTracks(in decoder: UnsafeMutablePointer<GstElement>) {
  let elementAdded: @convention(c) (gpointer, gpointer, UnsafeMutablePointer<GstElement>, gpointer?) -> Void = {
    _, _, element, _ in
    guard factoryName(of: element) == "qtdemux" else { return }
    let type = GstPadProbeType(rawValue: GST_PAD_PROBE_TYPE_PULL.rawValue | GST_PAD_PROBE_TYPE_BUFFER.rawValue)
    gst_pad_add_probe(
      element.pad("sink"), type,
      { _, info, _ in
        if let info { forgetDuration(info) }
        return GST_PAD_PROBE_OK
      }, nil, nil)
  }
  connect(decoder, "deep-element-added", unsafeBitCast(elementAdded, to: GCallback.self), nil)
}

/// Puts 0 for the duration if a buffer is the header of a movie.
private func forgetDuration(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
  guard let buffer = info.buffer else { return }
  func header(at place: Int) -> (length: Int, type: String)? {
    var bytes = [UInt8](repeating: 0, count: 8)
    guard gst_buffer_extract(buffer, gsize(place), &bytes, 8) == 8 else { return nil }
    return (bytes[...].number(at: 0, 4) ?? 0, String(decoding: bytes[4...], as: UTF8.self))
  }
  guard let movie = header(at: 0), movie.type == "moov" else { return }
  var place = 8
  while let box = header(at: place), box.type != "mvhd", box.length >= 8 { place += box.length }
  guard header(at: place)?.type == "mvhd" else { return }
  var version: UInt8 = 0
  gst_buffer_extract(buffer, gsize(place + 8), &version, 1)
  let (duration, zeros) = version == 1 ? (32, [UInt8](repeating: 0, count: 8)) : (24, [0, 0, 0, 0])
  let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
  guard let writable = gst_mini_object_make_writable(object) else { return }
  let changed = UnsafeMutableRawPointer(writable).assumingMemoryBound(to: GstBuffer.self)
  gst_buffer_fill(changed, gsize(place + duration), zeros, gsize(zeros.count))
  info.pointee.data = UnsafeMutableRawPointer(changed)
}
