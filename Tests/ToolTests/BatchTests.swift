// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite(.serialized) struct BatchTests {
  private let folder: Folder
  private let picture, sound: String

  init() throws {
    folder = try Folder()
    (picture, sound) = (try folder.picture(frames: 10), try folder.sound())
  }

  private func list(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: folder.file(name), atomically: true, encoding: .utf8)
    return folder.file(name)
  }

  @Test("Every entry is dubbed with its options, once; what fails stops no other", arguments: ["1", "3"])
  func dubs(jobs: String) throws {
    let outputs = ["a.mp4", "b, \"2\".mkv", "c.mp4", "d.mp4"].map(folder.file)
    let quoted = outputs.map { "\"\($0.replacing("\"", with: "\"\""))\"" }
    let manifest = try list(
      "list.csv",
      """
      video,audio,output,once,to\r
      \(picture),\(sound),\(quoted[0]),true,\r
      \(picture),\(sound),\(quoted[1]),true,0.2

      \(folder.file("none")),\(sound),\(quoted[2]),true,
      \(picture),\(sound),\(quoted[3]),true,
      """)
    let report = folder.file("report.json")
    let first = try syncdiff("batch", manifest, "--jobs", jobs, "--report", report)
    #expect(first.status == 3, "\(first.err)")
    #expect(try [0, 1, 3].map { try decodedFrames(outputs[$0]) } == [10, 6, 10])
    func states() throws -> [String] {
      let rows = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: report)))
      return try #require(rows as? [[String: Any]]).compactMap { $0["state"] as? String }
    }
    #expect(try states() == ["dubbed", "dubbed", "failed", "dubbed"])

    let bytes = try Data(contentsOf: URL(fileURLWithPath: outputs[1]))
    let date = try FileManager.default.attributesOfItem(atPath: outputs[0])[.modificationDate] as? Date
    try FileManager.default.removeItem(atPath: outputs[1])
    let second = try syncdiff("batch", manifest, "--report", report)
    #expect(second.status == 3, "\(second.err)")
    #expect(try states() == ["skipped", "dubbed", "failed", "skipped"])
    #expect(try FileManager.default.attributesOfItem(atPath: outputs[0])[.modificationDate] as? Date == date)
    #expect(try decodedFrames(outputs[1]) == 6 && bytes.count > 0 && folder.litter.isEmpty)
  }

  @Test("An output that is an input of its entry is no finished output", arguments: ["video", "audio", "cues"])
  func outputIsInput(which: String) throws {
    let cues = try list("cues.csv", "start,end,sound\n0,0.2,\(sound)\n")
    let speech = which == "cues" ? ("cues", cues) : ("audio", sound)
    let output = which == "video" ? picture : sound
    let manifest = try list("list.csv", "video,\(speech.0),output\n\(picture),\(speech.1),\(output)\n")
    let outcome = try syncdiff("batch", manifest)
    #expect(outcome.status == 73 && outcome.err.contains("it is one of the inputs"), "\(outcome.err)")
  }

  @Test("JSON lists and CSV reports work as well")
  func json() throws {
    let out = folder.file("a.mkv")
    let entry: [String: Any] = [
      "video": picture, "audio": sound, "output": out, "once": true, "to": 0.2, "seed": 3, "consent": "Anna",
    ]
    let manifest = folder.file("list.json")
    try JSONSerialization.data(withJSONObject: [entry]).write(to: URL(fileURLWithPath: manifest))
    let report = folder.file("report.csv")
    #expect(try syncdiff("batch", manifest, "--report", report, "--quiet").status == 3)
    let lines = try String(contentsOfFile: report, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 2 && lines[0] == "output,state,exit,frames,painted,seconds,spent,text,signed,consent")
    #expect(lines[1].hasPrefix("\(out),dubbed,3,6,0,0.2") && lines[1].hasSuffix(",,Anna"), "\(lines)")
  }

  @Test("A list is read as spreadsheets write it", arguments: [",", ";", "\t"])
  func spreadsheet(separator: String) throws {
    let (out, text) = (folder.file("a.mkv"), "Anna, Ben; Cy\tDee")
    let rows = [
      ["video", "audio", "output", "once", "keep", "consent"], [picture, sound, out, "TRUE", "FALSE", "\"\(text)\""],
    ]
    let manifest = try list(
      "list.csv", "\u{feff}" + rows.map { $0.joined(separator: separator) + "\r\n" }.joined())
    let report = folder.file("report.json")
    let outcome = try syncdiff("batch", manifest, "--report", report)
    #expect(outcome.status == 3, "\(outcome.err)")
    let records = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: report)))
    #expect((records as? [[String: Any]])?.first?["consent"] as? String == text)
  }

  @Test("What is on unless told otherwise is off where a list says false")
  func off() throws {
    let (manifest, out) = (folder.file("list.json"), folder.file("a.mkv"))
    let entry: [String: Any] = [
      "video": portrait, "audio": sound, "output": out, "steps": 1, "watermark": false, "sign": false,
      "overwrite": false,
    ]
    try JSONSerialization.data(withJSONObject: [entry]).write(to: URL(fileURLWithPath: manifest))
    #expect(try syncdiff("batch", manifest).status == 0)
    #expect(try syncdiff("detect", out).status == 3)
  }

  @Test(
    "The page is one file with pictures and figures, which a run that finds all there keeps; a report of another kind, too"
  )
  func page() throws {
    let out = folder.file("a <b> & c.mp4")
    let manifest = try list("list.csv", "video,audio,output,once\n\(picture),\(sound),\(out),true\n")
    let (page, table) = (folder.file("report.html"), folder.file("report.csv"))
    for (state, spent) in [("dubbed", "0\\.[0-9]+|[0-9.]+"), ("skipped", "[0-9.]+")] {
      _ = try syncdiff("batch", manifest, "--report", page, "--report", table)
      let html = try String(contentsOfFile: page, encoding: .utf8)
      #expect(html.matches(of: /src="data:image\/jpeg;base64,[A-Za-z0-9+\/=]{500,}"/).count == 2)
      #expect(html.contains("a &lt;b&gt; &amp; c.mp4") && !html.contains("<b>"), "\(html)")
      #expect(!html.contains("http") && html.contains("<td>\(state)</td>") && html.contains("of 10 frames"))
      let line = try #require(try String(contentsOfFile: table, encoding: .utf8).split(separator: "\n").last)
      let figures = try Regex(
        #"\#(NSRegularExpression.escapedPattern(for: out)),\#(state),3?,10,0,0\.3[0-9]*,(\#(spent)),.*"#)
      #expect(try figures.wholeMatch(in: line) != nil, "\(line)")
    }
  }

  @Test("Shares of a list together are the list")
  func shares() throws {
    let outputs = (0..<5).map { folder.file("\($0).mp4") }
    let manifest = try list(
      "list.csv", "video,audio,output,once\n" + outputs.map { "\(picture),\(sound),\($0),true\n" }.joined())
    #expect(try syncdiff("batch", manifest, "--share", "2/3").status == 3)
    #expect(outputs.map { FileManager.default.fileExists(atPath: $0) } == [false, true, false, false, true])
    #expect(try syncdiff("batch", manifest, "--share", "3/3").status == 3)
    #expect(try syncdiff("batch", manifest, "--share", "1/3").status == 3)
    #expect(outputs.allSatisfy { FileManager.default.fileExists(atPath: $0) })
    for share in ["0/3", "4/3", "1", "a/b", "1/2/3"] {
      #expect(try syncdiff("batch", manifest, "--share", share).status == 64)
    }
  }

  @Test("What a killed process leaves is removed by the next one, and what a running one is at work on is not")
  func litter() throws {
    let long = try folder.make(
      "long.mp4", by: "-f lavfi -i testsrc2=s=256x192:r=25:d=60 -c:v libx264 -preset ultrafast")
    func start() throws -> Process {
      let process = Process()
      process.executableURL = tool
      process.arguments = [
        "dub", "--once", "--video", long, "--audio", sound, "-o", folder.file("long-out.mp4"), "--quiet",
      ]
      let before = folder.litter
      try process.run()
      while process.isRunning, folder.litter.isEmpty || folder.litter == before { Thread.sleep(forTimeInterval: 0.02) }
      return process
    }
    let killed = try start()
    kill(killed.processIdentifier, SIGKILL)
    killed.waitUntilExit()
    #expect(folder.litter.count == 1)
    let running = try start()
    let mine = try list(".syncdiff-notes", "mine")
    #expect(try syncdiff("dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file("a.mp4")).status == 3)
    #expect(folder.litter.count == 2 && FileManager.default.fileExists(atPath: mine))
    running.interrupt()
    running.waitUntilExit()
    #expect(running.terminationStatus == 130 && folder.litter == [".syncdiff-notes"] && folder.has("long-out.mp4"))
  }

  @Test("After kill -9 the same command makes what is missing, and nothing under its name is half")
  func killed() throws {
    let long = try folder.make("long.mp4", by: "-f lavfi -i testsrc2=s=256x192:r=25:d=8 -c:v libx264 -preset ultrafast")
    let outputs = (0..<4).map { folder.file("\($0).mp4") }
    let manifest = try list(
      "list.csv", "video,audio,output,once\n" + outputs.map { "\(long),\(sound),\($0),true\n" }.joined())
    for seconds in [1.0, 2.0] {
      _ = try syncdiff("batch", manifest, "--jobs", "2", signal: (SIGKILL, at: .seconds(seconds)))
      for output in outputs where FileManager.default.fileExists(atPath: output) {
        #expect(try decodedFrames(output) == 200)
      }
    }
    #expect(try syncdiff("batch", manifest).status != 66)
    for output in outputs { #expect(try decodedFrames(output) == 200) }
  }

  @Test(
    "A list that is wrong is refused before anything is made",
    arguments: [
      ("video,audio,output\nv,a,o.mp4\nv,a,o.mp4\n", "have the same output"),
      ("video,audio,output\nv,a,o.mp4\nv,a,./o.mp4\n", "have the same output"), ("video,audio\nv,a\n", "--output"),
      ("video,audio,output\nv,a\n", "has 2 cells, not 3"), ("video,audio,output,colour\nv,a,o.mp4,red\n", "colour"),
      ("video,audio,output,container\nv,a,-,mkv\n", "standard output"), ("[1]", "not a JSON object"),
      ("[{]", "not a JSON array"),
      ("", "is empty"), ("video,audio,output\n", "has no entries"), ("[]", "has no entries"),
      (" {\"video\": \"v\", \"audio\": \"a\", \"output\": \"o.mp4\"}", "not a JSON array"),
      ("video,audio,output,audio\nv,a,o.mp4,b\n", "two columns audio"),
    ])
  func refuses(text: String, message: String) throws {
    let outcome = try syncdiff("batch", try list("list", text))
    #expect(outcome.status == 64 && outcome.err.contains(message), "\(outcome.err)")
    #expect(try syncdiff("batch", folder.file("none")).status == 66)
  }

  @Test("A report that cannot be written ends a batch before its first dub")
  func badReport() throws {
    let entries = "video,audio,output\n\(try folder.picture()),\(try folder.sound()),\(folder.file("o.mp4"))\n"
    let outcome = try syncdiff("batch", try list("list", entries), "--report", folder.file("none/r.csv"))
    #expect(outcome.status == 73 && outcome.err.contains("none/r.csv"), "\(outcome.err)")
    #expect(!folder.has("o.mp4"))
  }
}
