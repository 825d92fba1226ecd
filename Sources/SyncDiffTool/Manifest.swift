// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A list of dubs: CSV (RFC 4180) whose first line names the columns, or a JSON array of objects. Columns and members are options of
// `syncdiff dub` without their dashes.

import ArgumentParser
import Glibc
import Tensors

struct Manifest {
  /// Where it stands in the file, and its options.
  struct Entry {
    let name: String
    let dub: Dub
  }

  let entries: [Entry]

  /// Throws if an entry is no command line of `syncdiff dub`, or two have one output.
  init(path: String) throws {
    guard let bytes = Self.bytes(of: path) else {
      throw Failure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    let rows =
      try bytes.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "[")
      ? Self.json(bytes, path) : Self.csv(bytes, path)
    entries = try rows.map { name, options in
      let words = options.compactMap { option, value -> String? in
        switch value {
        case "", "false": nil
        case "true": "--\(option)"
        default: "--\(option)=\(value)"
        }
      }
      do {
        return Entry(name: name, dub: try Dub.parse(words))
      } catch {
        throw ValidationError("\(name): \(Dub.message(for: error))")
      }
    }
    var outputs: [String: String] = [:]
    for entry in entries {
      let output = entry.dub.output
      guard output != "-" else { throw ValidationError("\(entry.name): a list cannot write to standard output.") }
      if let other = outputs.updateValue(entry.name, forKey: output) {
        throw ValidationError("\(entry.name) and \(other) have the same output, \(output).")
      }
    }
  }

  private typealias Row = (name: String, options: [(String, String)])

  private static func csv(_ bytes: [UInt8], _ path: String) throws -> [Row] {
    var lines = CSV.parse(String(decoding: bytes, as: UTF8.self))
    guard !lines.isEmpty else { throw ValidationError("\(path) is empty.") }
    let columns = lines.removeFirst()
    return try lines.enumerated().map { index, cells in
      let name = "\(path), entry \(index + 1)"
      guard cells.count == columns.count else {
        throw ValidationError("\(name) has \(cells.count) cells, not \(columns.count).")
      }
      return (name, Array(zip(columns, cells)))
    }
  }

  private static func json(_ bytes: [UInt8], _ path: String) throws -> [Row] {
    guard case .array(let entries)? = try? JSON(parsing: bytes) else {
      throw ValidationError("\(path) is no JSON array.")
    }
    return try entries.enumerated().map { index, entry in
      let name = "\(path), entry \(index + 1)"
      guard case .object(let members) = entry else { throw ValidationError("\(name) is no JSON object.") }
      return (
        name,
        try members.sorted { $0.key < $1.key }.map { option, value in
          switch value {
          case .string(let text): return (option, text)
          case .integer(let number): return (option, "\(number)")
          case .number(let number): return (option, "\(number)")
          case .bool(let isOn): return (option, "\(isOn)")
          default: throw ValidationError("\(name): \(option) is neither text nor a number nor true or false.")
          }
        }
      )
    }
  }

  private static func bytes(of path: String) -> [UInt8]? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var (all, part) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
    while case let count = fread(&part, 1, part.count, file), count > 0 { all += part[..<count] }
    return ferror(file) == 0 ? all : nil
  }
}

enum CSV {
  /// Lines of cells; empty lines are left out.
  static func parse(_ text: String) -> [[String]] {
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
      case (false, ","):
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
