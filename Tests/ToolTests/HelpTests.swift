// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite struct HelpTests {
  @Test(
    "The manual and the completions have every option and every value that the help has",
    arguments: [
      "dub", "batch", "inspect", "preview", "learn", "detect", "bench layers", "bench denoiser", "bench frame",
    ])
  func agree(command: String) throws {
    let help = try run(tool, command.split(separator: " ").map(String.init) + ["--help"]).out
    let list = try #require(help.firstRange(of: /\nUSAGE:.*?\n\n/.dotMatchesNewlines()))
    let told = help[list.upperBound...].replacing(/\s+/, with: " ")
    let options = Set(told.matches(of: /--[a-z][-a-z0-9]*/).map { String($0.output) })
    let values = told.matches(of: /\(values: ([^;)]*)/).map { String($0.1) }
    #expect(options.count > 2)

    let manual = URL(fileURLWithPath: portrait).deletingLastPathComponent().appendingPathComponent("../release/manual")
    let pipe = "\"$0\" --experimental-dump-help | \"$1\" 1"
    let page = try run(URL(fileURLWithPath: "/bin/sh"), ["-c", pipe, tool.path, manual.path]).out.replacing(
      "\\", with: "")
    let start = try #require(page.range(of: ".SH SYNCDIFF \(command.uppercased())\n"))
    let section = String(
      page[start.upperBound...].prefix(upTo: page[start.upperBound...].range(of: "\n.SH ")?.lowerBound ?? page.endIndex)
    )
    // The first line has all, each once.
    let synopsis = section.prefix { $0 != "\n" }.matches(of: /--[a-z][-a-z0-9]*/).map { String($0.output) }
    #expect(Set(synopsis).count == synopsis.count, "\(synopsis)")
    for option in options {
      #expect(try Regex("\(option)(?![-a-z])").firstMatch(in: section.replacing("fR", with: " ")) != nil, "\(option)")
    }
    for value in values { #expect(section.contains("values: \(value)"), "\(value)") }

    for (shell, before) in [("bash", "--"), ("zsh", "--"), ("fish", "-l '?")] {
      let script = try syncdiff("--generate-completion-script", shell).out
      for option in options {
        let whole = try Regex("\(before)\(option.dropFirst(2))(?![-a-z0-9])")
        #expect(script.firstMatch(of: whole) != nil, "\(shell): \(option)")
      }
      for value in values.flatMap({ $0.components(separatedBy: ", ") }) {
        #expect(script.contains(value), "\(shell): \(value)")
      }
    }
  }

  @Test(
    "Commands that take a file from the web say that it is copied",
    arguments: ["dub", "inspect", "detect", "learn"])
  func downloads(command: String) throws {
    let help = try run(tool, [command, "--help"]).out.replacing(/\s+/, with: " ")
    #expect(
      help.contains("A file from the web is first copied whole, into an unnamed file"), "\(help)")
  }

  @Test("bash completes the names of files wherever one belongs, and of folders")
  func fileNames() throws {
    let folder = try Folder()
    let commands =
      ["video", "audio", "cues", "output", "sheet", "model", "presenter", "certificate", "private-key"].map {
        "dub --\($0)"
      }
      + ["inspect", "detect", "learn", "learn f -o", "batch", "batch l --report", "bench frame --picture"]
    try Data().write(to: URL(fileURLWithPath: folder.file("talk.mp4")))
    try FileManager.default.createDirectory(atPath: folder.file("footage"), withIntermediateDirectories: false)
    let start = """
      cd '\(folder.path)'
      \(try syncdiff("--generate-completion-script", "bash").out)
      syncdiff() { echo "ran: $*"; }
      """
    try start.write(toFile: folder.file("rc"), atomically: true, encoding: .utf8)
    // Typed at a terminal.
    let keys = (commands.map { "\($0) ta" } + ["preview foo"]).map { "syncdiff \($0)\t\n" }.joined()
    try keys.write(toFile: folder.file("keys"), atomically: true, encoding: .utf8)
    let shell = "script -qec \"bash --rcfile '\(folder.file("rc"))' -i\" /dev/null <'\(folder.file("keys"))'"
    let ran = try run(URL(fileURLWithPath: "/bin/sh"), ["-c", shell]).out
    for command in commands { #expect(ran.contains("ran: \(command) talk.mp4"), "\(command): \(ran)") }
    #expect(ran.contains("ran: preview footage"), "\(ran)")
  }
}
