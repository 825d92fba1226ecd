// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Whether a file that is one chunk, WAV, AVI or AIFF, is shorter than its header says. GStreamer takes a truncated file for
/// complete.
func endsEarly(chunks path: String) -> Bool {
  guard let file = fopen(path, "re") else { return false }
  defer { fclose(file) }
  var header = [UInt8](repeating: 0, count: 28)
  let count = fread(&header, 1, header.count, file)
  guard count >= 8, fseeko(file, 0, SEEK_END) == 0 else { return false }
  let size: Int?
  switch String(decoding: header[..<4], as: UTF8.self) {
  case "RIFF": size = header[4..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
  case "FORM": size = header[...].number(at: 4, 4)
  // Its first chunk has the size in 64 bits (EBU Tech 3306).
  case "RF64": size = [UInt8](header[20..<28].reversed())[...].number(at: 0, 8)
  default: size = nil
  }
  guard let size, !isUnknown(size) else { return false }
  return size - 1 > Int(ftello(file)) - 8  // some programs leave out the byte that makes the last chunk's size even
}

/// How much of the sound is there that GStreamer expects in an AIFF file, 1 at most, if the program that wrote it did not know.
func shareThere(ofAIFF path: String) -> Double {
  guard let file = fopen(path, "re") else { return 1 }
  defer { fclose(file) }
  var place = 12
  for _ in 0..<64 {
    guard let chunk = bytes(8, at: place, of: file), let size = chunk[...].number(at: 4, 4) else { break }
    place += 8
    if chunk.starts(with: Array("SSND".utf8)) {
      guard isUnknown(size), fseeko(file, 0, SEEK_END) == 0 else { break }
      // Two numbers come before the sound; GStreamer takes a size of 0 for almost 2^32.
      return min(Double(Int(ftello(file)) - place - 8) / Double((size - 8) & 0xffff_ffff), 1)
    }
    place += size + size % 2
  }
  return 1
}

/// Whether a size is what a program writes that does not know it, since it writes to a pipe. SoX writes about 0x7fff_f000 into WAV
/// and 0x7f00_0000 into AIFF, the latter rounded to whole samples, and adds the size of the headers.
private func isUnknown(_ size: Int) -> Bool {
  size == 0 || size == 0xffff_ffff || [0x7eff, 0x7f00, 0x7fff].contains(size >> 16)
}
