// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Whether an Ogg file (RFC 3533) ends within a page. GStreamer takes the length of what is there for that of the file.
func endsEarly(ogg path: String) -> Bool {
  guard let file = fopen(path, "re") else { return false }
  defer { fclose(file) }
  var mark = [UInt8](repeating: 0, count: 4)
  guard fread(&mark, 1, 4, file) == 4, mark == pattern, fseeko(file, 0, SEEK_END) == 0 else { return false }
  // At least one whole page, and the start of the one that is cut off.
  let length = min(Int(ftello(file)), 2 * largestPage)
  var bytes = [UInt8](repeating: 0, count: length)
  guard fseeko(file, off_t(-length), SEEK_END) == 0, fread(&bytes, 1, length, file) == length else { return false }
  guard var page = bytes.indices.first(where: { bytes[$0...].starts(with: pattern) }) else { return false }
  while page < length, bytes[page...].starts(with: pattern.prefix(length - page)) {
    // Up to its table of segments, which says how long each is.
    let table = page + 27
    guard table <= length, table + Int(bytes[table - 1]) <= length else { return true }
    page = bytes[table..<table + Int(bytes[table - 1])].reduce(table) { $0 + 1 + Int($1) }
  }
  return page > length
}

private let pattern = Array("OggS".utf8)
/// Bytes.
private let largestPage = 27 + 255 + 255 * 255
