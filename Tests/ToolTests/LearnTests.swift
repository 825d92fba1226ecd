// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite(.serialized) struct LearnTests {
  @Test("The help is this")
  func help() throws {
    let help = try syncdiff("learn", "--help")
    #expect(help.status == 0 && help.err.isEmpty)
    #expect(
      help.out == """
        OVERVIEW: Learns a person's mouth from footage.

        Writes a file of at most 16 MB for --presenter of syncdiff dub and for the
        element's property presenter. It holds mouths of the person, so that full
        quality is there from the first frame. Ten seconds of the person speaking are
        enough. The face tracked longest without a cut counts.

        A file from the web is first copied whole, into an unnamed file in /tmp or, if
        it is set, the folder TMPDIR; playlists and live streams are not.

        USAGE: syncdiff learn <footage> --output <name.presenter> [--model <model>] [--threads <threads>]

        ARGUMENTS:
          <footage>               File or URL: anything GStreamer can decode.

        OPTIONS:
          -o, --output <name.presenter>
                                  File to write.
          --model <model>         Model file. Default: $SYNCDIFF_MODEL, then the one
                                  shipped with syncdiff.
          --threads <threads>     Threads per frame, 0 = one per core. (default: 0)
          --version               Show the version.
          -h, --help              Show help information.


        """)
  }

  @Test("Usage errors end with 64", arguments: [[], ["a"], ["-o", "b"], ["a", "-o", "b", "--threads", "257"]])
  func usage(arguments: [String]) throws {
    #expect(try run(tool, ["learn"] + arguments).status == 64)
  }

  @Test("A face is learned, and dubbing with it begins at once")
  func learns() throws {
    let folder = try Folder()
    let (footage, sound, out) = (try folder.face(frames: 40, side: 256), try folder.sound(), folder.file("a.presenter"))
    let outcome = try syncdiff("learn", footage, "-o", out)
    #expect(outcome.status == 0 && outcome.out.isEmpty, "\(outcome.err)")
    let width = #"the widest open by 0\.\d+ of the distance of the eyes' outer corners"#
    let line = try Regex(#"\S+: \d+ mouths?, \#(width), from 1\.[56] s of a face, in \d+\.\d s"#)
    let said = try #require(outcome.err.split(separator: "\n").last)
    #expect(try line.wholeMatch(in: String(said)) != nil && said.hasPrefix("\(out): "), "\(said)")
    #expect(folder.litter.isEmpty)
    let video = folder.file("out.mp4")
    let dub = try syncdiff(
      "dub", "--video", footage, "--audio", sound, "-o", video, "--steps", "1", "--presenter", out)
    #expect(dub.status == 0 && dub.err.contains("40 frames") && !dub.err.contains("Looked"), "\(dub.err)")
  }

  @Test("What will not do is one clear line each, and an older file stays")
  func refuses() throws {
    let folder = try Folder()
    let (nobody, out) = (try folder.picture(), folder.file("a.presenter"))
    let (brief, sound) = (try folder.face(frames: 10, side: 256), try folder.sound())
    try "older".write(toFile: out, atomically: true, encoding: .utf8)
    try "no media".write(toFile: folder.file("text"), atomically: true, encoding: .utf8)
    let cases = [
      (folder.file("none"), out, "cannot read \(folder.file("none")): No such file"),
      (folder.path, out, "not a file"),
      (folder.file("text"), out, "cannot decode \(folder.file("text"))"),
      (sound, out, "has no video stream"),
      (portrait, out, "is a still picture, not a video"),
      (nobody, out, "no face was found in \(nobody)"),
      (brief, out, "\(brief) shows a face for 0.4 s only; one second is needed, ten are good"),
      (nobody, nobody, "cannot write \(nobody): it is one of the inputs"),
      (nobody, folder.path, "it is a folder"),
      (nobody, folder.file("nowhere/a.presenter"), "cannot write \(folder.file("nowhere/a.presenter")): No such file"),
    ]
    for (footage, output, message) in cases {
      let outcome = try syncdiff("learn", footage, "-o", output)
      let status: Int32 = message.contains("cannot write") || message == "it is a folder" ? 73 : 66
      #expect(outcome.status == status && outcome.out.isEmpty, "\(outcome.err)")
      #expect(outcome.err.split(separator: "\n").count == 1 && outcome.err.contains(message), "\(outcome.err)")
    }
    #expect(try String(contentsOfFile: out, encoding: .utf8) == "older")
    #expect(folder.litter.isEmpty)
  }

  @Test("A presenter that is not there or not good is one clear line")
  func badPresenter() throws {
    let folder = try Folder()
    let (picture, sound, out) = (try folder.picture(), try folder.sound(), folder.file("out.mp4"))
    for (presenter, words) in [(folder.file("none"), "there is no presenter file"), (sound, "not a usable presenter")] {
      let outcome = try syncdiff("dub", "--video", picture, "--audio", sound, "-o", out, "--presenter", presenter)
      #expect(outcome.status == 66 && outcome.err.contains(words) && outcome.err.contains(presenter), "\(outcome.err)")
      let lines = outcome.err.split(separator: "\n").filter { !$0.contains("its time of creation") }
      #expect(lines.count == 1, "\(outcome.err)")
    }
    #expect(!folder.has("out.mp4"))
  }
}
