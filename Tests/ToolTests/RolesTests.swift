// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What kept tracks are for, and what their files say of them.
@Suite(.serialized) struct RolesTests {
  private let folder: Folder
  private let sound: String

  init() throws {
    folder = try Folder()
    sound = try folder.tone()
    try "1\n00:00:00,100 --> 00:00:00,300\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nBye\n".write(
      toFile: folder.file("s.srt"), atomically: true, encoding: .utf8)
  }

  private func dub(_ video: String, _ name: String, _ options: String...) throws -> Outcome {
    let words = ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name), "--keep"]
    return try run(tool, words + options)
  }

  private static let picture = "-f lavfi -i testsrc2=s=128x96:r=25:d=1"

  /// Of each stream: whether it is default, and whether it is forced.
  private func roles(_ name: String) throws -> [String] {
    let fields = "stream_disposition=default,forced"
    let told = try run(
      ffprobe, ["-v", "error", "-show_entries", fields, "-of", "compact=p=0:nk=1", folder.file(name)])
    return told.out.split(separator: "\n").map { String($0.prefix(3)) }
  }

  @Test(
    "Of the sounds the new one alone is played unasked; which subtitles are, or are forced, and titles stay or are named",
    arguments: ["mkv", "mp4", "mov"])
  func stay(ending: String) throws {
    let long = String(repeating: "x", count: 300)
    let video = try folder.make(
      "v.mkv",
      by:
        "\(Self.picture) -i @tone.wav -i @tone.wav -i @s.srt -i @s.srt -i @s.srt -map 0 -map 1 -map 2 -map 3 -map 4 -map 5 "
        + "-c:v libx264 -c:a aac -c:s srt -metadata:s:a:0 title=Director -metadata:s:s:2 title=\(long) "
        + "-disposition:a:0 default -disposition:s:0 default -disposition:s:1 forced -disposition:s:2 forced+hearing_impaired"
    )
    let outcome = try dub(video, "out.\(ending)")
    #expect(outcome.status == 3, "\(outcome.err)")
    let isForced = ending == "mkv" ? 1 : 0
    #expect(try roles("out.\(ending)") == ["1|0", "1|0", "0|0", "0|0", "1|0", "0|\(isForced)", "0|\(isForced)"])
    #expect(try decodedFrames(folder.file("out.\(ending)")) == 25)
    let told = try run(ffprobe, ["-v", "error", "-show_entries", "stream_tags=title", folder.file("out.\(ending)")])
    for title in ["Director", long] {
      #expect(told.out.contains("=\(title)\n") == (ending == "mkv"), "\(told.out)")
    }
    #expect(
      outcome.err.contains("the titles of its tracks are left out: Director, \(long)\n") == (ending != "mkv"),
      "\(outcome.err)")
    #expect(outcome.err.contains("are forced, which only mkv can say") == (ending != "mkv"), "\(outcome.err)")
    #expect(outcome.err.contains("that some of its tracks are for the hard of hearing is left out"), "\(outcome.err)")
  }

  @Test("Of more forced tracks than the header has room for, the rest is named, and none becomes default")
  func crowd() throws {
    let tracks = 24
    let inputs = Array(repeating: "-map 1", count: tracks).joined(separator: " ")
    let titles = (0..<tracks).map { "-metadata:s:s:\($0) title=\(String(repeating: "x", count: 150))" }
    let video = try folder.make(
      "v.mkv",
      by:
        "\(Self.picture) -i @s.srt -map 0 \(inputs) -c:v libx264 -c:s srt -disposition:s forced \(titles.joined(separator: " "))"
    )
    let outcome = try dub(video, "out.mkv")
    #expect(outcome.status == 3, "\(outcome.err)")
    let roles = try roles("out.mkv").dropFirst(2)
    #expect(roles.count == tracks && roles.allSatisfy { $0.hasPrefix("0|") }, "\(roles)")
    let unsaid = roles.count { $0 == "0|0" }
    #expect(unsaid > 0 && outcome.err.contains("no room to say of \(unsaid) of its forced tracks"), "\(outcome.err)")
  }

  @Test("QuickTime's subtitles keep their roles beside its chapters, which are no subtitles")
  func quickTime() throws {
    try ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n".write(
      toFile: folder.file("m.txt"), atomically: true, encoding: .utf8)
    let video = try folder.make(
      "v.mov",
      by:
        "\(Self.picture) -i @s.srt -i @s.srt -i @m.txt -map 0 -map 1 -map 2 -map_chapters 3 -c:v libx264 -c:s mov_text "
        + "-disposition:s:0 0 -disposition:s:1 default")
    for name in ["out.mkv", "out.mp4"] {
      let outcome = try dub(video, name)
      #expect(outcome.status == 3 && !outcome.err.contains("are not known"), "\(outcome.err)")
      #expect(try roles(name) == ["1|0", "1|0", "0|0", "1|0"], "\(name)")
    }
  }

  @Test("A track that lasts less than a fifth of the picture is kept too")
  func shortTrack() throws {
    let video = try folder.make(
      "v.mp4",
      by: "\(Self.picture) -f lavfi -i sine=d=0.04 -f lavfi -i sine=d=1 -map 0 -map 1 -map 2 -c:v libx264 -c:a aac")
    for name in ["out.mkv", "out.mp4"] {
      let outcome = try dub(video, name)
      #expect(outcome.status == 3 && !outcome.err.contains("are not known"), "\(outcome.err)")
      #expect(try probe(folder.file(name), "a:1", "codec_name") == ["aac"])
      #expect(try probe(folder.file(name), "a:2", "codec_name") == ["aac"])
    }
  }

  @Test("WebVTT in Matroska, which no container is given, is named")
  func webVTT() throws {
    let video = try folder.make(
      "v.mkv", by: "\(Self.picture) -i @s.srt -i @s.srt -map 0 -map 1 -map 2 -c:v libx264 -c:s:0 srt -c:s:1 webvtt")
    let outcome = try dub(video, "out.mkv")
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(
      outcome.err.contains("subtitles of a kind that GStreamer does not know, a stream of which is left out\n"),
      "\(outcome.err)")
    #expect(try probe(folder.file("out.mkv"), "s", "codec_name") == ["subrip"])
  }

  @Test("A file from the web is a file like others, to the roles of its tracks and the end of its sound")
  func url() throws {
    _ = try folder.make("v.mp4", by: "\(Self.picture) -i @tone.wav -c:v libx264 -c:a aac")
    let (server, out) = (Process(), Pipe())
    (server.executableURL, server.arguments, server.standardOutput) = (
      tool, ["preview", folder.path, "--port", "0"], out
    )
    try server.run()
    defer {
      server.terminate()
      server.waitUntilExit()
    }
    let page = String(decoding: out.fileHandleForReading.availableData, as: UTF8.self)
    let outcome = try dub(page.trimmingCharacters(in: .whitespacesAndNewlines) + "media/v.mp4", "out.mkv")
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(!outcome.err.contains("are not known"), "\(outcome.err)")
    #expect(try dub(folder.file("v.mp4"), "local.mkv").status == 3)
    #expect(try roles("out.mkv") == roles("local.mkv"))
    #expect(try samples(folder.file("out.mkv"), "a:1") == samples(folder.file("local.mkv"), "a:1"))
  }

  @Test("A title forges no line, in dub and inspect")
  func forgery() throws {
    let plain = try folder.make(
      "plain.mkv", by: "\(Self.picture) -i @s.srt -map 0 -map 1 -c:v libx264 -c:s srt")
    let (video, title) = (folder.file("v.mkv"), "Two\nWarning: forged\u{1B}[31m\u{2028}red")
    _ = try run(
      ffmpeg, ["-v", "error", "-i", plain, "-map", "0", "-c", "copy", "-metadata:s:s:0", "title=\(title)", video])
    let outcome = try dub(video, "out.mp4")
    let told = try run(tool, ["inspect", "--no-faces", "--keep", "--container", "mp4", video])
    for text in [outcome.err, told.out] {
      #expect(text.contains("Two Warning: forged [31m red"), "\(text)")
    }
  }

  @Test("A Matroska header of millions of empty elements is not read to its end")
  func hostile() throws {
    let plain = try folder.make("plain.mkv", by: "\(Self.picture) -c:v libx264")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: plain))
    // A segment of unknown size that begins with them.
    let segment = try #require(bytes.range(of: Data([0x18, 0x53, 0x80, 0x67]))).lowerBound
    let voids = [[UInt8]](repeating: [0xEC, 0x80], count: 20_000_000).joined()
    bytes.replaceSubrange(
      segment..<segment + 12, with: [0x18, 0x53, 0x80, 0x67, 1] + [UInt8](repeating: 0xFF, count: 7) + voids)
    try bytes.write(to: URL(fileURLWithPath: folder.file("v.mkv")))
    let began = ContinuousClock.now
    #expect(try syncdiff("inspect", "--no-faces", folder.file("v.mkv")).status == 0)
    #expect(ContinuousClock.now - began < .seconds(8))
  }
}
