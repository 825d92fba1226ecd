// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The numbers in the `dOps` boxes of MP4 and QuickTime files (Encapsulation of Opus in ISO Base Media File Format, 4.3.2) are
// big-endian. mp4mux 1.22 writes them little-endian, and players take the time to skip before the sound from them.

import Glibc

/// Turns the numbers of a finished file round where its muxer wrote them in the wrong order.
func mendOpusHeaders(of file: Output) throws {
  let tables = sampleTables(of: file).flatMap { boxes(in: $0, of: file) }.filter { $0.type == "stsd" }.map(\.body)
  // Before the boxes in them, `stsd` has 8 bytes and a sample entry of version 0 has 28; version 1, QuickTime's, has 16 more.
  for entry in tables.flatMap({ boxes(in: $0.dropFirst(8), of: file) }) where entry.type == "Opus" {
    let inner = [28, 44].flatMap { boxes(in: entry.body.dropFirst($0), of: file) }
    for header in inner where header.type == "dOps" && header.body.count >= 11 {
      // Version, channels, pre-skip, sample rate, gain.
      // No sound has 16 million samples a second.
      guard let before = file.read(header.body.prefix(11)), before[4] != 0, before[7] == 0 else { continue }
      var bytes = before
      for number in [2..<4, 4..<8, 8..<10] { bytes[number].reverse() }
      try file.replace(before, with: bytes, at: header.body.lowerBound)
    }
  }
}

/// Where the bodies of the `stbl` boxes of a finished file are, one for each track.
func sampleTables(of file: Output) -> [Range<Int>] {
  ["moov", "trak", "mdia", "minf", "stbl"].reduce([0..<Int(lseek(file.descriptor, 0, SEEK_END))]) { outer, type in
    outer.flatMap { boxes(in: $0, of: file) }.filter { $0.type == type }.map(\.body)
  }
}
