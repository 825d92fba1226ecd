// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Lists written by users: CSV (RFC 4180) whose first line names the columns, or a JSON array of objects. Cells may also be parted by
// semicolons or tabs, as spreadsheets write them in countries with a decimal comma.

import ArgumentParser
import Glibc
import Tensors

/// The values by name, and how messages refer to the row.
struct Row {
  let name: String
  let cells: [(name: String, text: String)]
}

/// The rows of a list; throws if the file is not one, or has none.
func table(at path: String) throws -> [Row] {
  guard let bytes = readFile(path) else { throw Failure("cannot read \(path): \(String(cString: strerror(errno)))") }
  let first = bytes.first { !" \t\r\n".utf8.contains($0) }
  let rows = try [UInt8(ascii: "["), UInt8(ascii: "{")].contains(first) ? objects(bytes, path) : lines(bytes, path)
  guard !rows.isEmpty else { throw ValidationError("\(path) has no entries.") }
  return rows
}

private func lines(_ bytes: [UInt8], _ path: String) throws -> [Row] {
  let header = bytes.prefix { $0 != UInt8(ascii: "\n") }
  let separator = [",", ";", "\t"].first { header.contains(UInt8(ascii: $0)) } ?? ","
  var lines = CSV.parse(String(decoding: bytes, as: UTF8.self), separator: separator)
  guard !lines.isEmpty else { throw ValidationError("\(path) is empty.") }
  let columns = lines.removeFirst()
  if let twice = columns.first(where: { name in columns.count { $0 == name } > 1 }) {
    throw ValidationError("\(path) has two columns \(twice).")
  }
  return try lines.enumerated().map { index, cells in
    let name = "\(path), entry \(index + 1)"
    guard cells.count == columns.count else {
      let advice = separator == "," && cells.count > columns.count
      throw ValidationError(
        "\(name) has \(cells.count) cells, not \(columns.count)\(advice ? "; put quotes around a cell with a comma" : "")."
      )
    }
    return Row(name: name, cells: zip(columns, cells).map { ($0, $1) })
  }
}

private func objects(_ bytes: [UInt8], _ path: String) throws -> [Row] {
  guard case .array(let entries)? = try? JSON(parsing: bytes) else {
    throw ValidationError("\(path) is not a JSON array.")
  }
  return try entries.enumerated().map { index, entry in
    let name = "\(path), entry \(index + 1)"
    guard case .object(let members) = entry else { throw ValidationError("\(name) is not a JSON object.") }
    let cells = try members.sorted { $0.key < $1.key }.map { member, value in
      switch value {
      case .string, .integer, .number, .bool: (member, value.plain)
      default: throw ValidationError("\(name): \(member) must be text, a number, true or false.")
      }
    }
    return Row(name: name, cells: cells)
  }
}

extension JSON {
  /// As a table cell: text without quotes, empty for null.
  var plain: String {
    switch self {
    case .string(let text): text
    case .null: ""
    default: text
    }
  }
}

/// The whole contents of a file; nil if it cannot be read, with errno set.
func readFile(_ path: String) -> [UInt8]? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  var (all, part) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
  while case let count = fread(&part, 1, part.count, file), count > 0 { all += part[..<count] }
  return ferror(file) == 0 ? all : nil
}

enum CSV {
  /// Lines of cells; empty lines are skipped.
  static func parse(_ text: String, separator: Unicode.Scalar = ",") -> [[String]] {
    var (lines, cells, cell) = ([[String]](), [String](), "")
    var isQuoted = false
    var scalars = text.unicodeScalars.makeIterator()
    var next = scalars.next()
    func endLine() {
      cells.append(cell)
      if cells != [""] { lines.append(cells) }
      (cells, cell) = ([], "")
    }
    while let scalar = next {
      next = scalars.next()
      switch (isQuoted, scalar) {
      case (true, "\"") where next == "\"":
        cell.unicodeScalars.append(scalar)
        next = scalars.next()
      case (_, "\""): isQuoted.toggle()
      case (false, separator):
        cells.append(cell)
        cell = ""
      case (false, "\n"): endLine()
      case (false, "\r"), (false, "\u{feff}"): break
      default: cell.unicodeScalars.append(scalar)
      }
    }
    endLine()
    return lines
  }

  static func line(_ cells: [String]) -> String {
    cells.map { cell in
      let isPlain = !cell.unicodeScalars.contains { ["\"", ",", "\n", "\r"].contains($0) }
      return isPlain
        ? cell : "\"\(cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\""
    }.joined(separator: ",") + "\n"
  }
}
