// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The program's exit statuses other than 0. `syncdiff dub --help` and the README list them.
enum ExitStatus: Int32 {
  /// The output exists, but no face was found.
  case noFace = 3
  /// The output exists, but an input holds less than it announces, or some of it cannot be decoded.
  case incomplete = 4
  /// A wrong command line, or a list with a mistake; also swift-argument-parser's.
  case usage = 64
  case badInput = 66
  case internalFault = 70
  case badOutput = 73
  case interrupted = 130
  case terminated = 143
}

/// An error that ends the program with one clear line.
struct Failure: Error, CustomStringConvertible {
  let description: String
  let status: ExitStatus

  init(_ description: String, _ status: ExitStatus = .badInput) {
    (self.description, self.status) = (description, status)
  }

  /// What is wrong in a list, or with options for these files.
  init(_ wrong: ValidationError) { self.init(wrong.message, .usage) }
}
