// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The result of each entry of a batch, as CSV, as JSON or as a self-contained page. All three can be read back, so that the
// figures of files made by an earlier run are kept.

import Tensors

struct BatchRecord {
  enum State: String { case waiting, skipped, dubbed, failed }

  let output: String
  var state = State.waiting
  /// Exit status; nil while the entry waits, and for files that already existed.
  var exit: Int?
  /// Figures of the output, from this run or an earlier one.
  var figures: Figures?
  /// Warnings or the error.
  var text = ""
  /// Who confirmed that there is consent.
  let consent: String?
  /// Stills of the original and of the dub, JPEG in base64; for the page.
  var stills: [String] = []

  struct Figures {
    let frames, painted: Int
    /// Duration of the video, and the time it took to dub it.
    let seconds, spent: Double
    /// Whose certificate signed it, `own` or `test`; empty if it is not signed.
    let signed: String
  }

  fileprivate static let names = [
    "output", "state", "exit", "frames", "painted", "seconds", "spent", "text", "signed", "consent",
  ]

  fileprivate var values: [JSON] {
    [
      .string(output), .string(state.rawValue), exit.map { .integer($0) } ?? .null,
      figures.map { .integer($0.frames) } ?? .null, figures.map { .integer($0.painted) } ?? .null,
      figures.map { .number($0.seconds) } ?? .null, figures.map { .number($0.spent) } ?? .null, .string(text),
      .string(figures?.signed ?? ""), consent.map { .string($0) } ?? .null,
    ]
  }

  fileprivate var json: JSON { .object(Dictionary(uniqueKeysWithValues: zip(Self.names, values))) }

  init(_ dub: Dub) { (output, consent) = (dub.output, dub.origin.consent) }

  /// Nil if these are not the members of a report entry.
  fileprivate init?(_ members: [String: String]) {
    guard let output = members["output"] else { return nil }
    (self.output, consent) = (output, members["consent"])
    if let frames = members["frames"].flatMap(Int.init), let painted = members["painted"].flatMap(Int.init),
      let seconds = members["seconds"].flatMap(Double.init), let spent = members["spent"].flatMap(Double.init)
    {
      figures = Figures(
        frames: frames, painted: painted, seconds: seconds, spent: spent, signed: members["signed"] ?? "")
    }
  }
}

/// A report file about a batch.
struct BatchReport {
  enum Kind: String { case csv, json, html }

  let path: String
  let kind: Kind

  /// Nil if the name has no known extension.
  init?(path: String) {
    guard let kind = path.split(separator: ".").last.flatMap({ Kind(rawValue: String($0)) }) else { return nil }
    (self.path, self.kind) = (path, kind)
  }

  /// What an earlier run wrote there; empty if nothing can be read.
  func earlier() -> [BatchRecord] {
    guard let bytes = readFile(path) else { return [] }
    let text = String(decoding: bytes, as: UTF8.self)
    switch kind {
    case .csv:
      var lines = CSV.parse(text)
      guard !lines.isEmpty else { return [] }
      let names = lines.removeFirst()
      return lines.compactMap { BatchRecord(Dictionary(zip(names, $0)) { $1 }) }
    case .json: return Self.records(text)
    case .html:
      guard let start = text.firstRange(of: Self.dataStart)?.upperBound,
        let end = text[start...].firstRange(of: Self.dataEnd)?.lowerBound
      else { return [] }
      return Self.records(String(text[start..<end]))
    }
  }

  func write(_ records: [BatchRecord]) throws {
    let text =
      switch kind {
      case .csv: CSV.line(BatchRecord.names) + records.map { CSV.line($0.values.map(\.plain)) }.joined()
      case .json: JSON.array(records.map(\.json)).text + "\n"
      case .html: Self.page(records)
      }
    let file = try Output(path, inputs: [])
    try file.write(Array(text.utf8))
    try file.finish()
  }

  private static func records(_ json: String) -> [BatchRecord] {
    guard case .array(let rows)? = try? JSON(parsing: json.utf8) else { return [] }
    return rows.compactMap { row in
      guard case .object(let members) = row else { return nil }
      return BatchRecord(members.mapValues(\.plain))
    }
  }

  // MARK: The page

  private static let dataStart = #"<script type="application/json" id="records">"#
  private static let dataEnd = "</script>"

  private static func page(_ records: [BatchRecord]) -> String {
    let data = JSON.array(records.map(\.json)).text.replacing("<", with: #"\u003c"#)
    let figures = records.compactMap(\.figures)
    let (frames, painted) = (figures.reduce(0) { $0 + $1.frames }, figures.reduce(0) { $0 + $1.painted })
    let (seconds, spent) = (figures.reduce(0) { $0 + $1.seconds }, figures.reduce(0) { $0 + $1.spent })
    let counts = [BatchRecord.State.dubbed, .skipped, .failed, .waiting].compactMap { state in
      let count = records.count { $0.state == state }
      return count == 0 ? nil : "\(count) \(state.rawValue)"
    }
    return """
      <!doctype html>
      <html lang="en"><meta charset="utf-8"><title>syncdiff batch</title>
      <style>
      body { font: 15px system-ui, sans-serif; margin: 2em auto; max-width: 70em; color: #222 }
      table { border-collapse: collapse; width: 100% }
      th, td { text-align: left; padding: .4em .8em .4em 0; border-bottom: 1px solid #ddd; vertical-align: middle }
      img { height: 90px; margin-right: 4px; vertical-align: middle }
      meter { width: 7em }
      .failed td { background: #fdeaea }
      small { color: #666 }
      </style>
      <h1>\(records.count) dubs</h1>
      <p>\(counts.joined(separator: ", ")). \(painted) of \(frames) frames with a new mouth; \(tenths(seconds)) s of picture in \
      \(tenths(spent)) s.</p>
      <table><tr><th>original, dub</th><th>file</th><th>state</th><th>frames</th><th>with a new mouth</th><th>seconds</th>\
      <th>took</th></tr>
      \(records.map(row).joined(separator: "\n"))
      </table>
      \(dataStart)\(data)\(dataEnd)
      </html>

      """
  }

  private static func row(_ record: BatchRecord) -> String {
    let stills = record.stills.map { #"<img alt="" src="data:image/jpeg;base64,\#($0)">"# }.joined()
    let cells = record.figures.map { figures in
      [
        "\(figures.frames)",
        #"<meter max="\#(max(figures.frames, 1))" value="\#(figures.painted)"></meter> \#(figures.painted)"#,
        tenths(figures.seconds), "\(tenths(figures.spent)) s",
      ]
    }
    let text = record.text.isEmpty ? "" : "<br><small>\(escaped(record.text))</small>"
    let all = [stills, escaped(record.output) + text, record.state.rawValue] + (cells ?? ["", "", "", ""])
    return "<tr class=\"\(record.state.rawValue)\">\(all.map { "<td>\($0)</td>" }.joined())</tr>"
  }

  private static func escaped(_ text: String) -> String {
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")].reduce(text) { $0.replacing($1.0, with: $1.1) }
  }
}
