// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How long packets of AAC and Opus last in files that do not say it, such as Matroska. Without it mp4mux leaves out the last one.

import CGStreamer

struct PacketLengths {
  /// Of the packet before, seconds.
  private var start: Double?

  /// That of a packet which begins at `start` (seconds): as long as the one before, in whole frames. Nanoseconds; nil if unknown.
  mutating func next(_ start: Double, on pad: UnsafeMutablePointer<GstPad>) -> GstClockTime? {
    defer { self.start = start }
    guard let before = self.start, let (frame, most) = Self.frames(on: pad) else { return nil }
    let count = min(max(((start - before) / frame).rounded(), 1), most)
    return GstClockTime((count * frame * 1e9).rounded())
  }

  /// Seconds that a frame lasts, and how many there are at most in a packet.
  private static func frames(on pad: UnsafeMutablePointer<GstPad>) -> (length: Double, most: Double)? {
    guard let caps = gst_pad_get_current_caps(pad) else { return nil }
    defer { gst_caps_unref(caps) }
    let fields = gst_caps_get_structure(caps, 0)
    var (rate, version): (gint, gint) = (0, 0)
    gst_structure_get_int(fields, "rate", &rate)
    gst_structure_get_int(fields, "mpegversion", &version)
    switch String(cString: gst_structure_get_name(fields)) {
    case "audio/x-opus": return (0.0025, 48)
    case "audio/mpeg" where version > 1 && rate > 0: return (1024 / Double(rate), 2)
    default: return nil
    }
  }
}
