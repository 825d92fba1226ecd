// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import GstSyncDiff
import Testing

/// The properties of the mark.
@Suite struct MarkTests {
  private static let side = 640

  private func dubbed(_ properties: [String: String]) throws -> [UInt8] {
    let caps = "video/x-raw,format=I420,width=\(Self.side),height=\(Self.side),framerate=25/1"
    let bench = try Bench(properties, caps: caps, sound: true)
    try bench.pushSound(0)
    let size = Self.side * Self.side * 3 / 2
    bench.push(try bench.frame(0, try portrait(side: Self.side), size: size))
    let out = try bench.pull()
    defer { gst_buffer_unref(out) }
    return bytes(of: out)
  }

  @Test("The mark is grey, faint, in painted pixels alone, other for every key and number, and off by name")
  func isInPaintedPixels() throws {
    let (plain, marked) = (try dubbed(["watermark": "false"]), try dubbed([:]))
    let input = try dubbed(["passthrough": "true"])
    #expect(try input == portrait(side: Self.side))
    #expect(try dubbed([:]) == marked)
    let luma = Self.side * Self.side
    #expect(plain[luma...] == marked[luma...])
    let differences = (0..<luma).map { abs(Int(plain[$0]) - Int(marked[$0])) }
    #expect((3...12).contains(differences.max() ?? 0))
    let painted = Set((0..<luma).filter { plain[$0] != input[$0] }.map { $0 / Self.side })
    let rows = Set(differences.indices.filter { differences[$0] > 0 }.map { $0 / Self.side })
    #expect(rows.count > 30 && rows.isSubset(of: painted))
    for other in [["watermark-id": "7"], ["watermark-key": "another"]] {
      let other = try dubbed(other)
      #expect(other != marked && other != plain)
    }
  }
}
