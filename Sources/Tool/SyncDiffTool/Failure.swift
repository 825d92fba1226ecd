// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// How the program ends, if not with 0. `syncdiff dub --help` and the README list these; 64, a wrong command line, is
/// swift-argument-parser's.
enum ExitStatus: Int32 {
  /// The output is there, but no face was found.
  case noFace = 3
  /// The output is there, but an input holds less than it announces.
  case incomplete = 4
  case badInput = 66
  case internalFault = 70
  case badOutput = 73
  case interrupted = 130
  case terminated = 143
}

/// One clear line that ends the program.
struct Failure: Error, CustomStringConvertible {
  let description: String
  let status: ExitStatus

  init(_ description: String, _ status: ExitStatus = .badInput) {
    (self.description, self.status) = (description, status)
  }
}
