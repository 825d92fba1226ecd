// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// An unnamed file for much that is needed only until the output is complete: encoded stretches, frames to be repeated.

import Glibc

final class Scratch: Sendable {
  nonisolated(unsafe) let file: UnsafeMutablePointer<FILE>
  private let folder: String

  /// Takes ownership of `descriptor`, a file in `folder`; throws if that is negative, with errno set.
  init(_ descriptor: Int32, in folder: String) throws {
    self.folder = folder.isEmpty ? "." : folder
    guard descriptor >= 0, let file = fdopen(descriptor, "w+") else {
      throw Self.failure(self.folder, String(cString: strerror(errno)))
    }
    self.file = file
  }

  deinit { fclose(file) }

  func failure(_ reason: String) -> Failure { Self.failure(folder, reason) }

  private static func failure(_ folder: String, _ reason: String) -> Failure {
    Failure("cannot keep frames in \(folder): \(reason); TMPDIR names another folder", .badOutput)
  }
}
