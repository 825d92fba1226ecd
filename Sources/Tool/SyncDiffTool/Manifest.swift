// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A list of dubs. Columns or members are options of `syncdiff dub` without the dashes.

import ArgumentParser
import Glibc

struct Manifest {
  /// Its place in the file, and its options.
  struct Entry {
    let name: String
    let dub: Dub
  }

  let entries: [Entry]

  /// Throws if an entry is not a valid command line of `syncdiff dub`, or if two entries have the same output.
  init(path: String) throws {
    let help = Dub.helpMessage()
    entries = try table(at: path).map { row in
      let words = row.cells.compactMap { option, value -> String? in
        // Spreadsheets write TRUE and FALSE.
        switch ["TRUE", "FALSE"].contains(value) ? value.lowercased() : value {
        case "false" where help.contains("--\(option)/--no-\(option)"): "--no-\(option)"
        case "", "false": nil
        case "true": "--\(option)"
        default: "--\(option)=\(value)"
        }
      }
      do {
        return Entry(name: row.name, dub: try Dub.parse(words))
      } catch {
        throw ValidationError("\(row.name): \(Dub.message(for: error))")
      }
    }
    var outputs: [String: String] = [:]
    for entry in entries {
      let output = entry.dub.output
      guard output != "-" else { throw ValidationError("\(entry.name): a list cannot write to standard output.") }
      if let other = outputs.updateValue(entry.name, forKey: place(of: output)) {
        throw ValidationError("\(entry.name) and \(other) have the same output, \(output).")
      }
    }
  }
}

/// A path with its folder resolved, so that `a.mp4` and `./a.mp4` are the same.
private func place(of path: String) -> String {
  let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
  guard let folder = realpath("\(path[..<name])./", nil) else { return path }
  defer { free(folder) }
  return "\(String(cString: folder))/\(path[name...])"
}
