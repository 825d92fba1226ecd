// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Whether a RIFF file, WAV or AVI, is shorter than its header says. GStreamer takes a truncated file for complete.
func endsEarly(riff path: String) -> Bool {
  guard let file = fopen(path, "re") else { return false }
  defer { fclose(file) }
  var header = [UInt8](repeating: 0, count: 8)
  guard fread(&header, 1, 8, file) == 8, header.starts(with: Array("RIFF".utf8)), fseeko(file, 0, SEEK_END) == 0 else {
    return false
  }
  let size = header[4...].reversed().reduce(0) { $0 << 8 | Int($1) }
  // A program that writes to a pipe does not know the size.
  return size != 0 && size != 0xffff_ffff && size + 8 > Int(ftello(file))
}
