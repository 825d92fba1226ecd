// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the encoder of an MP3 file noted in its first frame (Xing's header with LAME's extension): the delay at the beginning that
// was not in the original audio, to which every decoder adds, and how many bytes there are. GStreamer 1.22 plays that delay. MP4
// has an edit list for it, which GStreamer respects.

import Glibc

/// The delay in seconds, and whether the file ends early, as far as it says so; nil if it says neither.
func firstFrame(ofMP3 path: String) -> (delay: Double?, isCutOff: Bool)? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  // Layer 3 only.
  guard let frame = bytes(512, at: startBehindID3(in: file), of: file), frame[0] == 0xff, frame[1] & 0xe6 == 0xe2 else {
    return nil
  }
  let version = Int(frame[1] >> 3 & 3)  // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  let rates = [44_100, 48_000, 32_000]
  let index = Int(frame[2] >> 2 & 3)
  guard version != 1, index < 3 else { return nil }
  let rate = rates[index] >> (version == 3 ? 0 : version == 2 ? 1 : 2)
  let isMono = frame[3] >> 6 == 3
  let xing = 4 + (version == 3 ? (isMono ? 17 : 32) : (isMono ? 9 : 17))
  guard ["Xing", "Info"].contains(String(decoding: frame[xing..<xing + 4], as: UTF8.self)) else { return nil }
  let flags = frame[xing + 7]
  let count = xing + 8 + (flags & 1 == 0 ? 0 : 4)
  let announced = flags & 2 == 0 ? 0 : frame[count..<count + 4].reduce(0) { $0 << 8 | Int($1) }
  // Older versions of LAME count an ID3 tag at the beginning too.
  let isCutOff = fseeko(file, 0, SEEK_END) == 0 && announced > Int(ftello(file))
  let lame = xing + 8 + [4, 4, 100, 4].enumerated().reduce(0) { $0 + (flags >> $1.offset & 1 == 0 ? 0 : $1.element) }
  let delay = Int(frame[lame + 21]) << 4 | Int(frame[lame + 22]) >> 4
  return (frame[lame] == 0 ? nil : Double(delay + 528 + 1) / Double(rate), isCutOff)
}

/// Where a file itself begins, behind a few tags that others may put before it, bytes.
func startBehindID3(in file: UnsafeMutablePointer<FILE>) -> Int {
  var start = 0
  for _ in 0..<16 {
    guard let tag = bytes(10, at: start, of: file), tag.starts(with: Array("ID3".utf8)) else { break }
    start += 10 + tag[6...].reduce(0) { $0 << 7 | Int($1 & 0x7f) } + (tag[5] & 0x10 == 0 ? 0 : 10)
  }
  return start
}

/// Nil if the file ends before.
func bytes(_ count: Int, at position: Int, of file: UnsafeMutablePointer<FILE>) -> [UInt8]? {
  let read = [UInt8](unsafeUninitializedCapacity: count) { bytes, read in
    read = fseeko(file, off_t(position), SEEK_SET) == 0 ? fread(bytes.baseAddress, 1, count, file) : 0
  }
  return read.count == count ? read : nil
}
