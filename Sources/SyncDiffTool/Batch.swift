// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Dispatch
import Glibc
import Synchronization
import Tensors

struct Batch: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dubs a list of files in one process.",
    discussion: """
      MANIFEST is a CSV file whose first line names its columns, or a JSON array of objects. Columns and members are options of \
      syncdiff dub without their dashes: video, audio and output at least, others as from, to or face-select; flags, as once, \
      are true or false. Paths are relative to where the program is started.

      An output that is there already is not made again, and one that is there is whole: after a stop of any kind, the same \
      command goes on. One entry that fails does not stop the others.

      REPORT gets a line for each entry: output, state (dubbed, skipped, failed, waiting), exit, frames, painted, seconds, spent, \
      text (warnings or the error). It is written anew after each entry.

      Exit status: 0 if every entry ended with 0 or was there; else that of the first that did not, as in syncdiff dub.
      """)

  @Argument(help: ArgumentHelp("List of what to dub, CSV or JSON.", valueName: "manifest"))
  var manifest: String

  @Option(help: "Entries that are dubbed at the same time.")
  var jobs = 1

  @Option(help: ArgumentHelp("File to write what became of each entry to: .csv or .json.", valueName: "report"))
  var report: String?

  @Flag(help: "Dub again what is there already.")
  var overwrite = false

  @Flag(help: "Say nothing but warnings and errors.")
  var quiet = false

  func validate() throws {
    guard (1...64).contains(jobs) else { throw ValidationError("--jobs is 1 to 64.") }
    guard report.map({ $0.hasSuffix(".csv") || $0.hasSuffix(".json") }) ?? true else {
      throw ValidationError("--report is a file that ends with .csv or .json.")
    }
  }

  func run() throws {
    Interrupt.arm()
    gst_init(nil, nil)
    let entries = try Manifest(path: manifest).entries
    let queue = Queue(entries, overwrite: overwrite, quiet: quiet, report: report)
    // Held, so that no entry has to load it again.
    let model = try entries.first.map {
      try loadModel($0.dub.element.model, precision: $0.dub.element.precision.format)
    }
    let group = DispatchGroup()
    for _ in 0..<min(jobs, max(entries.count, 1)) {
      DispatchQueue.global().async(group: group) { queue.work() }
    }
    group.wait()
    try withExtendedLifetime(model) {
      if let problem = queue.problem { throw problem }
      if let status = Interrupt.status { throw Failure("interrupted; the same command goes on", status) }
      if let status = queue.status { throw ExitCode(status) }
    }
  }
}

/// Entries, and what became of them. Several threads may work on one.
private final class Queue: @unchecked Sendable {
  private enum State: String { case waiting, skipped, dubbed, failed }

  private struct Record {
    var state = State.waiting
    var exit: Int32 = 0
    var result: Dub.Result?
    var text = ""
  }

  private let entries: [Manifest.Entry]
  private let (overwrite, quiet): (Bool, Bool)
  private let path: String?
  private let lock = Mutex(0)  // the next entry; guards all below
  private var records: [Record]
  private(set) var problem: Failure?

  init(_ entries: [Manifest.Entry], overwrite: Bool, quiet: Bool, report: String?) {
    (self.entries, self.overwrite, self.quiet, path) = (entries, overwrite, quiet, report)
    records = entries.map { _ in Record() }
  }

  /// Of the first entry that did not end with 0; nil if all did.
  var status: Int32? { records.first { $0.exit != 0 }?.exit }

  func work() {
    while Interrupt.status == nil, let index = take() {
      let record = dub(entries[index].dub)
      lock.withLock { _ in
        records[index] = record
        if !quiet || !record.text.isEmpty { say(line(index)) }
        do { try write() } catch { problem = error as? Failure }
      }
    }
  }

  private func take() -> Int? {
    lock.withLock { next in
      guard next < entries.count, problem == nil else { return nil }
      defer { next += 1 }
      return next
    }
  }

  private func dub(_ dub: Dub) -> Record {
    var status = stat()
    if !overwrite, stat(dub.output, &status) == 0 { return Record(state: .skipped) }
    let report = Report(isSilent: true)
    do {
      let result = try dub.dub(report, keepsPart: false)
      return Record(
        state: .dubbed, exit: result.status?.rawValue ?? 0, result: result,
        text: report.warnings.joined(separator: "; "))
    } catch {
      let failure = error as? Failure ?? Failure("\(error)", .internalFault)
      return Record(state: .failed, exit: failure.status.rawValue, text: failure.description)
    }
  }

  private func line(_ index: Int) -> String {
    let record = records[index]
    var words = ["\(index + 1) of \(entries.count): \(entries[index].dub.output): \(record.state.rawValue)"]
    if let result = record.result {
      words.append("\(result.frames) frames, \(result.painted) with a new mouth, in \(tenths(result.spent)) s")
    }
    if !record.text.isEmpty { words.append(record.text) }
    return words.joined(separator: "; ")
  }

  private func write() throws {
    guard let path else { return }
    let names = ["output", "state", "exit", "frames", "painted", "seconds", "spent", "text"]
    let rows = zip(entries, records).map { entry, record -> [JSON] in
      let (result, isOver) = (record.result, record.state == .dubbed || record.state == .failed)
      return [
        .string(entry.dub.output), .string(record.state.rawValue), isOver ? .integer(Int(record.exit)) : .null,
        result.map { .integer($0.frames) } ?? .null, result.map { .integer($0.painted) } ?? .null,
        result.map { .number($0.seconds) } ?? .null, result.map { .number($0.spent) } ?? .null, .string(record.text),
      ]
    }
    var text: String
    if path.hasSuffix(".json") {
      text = JSON.array(rows.map { .object(Dictionary(uniqueKeysWithValues: zip(names, $0))) }).text + "\n"
    } else {
      text = CSV.line(names)
      for row in rows {
        text += CSV.line(row.map { if case .string(let text) = $0 { text } else { $0 == .null ? "" : $0.text } })
      }
    }
    let file = try Output(path, inputs: [])
    try file.write(Array(text.utf8))
    try file.finish()
  }
}
