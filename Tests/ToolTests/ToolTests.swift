// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The tool as its user meets it: the built program, its output, its exit code.

import Foundation
import Testing

/// What a program said and how it ended.
struct Outcome {
  let status: Int32
  let out, err: String
}

/// The built `syncdiff` lies beside the test bundle.
let tool = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
  .deletingLastPathComponent().appendingPathComponent("syncdiff")

private let launch = URL(fileURLWithPath: "/usr/bin/gst-launch-1.0")

let portrait = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .appendingPathComponent("../../meta/sample/portrait.jpg").standardizedFileURL.path

/// When a program gets a signal.
enum Cue {
  case seconds(Double)
  /// As soon as it has printed what this regular expression is of.
  case printed(String)
}

func run(_ program: URL, _ arguments: [String], signal: (Int32, at: Cue)? = nil) throws -> Outcome {
  let process = Process()
  process.executableURL = program
  process.arguments = arguments
  let (out, err) = (Pipe(), Pipe())
  (process.standardOutput, process.standardError) = (out, err)
  try process.run()
  var printed = Data()
  if let signal {
    switch signal.at {
    case .seconds(let seconds): Thread.sleep(forTimeInterval: seconds)
    case .printed(let pattern):
      while String(decoding: printed, as: UTF8.self).range(of: pattern, options: .regularExpression) == nil {
        let more = out.fileHandleForReading.availableData
        guard !more.isEmpty else { break }
        printed += more
      }
    }
    kill(process.processIdentifier, signal.0)
  }
  printed += out.fileHandleForReading.readDataToEndOfFile()
  let said = err.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return Outcome(
    status: process.terminationStatus, out: String(decoding: printed, as: UTF8.self),
    err: String(decoding: said, as: UTF8.self))
}

func syncdiff(_ arguments: String..., signal: (Int32, at: Cue)? = nil) throws -> Outcome {
  try run(tool, arguments, signal: signal)
}

/// A folder that is gone when the test is over.
final class Folder {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("syncdiff-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }
  func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }
  /// Temporary files that were left behind.
  var litter: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasPrefix(".syncdiff") }) ?? ["no folder"]
  }

  private func make(_ name: String, _ pipeline: String) throws -> String {
    let words = pipeline.split(separator: " ").map(String.init) + ["!", "filesink", "location=\(file(name))"]
    let made = try run(launch, ["-q"] + words)
    try #require(made.status == 0, "\(made.err)")
    return file(name)
  }

  /// 29.97 frames a second, nobody in them.
  func picture(_ name: String = "picture.mp4", frames: Int = 30, size: (Int, Int) = (128, 96)) throws -> String {
    let caps = "video/x-raw,format=I420,width=\(size.0),height=\(size.1),framerate=30000/1001"
    return try make(name, "videotestsrc num-buffers=\(frames) ! \(caps) ! x264enc ! mp4mux")
  }

  /// The sample's portrait, 25 frames a second.
  func face(frames: Int, side: Int = 240) throws -> String {
    let still = "filesrc location=\(portrait) ! jpegdec ! videoconvert ! videoscale ! imagefreeze num-buffers=\(frames)"
    let caps = "video/x-raw,format=I420,width=\(side),height=\(side),framerate=25/1"
    return try make("face.mp4", "\(still) ! \(caps) ! x264enc ! mp4mux")
  }

  func sound(seconds: Int = 1) throws -> String {
    let source = "audiotestsrc num-buffers=\(seconds * 50) samplesperbuffer=882"
    return try make("sound.wav", "\(source) ! audio/x-raw,rate=44100,channels=2 ! wavenc")
  }
}

/// The timestamps of the pictures in an MP4 file, as GStreamer prints them.
private func timestamps(of path: String) throws -> [String] {
  let elements = "! qtdemux name=d d.video_0 ! queue ! fakesink silent=false".split(separator: " ").map(String.init)
  let shown = try run(launch, ["-v", "filesrc", "location=\(path)"] + elements)
  return shown.out.split(separator: "\n").compactMap {
    $0.range(of: "pts: [0-9:.]+", options: .regularExpression).map { [line = $0] range in String(line[range]) }
  }
}

