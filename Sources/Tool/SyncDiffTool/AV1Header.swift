// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// mp4mux 1.22 leaves the box empty that says how AV1 is to be decoded (AV1 Codec ISO Media File Format Binding, 2.3). Players may
// look there before they decode a frame.

import Glibc

/// An open bitstream unit (AV1, 5.3).
struct BitstreamUnit {
  let type: UInt8
  let hasExtension: Bool
  let whole, body: ArraySlice<UInt8>

  /// The first in some bytes; nil if it is not whole, or does not say its length.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard let header = bytes.first, header & 2 != 0 else { return nil }
    (type, hasExtension) = (header >> 3 & 15, header & 4 != 0)
    var (length, place) = (0, bytes.startIndex + (hasExtension ? 2 : 1))
    for shift in stride(from: 0, to: 35, by: 7) {
      guard place < bytes.endIndex else { return nil }
      length |= Int(bytes[place] & 0x7f) << shift
      place += 1
      if bytes[place - 1] & 0x80 == 0 { break }
    }
    guard length <= bytes.endIndex - place else { return nil }
    (whole, body) = (bytes[..<(place + length)], bytes[place..<place + length])
  }
}

/// Fills the box of a finished file. `place`: where the chroma samples lie, as AV1 numbers it.
func fillAV1Header(of file: Output, place: Int) throws {
  for table in sampleTables(of: file).map({ boxes(in: $0, of: file) }) {
    guard let descriptions = table.first(where: { $0.type == "stsd" })?.body,
      let entry = boxes(in: descriptions.dropFirst(8), of: file).first(where: { $0.type == "av01" })?.body,
      let chunks = table.first(where: { ["stco", "co64"].contains($0.type) })
    else { continue }
    let width = chunks.type == "co64" ? 8 : 4
    guard let first = file.read(chunks.body.dropFirst(8).prefix(width))?[...].number(at: 0, width),
      var units = file.read(first..<first + 32)?[...]
    else { throw Failure("it has no frames", .internalFault) }
    while let unit = BitstreamUnit(units), unit.type != 1 { units = units[unit.whole.endIndex...] }
    // Before them there are 78 bytes.
    let inner = boxes(in: entry.dropFirst(78), of: file)
    guard let sequence = BitstreamUnit(units), sequence.body.count >= 4,
      inner.map(\.type).starts(with: ["av1C", "btrt"]),
      case let part = inner[0].body.lowerBound - 8..<inner[1].body.upperBound, let before = file.read(part)
    else { throw Failure("its header is not as usual", .internalFault) }
    // Of a video of one operating point, which says nothing of time: the level is behind 24 bits.
    let header = Array(sequence.body)
    let (profile, level) = (header[0] >> 5, header[3] >> 3)
    let tier = level > 7 ? header[3] >> 2 & 1 : 0
    let chroma: UInt8 = profile == 0 ? 0b1100 | UInt8(place) : profile == 2 ? 0b1000 : 0
    var after = Array(before[..<8]) + [0x81, profile << 5 | level, tier << 7 | chroma, 0]
    // The sequence header, if there is room for it and the padding, which takes the place of the bitrate.
    if sequence.whole.count <= before.count - after.count - 2 { after += sequence.whole }
    let rest = before.count - after.count
    after += [15 << 3 | 2, UInt8(rest - 2)] + (rest > 2 ? [UInt8](repeating: 0, count: rest - 3) + [0x80] : [])
    after.put(after.count, at: 0, 4)
    try file.replace(before, with: after, at: part.lowerBound)
  }
}
