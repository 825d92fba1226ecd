// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Where the sound of MP4 and QuickTime files begins (ISO/IEC 14496-12, 8.6.6): behind what its encoder put before it, which
// decoders need and nobody is to hear. mp4mux writes an edit list for each track, but lets it begin with the first packet.

import Glibc

/// An entry of an edit list.
struct Edit {
  /// Where in the list's body its two numbers are, one after the other, and of how many bytes they are.
  let place, width: Int
  /// In units of the movie; nil if it is too large.
  let lasts: Int?
  /// Where it begins in the track, in units of that; nil: nothing is shown.
  let begins: Int?
}

/// The entries in the body of an `elst` box.
func edits(of list: ArraySlice<UInt8>) -> [Edit] {
  // Version 1 has numbers of 8 bytes.
  let (width, size) = list.first == 1 ? (8, 20) : (4, 12)
  return stride(from: 8, through: list.count - size, by: size).map { place in
    let isEmpty = list.dropFirst(place + width).prefix(width).allSatisfy { $0 == 0xff }
    return Edit(
      place: place, width: width, lasts: list.number(at: place, width),
      begins: isEmpty ? nil : list.number(at: place + width, width))
  }
}

/// Lets the tracks of a finished file begin some time after their first packet. `leads`: seconds, in the order of the tracks.
func setLeads(of file: Output, _ leads: [Double]) throws {
  guard leads.contains(where: { $0 > 0 }) else { return }
  let movie = boxes(in: 0..<Int(lseek(file.descriptor, 0, SEEK_END)), of: file).first { $0.type == "moov" }
  guard let place = movie?.body, let before = file.read(place), let header = Boxes(before[...])["mvhd"],
    let whole = header.time
  else { throw Failure("it has no header", .internalFault) }
  var (after, longest) = (before, 0)
  for (index, track) in Boxes(before[...]).filter({ $0.type == "trak" }).map({ Boxes($0.body) }).enumerated() {
    // Version 1 has numbers of 8 bytes.
    guard let shown = track["tkhd"], case let length = shown.first == 1 ? (place: 28, width: 8) : (place: 20, width: 4),
      let duration = shown.number(at: length.place, length.width)
    else { throw Failure("a track does not say its duration", .internalFault) }
    let lead = leads.indices.contains(index) ? leads[index] : 0
    let less = min(Int((lead * Double(whole.scale)).rounded()), duration)
    longest = max(longest, duration - less)
    guard lead > 0 else { continue }
    guard let list = track["edts"].map(Boxes.init)?["elst"], let last = edits(of: list).last,
      let scale = track["mdia"].map(Boxes.init)?["mdhd"]?.time?.scale
    else { throw Failure("a track has no edit list", .internalFault) }
    guard let lasts = last.lasts, let begins = last.begins
    else { throw Failure("an edit list is empty", .internalFault) }
    after.put(lasts - min(less, lasts), at: list.startIndex + last.place, last.width)
    let later = begins + Int((lead * Double(scale)).rounded())
    after.put(later, at: list.startIndex + last.place + last.width, last.width)
    after.put(duration - less, at: shown.startIndex + length.place, length.width)
  }
  after.put(longest, at: header.startIndex + whole.place, whole.width)
  try file.replace(before, with: after, at: place.lowerBound)
}

extension [UInt8] {
  /// Big-endian.
  mutating func put(_ number: Int, at place: Int, _ width: Int) {
    for byte in 0..<width { self[place + byte] = UInt8(truncatingIfNeeded: number >> (8 * (width - 1 - byte))) }
  }
}
