// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Matroska's elements (RFC 8794, RFC 9559), as far as GStreamer 1.22 neither reads nor writes what they say: which tracks are
// played unless told otherwise, which are forced, and texts with spaces.

import CGStreamer
import CGStreamerTools
import Glibc
import Synchronization

private enum ID {
  static let segment = 0x1853_8067
  static let (tracks, track, void) = (0x1654_AE6B, 0xAE, 0xEC)
  static let (kind, isDefault, isForced, name, codec) = (0x83, 0x88, 0x55AA, 0x536E, 0x86)
  static let marks = [
    (0x55AB, "for the hard of hearing"), (0x55AC, "for the visually impaired"), (0x55AD, "descriptions of the picture"),
    (0x55AE, "in the original language"), (0x55AF, "commentary"),
  ]
  static let (tags, tag, simpleTag, text) = (0x1254_C367, 0x7373, 0x67C8, 0x4487)
  static let cluster = 0x1F43_B675
}

/// One element; `size` is of its body in bytes, nil if it is not known.
private struct Element {
  /// Lengths in bytes: of the identifier, and of it and the size.
  let id, idLength, header: Int
  let size: Int?

  /// Nil if the bytes do not begin with a complete identifier and size.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard let (id, idLength) = Self.number(bytes, keepsMark: true), idLength <= 4,
      let (size, sizeLength) = Self.number(bytes.dropFirst(idLength), keepsMark: false)
    else { return nil }
    (self.id, self.idLength, header) = (id, idLength, idLength + sizeLength)
    self.size = size == 1 << (7 * sizeLength) - 1 ? nil : size
  }

  private static func number(_ bytes: ArraySlice<UInt8>, keepsMark: Bool) -> (Int, length: Int)? {
    guard let first = bytes.first, first != 0 else { return nil }
    let length = first.leadingZeroBitCount + 1
    guard bytes.count >= length else { return nil }
    let whole = bytes.prefix(length).reduce(0) { $0 << 8 | Int($1) }
    return (keepsMark ? whole : whole & (1 << (7 * length) - 1), length)
  }
}

/// More elements than this beside each other are in no file that is meant well.
private let most = 4096

/// The first elements in some bytes, as far as they are complete, with their bodies.
private func elements(_ bytes: ArraySlice<UInt8>) -> [(element: Element, body: ArraySlice<UInt8>)] {
  var (rest, found) = (bytes, [(element: Element, body: ArraySlice<UInt8>)]())
  while found.count < most, let element = Element(rest) {
    let body = rest.dropFirst(element.header)
    guard let size = element.size else {
      found.append((element, body))
      break
    }
    guard size <= body.count else { break }
    found.append((element, body.prefix(size)))
    rest = body.dropFirst(size)
  }
  return found
}

/// The audio and subtitle tracks of a file; empty if it cannot be read or is of another kind.
func matroskaTracks(of path: String) -> [Track] {
  guard let file = fopen(path, "re") else { return [] }
  defer { fclose(file) }
  func bytes(_ count: Int, at place: Int) -> ArraySlice<UInt8> {
    [UInt8](unsafeUninitializedCapacity: count) { bytes, read in
      read = fseeko(file, off_t(place), SEEK_SET) == 0 ? fread(bytes.baseAddress, 1, count, file) : 0
    }[...]
  }
  guard let place = tracks(in: bytes) else { return [] }
  return elements(bytes(place.count, at: place.lowerBound)).filter { $0.element.id == ID.track }
    .compactMap { track($0.body) }
}

/// Where the entries of the tracks are; nil if there are none. `bytes`: so many of the file at a place, or fewer at its end.
private func tracks(in bytes: (_ count: Int, _ place: Int) -> ArraySlice<UInt8>) -> Range<Int>? {
  var place = 0
  for _ in 0..<most {
    guard Interrupt.status == nil, let element = Element(bytes(12, place)), element.id != ID.cluster else { break }
    place += element.header
    switch (element.id, element.size) {
    case (ID.segment, _): break
    case (ID.tracks, let size?) where size <= 16 << 20: return place..<place + size
    case (_, let size?) where size <= Int.max - place: place += size
    default: return nil
    }
  }
  return nil
}

