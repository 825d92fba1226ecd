// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Which tracks of a finished MP4 or QuickTime file are played unless told otherwise, and which are there: mp4mux enables all, and
// writes those too that have nothing in them.

import Glibc

/// Enables the new audio alone, and of the subtitles that are kept those that were; and says that one of the audio tracks is
/// to be chosen.
func setTrackFlags(of file: Output, _ kept: Kept) throws {
  // Before those that are kept there are the video and the new audio; a track of timecode comes last.
  for (index, track) in tracks(of: file).dropFirst().prefix(1 + kept.streams.count).enumerated() {
    guard let header = boxes(in: track.body, of: file).first(where: { $0.type == "tkhd" })?.body else { continue }
    guard let before = file.read(header), before.count >= 84 else { continue }
    var bytes = before
    let stream = index > 0 ? kept.streams[index - 1] : nil
    if let stream, !stream.isDefault { bytes[3] &= ~1 }
    if stream?.isSound ?? true { bytes[bytes[0] == 1 ? 47 : 35] = 1 }
    try file.replace(before, with: bytes, at: header.lowerBound)
  }
}

/// Leaves out tracks of a finished file, by their numbers from 0.
func dropMovieTracks(_ dropped: [Int], of file: Output) throws {
  for (number, track) in tracks(of: file).enumerated() where dropped.contains(number) {
    // Its type is right before it.
    try file.replace(Array("trak".utf8), with: Array("free".utf8), at: track.body.lowerBound - 4)
  }
}

private func tracks(of file: Output) -> [(type: String, body: Range<Int>)] {
  let end = Int(lseek(file.descriptor, 0, SEEK_END))
  return boxes(in: 0..<end, of: file).filter { $0.type == "moov" }.flatMap { boxes(in: $0.body, of: file) }
    .filter { $0.type == "trak" }
}
