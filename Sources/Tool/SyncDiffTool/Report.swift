// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the user sees during the run and at the end: text on stderr, or lines of JSON on stdout for programs.

import ArgumentParser
import Glibc
import Tensors

struct ReportOptions: ParsableArguments {
  @Flag(help: "Print only warnings and errors; with --json also the result.")
  var quiet = false

  @Flag(
    help: """
      Print JSON on standard output, one object per line: progress and warnings, then the result or the error. A wrong command line is \
      text alone.
      """)
  var json = false
}

final class Report {
  private let isQuiet: Bool
  private let isJSON: Bool
  private let isSilent: Bool
  private let isTerminal = isatty(STDERR_FILENO) != 0
  private var isLineOpen = false
  private(set) var warnings: [String] = []

  /// `isSilent`: prints nothing, only collects warnings.
  init(isQuiet: Bool = false, isJSON: Bool = false, isSilent: Bool = false) {
    (self.isQuiet, self.isJSON, self.isSilent) = (isQuiet || isSilent, isJSON, isSilent)
  }

  /// Reports something that went well.
  func note(_ text: String) {
    guard !isQuiet, !isJSON else { return }
    closeLine()
    say(text)
  }

  func warn(_ text: String) {
    let text = text.onOneLine
    guard !warnings.contains(text) else { return }
    warnings.append(text)
    if isSilent { return }
    closeLine()
    if isJSON { emit("warning", ["text": .string(text)]) } else { say("Warning: \(text)") }
  }

  /// The last record of a run in JSON.
  func emit(_ event: String, _ members: [String: JSON]) {
    guard isJSON else { return }
    put(JSON.object(members.merging(["event": .string(event)]) { $1 }).text + "\n", STDOUT_FILENO)
  }

  /// Progress of something that takes a while. As JSON its start is reported too, so that even a short stage is seen.
  func progress(_ stage: String, of duration: Double?, marks: Bool = true) -> Progress {
    let duration = duration.flatMap { $0 > 0 ? $0 : nil }
    let progress = Progress(report: self, stage: stage, duration: duration, marks: marks)
    if isJSON, !isQuiet, duration != nil { emit(progress, 0, 0) }
    return progress
  }

  /// Ends the progress line, so that other text can follow.
  func closeLine() {
    if isLineOpen { put("\n") }
    isLineOpen = false
  }

  private func emit(_ progress: Progress, _ seconds: Double, _ share: Double) {
    emit("progress", ["stage": .string(progress.stage), "seconds": .number(seconds), "share": .number(share)])
  }

  fileprivate func show(_ progress: inout Progress, _ seconds: Double) {
    let share = progress.duration.map { min(seconds / $0, 1) }
    let isMark = share.map { Int($0 * 10) > progress.tenthsShown } ?? false
    if isMark, let share { progress.tenthsShown = Int(share * 10) }
    if isQuiet { return }
    if isJSON {
      if isMark, let share { emit(progress, seconds, share) }
    } else {
      var line = "\(tenths(seconds)) s"
      if let share, let duration = progress.duration { line += " of \(tenths(duration)) s, \(Int(share * 100)) %" }
      if isTerminal {
        if let share, share > 0.02 { line += ", \(progress.left(share)) left" }
        put("\r\(line)   ")
        isLineOpen = true
      } else if progress.marks, isMark {
        say(line)
      }
    }
  }
}

/// On a terminal one line that is updated, elsewhere a line for every tenth if `marks` is set.
struct Progress {
  fileprivate let report: Report
  fileprivate let stage: String
  /// Seconds, if known.
  fileprivate let duration: Double?
  fileprivate let marks: Bool
  fileprivate var tenthsShown = 0
  private let began = ContinuousClock.now

  fileprivate init(report: Report, stage: String, duration: Double?, marks: Bool) {
    (self.report, self.stage, self.duration, self.marks) = (report, stage, duration, marks)
  }

  /// Shows that `seconds` are done.
  mutating func show(_ seconds: Double) { report.show(&self, seconds) }

  /// Time left at the speed so far.
  fileprivate func left(_ share: Double) -> String {
    let seconds = Int((ContinuousClock.now - began) / .seconds(1) * (1 - share) / share)
    return seconds < 60 ? "\(seconds) s" : "\(seconds / 60) min \(seconds % 60) s"
  }
}

/// Prints a line on stderr.
func say(_ line: String) { put("\(line.onOneLine)\n") }

extension String {
  /// Spaces in place of control characters and ends of lines, with which a title in a file could forge lines.
  var onOneLine: String {
    String(
      String.UnicodeScalarView(
        unicodeScalars.map {
          [.control, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory) ? " " : $0
        }))
  }
}

func put(_ text: String, _ stream: Int32 = STDERR_FILENO) {
  var text = text
  text.withUTF8 { _ = write(stream, $0.baseAddress, $0.count) }
}

/// 1.25 -> "1.3" and "1.25".
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
