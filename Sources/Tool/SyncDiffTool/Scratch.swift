// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// An unnamed file for much that is needed only until the output is complete: encoded stretches, frames to be repeated.

import Glibc

final class Scratch: Sendable {
  nonisolated(unsafe) let file: UnsafeMutablePointer<FILE>
  private let folder: String

  /// `folder`: "" or with a trailing slash; nil: /tmp. TMPDIR names another one.
  init(beside folder: String? = nil) throws {
    let named = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 + "/" }
    let folder = named ?? folder ?? "/tmp/"
    self.folder = folder.isEmpty ? "." : folder
    let opened = openTemporary(in: folder)
    guard opened.descriptor >= 0, let file = fdopen(opened.descriptor, "w+") else {
      throw Self.failure(self.folder, String(cString: strerror(errno)))
    }
    unlink(opened.path)
    self.file = file
  }

  deinit { fclose(file) }

  func failure(_ reason: String) -> Failure { Self.failure(folder, reason) }

  private static func failure(_ folder: String, _ reason: String) -> Failure {
    Failure("cannot keep data in \(folder): \(reason); TMPDIR names another folder", .badOutput)
  }
}
