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
}
