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
  static let (tracks, track) = (0x1654_AE6B, 0xAE)
  static let (kind, isDefault, isForced, name, codec) = (0x83, 0x88, 0x55AA, 0x536E, 0x86)
  static let (tags, tag, simpleTag, text) = (0x1254_C367, 0x7373, 0x67C8, 0x4487)
  static let cluster = 0x1F43_B675
}

/// One element; `size` is of its body in bytes, nil if it is not known.
private struct Element {
  let id, header: Int
  let size: Int?

  /// Nil if the bytes do not begin with a complete identifier and size.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard let (id, idLength) = Self.number(bytes, keepsMark: true), idLength <= 4,
      let (size, sizeLength) = Self.number(bytes.dropFirst(idLength), keepsMark: false)
    else { return nil }
    (self.id, header) = (id, idLength + sizeLength)
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

/// The elements in some bytes, as far as they are complete, with their bodies.
private func elements(_ bytes: ArraySlice<UInt8>) -> [(element: Element, body: ArraySlice<UInt8>)] {
  var (rest, found) = (bytes, [(element: Element, body: ArraySlice<UInt8>)]())
  while let element = Element(rest) {
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
  var place = 0
  while let element = Element(bytes(12, at: place)), element.id != ID.cluster {
    place += element.header
    switch (element.id, element.size) {
    case (ID.segment, _): break
    case (ID.tracks, let size?) where size <= 16 << 20:
      return elements(bytes(size, at: place)).filter { $0.element.id == ID.track }.compactMap { track($0.body) }
    case (_, let size?) where size <= Int.max - place: place += size
    default: return []
    }
  }
  return []
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
    isStyled: ["S_TEXT/ASS", "S_TEXT/SSA"].contains(text(ID.codec) ?? ""))
}

/// Changes what matroskamux writes, without changing a length.
final class MatroskaRepair: Sendable {
  private let kept: [Kept.Stream]
  /// Whether the buffers are those of the header, or of the tags behind the last frame.
  private let isBesideFrames = Atomic(true)

  init(_ kept: Kept) { self.kept = kept.streams }

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
    guard let buffer = info.buffer, var bytes = contents(of: buffer) else { return }
    let first = Element(bytes[...])
    if first?.id == ID.cluster { isBesideFrames.store(false, ordering: .relaxed) }
    // The start of an element whose size is filled in later.
    if first?.id == ID.tags, first?.header == bytes.count { isBesideFrames.store(true, ordering: .relaxed) }
    guard isBesideFrames.load(ordering: .relaxed) else { return }
    let before = bytes
    var tracks = 0
    repair(&bytes, 0..<bytes.count, &tracks)
    let metadata = [GST_BUFFER_COPY_FLAGS, GST_BUFFER_COPY_TIMESTAMPS, GST_BUFFER_COPY_META]
    if bytes != before { info.replace(buffer, with: bytes, keeping: metadata) }
  }

  private func repair(_ bytes: inout [UInt8], _ range: Range<Int>, _ tracks: inout Int) {
    for (element, body) in elements(bytes[range]) {
      switch element.id {
      case ID.segment, ID.tracks, ID.tags, ID.tag, ID.simpleTag:
        repair(&bytes, body.startIndex..<body.endIndex, &tracks)
      case ID.track:
        tracks += 1
        if tracks > 2, kept.indices.contains(tracks - 3), let entry = flagged(body, kept[tracks - 3]) {
          bytes.replaceSubrange(body.startIndex - element.header..<body.endIndex, with: entry)
        }
      case ID.text:
        if let plain = unserialized(body) { bytes.replaceSubrange(body.startIndex..<body.endIndex, with: plain) }
      default: break
      }
    }
  }

  /// A track entry with its flags. The room for them is taken from its size, which matroskamux writes in eight bytes; nil if
  /// that is too little, or there is nothing to say.
  private func flagged(_ body: ArraySlice<UInt8>, _ stream: Kept.Stream) -> [UInt8]? {
    let flags: [UInt8] =
      (stream.isDefault ? [] : [0x88, 0x81, 0]) + (stream.track?.isForced ?? false ? [0x55, 0xAA, 0x81, 1] : [])
    let (width, size) = (8 - flags.count, body.count + flags.count)
    guard !flags.isEmpty, size < 1 << (7 * width) - 1 else { return nil }
    let marked = size | 1 << (7 * width)
    return [UInt8(ID.track)] + (1...width).map { UInt8(marked >> (8 * (width - $0)) & 0xff) } + flags + body
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
