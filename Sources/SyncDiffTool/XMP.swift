// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// IPTC's digital source type as XMP in MP4 and QuickTime files, which GStreamer's muxers have no tag for. Where it lies: ISO 16684-1,
// and Adobe's XMP specification, part 3.

import Glibc
import SyncDiffElement

/// IPTC NewsCodes, as the comment has it.
let digitalSourceType = String(disclosure.drop { $0 != "=" }.dropFirst())

/// Adds it to a finished file: to the user data of QuickTime files, which their muxer writes last; else as a box of its own at the end.
func addSourceType(to file: Output, _ container: Container) throws {
  let text = """
    <?xpacket begin="\u{FEFF}" id="W5M0MpCehiHzreSzNTczkc9d"?>
    <x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
    <Iptc4xmpExt:DigitalSourceType>\(digitalSourceType)</Iptc4xmpExt:DigitalSourceType>
    </rdf:Description></rdf:RDF></x:xmpmeta>
    <?xpacket end="w"?>
    """
  let identifier: [UInt8] = [
    0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8, 0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC,
  ]
  let end = Int(lseek(file.descriptor, 0, SEEK_END))
  var around: [Range<Int>] = []
  if container == .mov, let movie = lastBox("moov", in: 0..<end, of: file),
    let data = lastBox("udta", in: movie.lowerBound + 8..<end, of: file)
  {
    around = [movie, data]
  }
  let kind = around.isEmpty ? Array("uuid".utf8) + identifier : Array("XMP_".utf8)
  let length = 4 + kind.count + text.utf8.count
  let changes =
    [(end, bigEndian(length) + kind + text.utf8)] + around.map { ($0.lowerBound, bigEndian($0.count + length)) }
  for (place, bytes) in changes {
    guard pwrite(file.descriptor, bytes, bytes.count, off_t(place)) == bytes.count else {
      throw Failure("cannot write \(file.name): \(String(cString: strerror(errno)))", .badOutput)
    }
  }
}

/// Where the last of the boxes in a part of a file lies; nil if it is of another type.
private func lastBox(_ type: String, in part: Range<Int>, of file: Output) -> Range<Int>? {
  var start = part.lowerBound
  while start < part.upperBound {
    var head = [UInt8](repeating: 0, count: 16)
    guard pread(file.descriptor, &head, 16, off_t(start)) >= 8 else { return nil }
    func number(_ range: Range<Int>) -> Int { head[range].reduce(0) { $0 << 8 | Int($1) } }
    let length = number(0..<4) == 1 ? number(8..<16) : number(0..<4)
    guard length >= 8, length <= part.upperBound - start else { return nil }
    if start + length == part.upperBound {
      return String(decoding: head[4..<8], as: UTF8.self) == type ? start..<part.upperBound : nil
    }
    start += length
  }
  return nil
}

private func bigEndian(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
