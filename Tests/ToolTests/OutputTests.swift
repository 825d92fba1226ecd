// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Where a result goes, and what becomes of what is there.
@Suite(.serialized) struct OutputTests {
  private let folder: Folder
  private let picture, sound: String

  init() throws {
    folder = try Folder()
    (picture, sound) = (try folder.picture(frames: 5), try folder.sound())
  }

  private func dub(_ output: String, _ options: String...) throws -> Outcome {
    try run(tool, ["dub", "--once", "--video", picture, "--audio", sound, "-o", output] + options)
  }

  private func kind(_ path: String) throws -> FileAttributeType? {
    try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
  }

  @Test("A pipe or a device is written to in a streamable container, and refused in another; it stays what it is")
  func special() throws {
    let pipe = folder.file("pipe.mkv")
    try #require(mkfifo(pipe, 0o600) == 0)
    let copy = folder.file("copy.mkv")
    let reader = Process()
    reader.executableURL = URL(fileURLWithPath: "/bin/sh")
    reader.arguments = ["-c", "cat \"\(pipe)\" > \"\(copy)\""]
    try reader.run()
    #expect(try dub(pipe).status == 3)
    reader.waitUntilExit()
    #expect(try decodedFrames(copy) == 5)

    #expect(try dub("/dev/null", "--container", "ts").status == 3)
    for (output, container) in [(pipe, "mp4"), ("/dev/null", "mov"), ("-", "mp4")] {
      let refused = try dub(output, "--container", container)
      #expect(refused.status == 73 && refused.err.contains("--container mkv, webm or ts"), "\(refused.err)")
    }
    let full = try dub("/dev/full", "--container", "mkv")
    #expect(full.status == 73 && full.err.contains("cannot write /dev/full: No space left"), "\(full.err)")
    let unknown = FileAttributeType.typeUnknown
    #expect(try kind(pipe) == unknown && kind("/dev/null") == .typeCharacterSpecial)
    #expect(folder.litter.isEmpty)
  }

  @Test("A sound that is much shorter than the picture is there", arguments: ["out.mp4", "out.mov", "out.mkv"])
  func shortSound(name: String) throws {
    let video = try folder.make("v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -c:v ffv1 -pix_fmt yuv420p")
    let words = ["dub", "--once", "--video", video, "--audio", try folder.tone(seconds: 0.1), "-o", folder.file(name)]
    let outcome = try run(tool, words)
    #expect(outcome.status == 3 && !outcome.err.contains("Error"), "\(outcome.err)")
    let seconds = try run(
      ffprobe,
      [
        "-v", "error", "-select_streams", "a", "-show_entries", "packet=duration_time", "-of", "csv=p=0",
        folder.file(name),
      ]
    )
    .out.split(separator: "\n").compactMap { Double($0.prefix { $0.isNumber || $0 == "." }) }.reduce(0, +)
    #expect(abs(seconds - 0.1) < 0.05, "\(seconds)")
  }

  @Test(
    "Frames that last differently are all shown, when they were",
    arguments: [("out.mp4", "h264"), ("out.mov", "h264"), ("out.mp4", "hevc"), ("out.mkv", "h264")])
  func varying(name: String, codec: String) throws {
    let video = try folder.make(
      "v.mkv",
      by: "-f lavfi -i testsrc2=s=128x96:r=25:d=0.48 -vf setpts=(N*N+3*N)/50/TB -vsync vfr -c:v ffv1 -pix_fmt yuv420p")
    let outcome = try run(
      tool,
      [
        "dub", "--once", "--video", video, "--audio", try folder.tone(), "-o", folder.file(name), "--video-codec",
        codec,
      ])
    #expect(outcome.status == 3, "\(outcome.err)")
    let (wanted, made) = (try frameTimes(video), try frameTimes(folder.file(name)))
    try #require(wanted.count == 12)
    #expect(made.count == 12 && zip(made, wanted).allSatisfy { abs($0 - $1) < 2e-3 }, "\(made), not \(wanted)")
    #expect(try decodedFrames(folder.file(name)) == 12)
  }

