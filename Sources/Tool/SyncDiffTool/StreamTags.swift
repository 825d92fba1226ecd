// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Writes into encoded frames what GStreamer 1.22's encoders of ProRes, VP9 and AV1 leave out: the colours, and for AV1 also
// the range and where the chroma samples lie. Players believe the stream rather than the file around it.

import CGStreamer
import CGStreamerTools

final class StreamTags: Sendable {
  private let codec: VideoCodec
  /// Numbers of ISO/IEC 23091-2; 2 is unknown.
  private let primaries, transfer, matrix: UInt8
  private let isFullRange: Bool
  /// Where the chroma samples lie, as AV1 numbers it; 0 is unknown.
  let place: Int

  init(_ encoding: Encoding) {
    func number(_ iso: guint) -> UInt8 { iso == 0 ? 2 : UInt8(truncatingIfNeeded: iso) }
    let colours = encoding.colours
    primaries = number(gst_video_color_primaries_to_iso(GstVideoColorPrimaries(rawValue: colours.primaries)))
    transfer = number(gst_video_transfer_function_to_iso(GstVideoTransferFunction(rawValue: colours.transfer)))
    matrix = number(gst_video_color_matrix_to_iso(GstVideoColorMatrix(rawValue: colours.matrix)))
    (codec, isFullRange) = (encoding.video, colours.isFullRange)
    place = encoding.site.flatMap { [0: 1, 2: 2][$0] } ?? 0
  }

  /// Changes what the encoder in an encodebin puts out, if it leaves anything out.
  func attach(to encodebin: UnsafeMutablePointer<GstElement>) {
    guard [.prores, .vp9, .av1].contains(codec) else { return }
    forEachElement(of: encodebin.bin) { element in
      guard factoryName(of: element) == codec.encoder.element else { return }
      gst_pad_add_probe(
        element.pad("src"), GST_PAD_PROBE_TYPE_BUFFER,
        { _, info, me in
          if let info, let me { Unmanaged<StreamTags>.fromOpaque(me).takeUnretainedValue().change(info) }
          return GST_PAD_PROBE_OK
        }, Unmanaged.passRetained(self).toOpaque(),
        { if let me = $0 { Unmanaged<StreamTags>.fromOpaque(me).release() } })
    }
  }

  private func change(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    guard let buffer = info.buffer, let bytes = contents(of: buffer), let changed = tagged(bytes) else { return }
    let metadata = [GST_BUFFER_COPY_FLAGS, GST_BUFFER_COPY_TIMESTAMPS, GST_BUFFER_COPY_META]
    info.replace(buffer, with: changed, keeping: metadata)
  }

  /// The frame with the tags; nil if it has no place for them.
  private func tagged(_ frame: [UInt8]) -> [UInt8]? {
    switch codec {
    case .prores: proRes(frame)
    case .vp9: try? vp9(frame)
    case .av1: try? av1(frame)
    case .h264, .hevc, .ffv1: nil
    }
  }

  /// SMPTE RDD 36: after the frame's length, its name and 14 bytes of its header.
  private func proRes(_ frame: [UInt8]) -> [UInt8]? {
    guard frame.count > 25, frame[4..<8].elementsEqual("icpf".utf8) else { return nil }
    var changed = frame
    changed.replaceSubrange(22..<25, with: [primaries, transfer, matrix])
    return changed
  }

  /// The uncompressed header of a key frame holds a number for the matrix, and none for the rest.
  private func vp9(_ frame: [UInt8]) throws -> [UInt8]? {
    guard let space = [1: 2, 5: 1, 6: 3, 7: 4, 9: 5][matrix] else { return nil }
    var bits = Bits(frame.prefix(16))
    guard try bits.read(2) == 2 else { return nil }
    let profile = try bits.read(1) + 2 * bits.read(1)
    try bits.skip(profile == 3 ? 1 : 0)
    guard try bits.read(2) == 0 else { return nil }  // a frame of its own, a key frame
    try bits.skip(2)
    guard try bits.read(24) == 0x498342 else { return nil }
    try bits.skip(profile >= 2 ? 1 : 0)
    try bits.write(space, 3)
    return bits.bytes + frame.dropFirst(16)
  }

  /// The open bitstream units of one time, with a changed sequence header if there is one.
  private func av1(_ units: [UInt8]) throws -> [UInt8]? {
    var (changed, rest, isChanged) = ([UInt8](), units[...], false)
    while let header = rest.first {
      guard let unit = BitstreamUnit(rest) else { return nil }
      if unit.type == 1, !unit.hasExtension, let sequence = try av1Sequence(unit.body), sequence.count < 0x80 {
        changed += [header, UInt8(sequence.count)] + sequence
        isChanged = true
      } else {
        changed += unit.whole
      }
      rest = rest[unit.whole.endIndex...]
    }
    return isChanged ? changed : nil
  }

  /// A sequence header (AV1, 5.5) with the colours; nil if it is of a kind that the encoder does not write.
  private func av1Sequence(_ header: ArraySlice<UInt8>) throws -> [UInt8]? {
    var bits = Bits(header)
    let profile = try bits.read(3)
    // A video's, with nothing about time, no delay, one operating point.
    guard try bits.read(4) == 0, try bits.read(5) == 0 else { return nil }
    try bits.skip(12)
    if try bits.read(5) > 7 { try bits.skip(1) }
    let size = try bits.read(4) + bits.read(4) + 2
    try bits.skip(size)
    if try bits.read(1) == 1 { try bits.skip(7) }
    try bits.skip(7)
    let hasOrder = try bits.read(1) == 1
    try bits.skip(hasOrder ? 2 : 0)
    let choosesTools = try bits.read(1) == 1
    if try choosesTools || bits.read(1) == 1, try bits.read(1) == 0 { try bits.skip(1) }
    try bits.skip(hasOrder ? 6 : 3)
    let isDeep = try bits.read(1) == 1
    guard profile < 2 || !isDeep, try profile == 1 || bits.read(1) == 0 else { return nil }
    if try bits.read(1) == 0 {
      bits.back(1)
      try bits.write(1, 1)
      bits.insert(24)
    }
    for number in [primaries, transfer, matrix] { try bits.write(Int(number), 8) }
    try bits.write(isFullRange ? 1 : 0, 1)
    if profile == 0 { try bits.write(place, 2) }
    return bits.bytes
  }
}

/// The bits of some bytes, the most significant first, and a place among them.
struct Bits {
  struct Ended: Error {}

  private var bits: [UInt8]
  private var place = 0

  init(_ bytes: some Sequence<UInt8>) { bits = bytes.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 } } }

  var bytes: [UInt8] {
    stride(from: 0, to: bits.count, by: 8).map { bits[$0..<$0 + 8].reduce(0) { $0 << 1 | $1 } }
  }

  mutating func read(_ count: Int) throws(Ended) -> Int {
    try skip(count)
    return bits[place - count..<place].reduce(0) { $0 << 1 | Int($1) }
  }

  mutating func skip(_ count: Int) throws(Ended) {
    guard count <= bits.count - place else { throw Ended() }
    place += count
  }

  mutating func back(_ count: Int) { place = max(place - count, 0) }

  mutating func write(_ number: Int, _ count: Int) throws(Ended) {
    try skip(count)
    for bit in 1...count { bits[place - bit] = UInt8(number >> (bit - 1) & 1) }
  }

  /// Makes room for whole bytes' worth of bits.
  mutating func insert(_ count: Int) { bits.insert(contentsOf: [UInt8](repeating: 0, count: count), at: place) }
}
