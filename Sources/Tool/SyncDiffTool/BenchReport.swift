// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a measurement prints on stdout: a table, or one JSON object.

import CTensors
import Glibc
import Tensors

/// The machine, as described in every report.
struct Machine {
  let processor: String
  let cores = Int(ctensors_processor_count(ctensors_processors_allowed()))

  init() {
    var name: String?
    if let file = fopen("/proc/cpuinfo", "r") {
      defer { fclose(file) }
      var line = [CChar](repeating: 0, count: 1024)
      while name == nil, fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let parts = text.split(separator: ":", maxSplits: 1)
        if parts.count == 2, parts[0].hasPrefix("model name") {
          name = parts[1].split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
      }
    }
    processor = name ?? "unknown processor"
  }
}

/// Formats cells in columns: the first `left` columns left-aligned, the figures right-aligned.
func table(_ rows: [[String]], left: Int) -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
  return rows.map { row in
    var line = row.enumerated().map { column, cell in
      let fill = String(repeating: " ", count: widths[column] - cell.count)
      return column < left ? cell + fill : fill + cell
    }.joined(separator: "  ")
    while line.last == " " { line.removeLast() }
    return line + "\n"
  }.joined()
}

/// A non-negative number with a fixed number of decimals.
func fixed(_ value: Double, digits: Int = 2) -> String {
  let text = "\(Int((value * pow(10, Double(digits))).rounded()))"
  let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
  return "\(padded.dropLast(digits)).\(padded.suffix(digits))"
}

extension BenchOptions {
  /// Prints the outcome: `results` as JSON, or `rows` below their headings.
  func report(_ command: String, results: [JSON], rows: [[String]], left: Int) {
    let machine = Machine()
    if json {
      let report = JSON.object([
        "bench": .string(command), "processor": .string(machine.processor), "cores": .integer(machine.cores),
        "isa": .string(instructionSet), "bf16": .bool(multipliesBF16), "results": .array(results),
      ])
      print(report.text)
    } else {
      let remark = multipliesBF16 ? "" : "; bf16 would be slower than f32 here and is computed as f32"
      print("\(machine.processor), \(machine.cores) cores, \(instructionSet)\(remark)\n")
      print(table(rows, left: left), terminator: "")
    }
  }
}

extension Trial {
  /// The labels as text, empty where missing.
  func cells(_ names: [String]) -> [String] {
    names.map { name in
      switch labels[name] {
      case .string(let text): text
      case .integer(let number): "\(number)"
      default: ""
      }
    }
  }

  /// 0 where it is not counted.
  var gflop: Double { if case .number(let gflop) = labels["gflop"] { gflop } else { 0 } }

  /// GFLOP/s.
  var speed: Double { gflop / samples.median * 1000 }
}

extension [Double] {
  /// Summary of the milliseconds, with each of them if `each`.
  func summary(each: Bool = false) -> [String: JSON] {
    let figures = ["median_ms": median, "p95_ms": quantile(0.95), "min_ms": quantile(0)].mapValues { JSON.number($0) }
    return each ? figures.merging(["ms": .array(map { .number($0) })]) { _, all in all } : figures
  }
}