@Suite(.serialized) struct ToolTests {
  @Test("The help names every option and what becomes of the sound of the video")
  func help() throws {
    let help = try syncdiff("dub", "--help")
    #expect(help.status == 0 && help.err.isEmpty)
    let options = [
      "--video", "--audio", "--audio-track", "--cues", "--output", "--container", "--video-codec", "--audio-codec",
      "--crf", "--from", "--to",
      "--deinterlace", "--extend", "--language", "--keep", "--overwrite", "--model", "--presenter", "--preset",
      "--once", "--steps", "--guidance-scale",
      "--strength", "--seed", "--face-select", "--max-faces", "--roi", "--silence", "--lookahead", "--audio-offset",
      "--watermark", "--watermark-key", "--watermark-id", "--sign", "--certificate", "--private-key", "--consent",
      "--label", "--label-corner", "--threads", "--precision", "--quiet", "--json",
    ]
    for option in options { #expect(help.out.contains(option)) }
    #expect(help.out.contains("own sound is dropped"))
    for status in ["0 dubbed", "3 no face found", "4 dubbed", "64 ", "66 ", "70 ", "73 ", "130 ", "143 "] {
      #expect(help.out.replacing("\n", with: " ").contains(status))
    }
    #expect(try syncdiff("--help").out.contains("dub"))
  }

  @Test(
    "Usage errors end with 64",
    arguments: [
      [], ["--strength", "2"], ["--strength", "nan"], ["--steps", "0"], ["--precision", "f7"], ["--threads", "-1"],
      ["--from", "-1"], ["--from", "2", "--to", "1"], ["--from", "1:60"], ["--from", ":5"], ["--to", "1.5:00"],
      ["--to", "00:00:01:12"], ["--from=-0:30"],
      ["--from", "9999999999999:00"], ["--to", "1e18"], ["--crf", "64"], ["--roi", "1,2,3"], ["--container", "avi"],
      ["--lookahead", "26"], ["--audio-offset", "nan"], ["--guidance-scale", "11"], ["--max-faces", "0"],
      ["--cues", "list.csv"], ["--crf", "3", "--bitrate", "100"], ["--profile", "film"], ["--extend", "twice"],
      ["--language", "?"], ["--sheet", "sheet.jpg"], ["-o", "a.png", "--container", "mp4", "--sheet", "a.png"],
    ])
  func usage(option: [String]) throws {
    let complete = option.isEmpty ? [] : ["--video", "a", "--audio", "b", "-o", "c"]
    #expect(try run(tool, ["dub"] + complete + option).status == 64)
  }

  @Test("Files that will not do are one clear line each, and nothing is left behind")
  func badFiles() throws {
    let folder = try Folder()
    let (picture, sound, out) = (try folder.picture(), try folder.sound(), folder.file("out.mp4"))
    let tiny = try folder.picture("tiny.mp4", size: (16, 16))
    let misnamed = folder.file("sound.mkv")
    try FileManager.default.copyItem(atPath: sound, toPath: misnamed)
    try "no media".write(toFile: folder.file("text"), atomically: true, encoding: .utf8)
    try "".write(toFile: folder.file("empty"), atomically: true, encoding: .utf8)
    try FileManager.default.createDirectory(atPath: folder.file("a.folder"), withIntermediateDirectories: false)
    let cases = [
      (folder.file("none"), sound, out, "cannot read \(folder.file("none")): No such file"),
      ("file://\(folder.file("none"))", sound, out, "No such file"),
      (picture, folder.file("none"), out, "cannot read \(folder.file("none")): No such file"),
      (folder.path, sound, out, "not a file"),
      (folder.file("text"), sound, out, "cannot decode \(folder.file("text"))"),
      (folder.file("empty"), sound, out, "cannot decode \(folder.file("empty"))"),
      (sound, sound, out, "has no video stream"),
      (tiny, sound, out, "\(tiny) is 16 x 16; the minimum is 64 x 64"),
      (picture, picture, out, "has no audio stream"),
      (picture, sound, folder.file("nowhere/out.mp4"), "cannot write \(folder.file("nowhere/out.mp4")): No such file"),
      (picture, sound, folder.path, "it is a folder"), (picture, sound, folder.file("a.folder"), "it is a folder"),
      (picture, sound, folder.file("no.folder/"), "it is a folder"),
      (picture, sound, picture, "cannot write \(picture): it is one of the inputs"),
      (picture, misnamed, misnamed, "cannot write \(misnamed): it is one of the inputs"),
    ]
    for (video, audio, output, message) in cases {
      let outcome = try syncdiff("dub", "--video", video, "--audio", audio, "-o", output)
      #expect(outcome.status == (message.contains("cannot write") || message == "it is a folder" ? 73 : 66))
      #expect(outcome.err.contains(message), "\(outcome.err)")
      #expect(outcome.err.split(separator: "\n").count == 1 && outcome.out.isEmpty, "\(outcome.err)")
    }
    #expect(folder.litter.isEmpty && !folder.has("out.mp4"))
  }

  @Test("A model that is not there is one clear line, and an older output stays")
  func badModel() throws {
    let folder = try Folder()
    let (picture, sound, out) = (try folder.picture(), try folder.sound(), folder.file("out.mp4"))
    try "older".write(toFile: out, atomically: true, encoding: .utf8)
    let outcome = try syncdiff(
      "dub", "--video", picture, "--audio", sound, "-o", out, "--model", folder.file("none"))
    #expect(outcome.status == 66 && outcome.err.contains(folder.file("none")))
    let lines = outcome.err.split(separator: "\n").filter { !$0.contains("its time of creation") }
    #expect(lines.count == 1, "\(outcome.err)")
    #expect(try String(contentsOfFile: out, encoding: .utf8) == "older" && folder.litter.isEmpty)
  }

  @Test("Found through PATH, it finds its model")
  func path() throws {
    let folder = try Folder()
    let (picture, sound, out) = (try folder.picture(), try folder.sound(), folder.file("out.mp4"))
    let line = """
      unset SYNCDIFF_MODEL; cd /; PATH="\(tool.deletingLastPathComponent().path):$PATH"
      exec syncdiff dub --video "\(picture)" --audio "\(sound)" -o "\(out)"
      """
    let outcome = try run(URL(fileURLWithPath: "/bin/sh"), ["-c", line])
    #expect(outcome.status == 3, "\(outcome.err)")
  }

  @Test("Frames and timestamps of the picture stay, whether the sound is shorter or longer", arguments: [1, 2, 5])
  func dubs(secondsOfSound: Int) throws {
    let folder = try Folder()
    let (picture, sound, out) = (
      try folder.picture(frames: 60), try folder.sound(seconds: secondsOfSound), folder.file("out.mp4")
    )
    let outcome = try syncdiff("dub", "--video", picture, "--audio", sound, "-o", out)
    #expect(outcome.status == 3 && outcome.out.isEmpty, "\(outcome.err)")
    #expect(outcome.err.contains("60 frames, 0 with a new mouth"))
    #expect(outcome.err.contains("Warning: no face was found in \(picture)"))
    let (before, after) = (try timestamps(of: picture), try timestamps(of: out))
    #expect(before.count == 60 && before == after)
  }

  @Test("Every frame with a face gets a new mouth, and there is no warning then")
  func dubsFace() throws {
    let folder = try Folder()
    let (picture, sound, out) = (try folder.face(frames: 10, side: 256), try folder.sound(), folder.file("out.mp4"))
    for (flags, looks) in [([], true), (["--once"], false)] {
      let arguments = ["dub", "--video", picture, "--audio", sound, "-o", out, "--steps", "1"] + flags
      let outcome = try run(tool, arguments)
      #expect(outcome.status == 0 && outcome.err.contains("10 frames, 10 with a new mouth"), "\(outcome.err)")
      let warnings = outcome.err.split(separator: "\n").filter { $0.hasPrefix("Warning") }
      #expect(warnings.allSatisfy { $0.contains("are cut") }, "\(outcome.err)")
      let line = try Regex(#"Looked through \S+ in \d+\.\d s: \d+ mouths?\."#)
      let isLooked = try outcome.err.split(separator: "\n").contains { try line.wholeMatch(in: $0) != nil }
      #expect(isLooked == looks, "\(outcome.err)")
    }
  }

  @Test(
    "Ctrl-C and SIGTERM leave a playable file, and say which it was",
    arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)])
  func interrupt(signal: Int32, status: Int32) throws {
    let folder = try Folder()
    let (picture, sound, out) = (
      try folder.picture(frames: 8_000), try folder.sound(seconds: 300), folder.file("out.mp4")
    )
    let looking = try syncdiff(
      "dub", "--video", picture, "--audio", sound, "-o", out, "--json",
      signal: (signal, at: .printed(#""stage":"look""#)))
    #expect(looking.status == status && looking.err.contains("interrupted") && !looking.out.contains(#""dub""#))
    #expect(!folder.has("out.mp4") && folder.litter.isEmpty)
    let outcome = try syncdiff(
      "dub", "--video", picture, "--audio", sound, "-o", out, "--once", "--json",
      signal: (signal, at: .printed(#""share":0\.[1-9]"#)))
    #expect(outcome.status == status && outcome.err.contains("interrupted"), "\(outcome.err)")
    let frames = try timestamps(of: out).count
    #expect(frames > 0 && frames < 8_000)
  }

  @Test("A signal ends a short dub at once, too, though all of its file has been read by then")
  func interruptShort() throws {
    let folder = try Folder()
    let (picture, sound, out) = (
      try folder.face(frames: 600, side: 256), try folder.sound(seconds: 30), folder.file("out.mp4")
    )
    let outcome = try syncdiff(
      "dub", "--video", picture, "--audio", sound, "-o", out, "--once", "--json",
      signal: (SIGTERM, at: .printed(#""share":0\.[0-4]\d*,"stage":"dub""#)))
    #expect(outcome.status == 143 && outcome.err.contains("ends early"), "\(outcome.err)")
    let frames = try timestamps(of: out).count
    #expect(frames > 0 && frames < 500, "\(frames)")
  }
}
