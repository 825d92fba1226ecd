// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What GStreamer 1.22 does not report about an MP4 or QuickTime file (ISO/IEC 14496-12): mirroring, pixel aspect
// ratio, full range, chapters, timecode, Dolby Vision, truncation, metadata.

import Glibc

struct MovieHeaders {
  /// From the display matrix of the first video track; nil if the rotation is not a multiple of 90 degrees.
  private(set) var orientation: Orientation? = .upright
  /// Pixel aspect ratio of the first video track according to its `pasp` box; nil if it does not say.
  private(set) var aspect: Ratio?
  /// Primaries, transfer and matrix of the first video track by ISO/IEC 23091-2, from its `colr` box; else empty.
  private(set) var colours: [Int] = []
  /// Full range according to the first video track's `colr` or `vpcC` box; nil if it does not say.
  private(set) var isFullRange: Bool?
  /// Seconds; nil if it does not say, as in fragmented files.
  private(set) var duration: Double?
  /// Frames of the first video track; 0 in fragmented files.
  private(set) var frames = 0
  /// How long one of them lasts at most, seconds.
  private(set) var longestFrame = 0.0
  /// Audio and subtitle tracks.
  private(set) var tracks: [Track] = []
  private(set) var hasChapters = false
  private(set) var hasTimecode = false
  /// Nil if there is none, or it cannot be read.
  private(set) var timecode: Timecode?
  private(set) var hasDolbyVision = false
  /// Names of metadata.
  private(set) var tags: [String] = []
  /// When the last edit of a track begins, or an empty one ends, at the latest, seconds.
  private var lastEdit = 0.0
  /// Whether a box extends beyond the end of the file.
  private(set) var isCutOff = false

  /// Nil if the file cannot be read, or is of another kind. Throws if GStreamer would look for a header in vain for long. `name`:
  /// for people.
  init?(path: String, called name: String) throws {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    guard fseeko(file, 0, SEEK_END) == 0 else { return nil }
    let size = Int(ftello(file))
    var position = 0
    var (isMovie, count) = (false, 0)
    while true {
      guard Interrupt.status == nil, let (type, header, length) = Self.box(file, at: position, of: size) else { break }
      // Others begin with something else.
      guard count > 0 || Self.first.contains(type) else { break }
      count += 1
      guard count <= Self.mostBoxes else { throw Failure("cannot decode \(name): it is made of too many boxes") }
      if type == "moov", length - header <= Self.largestMovie, length <= size - position {
        isMovie = true
        let body = [UInt8](unsafeUninitializedCapacity: length - header) { bytes, count in
          count =
            fseeko(file, off_t(position + header), SEEK_SET) == 0 ? fread(bytes.baseAddress, 1, bytes.count, file) : 0
        }
        read(Boxes(body[...]), of: file)
      }
      guard position <= size - length else {
        isCutOff = true
        break
      }
      position += length
    }
    guard lastEdit <= Self.latestEdit else {
      let hours = Int(min(lastEdit / 3600, 1e12))
      throw Failure("cannot decode \(name): by its edit list something begins after \(hours) hours")
    }
    guard !isCutOff || isMovie else {
      throw Failure("cannot decode \(name): it is cut off, and its index is not complete")
    }
    guard isMovie else { return nil }
  }

  private static let largestMovie = 256 << 20  // bytes
  /// Seconds. Until then frames are repeated and silence is filled in, which would take for ever.
  private static let latestEdit = 86_400.0
  /// More of them beside each other are in no file that is meant well: eight hours with a fragment for each frame have as many.
  private static let mostBoxes = 1 << 22
  /// With which a file may begin.
  private static let first: Set = [
    "ftyp", "styp", "moov", "mdat", "wide", "free", "skip", "pnot", "PICT", "uuid", "udta", "meta", "prfl", "pdin",
    "sidx", "emsg", "moof",
  ]

  /// The box at `position`: its type, and the lengths of its header and of the whole box in bytes.
  private static func box(
    _ file: UnsafeMutablePointer<FILE>, at position: Int, of size: Int
  ) -> (type: String, header: Int, length: Int)? {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard position < size, fseeko(file, off_t(position), SEEK_SET) == 0 else { return nil }
    let count = fread(&bytes, 1, 16, file)
    guard count >= 8, let short = bytes[...].number(at: 0, 4) else { return nil }
    let type = String(decoding: bytes[4..<8], as: UTF8.self)
    if short == 0 { return (type, 8, size - position) }
    guard short == 1 else { return short >= 8 ? (type, 8, short) : nil }
    guard count == 16, let long = bytes[...].number(at: 8, 8), long >= 16 else { return nil }
    return (type, 16, long)
  }