/// Leaves out tracks of a finished file, by their numbers from 0.
func dropMatroskaTracks(_ dropped: [Int], of file: Output) throws {
  func bytes(_ count: Int, at place: Int) -> ArraySlice<UInt8> { (file.read(place..<place + count) ?? [])[...] }
  guard let place = tracks(in: bytes) else { throw Failure("it has no tracks", .internalFault) }
  let entries = elements(bytes(place.count, at: place.lowerBound)).filter { $0.element.id == ID.track }
  for (number, entry) in entries.enumerated() where dropped.contains(number) {
    let start = place.lowerBound + entry.body.startIndex - entry.element.header
    try file.replace([UInt8(ID.track)], with: [UInt8(ID.void)], at: start)
  }
}

/// Nil for a track of another kind.
private func track(_ entry: ArraySlice<UInt8>) -> Track? {
  let fields = Dictionary(elements(entry).map { ($0.element.id, $0.body) }) { first, _ in first }
  func number(_ id: Int) -> Int? { fields[id]?.prefix(7).reduce(0) { $0 << 8 | Int($1) } }
  func text(_ id: Int) -> String? { fields[id].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } }
  guard let kind = number(ID.kind), [2, 0x11].contains(kind) else { return nil }
  return Track(
    isSound: kind == 2, title: text(ID.name).flatMap { $0.isEmpty ? nil : $0 },
    isDefault: number(ID.isDefault) != 0, isForced: number(ID.isForced) ?? 0 != 0,
    isStyled: ["S_TEXT/ASS", "S_TEXT/SSA"].contains(text(ID.codec) ?? ""),
    marks: ID.marks.filter { number($0.0) ?? 0 != 0 }.map(\.1))
}

/// Changes what matroskamux writes, without changing a length.
final class MatroskaRepair: Sendable {
  private let kept: [Kept.Stream]
  /// Whether the buffers are those of the header, or of the tags behind the last frame.
  private let isBesideFrames = Atomic(true)
  /// Forced tracks that the header has no room to call so.
  private let unsaid = Atomic(0)

  init(_ kept: Kept) { self.kept = kept.streams }

  /// What could not be said of the kept tracks.
  var loss: String? {
    let count = unsaid.load(ordering: .relaxed)
    return count == 0 ? nil : "the file has no room to say of \(count) of its forced tracks that they are"
  }

