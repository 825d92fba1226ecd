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

  /// Of the first and the last 10 ms of a track, the lesser.
  private func edges(of name: String, _ track: String = "a:0", like source: String) throws -> Double {
    let (made, wanted) = (try samples(folder.file(name), track), try samples(source))
    return min(likeness(made, wanted, 0..<480), likeness(made, wanted, wanted.count - 480..<wanted.count))
  }

  private func still() throws -> String {
    try folder.make("v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264 -pix_fmt yuv420p")
  }

  @Test(
    "In mp4 and mov the sound is there from its first to its last sample, the new one and the kept one, and as long as the picture",
    arguments: [
      ("out.mp4", "aac", 8_000), ("out.mp4", "aac", 44_100), ("out.mov", "aac", 48_000), ("out.mp4", "opus", 48_000),
    ])
  func edges(name: String, codec: String, rate: Int) throws {
    let sound = try folder.noise(rate: rate)
    let stored = codec == "aac" ? "aac" : "libopus"
    let video = try folder.make(
      "own.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i @noise.wav -c:v libx264 -pix_fmt yuv420p -c:a \(stored)"
    )
    let outcome = try dub(video, sound, name, "--audio-codec", codec, "--keep")
    #expect(outcome.status == 3, "\(outcome.err)")
    for track in ["a:0", "a:1"] {
      #expect(try edges(of: name, track, like: sound) > 0.6, "\(track)")
      let times = try probe(folder.file(name), track, "start_time,duration").compactMap(Double.init)
      #expect(times.count == 2 && abs(times[0]) < 0.001 && abs(times[1] - 1) < 0.001, "\(times)")
    }
    #expect(try probe(folder.file(name), "", "duration") == ["1.000000"])
  }

  @Test(
    "Sound from mp4 is heard from its first to its last sample, also where an editor trimmed its beginning",
    arguments: [
      ("a.m4a", "-c:a aac", 8_000), ("a.m4a", "-c:a aac", 48_000), ("a.mp4", "-c:a libmp3lame", 48_000),
      ("a.mp4", "-c:a libopus", 48_000),
    ])
  func wholeSound(name: String, codec: String, rate: Int) throws {
    let noise = try folder.noise(rate: rate)
    let sound = try folder.noise(name, rate: rate, by: codec)
    #expect(try dub(still(), sound, "out.mkv", "--audio-codec", "flac").status == 3)
    #expect(try edges(of: "out.mkv", like: noise) > 0.6)
    // Copied, the packets before stay in the file, and its edit list says where it begins.
    let trimmed = try folder.make("trimmed.mp4", by: "-ss 0.8 -i @\(name) -c copy")
    let end = try folder.make("end.wav", by: "-ss 0.8 -i @noise.wav")
    #expect(try dub(still(), trimmed, "out.mkv", "--audio-codec", "flac").status == 3)
    let (heard, wanted) = (try samples(folder.file("out.mkv")), try samples(end))
    #expect(likeness(heard, wanted, wanted.count - 960..<wanted.count) > 0.6)
  }

  @Test(
    "Of a part, a kept sound is as it was from its first sample on",
    arguments: [
      ("aac", "out.mp4", 0.52), ("aac", "out.mov", 0.52), ("libopus", "out.mp4", 0.52), ("ac3", "out.mp4", 0.52),
      ("aac", "out.mp4", 0.64),  // where a packet begins
    ])
  func partOfKept(codec: String, output: String, from: Double) throws {
    let noise = try folder.noise()
    let video = try folder.make(
      "v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i @noise.wav -c:v libx264 -c:a \(codec)")
    let outcome = try dub(video, noise, output, "--keep", "--from", "\(from)")
    #expect(outcome.status == 3, "\(outcome.err)")
    let (kept, stored) = (
      try samples(folder.file(output), "a:1"), Array(try samples(noise).dropFirst(Int(from * 48_000)))
    )
    #expect(likeness(kept, stored, 0..<480) > 0.6 && likeness(kept, stored, 0..<stored.count - 960) > 0.6)
    let times = try probe(folder.file(output), "a:1", "start_time,duration").compactMap(Double.init)
    #expect(times.count == 2 && abs(times[0]) < 0.001 && abs(times[1] - (1 - from)) < 0.03, "\(times)")
  }

  @Test(
    "What of a kept sound cannot be kept at the beginning of a part is named",
    arguments: ["mkv", "ts", "mp4"],
    [("aac", 0.52), ("ac3", 0.52), ("aac", 0.64)])
  func lateKept(ending: String, sound: (codec: String, from: Double)) throws {
    let video = try folder.make(
      "v.mp4",
      by:
        "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i \(try folder.noise()) -c:v libx264 -c:a \(sound.codec)"
    )
    let outcome = try dub(
      video, try folder.tone(), "out.\(ending)", "--keep", "--from", "\(sound.from)")
    #expect(outcome.status == 3, "\(outcome.err)")
    let named = outcome.err.firstMatch(
      of: /the first (0\.\d+) s of its (AAC|AC-3) sound are left out/)?.1
    let out = folder.file("out.\(ending)")
    let gap = try #require(frameTimes(out, "a:1").first) - #require(frameTimes(out).first)
    #expect(abs(gap - (named.flatMap { Double($0) } ?? 0)) < 0.01, "\(gap) \(outcome.err)")
    #expect(named == nil || ending != "mp4" && sound.from == 0.52, "\(outcome.err)")
  }

  @Test("A kept sound that ends shortly before the part is no fault")
  func keptBeforePart() throws {
    let noise = try folder.noise()
    let video = try folder.make(
      "v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i @noise.wav -af atrim=end=0.5 -c:v libx264 -c:a aac")
    let outcome = try dub(video, noise, "out.mp4", "--keep", "--from", "0.56")
    #expect(outcome.status == 3, "\(outcome.err)")
  }

  @Test(
    "Opus stays whole and in place, the new one and the kept one, from and to every container that holds it",
    arguments: [
      ("mp4", "mkv"), ("mp4", "webm"), ("mp4", "ts"), ("mkv", "mp4"), ("webm", "ts"), ("ts", "mp4"), ("ts", "mkv"),
      ("ts", "ts"),
    ])
  func opusInPlace(from: String, to: String) throws {
    let noise = try folder.noise()
    let codec = from == "webm" ? "libvpx" : "libx264"
    let video = try folder.make(
      "v.\(from)",
      by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i @noise.wav -c:v \(codec) -pix_fmt yuv420p -c:a libopus")
    let words = to == "webm" ? ["--video-codec", "vp9"] : []
    let outcome = try run(
      tool,
      [
        "dub", "--once", "--video", video, "--audio", noise, "-o", folder.file("out.\(to)"), "--audio-codec", "opus",
        "--keep",
      ] + words)
    #expect(outcome.status == 3, "\(outcome.err)")
    let wanted = try samples(noise)
    let place = try delay(video, "a:0", like: wanted)
    for track in ["a:0", "a:1"] {
      let made = folder.file("out.\(to)")
      #expect(try probe(made, track, "codec_name") == ["opus"])
      #expect(abs(try delay(made, track, like: wanted) - place) < 0.001, "\(track)")
      #expect(try samples(made, track).count >= 48_000)
    }
  }

  @Test("What a sound's file says of itself is not said of the video, but its language", arguments: ["mp4", "mkv"])
  func soundTags(ending: String) throws {
    let sound = try folder.tone("a.m4a", by: "-metadata title=Take -metadata artist=Voice -metadata:s:a language=fra")
    let out = "out.\(ending)"
    #expect(try dub(try folder.picture(frames: 25), sound, out).status == 3)
    let told = try run(ffmpeg, ["-v", "error", "-i", folder.file(out), "-f", "ffmetadata", "-"]).out
    #expect(!told.contains("Take") && !told.contains("Voice"), "\(told)")
    let words = ["-v", "error", "-select_streams", "a:0", "-show_entries", "stream_tags=language", "-of", "csv=p=0"]
    #expect(try run(ffprobe, words + [folder.file(out)]).out.hasPrefix("fr"), "\(told)")
  }

  @Test("Opus is heard from its first to its last sample", arguments: ["mkv", "webm", "ts", "opus"])
  func wholeOpus(ending: String) throws {
    let noise = try folder.noise()
    let sound = try folder.noise("a.\(ending)", by: "-c:a libopus")
    #expect(try dub(still(), sound, "out.mkv", "--audio-codec", "flac").status == 3)
    #expect(try edges(of: "out.mkv", like: noise) > 0.6)
    #expect(try samples(folder.file("out.mkv")).count == 48_000)
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

  @Test(
    "A kept track that has nothing in the part, or only what comes before, is named, and where that can be left out",
    arguments: ["mp4", "mov", "mkv", "ts"])
  func emptyTracks(ending: String) throws {
    try "1\n00:00:00,100 --> 00:00:00,200\nHello\n".write(
      toFile: folder.file("s.srt"), atomically: true, encoding: .utf8)
    let sounds = ["0.2", "0.48", "0.9"].map { "-f lavfi -i sine=d=\($0)" }.joined(separator: " ")
    let video = try folder.make(
      "v.mp4",
      by:
        "-f lavfi -i testsrc2=s=128x96:r=25:d=1 \(sounds) -i @s.srt -map 0 -map 1 -map 2 -map 3 -map 4 -c:v libx264 -c:a aac -c:s mov_text"
    )
    let outcome = try dub(video, try folder.tone(), "out.\(ending)", "--keep", "--from", "0.52")
    #expect(outcome.status == 3, "\(outcome.err)")
    let fate = ending == "ts" ? "empty" : "left out"
    #expect(
      outcome.err.contains("2 tracks of its AAC sound have nothing in the part, and are \(fate)"), "\(outcome.err)")
    let probed = try run(
      ffprobe, ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", folder.file("out.\(ending)")])
    let kinds = Set(probed.out.split(separator: "\n").enumerated().map { "\($0.offset) \($0.element)" })
    #expect(ending == "ts" || kinds == ["0 video", "1 audio", "2 audio"], "\(kinds)")
    let packets = try run(
      ffprobe,
      [
        "-v", "error", "-select_streams", ending == "ts" ? "a:3" : "a:1", "-show_entries", "packet=pts_time", "-of",
        "csv=p=0", folder.file("out.\(ending)"),
      ])
    #expect(packets.out.split(separator: "\n").count > 10, "\(packets.out)")
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

  @Test("A file may say anything of what is left out of Opus")
  func hostileDelay() throws {
    let sound = try folder.tone()
    let path = try folder.make(
      "v.mkv",
      by: "-f lavfi -i testsrc2=s=256x192:r=25:d=3 -f lavfi -i sine=d=3:r=48000 -c:v libx264 -c:a libopus "
        + "-output_ts_offset 1200000 -cluster_time_limit 500")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    // CodecDelay and SeekPreRoll become a CodecDelay of 10^15 ns and nothing.
    let usual = try #require(bytes.range(of: Data([0x56, 0xAA, 0x83, 0x63, 0x2E, 0xA0, 0x56, 0xBB, 0x84])))
    let hostile = [0x56, 0xAA, 0x88, 0, 0x03, 0x8D, 0x7E, 0xA4, 0xC6, 0x80, 0, 0xEC, 0x80] as [UInt8]
    bytes.replaceSubrange(usual.lowerBound..<usual.lowerBound + hostile.count, with: hostile)
    // The first two of its clusters' times, 12 * 10^8 ms and more, become 0 and more.
    for _ in 0..<2 {
      let time = try #require(bytes.range(of: Data([0xE7, 0x84, 0x47]))).lowerBound + 2
      let late = bytes[time..<time + 4].reduce(0) { $0 << 8 | Int($1) } - 1_200_000_000
      bytes.replaceSubrange(time..<time + 4, with: [0, 0, UInt8(late >> 8), UInt8(late & 255)])
    }
    try bytes.write(to: URL(fileURLWithPath: path))
    for name in ["o.mkv", "o.mp4", "o.ts"] {
      let outcome = try dub(path, sound, name, "--keep", "--to", "4")
      #expect(outcome.status < 128, "\(name): \(outcome.status) \(outcome.err)")
    }
  }
}
