// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// One picture dubbed in several stretches at the same time.
@Suite(.serialized) struct StretchTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func dub(_ video: String, _ name: String, _ options: String...) throws -> Outcome {
    try run(
      tool,
      ["dub", "--video", video, "--audio", folder.file("tone.wav"), "-o", folder.file(name), "--steps", "1"] + options)
  }

  /// Two scenes of 2.8 s, in each the portrait, 10 frames a second.
  private func scenes(_ name: String, by codec: String = "-c:v ffv1") throws -> String {
    let still = "-loop 1 -r 10 -t 2.8 -i \(portrait)"
    let graph =
      "[0]scale=240:240,pad=400:240:0:0:blue[a];[1]scale=240:240,pad=400:240:160:0:white[b];[a][b]concat,format=yuv420p"
    return try folder.make(name, by: "\(still) \(still) -filter_complex \(graph) \(codec)")
  }

  /// Checksums of the frames or the sound with their times, as FFmpeg decodes them.
  private func decoded(_ path: String, _ stream: String) throws -> [String] {
    let decoded = try run(
      ffmpeg, ["-nostdin", "-v", "error", "-i", path, "-map", "0:\(stream):0", "-f", "framemd5", "-"])
    try #require(decoded.status == 0, "\(decoded.err)")
    return decoded.out.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
  }

  @Test(
    "From scene to scene all frames and the sound are those that one stretch gives, also of a part, and every frame counts once"
  )
  func scenes() throws {
    _ = try folder.tone(seconds: 7, rate: 44_100)
    let video = try scenes("v.mkv")
    for part in [["--once"], ["--from", "0.45", "--to", "5.15"]] {
      var made: [[[String]]] = []
      for jobs in ["1", "2"] {
        let words = ["--jobs", jobs, "--video-codec", "ffv1", "--audio-codec", "flac", "--json"] + part
        let outcome = try run(
          tool,
          [
            "dub", "--video", video, "--audio", folder.file("tone.wav"), "-o", folder.file("\(jobs).mkv"), "--steps",
            "1",
          ] + words)
        #expect(outcome.status == 0, "\(outcome.err)\(outcome.out)")
        let frames = try decoded(folder.file("\(jobs).mkv"), "v")
        #expect(outcome.out.contains("\"painted\":\(frames.count),"), "\(outcome.out)")
        made.append([frames, try decoded(folder.file("\(jobs).mkv"), "a")])
      }
      #expect(made[0][0].count >= 46 && made[0][0] == made[1][0])
      #expect(made[0][1] == made[1][1])
    }
    let told = try dub(video, "two.mp4", "--jobs", "2", "--once")
    #expect(told.err.contains("in 2 stretches, parted at 2.76"), "\(told.err)")
    #expect(try decodedFrames(folder.file("two.mp4")) == 56 && folder.litter.isEmpty)
  }

  @Test(
    "Stretches are joined in every codec, with timestamps as they were, and what else the file holds",
    arguments: [
      ("a.mp4", "h264"), ("a.mp4", "hevc"), ("a.mov", "hevc"), ("a.mov", "prores"), ("a.webm", "vp9"), ("a.ts", "h264"),
      ("a.mp4", "av1"),
    ])
  func codecs(name: String, codec: String) throws {
    _ = try folder.tone(seconds: 7)
    let video = try folder.make(
      "v.mov",
      by:
        "-f lavfi -i color=red:s=128x96:r=25:d=3 -f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i sine=f=900:d=6 "
        + "-filter_complex [0][1]concat,format=yuv420p[v] -map [v] -map 2:a -c:v libx264 -c:a aac -timecode 10:00:00:00"
    )
    let words = ["--jobs", "2", "--once", "--keep", "--mix-original", "-6", "--video-codec", codec]
    let outcome = try run(
      tool, ["dub", "--video", video, "--audio", folder.file("tone.wav"), "-o", folder.file(name)] + words)
    #expect(outcome.status == 3 && outcome.err.contains("in 2 stretches"), "\(outcome.err)")
    #expect(try decodedFrames(folder.file(name)) == 150)
    if let tag = ["h264": "avc1", "hevc": "hvc1"][codec], !name.hasSuffix("ts") {
      #expect(try probe(folder.file(name), "v:0", "codec_tag_string") == [tag])
    }
    let times = try frameTimes(folder.file(name))
    let first = try #require(times.first)
    for (index, time) in times.enumerated() { #expect(abs(time - first - Double(index) / 25) < 0.0015) }
    let length = try #require(Double(try probe(folder.file(name), "", "duration")[0]))
    #expect((5.9...6.2).contains(length), "\(length)")
    if name.hasSuffix("mov") { #expect(try startTimecode(folder.file(name)) == "10:00:00:00") }
  }

  @Test(
    "Within a scene only what is known of the face allows it; what cannot be parted is dubbed in one stretch, and says so"
  )
  func one() throws {
    _ = try folder.tone(seconds: 6)
    let face = try folder.face(frames: 120)
    #expect(try dub(face, "a.mp4", "--jobs", "2").err.contains("in 2 stretches, parted at 2.38"))
    #expect(try decodedFrames(folder.file("a.mp4")) == 120)
    #expect(try dub(face, "a.mp4", "--jobs", "2", "--once").err.contains("in one stretch: no scene begins"))
    #expect(try dub(portrait, "a.mp4", "--jobs", "2").err.contains("in one stretch: it is a photo"))
    for words in [["--jobs", "0"], ["--jobs", "2", "--compare"], ["--jobs", "2", "--extend", "loop"]] {
      let refused = try run(tool, ["dub", "--video", face, "--audio", face, "-o", folder.file("b.mp4")] + words)
      #expect(refused.status == 64 && refused.err.contains("--jobs"), "\(refused.err)")
    }
  }

  /// The folders in which a dub keeps temporary files, seen while it runs.
  private func folders(_ words: [String], _ environment: [String: String]) throws -> Set<String> {
    let process = Process()
    process.executableURL = tool
    process.arguments = words + ["--once", "--no-sign", "--steps", "1", "--quiet"]
    process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "TMPDIR" }.merging(environment) { $1 }
    try process.run()
    var folders: Set<String> = []
    let open = "/proc/\(process.processIdentifier)/fd"
    while process.isRunning {
      for name in (try? FileManager.default.contentsOfDirectory(atPath: open)) ?? [] {
        let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(open)/\(name)")) ?? ""
        guard target.hasSuffix(" (deleted)"), target.hasPrefix("/") else { continue }
        folders.insert((target as NSString).deletingLastPathComponent)
      }
      Thread.sleep(forTimeInterval: 0.005)
    }
    #expect(process.terminationStatus == 0)
    return folders
  }

  @Test(
    "What a dub keeps for a while lies beside the output or where TMPDIR says; without room the error names the folder")
  func room() throws {
    let (out, other) = (folder.file("out"), folder.file("other"))
    for path in [out, other] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    _ = try folder.tone(seconds: 7)
    let (video, short, codec) = (try scenes("v.mkv"), try folder.face(frames: 30), ["--video-codec", "ffv1"])
    for words in [["--video", video, "--jobs", "2"] + codec, ["--video", short, "--extend", "loop"]] {
      let dub = ["dub", "--audio", folder.file("tone.wav"), "-o", "\(out)/a.mkv"] + words
      #expect(try folders(dub, [:]) == [out])
      #expect(try folders(dub, ["TMPDIR": other]) == [other])
      for path in [out, other] {
        #expect(try !FileManager.default.contentsOfDirectory(atPath: path).contains { $0.hasPrefix(".") })
      }
      // No file may become larger than 64 kB.
      let shell = "trap '' XFSZ; ulimit -f 64; TMPDIR=$0 exec \"$@\""
      for (place, why) in [(other, ""), ("/none", "No such file")] {
        let full = try run(URL(fileURLWithPath: "/bin/bash"), ["-c", shell, place, tool.path] + dub + ["--once"])
        #expect(full.status == 73 && full.err.contains("cannot keep data in \(place)/: \(why)"), "\(full.err)")
        #expect(full.err.contains("TMPDIR"))
      }
    }
  }

  @Test("A signal leaves what joins, and a fault in one stretch ends all")
  func endings() throws {
    _ = try folder.tone(seconds: 120)
    let video = try folder.make(
      "v.mp4",
      by:
        "-f lavfi -i color=red:s=128x96:r=50:d=60 -f lavfi -i testsrc2=s=128x96:r=50:d=60 "
        + "-filter_complex [0][1]concat,format=yuv420p -c:v libx264 -preset ultrafast")
    let words = [
      "dub", "--video", video, "--audio", folder.file("tone.wav"), "-o", folder.file("a.mp4"), "--once", "--jobs", "2",
    ]
    let outcome = try run(
      tool, words + ["--json"], signal: (SIGINT, at: .printed(#""share":0\.[1-4]\d*,"stage":"dub""#)))
    #expect(outcome.status == 130 && outcome.err.contains("interrupted"), "\(outcome.err)")
    let frames = try #require(try decodedFrames(folder.file("a.mp4")))
    #expect(frames > 0 && frames < 6000)
    let bad = try run(tool, words + ["--model", folder.file("none")])
    #expect(bad.status == 66 && bad.err.contains(folder.file("none")), "\(bad.err)")
    #expect(folder.litter.isEmpty)
  }

  @Test(
    "A signal at any time leaves a file that plays, or none, with more stretches than processors",
    arguments: ["0", #"0\.2\d*"#, #"0\.4\d*"#])
  func soon(share: String) throws {
    _ = try folder.tone(seconds: 60)
    let scene = { (_: Int) in "-f lavfi -i color=red:s=128x96:r=50:d=5 -f lavfi -i testsrc2=s=128x96:r=50:d=5 " }
    let video = try folder.make(
      "v.mp4",
      by: (0..<4).map(scene).joined()
        + "-filter_complex [0][1][2][3][4][5][6][7]concat=n=8,format=yuv420p -c:v libx264 -preset ultrafast")
    let output = folder.file("a.mp4")
    let words = [
      "dub", "--video", video, "--audio", folder.file("tone.wav"), "-o", output, "--once", "--jobs", "8", "--json",
    ]
    let outcome = try run(
      tool, words, signal: (SIGINT, at: .printed(#""share":\#(share),"stage":"dub""#)))
    #expect(outcome.status == 130, "\(outcome.err)")
    if FileManager.default.fileExists(atPath: output) { #expect(try decodedFrames(output) ?? 0 > 0) }
    #expect(folder.litter.isEmpty)
  }
}