  func attach(to muxer: UnsafeMutablePointer<GstElement>) {
    gst_pad_add_probe(
      muxer.pad("src"), GST_PAD_PROBE_TYPE_BUFFER,
      { _, info, me in
        if let info, let me { Unmanaged<MatroskaRepair>.fromOpaque(me).takeUnretainedValue().change(info) }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passRetained(self).toOpaque(),
      { if let me = $0 { Unmanaged<MatroskaRepair>.fromOpaque(me).release() } })
  }

  private func change(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    guard let buffer = info.buffer else { return }
    let start = [UInt8](unsafeUninitializedCapacity: 12) { bytes, count in
      count = Int(gst_buffer_extract(buffer, 0, bytes.baseAddress, 12))
    }
    let first = Element(start[...])
    if first?.id == ID.cluster { isBesideFrames.store(false, ordering: .relaxed) }
    // The start of an element whose size is filled in later.
    if first?.id == ID.tags, first?.header == Int(gst_buffer_get_size(buffer)) {
      isBesideFrames.store(true, ordering: .relaxed)
    }
    guard isBesideFrames.load(ordering: .relaxed), let before = contents(of: buffer) else { return }
    var bytes = before
    repair(&bytes, 0..<bytes.count)
    let metadata = [GST_BUFFER_COPY_FLAGS, GST_BUFFER_COPY_TIMESTAMPS, GST_BUFFER_COPY_META]
    if bytes != before { info.replace(buffer, with: bytes, keeping: metadata) }
  }

  private func repair(_ bytes: inout [UInt8], _ range: Range<Int>) {
    func put(_ new: [UInt8], _ range: Range<Int>) {
      if new.count == range.count { bytes.replaceSubrange(range, with: new) }
    }
    for (element, body) in elements(bytes[range]) {
      switch element.id {
      case ID.segment, ID.tags, ID.tag, ID.simpleTag: repair(&bytes, body.startIndex..<body.endIndex)
      case ID.tracks: put(flagged(element, body), body.startIndex - element.header..<body.endIndex)
      case ID.text: if let plain = unserialized(body) { put(plain, body.startIndex..<body.endIndex) }
      default: break
      }
    }
  }

  /// All tracks with their flags. The room for them is taken from the sizes, which matroskamux writes in eight bytes each, here and
  /// for every track.
  private func flagged(_ tracks: Element, _ body: ArraySlice<UInt8>) -> [UInt8] {
    let parts = elements(body)
    /// How many bytes can be taken from an element's size if its body has `size` bytes.
    func spare(_ element: Element, _ size: Int) -> Int {
      let width = (1...8).first { size < 1 << (7 * $0) - 1 } ?? 8
      return max(element.header - element.idLength - width, 0)
    }
    // Before those that are kept there are the video and the new audio.
    let streams = parts.indices.map { kept.indices.contains($0 - 2) ? kept[$0 - 2] : nil }
    var flags: [[UInt8]] = streams.map { $0.map { $0.isDefault ? [] : [0x88, 0x81, 0] } ?? [] }
    let largest = 7  // bytes of flags
    let spares = parts.map { spare($0.element, $0.body.count + largest) }
    var room = spares.reduce(spare(tracks, body.count + largest * parts.count), +) - flags.joined().count
    for (index, stream) in streams.enumerated() where stream?.track?.isForced ?? false {
      if room >= 4 {
        flags[index] += [0x55, 0xAA, 0x81, 1]
        room -= 4
      } else {
        unsaid.add(1, ordering: .relaxed)
      }
    }
    var missing = flags.joined().count
    /// The element with as short a size as is still needed.
    func shortened(_ element: Element, _ body: [UInt8]) -> [UInt8] {
      let taken = min(spare(element, body.count), missing)
      missing -= taken
      let width = element.header - element.idLength - taken
      let bytes = [UInt8](bigEndian: element.id, element.idLength)
      return bytes + [UInt8](bigEndian: body.count | 1 << (7 * width), width) + body
    }
    let entries = zip(parts, flags).map { shortened($0.element, $1 + $0.body) }
    return shortened(tracks, Array(entries.joined()))
  }

  /// A tag's text as it was before GStreamer serialized it, with zeros for what is left over; nil if it was not.
  private func unserialized(_ body: ArraySlice<UInt8>) -> [UInt8]? {
    guard body.first == UInt8(ascii: "\"") else { return nil }
    let text = String(decoding: body.prefix { $0 != 0 }, as: UTF8.self)
    var value = GValue()
    g_value_init(&value, g_type_from_name("gchararray"))
    defer { g_value_unset(&value) }
    guard gst_value_deserialize(&value, text) != 0, let plain = g_value_get_string(&value) else { return nil }
    let again = gst_value_serialize(&value)
    defer { g_free(again) }
    guard let again, String(cString: again) == text else { return nil }
    let utf8 = Array(String(cString: plain).utf8)
    return utf8 + [UInt8](repeating: 0, count: max(body.count - utf8.count, 0))
  }
}

extension [UInt8] {
  /// The last `count` bytes of a number.
  fileprivate init(bigEndian number: Int, _ count: Int) {
    self = (1...count).map { UInt8(number >> (8 * (count - $0)) & 0xff) }
  }
}
