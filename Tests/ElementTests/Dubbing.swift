// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One portrait after the other, dubbed.

import CGStreamer
import Testing

/// Frames of ten seconds, which is time enough on any machine; two seconds of headroom are from one to the next.
let slowCaps = "video/x-raw,format=I420,width=\(Bench.side),height=\(Bench.side),framerate=1/10"

extension Bench {
  /// Pushes a portrait for this time, and returns what comes out; nil for the very same buffer.
  func dub(_ face: [UInt8], at time: GstClockTime) throws -> [UInt8]? {
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
func difference(_ a: [UInt8]?, _ b: [UInt8]) -> Int {
  a.map { zip($0, b).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) } } ?? 0
}
