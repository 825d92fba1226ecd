// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The program's exit statuses other than 0. `syncdiff dub --help` and the README list them; 64, a wrong command line, is
/// swift-argument-parser's.
enum ExitStatus: Int32 {
  /// The output exists, but no face was found.
  case noFace = 3
  /// The output exists, but an input holds less than it announces.
  case incomplete = 4
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
}
