// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What muxers get wrong of a sound.
@Suite(.serialized) struct TrackTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func dub(_ video: String, _ audio: String, _ name: String, _ options: String...) throws -> Outcome {
    try run(tool, ["dub", "--once", "--video", video, "--audio", audio, "-o", folder.file(name)] + options)
  }

  @Test(
    "A kept sound ends where it did, though Matroska does not say how long its last packet lasts",
    arguments: [("aac", "mp4"), ("aac", "mov"), ("libopus", "mp4")])
  func lastPacket(codec: String, ending: String) throws {
    let video = try folder.make(
      "v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=d=1:r=48000 -c:v libx264 -c:a \(codec)")
    #expect(try dub(video, try folder.tone(), "out.\(ending)", "--keep").status == 3)
    func samples(_ path: String, _ track: String) throws -> Int {
      let raw = folder.file("raw")
      _ = try run(
        ffmpeg, ["-nostdin", "-v", "error", "-y", "-i", path, "-map", "0:\(track)", "-f", "s16le", raw])
      return try Data(contentsOf: URL(fileURLWithPath: raw)).count / 2
    }
    let (stored, kept) = (try samples(video, "a:0"), try samples(folder.file("out.\(ending)"), "a:1"))
    // The muxer rounds to milliseconds; in mp4 what is to be left out of Opus' last packet cannot be said.
    #expect(kept >= stored - 48 && kept <= stored + 960, "\(kept) of \(stored)")
  }

  @Test("What mov cannot say of PCM's rate is resampled, and not kept", arguments: [44_100, 64_000, 88_200, 192_000])
  func fastPCM(rate: Int) throws {
    let sound = try folder.tone(rate: rate)
    let video = try folder.make(
      "v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i \(sound) -c:v libx264 -c:a pcm_s16le")
    let outcome = try dub(video, sound, "out.mov", "--keep", "--audio-codec", "pcm")
    #expect(outcome.status == 3, "\(outcome.err)")
    let isFast = rate > 65535
    #expect(try probe(folder.file("out.mov"), "a:0", "sample_rate") == ["\(isFast ? 48_000 : rate)"])
    #expect(try probe(folder.file("out.mov"), "a:1", "sample_rate") == [isFast ? "" : "\(rate)"])
    #expect(outcome.err.contains("its \(rate) Hz become 48000 Hz") == isFast, "\(outcome.err)")
    let misfit = "mov does not hold PCM sound above 65535 Hz, a stream of which is left out; mkv keeps it"
    #expect(outcome.err.contains(misfit) == isFast, "\(outcome.err)")
    let length = try #require(Double(try probe(folder.file("out.mov"), "a:0", "duration")[0]))
    #expect(abs(length - 1) < 0.01, "\(length)")
    #expect(try dub(video, sound, "out.mkv", "--keep", "--audio-codec", "pcm").status == 3)
    #expect(try probe(folder.file("out.mkv"), "a:0", "sample_rate") == ["\(rate)"])
  }

  @Test("Opus in mp4 begins with the sound, the new one and the kept one", arguments: ["mkv", "mp4"])
  func opusHeader(ending: String) throws {
    let tone = try folder.make("t.wav", by: "-f lavfi -i sine=f=440:r=48000:d=0.6")
    let video = try folder.make(
      "v.\(ending)", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=0.6 -i \(tone) -c:v libx264 -c:a libopus")
    let out = folder.file("a.mp4")
    let outcome = try dub(video, tone, "a.mp4", "--audio-codec", "opus", "--keep")
    #expect(outcome.status == 3, "\(outcome.err)")
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: out)))
    let headers = bytes.indices.dropLast(16).filter { Array(bytes[$0..<$0 + 4]) == Array("dOps".utf8) }
    #expect(headers.count == 2)
    func number(_ place: Int, _ count: Int) -> Int {
      bytes.dropFirst(place).prefix(count).reduce(0) { $0 << 8 | Int($1) }
    }
    #expect(headers.map { number($0 + 8, 4) } == [48_000, 48_000])
    // GStreamer 1.22 does not read it from mp4.
    let skips = headers.map { number($0 + 6, 2) }
    #expect(skips == [312, ending == "mkv" ? 312 : 0] || skips == [312, 312], "\(skips)")
    #expect(try onset(out) < 0.03)
    #expect(try decodedFrames(out) == 15)
  }
}
