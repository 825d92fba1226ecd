// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Where the result goes: a file that is there once it is whole, or a pipe, a device, standard output.

import Glibc

final class Output {
  /// As the user gave it; "-" is standard output.
  let name: String
  /// Open for writing.
  let descriptor: Int32
  /// A regular file can be read again and written anywhere in.
  var isFile: Bool { temporary != nil }
  /// What is written so far; nil if it is no file.
  private(set) var temporary: String?
  /// The file that the name leads to.
  private let target: String
  private let mayReplace: Bool

  /// Throws when it cannot be written, or lies where one of `inputs` does. `canStream`: it may be written from the
  /// beginning to the end, as pipes are.
  init(_ name: String, inputs: [String], canStream: Bool = true, mayReplace: Bool = true) throws {
    (self.name, self.mayReplace) = (name, mayReplace)
    var status = stat()
    let exists = name == "-" ? fstat(STDOUT_FILENO, &status) == 0 : stat(name, &status) == 0
    if name == "-" {
      (target, descriptor) = (name, try Self.written(name, dup(STDOUT_FILENO)))
      guard canStream else { throw Self.cannotStream(name) }
      return
    }
    for input in inputs where exists {
      var other = stat()
      if stat(input, &other) == 0, (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino) {
        throw Failure("cannot write \(name): it is one of the inputs", .badOutput)
      }
    }
    switch exists ? status.st_mode & S_IFMT : S_IFREG {
    case S_IFDIR: throw Failure("cannot write \(name): it is a folder", .badOutput)
    case S_IFREG:
      guard mayReplace || !exists else {
        throw Failure("\(name) is there already; --overwrite replaces it", .badOutput)
      }
      let path = try Self.resolved(name)
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      // A name of its own, short whatever the target's is.
      var template = Array("\(folder).syncdiff-XXXXXX".utf8CString)
      (target, descriptor) = (path, try Self.written(name, mkstemp(&template)))
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      temporary = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
      let mask = umask(0)
      umask(mask)
      fchmod(descriptor, exists ? status.st_mode & 0o777 : 0o666 & ~mask)
    default:
      guard canStream else { throw Self.cannotStream(name) }
      (target, descriptor) = (name, try Self.written(name, open(name, O_WRONLY | O_CLOEXEC)))
    }
  }

  deinit {
    close(descriptor)
    if let temporary { unlink(temporary) }
  }

  /// All that it holds.
  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard count >= 0 || errno == EINTR else { throw Self.failure(name) }
      rest = rest.dropFirst(max(count, 0))
    }
  }

  /// Gives the file its name; until then an older one is untouched.
  func finish() throws {
    guard let temporary else { return }
    // A link never replaces anything.
    let isThere = mayReplace ? rename(temporary, target) : link(temporary, target)
    guard isThere == 0 else { throw Self.failure(name) }
    if mayReplace { self.temporary = nil }
  }

  /// The path behind symbolic links; the file itself need not be there.
  private static func resolved(_ name: String) throws -> String {
    var path = name
    for _ in 0..<40 {
      var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
      let count = readlink(path, &target, Int(PATH_MAX))
      guard count >= 0 else { return path }
      let link = String(decoding: target.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      path = link.hasPrefix("/") ? link : folder + link
    }
    throw Failure("cannot write \(name): \(String(cString: strerror(ELOOP)))", .badOutput)
  }

  private static func written(_ name: String, _ descriptor: Int32) throws -> Int32 {
    guard descriptor >= 0 else { throw failure(name) }
    return descriptor
  }

  private static func failure(_ name: String) -> Failure {
    Failure("cannot write \(name): \(String(cString: strerror(errno)))", .badOutput)
  }

  private static func cannotStream(_ name: String) -> Failure {
    Failure(
      "cannot write \(name): MP4 and MOV need a file that can be gone back in; use --container mkv, webm or ts",
      .badOutput)
  }
}
