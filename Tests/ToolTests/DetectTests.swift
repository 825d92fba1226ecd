// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite(.serialized) struct DetectTests {
  @Test("A dub's mark is found after H.264, a crop, another rate and gamma, by its key alone; none where none is")
  func finds() throws {
    let folder = try Folder()
    _ = try folder.face(frames: 100, side: 640)
    // The portrait's canvas is rougher than skin.
    let footage = try folder.make("smooth.mp4", by: "-i @face.mp4 -vf gblur=sigma=2 -c:v libx264 -crf 12")
    let sound = try folder.sound(seconds: 4)
    func dub(_ name: String, _ options: String...) throws -> String {
      let out = folder.file(name)
      let outcome = try run(tool, ["dub", "--video", footage, "--audio", sound, "-o", out, "--steps", "1"] + options)
      #expect(outcome.status == 0, "\(outcome.err)")
      return out
    }
    let public_ = try dub("public.mp4", "--watermark-id", "4660")
    let told = try syncdiff("detect", public_)
    let line = try Regex(
      #"0\.0 to [1-4]\.\d s, face \d+: painted by syncdiff 0\.2, model \d+, id 4660; chance: less than \S+\n"#)
    #expect(try told.status == 0 && line.wholeMatch(in: told.out) != nil, "\(told.out) \(told.err)")
    let changed = try folder.make(
      "changed.mp4", by: "-i \(public_) -vf crop=400:400:120:20,fps=30,eq=gamma=1.2 -c:v libx264 -crf 18")
    let json = try syncdiff("detect", "--json", changed)
    for part in [#""id":4660"#, #""version":"0.2""#, #""box":["#] {
      #expect(json.status == 0 && json.out.contains(part), "\(json.out)")
    }

    let hidden = try dub("hidden.mp4", "--watermark-key", "NULL")
    #expect(try syncdiff("detect", hidden).status == 3)
    #expect(try syncdiff("detect", hidden, "--watermark-key", "NULL").status == 0)
    for unmarked in [footage, try dub("off.mp4", "--no-watermark")] {
      let none = try syncdiff("detect", unmarked)
      #expect(none.status == 3 && none.out.hasPrefix("\(unmarked): no mark in "), "\(none.out)")
    }
  }

  @Test("What cannot be looked at is one clear line")
  func refuses() throws {
    let folder = try Folder()
    for (file, why) in [
      (folder.file("none"), "No such file"), (try folder.sound(), "has no video stream"),
    ] {
      let outcome = try syncdiff("detect", file)
      #expect(outcome.status == 66 && outcome.err.contains(why) && outcome.out.isEmpty, "\(outcome.err)")
    }
    #expect(try syncdiff("detect").status == 64)
  }
}
