// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What programs are told.
@Suite(.serialized) struct ReportTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func records(_ outcome: Outcome) throws -> [[String: Any]] {
    try outcome.out.split(separator: "\n").map {
      try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  @Test("JSON lines tell of progress, warnings and the result, and nothing else is said")
  func json() throws {
    let (picture, sound, out) = (try folder.picture(), try folder.sound(), folder.file("out.mkv"))
    let outcome = try syncdiff("dub", "--once", "--video", picture, "--audio", sound, "-o", out, "--json")
    #expect(outcome.status == 3 && outcome.err.isEmpty, "\(outcome.err)")
    let records = try records(outcome)
    #expect(records.contains { $0["event"] as? String == "progress" && $0["stage"] as? String == "dub" })
    #expect(
      records.contains { $0["event"] as? String == "warning" && ($0["text"] as? String)?.contains("no face") == true })
    let last = try #require(records.last)
    #expect(last["event"] as? String == "result" && last["frames"] as? Int == 30 && last["exit"] as? Int == 3)
    #expect(last["container"] as? String == "mkv" && last["output"] as? String == out)

    let failed = try syncdiff("dub", "--video", folder.file("none"), "--audio", sound, "-o", out, "--json")
    let record = try #require(try self.records(failed).last)
    #expect(failed.status == 66 && record["event"] as? String == "error" && record["exit"] as? Int == 66)
  }