  private mutating func read(_ movie: Boxes, of file: UnsafeMutablePointer<FILE>) {
    var hasPicture = false
    // QuickTime's chapters are tracks of text that others refer to.
    let chapters = movie.filter { $0.type == "trak" }.compactMap { Boxes($0.body)["tref"].map(Boxes.init)?["chap"] }
      .flatMap { ids in stride(from: 0, to: ids.count, by: 4).compactMap { ids.number(at: $0, 4) } }
    hasChapters = hasChapters || !chapters.isEmpty
    for (type, body) in movie {
      // In a fragmented file it is that of the first fragment at most.
      if type == "mvhd", movie["mvex"] == nil, let (scale, place, width) = body.time, scale > 0,
        let lasts = body.number(at: place, width)
      {
        duration = lasts > 0 ? Double(lasts) / Double(scale) : nil
      }
      if type == "udta" { readUserData(Boxes(body)) }
      if type == "meta" { readKeys(body) }
      guard type == "trak" else { continue }
      let track = Boxes(body)
      if let list = track["edts"].map(Boxes.init)?["elst"], let scale = movie["mvhd"]?.time?.scale, scale > 0 {
        let all = edits(of: list)
        // The last one matters only if nothing is shown in it.
        let before = all.last?.begins == nil ? all[...] : all.dropLast()
        let time = before.reduce(0) { $0 + ($1.lasts.map(Double.init) ?? .infinity) }
        lastEdit = max(lastEdit, time / Double(scale))
      }
      guard let media = track["mdia"].map(Boxes.init), let handler = media["hdlr"]?.text(at: 8) else { continue }
      let id = track["tkhd"].flatMap { $0.number(at: $0.first == 1 ? 20 : 12, 4) }
      if ["soun", "sbtl", "subp", "subt", "text", "clcp"].contains(handler), !chapters.contains(id ?? 0) {
        let name = track["udta"].map(Boxes.init)?["name"].map { String(decoding: $0, as: UTF8.self) }
        tracks.append(
          Track(
            isSound: handler == "soun", title: name.flatMap { $0.isEmpty ? nil : $0 },
            isDefault: track["tkhd"]?.number(at: 3, 1).map { $0 & 1 == 1 } ?? true))
      }
      if handler == "tmcd" {
        hasTimecode = true
        timecode = timecode ?? media["minf"].map(Boxes.init)?["stbl"].flatMap { Self.timecode(Boxes($0), in: file) }
      }
      guard handler == "vide", !hasPicture else { continue }
      hasPicture = true
      if let header = track["tkhd"] { orientation = Self.orientation(header) }
      if let table = media["minf"].map(Boxes.init)?["stbl"].map(Boxes.init) {
        frames = table["stsz"]?.number(at: 8, 4) ?? 0
        if let times = table["stts"], let scale = media["mdhd"]?.time?.scale, scale > 0 {
          // Of so many frames each lasts so long.
          let longest = stride(from: 12, to: times.count, by: 8).lazy.compactMap { times.number(at: $0, 4) }.max() ?? 0
          longestFrame = Double(longest) / Double(scale)
        }
        if let descriptions = table["stsd"] { readPicture(Boxes(descriptions.dropFirst(8))) }
      }
    }
  }

  private mutating func readUserData(_ data: Boxes) {
    hasChapters = hasChapters || data["chpl"] != nil
    // The first byte of QuickTime's own is the copyright sign in MacRoman.
    let names = ["loci": "location", "\u{FFFD}xyz": "location", "\u{FFFD}day": "date", "\u{FFFD}key": "keywords"]
    tags += data.compactMap { names[$0.type] }
    if let metadata = data["meta"] { readKeys(metadata) }
  }

  /// The names in QuickTime's metadata. There its boxes follow at once, in ISO's format after four bytes.
  private mutating func readKeys(_ metadata: ArraySlice<UInt8>) {
    guard let keys = Boxes(metadata)["keys"] ?? Boxes(metadata.dropFirst(4))["keys"] else { return }
    // FFmpeg also writes there what describes the file.
    let others = ["encoder", "major_brand", "minor_version", "compatible_brands"]
    // They are shown to the user, and may be anything.
    tags += Boxes(keys.dropFirst(8)).map { key in
      let isPlain = key.body.count <= 100 && key.body.allSatisfy { (0x20...0x7E).contains($0) }
      return isPlain ? String(decoding: key.body, as: UTF8.self) : "unknown"
    }
    .filter { !others.contains($0.lowercased()) }
  }

