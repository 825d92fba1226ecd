// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How long a FLAC file (RFC 9639, 8.2) says it is, seconds; nil for other files, and if it does not say. It does so to the sample,
/// so that one lost frame can be noticed.
func flacDuration(of path: String) -> Double? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  // Its name, a block's header, sizes of blocks and frames; then 20 bits of rate, 8 of channels and depth, 36 of samples.
  var bytes = [UInt8](repeating: 0, count: 26)
  guard fseeko(file, off_t(startBehindID3(in: file)), SEEK_SET) == 0, fread(&bytes, 1, 26, file) == 26,
    bytes.starts(with: Array("fLaC".utf8)), let fields = bytes[...].number(at: 18, 4),
    let last = bytes[...].number(at: 22, 4)
  else { return nil }
  let (rate, samples) = (fields >> 12, (fields & 0xf) << 32 | last)
  return rate > 0 && samples > 0 ? Double(samples) / Double(rate) : nil
}
