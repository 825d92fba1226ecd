// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The `crc32` of `bytes` as eight lower-case hexadecimal digits.
func checksum(_ bytes: UnsafeRawBufferPointer) -> String {
  let digits = String(crc32(bytes), radix: 16)
  return String(repeating: "0", count: 8 - digits.count) + digits
}

/// CRC-32 as in gzip and zlib (ITU-T V.42), computed eight bytes at a time by "slicing" (Kounavis and Berry, "A
/// systematic approach to building high performance software-based CRC generators", ISCC 2005).
private func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
  tables.withUnsafeBufferPointer { tables in
    var crc = ~UInt32(0)
    var i = 0
    while i &+ 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self).littleEndian ^ UInt64(crc)
      crc = 0
      for k in 0..<8 { crc ^= tables[(7 &- k) &* 256 &+ Int(word &>> UInt64(8 &* k) & 255)] }
      i &+= 8
    }
    while i < bytes.count {
      crc = crc &>> 8 ^ tables[Int((crc ^ UInt32(bytes[i])) & 255)]
      i &+= 1
    }
    return ~crc
  }
}

/// `[256 n + byte]`: the effect of a byte on the checksum when n zero bytes follow it, n in 0..<8.
private let tables: [UInt32] = {
  var tables = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
  }
  for i in 256..<2048 {
    let before = tables[i - 256]
    tables.append(before >> 8 ^ tables[Int(before & 255)])
  }
  return tables
}()