  /// Timecode of the first frame: a timecode track's sample entry gives the format, its first sample the start.
  private static func timecode(_ table: Boxes, in file: UnsafeMutablePointer<FILE>) -> Timecode? {
    guard let entry = table["stsd"].flatMap({ Boxes($0.dropFirst(8))["tmcd"] }), let flags = entry.number(at: 12, 4),
      let scale = entry.number(at: 16, 4), let length = entry.number(at: 20, 4), (1...0xff_ffff).contains(scale),
      (1...scale).contains(length),
      let place = table["stco"]?.number(at: 8, 4) ?? table["co64"]?.number(at: 8, 8),
      fseeko(file, off_t(place), SEEK_SET) == 0
    else { return nil }
    var bytes = [UInt8](repeating: 0, count: 4)
    guard fread(&bytes, 1, 4, file) == 4, let frame = bytes[...].number(at: 0, 4) else { return nil }
    let code = Timecode(frame: frame, rate: Ratio(Int32(scale), Int32(length)), isDropFrame: flags & 1 != 0)
    return code.canBeWritten ? code : nil
  }

  /// Sample entries of a video track: 78 bytes, then boxes.
  private mutating func readPicture(_ entries: Boxes) {
    guard let entry = entries.first(where: { _ in true }) else { return }
    for (type, body) in Boxes(entry.body.dropFirst(78)) {
      switch type {
      case "colr" where ["nclx", "nclc"].contains(body.text(at: 0)):
        colours = [4, 6, 8].compactMap { body.number(at: $0, 2) }
        if body.text(at: 0) == "nclx" { isFullRange = body.number(at: 10, 1).map { $0 & 0x80 != 0 } }
      case "vpcC": isFullRange = isFullRange ?? body.number(at: 6, 1).map { $0 & 1 != 0 }
      case "pasp":
        if let width = body.number(at: 0, 4), let height = body.number(at: 4, 4), width > 0, height > 0 {
          aspect = Int32(exactly: width).flatMap { width in Int32(exactly: height).map { Ratio(width, $0) } }
        }
      case "dvcC", "dvvC": hasDolbyVision = true
      default: break
      }
    }
  }

  /// x' = a x + c y, y' = b x + d y, with y downward.
  private static func orientation(_ header: ArraySlice<UInt8>) -> Orientation? {
    let matrix = header.number(at: 0, 1) == 1 ? 52 : 40
    let values = [0, 4, 12, 16].map { header.number(at: matrix + $0, 4).map { Int32(truncatingIfNeeded: $0) } }
    // Scaling is allowed: only the signs matter.
    return switch values.map({ ($0 ?? 0).signum() }) {
    case [1, 0, 0, 1], [0, 0, 0, 0]: .upright
    case [0, 1, -1, 0]: .right
    case [-1, 0, 0, -1]: .upsideDown
    case [0, -1, 1, 0]: .left
    case [-1, 0, 0, 1]: .mirrored
    case [1, 0, 0, -1]: .flipped
    case [0, 1, 1, 0]: .transposed
    case [0, -1, -1, 0]: .transversed
    default: nil
    }
  }
}

/// Iterates over the boxes in some bytes, as long as they are complete.
struct Boxes: Sequence, IteratorProtocol {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  mutating func next() -> (type: String, body: ArraySlice<UInt8>)? {
    // A length of 1 is followed by one of 64 bits.
    guard let short = rest.number(at: 0, 4), let type = rest.text(at: 4),
      case let (length?, header) = short == 1 ? (rest.number(at: 8, 8), 16) : (short, 8), length >= header,
      length <= rest.count
    else { return nil }
    defer { rest = rest.dropFirst(length) }
    return (type, rest.prefix(length).dropFirst(header))
  }

  /// The body of the first box of a type.
  subscript(type: String) -> ArraySlice<UInt8>? { first { $0.type == type }?.body }
}

extension ArraySlice<UInt8> {
  /// Of `mvhd` and `mdhd`: the time scale, and where the duration is and its width, in bytes.
  var time: (scale: Int, place: Int, width: Int)? {
    first == 1 ? number(at: 20, 4).map { ($0, 24, 8) } : number(at: 12, 4).map { ($0, 16, 4) }
  }

  /// `count` bytes at `offset`, big-endian; nil if beyond the end or too large for an Int.
  func number(at offset: Int, _ count: Int) -> Int? {
    guard offset + count <= self.count else { return nil }
    let value = dropFirst(offset).prefix(count).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Int(exactly: value)
  }

  fileprivate func text(at offset: Int) -> String? {
    offset + 4 <= count ? String(decoding: dropFirst(offset).prefix(4), as: UTF8.self) : nil
  }
}
