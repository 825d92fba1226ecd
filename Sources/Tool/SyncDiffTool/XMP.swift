// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// IPTC's digital source type as XMP in MP4 and QuickTime files. GStreamer's muxer writes an XMP packet for the tags that it
// knows, which do not include this one; so it is inserted into that packet, in place of namespaces that the packet does not
// use. For the packet's location see Adobe's XMP specification, part 3.

import Glibc
import SyncDiffElement

/// The term of IPTC NewsCodes that is in the comment.
let digitalSourceType = String(disclosure.drop { $0 != "=" }.dropFirst())

/// Changes the packet of a finished file without changing its length. False if there is none, or no room in it.
func addSourceType(to file: Output) throws -> Bool {
  let end = Int(lseek(file.descriptor, 0, SEEK_END))
  let top = boxes(in: 0..<end, of: file)
  let data = top.filter { $0.type == "moov" }.flatMap { boxes(in: $0.body, of: file) }.filter { $0.type == "udta" }
  let places =
    top.filter { $0.type == "uuid" }.map { $0.body.dropFirst(16) }
    + data.flatMap { boxes(in: $0.body, of: file) }.filter { $0.type == "XMP_" }.map { $0.body[...] }
  for place in places where place.count < 1 << 20 {
    guard let bytes = file.read(place.startIndex..<place.endIndex),
      let text = String(validating: bytes, as: UTF8.self), let changed = withSourceType(text)
    else { continue }
    try file.replace(bytes, with: Array(changed.utf8), at: place.startIndex)
    return true
  }
  return false
}

/// The packet with the digital source type added, of the same length in UTF-8; nil if it is not a packet of GStreamer's, or
/// has no room.
private func withSourceType(_ packet: String) -> String? {
  guard packet.hasPrefix("<?xpacket"), let close = packet.firstRange(of: "</rdf:Description>"),
    let tail = packet.firstRange(of: "<?xpacket end")
  else { return nil }
  let element = "<Iptc4xmpExt:DigitalSourceType>\(digitalSourceType)</Iptc4xmpExt:DigitalSourceType>\n"
  var body = String(packet[..<close.lowerBound]) + element + packet[close.lowerBound..<tail.lowerBound]
  for namespace in packet.matches(of: /\sxmlns:(\w+)="[^"]*"/) where !body.contains("\(namespace.1):") {
    body.replace(namespace.0, with: "")
  }
  let room = packet.utf8.count - body.utf8.count - packet[tail.lowerBound...].utf8.count
  guard room >= 0 else { return nil }
  return body + String(repeating: " ", count: room) + packet[tail.lowerBound...]
}

/// The boxes in a part of a file (ISO/IEC 14496-12), as far as they are complete.
func boxes(in part: Range<Int>, of file: Output) -> [(type: String, body: Range<Int>)] {
  var (start, found) = (part.lowerBound, [(type: String, body: Range<Int>)]())
  while start < part.upperBound {
    var head = [UInt8](repeating: 0, count: 16)
    guard pread(file.descriptor, &head, 16, off_t(start)) >= 8 else { break }
    func number(_ range: Range<Int>) -> Int { head[range].reduce(0) { $0 << 8 | Int($1) } }
    let (isLong, short) = (number(0..<4) == 1, number(0..<4))
    let (length, header) = isLong ? (number(8..<16), 16) : (short, 8)
    guard length >= header, length <= part.upperBound - start else { break }
    found.append((String(decoding: head[4..<8], as: UTF8.self), start + header..<start + length))
    start += length
  }
  return found
}