  @Test("Standard output takes a streamable container", arguments: ["mkv", "webm", "ts"])
  func standardOutput(container: String) throws {
    let line = "exec \"$0\" \"$@\" > \"\(folder.file("out"))\""
    let words = ["dub", "--once", "--video", picture, "--audio", sound, "-o", "-", "--container", container]
    let outcome = try run(URL(fileURLWithPath: "/bin/sh"), ["-c", line, tool.path] + words)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try decodedFrames(folder.file("out")) == 5)
    #expect(try dub("-").status == 64)
  }

  @Test("A symbolic link is followed, to a file or to none, and stays a link")
  func links() throws {
    try FileManager.default.createDirectory(atPath: folder.file("far"), withIntermediateDirectories: false)
    try "old".write(toFile: folder.file("far/old.mp4"), atomically: true, encoding: .utf8)
    for name in ["old.mp4", "new.mp4"] {
      let link = folder.file("link-\(name)")
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "far/\(name)")
      #expect(try dub(link).status == 3)
      #expect(try kind(link) == .typeSymbolicLink)
      #expect(try decodedFrames(folder.file("far/\(name)")) == 5)
    }
    try FileManager.default.createSymbolicLink(atPath: folder.file("round.mp4"), withDestinationPath: "round.mp4")
    let round = try dub(folder.file("round.mp4"))
    #expect(round.status == 73 && round.err.contains("cannot write"), "\(round.err)")
  }

  @Test("A name of 255 bytes works, and nobody else's file is touched")
  func names() throws {
    let name = folder.file(String(repeating: "n", count: 251) + ".mp4")
    try "mine".write(toFile: folder.file("out.mp4.part"), atomically: true, encoding: .utf8)
    #expect(try dub(name).status == 3 && dub(folder.file("out.mp4")).status == 3)
    #expect(try decodedFrames(name) == 5 && decodedFrames(folder.file("out.mp4")) == 5)
    #expect(try String(contentsOfFile: folder.file("out.mp4.part"), encoding: .utf8) == "mine")
    #expect(folder.litter.isEmpty)
  }

  @Test("A file that is there is replaced with its rights, or kept with --no-overwrite")
  func overwrite() throws {
    let out = folder.file("out.mp4")
    try "older".write(toFile: out, atomically: true, encoding: .utf8)
    chmod(out, 0o640)
    let kept = try dub(out, "--no-overwrite")
    #expect(kept.status == 73 && kept.err.contains("exists; --overwrite"), "\(kept.err)")
    #expect(try String(contentsOfFile: out, encoding: .utf8) == "older")
    #expect(try dub(out).status == 3 && decodedFrames(out) == 5)
    let rights = try FileManager.default.attributesOfItem(atPath: out)[.posixPermissions] as? Int
    #expect(rights == 0o640)
    #expect(try dub(folder.file("new.mp4"), "--no-overwrite").status == 3)
    #expect(folder.has("new.mp4") && folder.litter.isEmpty)
  }

  @Test("Closed standard streams do no harm", arguments: ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
  func closedStreams(closing: String) throws {
    let out = folder.file("out.mp4")
    let line = "exec \"$0\" dub --once --video \"\(picture)\" --audio \"\(sound)\" -o \"\(out)\" \(closing)"
    #expect(try run(URL(fileURLWithPath: "/bin/sh"), ["-c", line, tool.path]).status == 3)
    #expect(try decodedFrames(out) == 5)
  }

  @Test(
    "The container follows the name or --container, and each of its codecs decodes",
    arguments: [
      ("a.mp4", "", "mov", "h264", "aac"), ("a.MOV", "", "mov", "h264", "aac"),
      ("a.mkv", "", "matroska", "h264", "aac"),
      ("a.webm", "", "matroska", "vp9", "opus"), ("a.ts", "", "mpegts", "h264", "aac"), ("a", "", "mov", "h264", "aac"),
      ("a.x", "--container mkv", "matroska", "h264", "aac"), ("a.mp4", "--video-codec hevc", "mov", "hevc", "aac"),
      ("a.mov", "--video-codec prores --audio-codec pcm", "mov", "prores", "pcm_s24le"),
      ("a.mkv", "--video-codec ffv1 --audio-codec flac", "matroska", "ffv1", "flac"),
      ("a.mkv", "--video-codec av1 --audio-codec opus", "matroska", "av1", "opus"),
      ("a.mkv", "--video-codec vp9 --audio-codec pcm", "matroska", "vp9", "pcm_s24le"),
      ("a.mp4", "--crf 0", "mov", "h264", "aac"), ("a.mp4", "--profile web", "mov", "h264", "aac"),
      ("a.webm", "--profile web", "matroska", "vp9", "opus"),
      ("a.mov", "--profile master", "mov", "prores", "pcm_s24le"),
      ("a.mkv", "--profile master", "matroska", "ffv1", "flac"),
      ("a", "--profile master", "mov", "prores", "pcm_s24le"),
      ("a.mkv", "--profile master --video-codec h264", "matroska", "h264", "flac"),
      ("a.ts", "--video-codec hevc", "mpegts", "hevc", "aac"),
    ])
  func containers(name: String, options: String, format: String, video: String, audio: String) throws {
    let out = folder.file(name)
    let words = options.split(separator: " ").map(String.init)
    let outcome = try run(tool, ["dub", "--once", "--video", picture, "--audio", sound, "-o", out] + words)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try probe(out, "", "format_name")[0].contains(format))
    #expect(try probe(out, "v:0", "codec_name") == [video] && probe(out, "a:0", "codec_name") == [audio])
    #expect(try decodedFrames(out) == 5)
    if format != "mpegts" {
      #expect(
        try run(ffmpeg, ["-v", "error", "-i", out, "-f", "ffmetadata", "-"]).out.contains(
          "compositeWithTrainedAlgorithmicMedia"))
    }
  }

  @Test(
    "A bitrate is kept to, and a file for the web can be played before it is all there",
    arguments: ["h264", "hevc", "vp9"])
  func bitrate(codec: String) throws {
    let video = try folder.make("v.mkv", by: "-f lavfi -i testsrc2=s=320x240:r=25:d=2,noise=alls=40:allf=t -c:v ffv1")
    let name = codec == "vp9" ? "a.webm" : "a.mp4"
    let outcome = try run(
      tool,
      [
        "dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name), "--video-codec", codec,
        "--bitrate", "300",
      ] + (codec == "h264" ? ["--profile", "web"] : []))
    #expect(outcome.status == 3, "\(outcome.err)")
    let rate = try #require(Double(try probe(folder.file(name), "", "bit_rate")[0])) / 1000
    // Of noise that no encoder can squeeze; without the option it is 5000 and more.
    #expect((100...1500).contains(rate), "\(codec): \(rate) kbit/s")
    guard codec == "h264" else { return }
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    let types = try #require(boxes(bytes)).map(\.type)
    #expect(try #require(types.firstIndex(of: "moov")) < #require(types.firstIndex(of: "mdat")))
  }

  @Test(
    "AV1 in mp4 says in its header what is in its frames",
    arguments: ["320x240", "96x64", "1920x1080"],
    ["yuv420p", "yuv422p", "yuv444p"])
  func av1Header(size: String, format: String) throws {
    let video = try folder.make(
      "v.mkv", by: "-f lavfi -i testsrc2=s=\(size):r=25:d=0.12 -pix_fmt \(format) -c:v ffv1")
    let words = ["--video-codec", "av1", "-o", folder.file("out.mp4")]
    let outcome = try run(tool, ["dub", "--once", "--video", video, "--audio", sound] + words)
    #expect(outcome.status == 3, "\(outcome.err)")
    func header(_ path: String) throws -> Data {
      let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
      let box = try #require(bytes.firstRange(of: Data("av1C".utf8)))
      let length = bytes[box.lowerBound - 4..<box.lowerBound].reduce(0) { $0 << 8 | Int($1) }
      return Data(bytes[box.upperBound..<box.lowerBound - 4 + length])
    }
    let made = try header(folder.file("out.mp4"))
    // FFmpeg writes its own from the frames, without looking at ours.
    _ = try folder.make("raw.obu", by: "-i @out.mp4 -map 0:v -c copy")
    let wanted = try header(folder.make("again.mp4", by: "-i @raw.obu -c copy"))
    #expect(made.prefix(4) == wanted.prefix(4), "\(Array(made)) \(Array(wanted))")
    #expect(made.dropFirst(4).starts(with: wanted.dropFirst(4)), "\(Array(made)) \(Array(wanted))")
    #expect(try decodedFrames(folder.file("out.mp4")) == 3)
  }

  @Test(
    "A quality is kept to: a worse one is a smaller file",
    arguments: [("a.mp4", "h264"), ("a.mp4", "hevc"), ("a.webm", "vp9"), ("a.mp4", "av1")])
  func quality(name: String, codec: String) throws {
    let video = try folder.make("v.mkv", by: "-f lavfi -i testsrc2=s=320x240:r=25:d=0.4,noise=alls=20:allf=t -c:v ffv1")
    let sizes = try ["10", "45"].map { crf in
      let words = [
        "dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name), "--video-codec", codec,
      ]
      #expect(try run(tool, words + ["--crf", crf]).status == 3)
      return try Data(contentsOf: URL(fileURLWithPath: folder.file(name))).count
    }
    #expect(sizes[0] > 2 * sizes[1], "\(codec): \(sizes)")
  }

  @Test(
    "No frame is lost at the end of a longer file", arguments: [("a.webm", "vp9"), ("a.mkv", "av1"), ("a.ts", "hevc")])
  func ends(name: String, codec: String) throws {
    let video = try folder.make("v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -pix_fmt yuv420p")
    for quality in [["--crf", "30"], codec == "av1" ? [] : ["--bitrate", "300"]] {
      let words = [
        "dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name), "--video-codec", codec,
      ]
      let outcome = try run(tool, words + quality)
      #expect(outcome.status == 3, "\(outcome.err)")
      #expect(try decodedFrames(folder.file(name)) == 75)
    }
  }

  @Test(
    "The encoder is as quick as asked for", arguments: [("veryfast", "rc_lookahead=10"), ("slow", "rc_lookahead=50")])
  func encoderPreset(name: String, setting: String) throws {
    #expect(try dub(folder.file("a.mp4"), "--encoder-preset", name).status == 3)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file("a.mp4")))
    #expect(bytes.range(of: Data(setting.utf8)) != nil)  // x264 writes them into its stream
    let hevc = try dub(folder.file("b.mp4"), "--encoder-preset", name, "--video-codec", "hevc", "--bitrate", "900")
    #expect(try hevc.status == 3 && decodedFrames(folder.file("b.mp4")) == 5, "\(hevc.err)")
  }

  @Test(
    "What a container cannot hold, and what there is none of, is refused with what it can, and what there is",
    arguments: [
      ("a.webm", "--video-codec h264", "it holds vp9, av1"), ("a.mp4", "--audio-codec pcm", "it holds aac, opus"),
      ("a.mov", "--video-codec prores --crf 3", "is fixed"),
      ("a.mov", "--profile master --bitrate 900", "does not take one"),
      ("a.mp4", "--profile master", "goes into mov or mkv"),
      ("a.mp4", "--crf 60", "--crf of h264 must be 0 to 51"),
      ("a.mov", "--profile master --encoder-preset fast", "prores has no presets"),
      ("a.mxf", "", "a file called .mxf is not known"), ("a.mp4", "--preset film", "there is no preset film"),
    ])
  func refusals(name: String, options: String, message: String) throws {
    let words = options.split(separator: " ").map(String.init)
    let outcome = try run(
      tool, ["dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file(name)] + words)
    #expect(outcome.status == 64 && outcome.err.contains(message), "\(outcome.err)")
    #expect(outcome.err.split(separator: "\n").count == 1, "\(outcome.err)")
    #expect(!folder.has(name) && folder.litter.isEmpty)
  }

  @Test("Frames of three megabytes are checked too")
  func largeFrames() throws {
    let video = try folder.make(
      "v.mp4",
      by:
        "-f lavfi -i color=gray:s=1920x1080:r=25:d=0.32,noise=alls=100:allf=t -c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p"
    )
    let outcome = try run(
      tool,
      [
        "dub", "--once", "--video", video, "--audio", try folder.tone(), "-o", folder.file("out.mkv"), "--video-codec",
        "ffv1", "--audio-codec", "flac",
      ])
    #expect(outcome.status == 3, "\(outcome.err)")
  }

  @Test("A dub that cannot be checked is kept, and the status tells")
  func unchecked() throws {
    let video = try folder.colours("v.mkv", by: "-c:v libx264 -pix_fmt yuv420p")
    let outcome = try run(
      URL(fileURLWithPath: "/usr/bin/env"),
      [
        "GST_PLUGIN_FEATURE_RANK=avdec_ffv1:NONE,avdec_flac:NONE,flacdec:NONE", tool.path, "dub", "--once", "--video",
        video, "--audio", try folder.tone(), "-o", folder.file("out.mkv"), "--video-codec", "ffv1", "--audio-codec",
        "flac",
      ])
    #expect(outcome.status == 70, "\(outcome.err)")
    #expect(outcome.err.contains("it cannot be read back: cannot decode \(folder.file("out.mkv")): "), "\(outcome.err)")
    #expect(try decodedFrames(folder.file("out.mkv")) != nil)
  }

  private static let strace = URL(fileURLWithPath: "/usr/bin/strace")

  @Test(
    "A dub whose tracks cannot be marked is kept, and the status tells",
    .enabled(if: (try? run(strace, ["true"]).status) == 0, "there is no strace"))
  func unmarked() throws {
    let video = try folder.colours("v.mkv", by: "-i \(sound) -c:v libx264 -pix_fmt yuv420p -c:a aac -map 0 -map 1")
    let outcome = try run(
      Self.strace,
      [
        "-f", "-qq", "-o", "/dev/null", "-e", "inject=pwrite64:error=EIO:when=1", tool.path, "dub", "--once", "--video",
        video, "--audio", sound, "-o", folder.file("out.mp4"), "--keep",
      ])
    #expect(outcome.status == 70, "\(outcome.err)")
    #expect(
      outcome.err.contains("it does not say of all tracks whether they are default: cannot write"), "\(outcome.err)")
    #expect(try decodedFrames(folder.file("out.mp4")) != nil)
  }
}
