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
        if let info { mendMovie(info) }
        return GST_PAD_PROBE_OK
      }, nil, nil)
  }
  connect(decoder, "deep-element-added", unsafeBitCast(elementAdded, to: GCallback.self), nil)
}

/// Puts 0 for the duration if a buffer is the header of a movie; and lets that have a length of 32 bits, as qtdemux 1.22 does not
/// understand one of 64 here.
private func mendMovie(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
  guard let buffer = info.buffer else { return }
  var type = [UInt8](repeating: 0, count: 4)
  guard gst_buffer_extract(buffer, 4, &type, 4) == 4, type.elementsEqual("moov".utf8), var bytes = contents(of: buffer),
    let movie = Boxes(bytes[...])["moov"]
  else { return }
  if movie.startIndex == 16 {
    let empty: [UInt8] = [0, 0, 0, 8] + Array("free".utf8)
    bytes = [0, 0, 0, 0] + type + movie + empty
    bytes.put(bytes.count, at: 0, 4)
  }
  if let header = Boxes(bytes.dropFirst(8))["mvhd"], let duration = header.time {
    bytes.put(0, at: header.startIndex + duration.place, duration.width)
  }
  info.replace(buffer, with: bytes, keeping: [GST_BUFFER_COPY_FLAGS, GST_BUFFER_COPY_TIMESTAMPS])
}
