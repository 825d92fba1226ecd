// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the tests dub and how they look at the result: with FFmpeg, which shares nothing with GStreamer.

import Foundation
import Testing

let ffmpeg = URL(fileURLWithPath: "/usr/bin/ffmpeg")
let ffprobe = URL(fileURLWithPath: "/usr/bin/ffprobe")

extension Folder {
  /// A file that FFmpeg makes; words of `arguments` are parted by spaces.
  func make(_ name: String, by arguments: String) throws -> String {
    let words = arguments.split(separator: " ").map { String($0).replacing("@", with: "\(path)/") }
    let made = try run(ffmpeg, ["-nostdin", "-v", "error", "-y"] + words + [file(name)])
    try #require(made.status == 0, "\(made.err)")
    return file(name)
  }

  /// Half a second, 25 frames a second: above red and blue, below green and white.
  func colours(_ name: String, size: String = "128x96", filter: String = "null", by arguments: String) throws -> String
  {
    let half = size.split(separator: "x").compactMap { Int($0) }.map { "\($0 / 2)" }.joined(separator: "x")
    func colour(_ name: String) -> String { "color=\(name):s=\(half):r=25:d=0.5" }
    let graph =
      "\(colour("red"))[a];\(colour("blue"))[b];\(colour("lime"))[c];\(colour("white"))[d];"
      + "[a][b][c][d]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0,\(filter)"
    return try make(name, by: "-f lavfi -i \(graph) \(arguments)")
  }

  /// A second of noise from its first to its last sample.
  func noise(_ name: String = "noise.wav", rate: Int = 48_000, by arguments: String = "") throws -> String {
    try make(name, by: "-f lavfi -i anoisesrc=c=pink:r=\(rate):d=1:seed=7 \(arguments)")
  }

  func tone(_ name: String = "tone.wav", seconds: Double = 1, rate: Int = 48_000, by arguments: String = "") throws
    -> String
  {
    try make(name, by: "-f lavfi -i sine=f=440:r=\(rate):d=\(seconds) \(arguments)")
  }
}

/// Fields of a stream ("v:0") or of the format (""), as FFmpeg names them, in the order asked for.
func probe(_ path: String, _ stream: String, _ fields: String) throws -> [String] {
  let which =
    stream.isEmpty
    ? ["-show_entries", "format=\(fields)"] : ["-select_streams", stream, "-show_entries", "stream=\(fields)"]
  let probed = try run(ffprobe, ["-v", "error"] + which + ["-of", "default=nw=1", path])
  let pairs = probed.out.split(separator: "\n").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
  return fields.split(separator: ",").map { field in pairs.first { $0[0] == field }?.last ?? "" }
}

/// Of the picture's first frame, as "10:00:00:00"; empty if there is none.
func startTimecode(_ path: String) throws -> String {
  let words = [
    "-v", "error", "-select_streams", "v:0", "-show_entries", "stream_tags=timecode", "-of", "csv=p=0", path,
  ]
  return try run(ffprobe, words).out.trimmingCharacters(in: .whitespacesAndNewlines)
}

/// The frames that decode without a word.
func decodedFrames(_ path: String) throws -> Int? {
  let decoded = try run(ffmpeg, ["-nostdin", "-v", "error", "-i", path, "-f", "null", "-"])
  guard decoded.status == 0, decoded.err.isEmpty else { return nil }
  let counted = try run(
    ffprobe,
    [
      "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of",
      "csv=p=0", path,
    ])
  return Int(counted.out.trimmingCharacters(in: .whitespacesAndNewlines).prefix { $0.isNumber })
}

/// The timestamps of the pictures, or of what is decoded of another stream, seconds.
func frameTimes(_ path: String, _ stream: String = "v:0") throws -> [Double] {
  let probed = try run(
    ffprobe, ["-v", "error", "-select_streams", stream, "-show_entries", "frame=pts_time", "-of", "csv=p=0", path])
  return probed.out.split(separator: "\n").compactMap { Double($0.prefix { $0.isNumber || [".", "-"].contains($0) }) }
}

/// The middle of each quarter of the first frame as it is shown: upper left, upper right, lower left, lower right; RGB.
func quarters(_ path: String) throws -> [[Int]] {
  let (out, process) = (Pipe(), Process())
  process.executableURL = ffmpeg
  process.arguments =
    [
      "-nostdin", "-v", "error", "-i", path, "-frames:v", "1", "-vf", "scale=4:4:flags=neighbor,format=rgb24", "-f",
      "rawvideo", "-",
    ]
  process.standardOutput = out
  try process.run()
  let bytes = [UInt8](out.fileHandleForReading.readDataToEndOfFile())
  process.waitUntilExit()
  try #require(bytes.count == 48)
  return [0, 2, 8, 10].map { pixel in bytes[pixel * 3..<pixel * 3 + 3].map(Int.init) }
}

func areNear(_ a: [[Int]], _ b: [[Int]], _ tolerance: Int) -> Bool {
  zip(a.joined(), b.joined()).allSatisfy { abs($0 - $1) <= tolerance }
}

/// A sound at 48 kHz, mixed to one channel, without the time before it.
func samples(_ path: String, _ track: String = "a:0") throws -> [Int] {
  let (out, process) = (Pipe(), Process())
  process.executableURL = ffmpeg
  process.arguments =
    ["-nostdin", "-v", "error", "-i", path, "-map", "0:\(track)", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"]
  process.standardOutput = out
  try process.run()
  let bytes = [UInt8](out.fileHandleForReading.readDataToEndOfFile())
  process.waitUntilExit()
  return stride(from: 0, to: bytes.count - 1, by: 2).map {
    Int(Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8))
  }
}

/// Seconds at which a mono sound first gets loud.
func onset(_ path: String) throws -> Double {
  let first = try #require(try samples(path).firstIndex { abs($0) > 1500 })
  return Double(first) / 48_000
}

/// How alike a part of two sounds is, 1 at most.
func likeness(_ a: [Int], _ b: [Int], _ part: Range<Int>) -> Double {
  guard part.upperBound <= min(a.count, b.count) else { return 0 }
  func product(_ a: [Int], _ b: [Int]) -> Double { part.reduce(0) { $0 + Double(a[$1]) * Double(b[$1]) } }
  return product(a, b) / max(product(a, a), product(b, b), 1)
}

/// By how many seconds a sound begins after the picture that it is beside, if it is like another one, from within 20 ms on.
func delay(_ path: String, _ track: String, like wanted: [Int]) throws -> Double {
  let made = try samples(path, track)
  let most = 960
  let part = Array(wanted[most..<most + 4800])
  func alike(_ shift: Int) -> Double {
    likeness(Array(made.dropFirst(most + shift).prefix(part.count)), part, 0..<part.count)
  }
  let shift = try #require((-most...most).max { alike($0) < alike($1) })
  try #require(alike(shift) > 0.6)
  let starts = (try frameTimes(path).first, try frameTimes(path, track).first)
  return try #require(starts.1) - #require(starts.0) + Double(shift) / 48_000
}

/// The boxes of an MP4 file, or of one in it, by type; nil if they do not fill it.
func boxes(_ bytes: Data) -> [(type: String, body: Data)]? {
  var (rest, found) = (bytes, [(type: String, body: Data)]())
  while !rest.isEmpty {
    let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    guard length >= 8, length <= rest.count else { return nil }
    let box = rest.prefix(length).dropFirst(4)
    found.append((String(decoding: box.prefix(4), as: UTF8.self), box.dropFirst(4)))
    rest = rest.dropFirst(length)
  }
  return found
}
