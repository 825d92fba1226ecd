// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Dispatch
import Glibc
import Synchronization

struct Batch: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dubs a list of files in one process.",
    discussion: """
      MANIFEST is a CSV file whose first line names its columns, with commas, semicolons or tabs between them, or a JSON \
      array of objects. Columns and members are named like the options of syncdiff dub without dashes: video, audio and \
      output at least, others such as from, to or consent; flags such as once are true or false. Paths are relative to the \
      current directory.

      An existing output is complete and is not made again. After any interruption, even kill -9, the same command resumes and \
      removes what an interrupted process left unfinished. An entry that fails does not stop the others.

      REPORT gets a row for each entry: output, state (dubbed, skipped, failed, waiting), exit, frames, painted, seconds, spent, \
      text (warnings or the error), signed (own, test or empty), consent. It is rewritten after each entry; the figures of skipped \
      files come from the previous report. A .html report is a single page with pictures.

      Exit status: 0 if every entry succeeded or was skipped, otherwise that of the first one that did not, as in syncdiff dub.
      """)

  @Argument(help: ArgumentHelp("CSV or JSON list of what to dub.", valueName: "manifest"), completion: .file())
  var manifest: String

  @Option(help: "Entries to dub in parallel.")
  var jobs = 1

  @Option(
    help: ArgumentHelp(
      "Only the K-th entry and every N-th after it, for N processes or machines.", valueName: "k/n"))
  var share: Share?

  @Option(
    help: ArgumentHelp(
      "Report to write: .csv, .json or .html. May be given more than once.",
      valueName: "report"), completion: .file())
  var report: [String] = []

  @Flag(help: "Make existing outputs again.")
  var overwrite = false

  @Flag(help: "Print only warnings and errors.")
  var quiet = false

  /// One part of a list, written as "2/8".
  struct Share: ExpressibleByArgument {
    let (first, step): (Int, Int)

    init?(argument: String) {
      let numbers = argument.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
      guard numbers.count == 2, let first = numbers[0], let step = numbers[1], 1 <= first, first <= step else {
        return nil
      }
      (self.first, self.step) = (first, step)
    }
  }

  func validate() throws {
    guard (1...64).contains(jobs) else { throw ValidationError("--jobs must be 1 to 64.") }
    for path in report where BatchReport(path: path) == nil {
      throw ValidationError("--report must be a file that ends with .csv, .json or .html, not \(path).")
    }
  }

  func run() throws {
    Interrupt.arm()
    gst_init(nil, nil)
    let all = try Manifest(path: manifest).entries
    let entries = share.map { share in
      stride(from: share.first - 1, to: all.count, by: share.step).map { all[$0] }
    }
    for path in report { _ = try Output(path, inputs: []) }  // better now than after the first dub
    let queue = Queue(
      entries ?? all, overwrite: overwrite, quiet: quiet, reports: report.compactMap(BatchReport.init(path:)))
    // Keep a reference, so that no entry has to load the model again.
    let model = try all.first.map { try loadModel($0.dub.element.model, precision: $0.dub.element.precision.format) }
    let group = DispatchGroup()
    for _ in 0..<min(jobs, max(all.count, 1)) {
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

/// The entries and their results. Several threads may work on one queue.
private final class Queue: @unchecked Sendable {
  private let entries: [Manifest.Entry]
  private let (overwrite, quiet): (Bool, Bool)
  private let reports: [BatchReport]
  /// Records of earlier runs, by output.
  private let earlier: [String: BatchRecord]
  private let lock = Mutex(0)  // index of the next entry; guards everything below
  private var records: [BatchRecord]
  private(set) var problem: Failure?

  init(_ entries: [Manifest.Entry], overwrite: Bool, quiet: Bool, reports: [BatchReport]) {
    (self.entries, self.overwrite, self.quiet, self.reports) = (entries, overwrite, quiet, reports)
    records = entries.map { BatchRecord($0.dub) }
    let told = reports.flatMap { $0.earlier() }.filter { $0.figures != nil }
    earlier = Dictionary(told.map { ($0.output, $0) }) { $1 }
  }

  /// Status of the first entry that did not end with 0; nil if all did.
  var status: Int32? { records.first { $0.exit ?? 0 != 0 }?.exit.map(Int32.init) }

  func work() {
    while Interrupt.status == nil, let index = take() {
      let record = dub(entries[index].dub)
      lock.withLock { _ in
        records[index] = record
        if !quiet || !record.text.isEmpty { say(line(index)) }
        do { for report in reports { try report.write(records) } } catch { problem = error as? Failure }
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

  private func dub(_ dub: Dub) -> BatchRecord {
    var record = BatchRecord(dub)
    var (status, picture) = (stat(), Media?.none)
    let report = Report(isSilent: true)
    do {
      if !overwrite, stat(dub.output, &status) == 0 {
        // What is dubbed is checked in `dub`.
        let sounds = try dub.cues.map { try Cue.load(path: $0).map(\.sound) } ?? dub.audio.map { [$0] } ?? []
        try Output.requireOther(dub.output, than: [dub.video] + sounds)
        (record.state, record.figures) = (.skipped, earlier[dub.output]?.figures)
      } else {
        let result = try dub.dub(report, keepsPart: false)
        picture = result.picture
        (record.state, record.exit) = (.dubbed, Int(result.status?.rawValue ?? 0))
        record.figures = BatchRecord.Figures(
          frames: result.frames, painted: result.painted, seconds: result.seconds, spent: result.spent,
          signed: result.signature?.rawValue ?? "")
        record.text = report.warnings.joined(separator: "; ")
      }
    } catch {
      let wrong = (error as? ValidationError).map { Failure($0) }
      let failure = error as? Failure ?? wrong ?? Failure("\(error)", .internalFault)
      (record.state, record.exit, record.text) = (.failed, Int(failure.status.rawValue), failure.description)
    }
    if record.state != .failed, reports.contains(where: { $0.kind == .html }) {
      record.stills = stills(of: dub, picture)
    }
    return record
  }

  /// One still of the original and one of the dub, each from the middle, as far as they can be decoded. `picture`: the original,
  /// if it was read already.
  private func stills(of dub: Dub, _ picture: Media?) -> [String] {
    guard let made = try? Stills(of: Media(path: dub.output)) else { return [] }
    let middle = (made.duration ?? 0) / 2
    let original = try? Stills(of: picture ?? Media(path: dub.video))
    return [(original, dub.format.from + middle), (made, middle)].compactMap { stills, time in
      stills?.jpeg(at: time, height: 180).map(base64)
    }
  }

  private func line(_ index: Int) -> String {
    let record = records[index]
    var words = ["\(index + 1) of \(entries.count): \(record.output): \(record.state.rawValue)"]
    if record.state == .dubbed, let figures = record.figures {
      words.append("\(figures.frames) frames, \(figures.painted) with a new mouth, in \(tenths(figures.spent)) s")
    }
    if !record.text.isEmpty { words.append(record.text) }
    return words.joined(separator: "; ")
  }
}
