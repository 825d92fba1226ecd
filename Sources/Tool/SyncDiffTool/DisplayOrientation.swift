// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The display orientation that H.264 and HEVC streams may state themselves (ITU-T H.264 and H.265, Annex D), which
// GStreamer 1.22 does not read.

/// How a stream asks to be turned: nil if by an angle that is no quarter of a turn.
struct DisplayOrientation {
  let orientation: Orientation?

  /// Nil if the frame says nothing about it. `isHEVC`: of HEVC, otherwise of H.264. `lengths`: of how many bytes the
  /// length before each of its units is, 1 to 4; nil: they begin with start codes.
  init?(frame: [UInt8], isHEVC: Bool, lengths: Int?) {
    for unit in lengths.map({ unitsAfterLengths(frame, of: $0) }) ?? unitsAfterStartCodes(frame) {
      guard let first = unit.first, isHEVC ? first >> 1 & 0x3f == 39 : first & 0x1f == 6 else { continue }
      for message in messages(plain(unit.dropFirst(isHEVC ? 2 : 1))) where message.type == 47 {
        var bits = Bits(message.body)
        guard let isCancelled = try? bits.read(1), isCancelled == 0, let flips = try? bits.read(2),
          let turn = try? bits.read(16)
        else { continue }
        let quarters = turn % 0x4000 == 0 ? Self.orientations[flips][turn / 0x4000] : nil
        orientation = quarters
        return
      }
    }
    return nil
  }

  /// By flips (none, vertical, horizontal, both) and then by quarters of a turn to the left.
  private static let orientations: [[Orientation]] = [
    [.upright, .left, .upsideDown, .right], [.flipped, .transversed, .mirrored, .transposed],
    [.mirrored, .transposed, .flipped, .transversed], [.upsideDown, .right, .upright, .left],
  ]
}

private func unitsAfterLengths(_ frame: [UInt8], of bytes: Int) -> [ArraySlice<UInt8>] {
  var (rest, units) = (frame[...], [ArraySlice<UInt8>]())
  while rest.count > bytes {
    let length = rest.prefix(bytes).reduce(0) { $0 << 8 | Int($1) }
    rest = rest.dropFirst(bytes)
    units.append(rest.prefix(length))
    rest = rest.dropFirst(length)
  }
  return units
}

private func unitsAfterStartCodes(_ frame: [UInt8]) -> [ArraySlice<UInt8>] {
  let starts = frame.indices.dropLast(2).filter { frame[$0...].prefix(3).elementsEqual([0, 0, 1]) }
  return zip(starts, starts.dropFirst() + [frame.endIndex]).map { frame[$0 + 3..<$1] }
}

/// Without the bytes that keep start codes from appearing.
private func plain(_ unit: ArraySlice<UInt8>) -> [UInt8] {
  var (bytes, zeros) = ([UInt8](), 0)
  for byte in unit {
    if zeros >= 2, byte == 3 {
      zeros = 0
      continue
    }
    zeros = byte == 0 ? zeros + 1 : 0
    bytes.append(byte)
  }
  return bytes
}

/// The messages of a unit of supplemental enhancement information.
private func messages(_ unit: [UInt8]) -> [(type: Int, body: ArraySlice<UInt8>)] {
  var (rest, found) = (unit[...], [(type: Int, body: ArraySlice<UInt8>)]())
  func number() -> Int? {
    var sum = 0
    while let byte = rest.popFirst() {
      sum += Int(byte)
      if byte < 0xff { return sum }
    }
    return nil
  }
  while rest.count > 2, let type = number(), let length = number(), length <= rest.count {
    found.append((type, rest.prefix(length)))
    rest = rest.dropFirst(length)
  }
  return found
}