  @Test("Quiet says warnings and errors alone")
  func quiet() throws {
    let (picture, sound) = (try folder.picture(), try folder.sound())
    let outcome = try syncdiff(
      "dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file("out.mp4"), "--quiet")
    let lines = outcome.err.split(separator: "\n")
    #expect(outcome.out.isEmpty && lines.allSatisfy { $0.hasPrefix("Warning: ") }, "\(outcome.err)")
    #expect(lines.last == "Warning: no face was found in \(picture): the picture is unchanged.")
    let json = try syncdiff(
      "dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file("out.mp4"), "--quiet", "--json")
    let events = try records(json).compactMap { $0["event"] as? String }
    #expect(events.last == "result" && Set(events) == ["warning", "result"], "\(events)")
  }

  @Test("What of a longer sound is cut is a warning: with --quiet, in the last record, and in a batch's report")
  func cut() throws {
    let (picture, sound, out) = (try folder.picture(), try folder.sound(seconds: 2), folder.file("out.mp4"))
    let words = ["dub", "--once", "--video", picture, "--audio", sound, "-o", out]
    let phrase = "the last 1.0 s of \(sound) are cut"
    #expect(try run(tool, words + ["--quiet"]).err.contains("Warning: \(phrase)"))
    let last = try #require(try records(run(tool, words + ["--json"])).last)
    #expect((last["warnings"] as? [String])?.contains { $0.hasPrefix(phrase) } == true, "\(last)")
    let (list, report) = (folder.file("list.csv"), folder.file("report.csv"))
    try "video,audio,output,once\n\(picture),\(sound),\(out),true\n".write(
      toFile: list, atomically: true, encoding: .utf8)
    _ = try syncdiff("batch", list, "--overwrite", "--report", report)
    #expect(try String(contentsOfFile: report, encoding: .utf8).contains(phrase))
  }

  @Test("Of a sound that holds less than it announces nothing is cut which it does not hold")
  func cutOfTruncated() throws {
    let picture = try folder.picture()
    let whole = try Data(contentsOf: URL(fileURLWithPath: folder.tone("whole.flac", seconds: 8, by: "-c:a flac")))
    for (share, cut) in [(0.1, 0.0), (0.5, 3)] {
      let sound = folder.file("part.flac")
      try whole.prefix(Int(Double(whole.count) * share)).write(to: URL(fileURLWithPath: sound))
      let outcome = try syncdiff(
        "dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file("out.mp4"))
      #expect(outcome.err.contains("announces 8.0 s and holds"), "\(outcome.err)")
      let told = outcome.err.firstMatch(of: /the last ([\d.]+) s of .* are cut/).flatMap { Double($0.1) } ?? 0
      #expect(abs(told - cut) < 0.5, "\(outcome.err)")
    }
  }

  @Test("The version names the tool, its model and the instruction set; with --verbose what it runs on, too")
  func version() throws {
    let outcome = try syncdiff("--version")
    #expect(outcome.status == 0 && outcome.out.hasPrefix("syncdiff 0."))
    #expect(outcome.out.contains("model: /") && outcome.out.contains("instruction set: "))
    #expect(outcome.out.contains("\nbf16: "))
    let verbose = try syncdiff("--version", "--verbose")
    #expect(verbose.status == 0 && verbose.out.hasPrefix(outcome.out))
    #expect(verbose.out.contains("GStreamer: GStreamer 1.") && verbose.out.contains(" cores"), "\(verbose.out)")
  }

  @Test("inspect tells what is in a file as text and JSON, and whether it can be dubbed")
  func inspect() throws {
    let picture = try folder.picture()
    let text = try syncdiff("inspect", "--no-faces", picture)
    #expect(
      text.status == 0 && text.out.contains("picture: 128 x 96, 4:2:0 with 8 bits, 29.97 frames a second"),
      "\(text.out)")
    let record = try #require(try records(syncdiff("inspect", "--json", "--no-faces", picture)).last)
    #expect(
      record["usable"] as? Bool == true && (record["pictures"] as? [[String: Any]])?.first?["width"] as? Int == 128)
    #expect(text.out.contains(/colours (limited|unknown) range, matrix bt601/), "\(text.out)")
    let unusable = try syncdiff("inspect", "--json", try folder.sound())
    let sound = try #require(try records(unusable).last)
    #expect(unusable.status == 66)
    #expect((sound["sounds"] as? [[String: Any]])?.first?["codec"] as? String == "Uncompressed 16-bit PCM audio")
    #expect(try syncdiff("inspect", "--no-faces", picture, "--container", "webm", "--video-codec", "h264").status == 64)
    #expect(sound["usable"] as? Bool == false && (sound["why"] as? String)?.contains("no video stream") == true)
    #expect(try syncdiff("inspect", folder.file("none")).status == 66)
  }

  @Test("inspect tells in how many frames there is a face, and in how many one that can speak")
  func facesFound() throws {
    _ = try folder.face(frames: 10, side: 256)
    let grey = "color=gray:s=256x256:r=25:d=0.4"
    let video = try folder.make(
      "v.mkv",
      by:
        "-i @face.mp4 -f lavfi -i \(grey) -filter_complex [0:v]format=yuv420p,setsar=1[a];[1:v]format=yuv420p[b];[a][b]concat=n=2 -c:v ffv1"
    )
    let record = try #require(try records(syncdiff("inspect", "--json", video)).last)
    let faces = try #require(record["faces"] as? [String: Int])
    #expect(faces == ["frames": 20, "seen": 10, "paintable": 10, "most": 1], "\(faces)")
    #expect(try syncdiff("inspect", video).out.contains("faces: 1 at a time, in 50 % of 20 frames"))
    #expect(try syncdiff("inspect", try folder.picture()).out.contains("faces: none"))
    let unlooked = try #require(try records(syncdiff("inspect", "--json", "--no-faces", video)).last)
    #expect(unlooked["faces"] is NSNull)
  }

  /// The brightness of every pixel after a filter.
  private func graymap(_ path: String, _ filter: String) throws -> [UInt8] {
    let raw = folder.file("gray")
    let words = ["-nostdin", "-v", "error", "-y", "-i", path, "-vf", "\(filter),format=gray", "-f", "rawvideo", raw]
    _ = try run(ffmpeg, words)
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: raw)))
  }

  @Test("--sheet shows twelve moments, the original above the dub, and below the time")
  func sheet() throws {
    let video = try folder.make("v.mp4", by: "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264")
    let (sound, out, sheet) = (try folder.tone(), folder.file("out.mp4"), folder.file("sheet.png"))
    let outcome = try syncdiff(
      "dub", "--once", "--video", video, "--audio", sound, "-o", out, "--from", "1", "--sheet", sheet)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try probe(sheet, "v:0", "codec_name,width,height") == ["png", "\(6 * 324 - 4)", "\(2 * 382 - 4)"])
    let lines = try (0..<12).map { moment in
      try graymap(sheet, "crop=320:18:\(moment % 6 * 324):\(moment / 6 * 382 + 360)")
    }
    // Each has a text of its own, black on white.
    #expect(Set(lines).count == 12 && lines.allSatisfy { $0.min() ?? 255 < 80 && $0.filter { $0 > 240 }.count > 4000 })
    let sides = try run(
      ffmpeg,
      [
        "-nostdin", "-i", sheet, "-lavfi", "split[a][b];[a]crop=1940:180:0:0[c];[b]crop=1940:180:0:180[d];[c][d]psnr",
        "-f",
        "null", "-",
      ])
    let psnr = try #require(sides.err.firstMatch(of: /average:([\d.]+|inf)/)?.1)
    #expect(psnr == "inf" || (Double(psnr) ?? 0) > 25, "\(psnr)")
    #expect(folder.litter.isEmpty)
  }

  @Test("--compare keeps the pixel aspect ratio", arguments: [("16/15", "mp4"), ("16/15", "mkv"), ("8/9", "mov")])
  func compareAspect(aspect: String, ending: String) throws {
    let video = try folder.make("v.mp4", by: "-f lavfi -i testsrc2=s=192x144:r=25:d=0.4,setsar=\(aspect) -c:v libx264")
    let out = folder.file("out.\(ending)")
    let outcome = try syncdiff(
      "dub", "--once", "--video", video, "--audio", try folder.tone(), "-o", out, "--compare")
    #expect(outcome.status == 3, "\(outcome.err)")
    let made = try probe(out, "v:0", "width,height,sample_aspect_ratio")
    #expect(made.prefix(2) == ["384", "144"])
    let (now, before) = (made[2].split(separator: ":"), aspect.split(separator: "/"))
    func value(_ ratio: [Substring]) throws -> Double { try #require(Double(ratio[0])) / #require(Double(ratio[1])) }
    // Matroska stores the display width in whole pixels.
    #expect(try abs(value(now) - value(before)) < 1.0 / 384, "\(made[2])")
  }

  @Test("--compare shows the original on the left, and --mix-original keeps its sound under the new one")
  func compareAndMix() throws {
    let video = try folder.make(
      "v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=f=3000:d=1 -c:v libx264 -c:a aac")
    let silence = try folder.make("s.wav", by: "-f lavfi -i anullsrc=r=48000:d=1 -t 1")
    let out = folder.file("out.mp4")
    let arguments = ["dub", "--once", "--video", video, "--audio", silence, "-o", out]
    func loudness() throws -> Double {
      let heard = try run(ffmpeg, ["-nostdin", "-i", out, "-af", "volumedetect", "-f", "null", "-"])
      let told = try #require(heard.err.firstMatch(of: /mean_volume: (-?[\d.]+) dB/)?.1)
      return try #require(Double(told))
    }
    #expect(try run(tool, arguments).status == 3 && loudness() < -80)
    let mixed = try run(tool, arguments + ["--mix-original", "-6", "--compare"])
    #expect(mixed.status == 3, "\(mixed.err)")
    // FFmpeg's sine has -21 dB.
    #expect(try abs(loudness() + 27) < 2)
    #expect(try probe(out, "v:0", "width,height,nb_frames") == ["256", "96", "25"])
    let sides = try run(
      ffmpeg,
      [
        "-nostdin", "-i", out, "-lavfi", "split[a][b];[a]crop=128:96:0:0[c];[b]crop=128:96:128:0[d];[c][d]psnr", "-f",
        "null", "-",
      ])
    let psnr = try #require(sides.err.firstMatch(of: /average:([\d.]+|inf)/)?.1)
    #expect(psnr == "inf" || (Double(psnr) ?? 0) > 35, "\(psnr)")
    let mute = try syncdiff(
      "dub", "--video", try folder.picture(), "--audio", silence, "-o", out, "--mix-original", "0")
    #expect(mute.status == 66 && mute.err.contains("has no audio stream"), "\(mute.err)")
  }
}
