// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The delay at the beginning of an MP3 file that was not in the original audio: what the encoder noted in the first frame
// (Xing's header with LAME's extension), and what every decoder adds. GStreamer 1.22 plays it. MP4 has an edit list for this,
// which GStreamer respects.

import Glibc

/// Seconds; nil if the file does not say.
func encoderDelay(ofMP3 path: String) -> Double? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  func bytes(_ count: Int, at position: Int) -> [UInt8]? {
    let read = [UInt8](unsafeUninitializedCapacity: count) { bytes, read in
      read = fseeko(file, off_t(position), SEEK_SET) == 0 ? fread(bytes.baseAddress, 1, count, file) : 0
    }
    return read.count == count ? read : nil
  }
  var start = 0
  while let tag = bytes(10, at: start), tag.starts(with: Array("ID3".utf8)) {
    start += 10 + tag[6...].reduce(0) { $0 << 7 | Int($1 & 0x7f) } + (tag[5] & 0x10 == 0 ? 0 : 10)
  }
  guard let frame = bytes(512, at: start), frame[0] == 0xff, frame[1] & 0xe6 == 0xe2 else { return nil }  // layer 3
  let version = Int(frame[1] >> 3 & 3)  // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  let rates = [44_100, 48_000, 32_000]
  let index = Int(frame[2] >> 2 & 3)
  guard version != 1, index < 3 else { return nil }
  let rate = rates[index] >> (version == 3 ? 0 : version == 2 ? 1 : 2)
  let isMono = frame[3] >> 6 == 3
  let xing = 4 + (version == 3 ? (isMono ? 17 : 32) : (isMono ? 9 : 17))
  guard ["Xing", "Info"].contains(String(decoding: frame[xing..<xing + 4], as: UTF8.self)) else { return nil }
  let flags = frame[xing + 7]
  let lame = xing + 8 + [4, 4, 100, 4].enumerated().reduce(0) { $0 + (flags >> $1.offset & 1 == 0 ? 0 : $1.element) }
  let delay = Int(frame[lame + 21]) << 4 | Int(frame[lame + 22]) >> 4
  guard frame[lame] != 0 else { return nil }
  return Double(delay + 528 + 1) / Double(rate)
}
