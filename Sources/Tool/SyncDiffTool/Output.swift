// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Where the result goes: a file that appears only once it is complete, or a pipe, a device, or standard output.

import Glibc

final class Output {
  /// As the user gave it; "-" is standard output.
  let name: String
  /// Open for writing; a file also for reading.
  private(set) var descriptor: Int32
  /// A regular file can be read back and written at any position.
  var isFile: Bool { temporary != nil }
  /// The temporary file written so far; nil if the output is not a file.
  private(set) var temporary: String?
  /// The file that the name resolves to.
  private let target: String
  /// Of the file, "" or with a trailing slash; nil if the output is not a file.
  private var folder: String?
  private let mayReplace: Bool

  /// Throws if it cannot be written, or is the same file as one of `inputs`. `canStream`: whether it can be written
  /// sequentially, as pipes require.
  init(_ name: String, inputs: [String], canStream: Bool = true, mayReplace: Bool = true) throws {
    (self.name, self.mayReplace) = (name, mayReplace)
    var status = stat()
    let exists = name == "-" ? fstat(STDOUT_FILENO, &status) == 0 : stat(name, &status) == 0
    if name == "-" {
      (target, descriptor) = (name, try Self.written(name, dup(STDOUT_FILENO)))
      guard canStream else { throw Self.cannotStream(name) }
      return
    }
    try Self.requireOther(name, than: inputs)
    switch exists ? status.st_mode & S_IFMT : S_IFREG {
    case S_IFDIR: throw Self.isFolder(name)
    case S_IFREG:
      guard mayReplace || !exists else {
        throw Failure("\(name) exists; --overwrite replaces it", .badOutput)
      }
      let path = try Self.resolved(name)
      let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
      self.folder = folder
      removeLitter(in: folder)
      let opened = openTemporary(in: folder)
      (target, descriptor, temporary) = (path, try Self.written(name, opened.descriptor), opened.path)
      let mask = umask(0)
      umask(mask)
      fchmod(descriptor, exists ? status.st_mode & 0o777 : 0o666 & ~mask)
    default:
      guard canStream else { throw Self.cannotStream(name) }
      (target, descriptor) = (name, try Self.written(name, open(name, O_WRONLY | O_CLOEXEC)))
    }
  }

  /// Throws if a file is the same as one of `inputs`.
  static func requireOther(_ name: String, than inputs: [String]) throws {
    var (status, other) = (stat(), stat())
    guard stat(name, &status) == 0 else { return }
    for input in inputs where stat(input, &other) == 0 {
      guard (other.st_dev, other.st_ino) != (status.st_dev, status.st_ino) else {
        throw Failure("cannot write \(name): it is one of the inputs", .badOutput)
      }
    }
  }

  deinit {
    close(descriptor)
    if let temporary { unlink(temporary) }
  }

  /// Writes the complete contents.
  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard count >= 0 || errno == EINTR else { throw Self.failure(name) }
      rest = rest.dropFirst(max(count, 0))
    }
  }

  /// What has been written at `place`; nil if the file ends before.
  func read(_ place: Range<Int>) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: place.count)
    return pread(descriptor, &bytes, bytes.count, off_t(place.lowerBound)) == bytes.count ? bytes : nil
  }

  /// Puts other bytes in the place of as many `old` ones: all of them, or if it throws none.
  func replace(_ old: [UInt8], with new: [UInt8], at place: Int) throws {
    guard pwrite(descriptor, new, new.count, off_t(place)) == new.count else {
      let failure = Self.failure(name)
      _ = pwrite(descriptor, old, old.count, off_t(place))
      throw failure
    }
  }

  /// Lets `make` write a new file from this one, which it then replaces; if `make` throws, this one stays.
  func remake(_ make: (_ from: Int32, _ to: Int32) throws -> Void) throws {
    guard let temporary else { return }
    let folder = temporary.lastIndex(of: "/").map { String(temporary[...$0]) } ?? ""
    let (new, path) = openTemporary(in: folder)
    guard new >= 0 else { throw Self.failure(name) }
    do {
      try make(descriptor, new)
      var status = stat()
      guard fstat(descriptor, &status) == 0, fchmod(new, status.st_mode & 0o777) == 0, rename(path, temporary) == 0
      else { throw Self.failure(name) }
    } catch {
      unlink(path)
      close(new)
      throw error
    }
    close(descriptor)
    descriptor = new
  }

  /// A temporary file beside the output, whose disk must have room anyway, unless TMPDIR names another folder; for a pipe or
  /// device in /tmp.
  func scratch() throws -> Scratch {
    try Scratch(beside: folder)
  }

  /// Moves the file to its final name; until then an older file stays untouched.
  func finish() throws {
    guard let temporary else { return }
    // A link never replaces a file.
    let isThere = mayReplace ? rename(temporary, target) : link(temporary, target)
    guard isThere == 0 else { throw Self.failure(name) }
    if mayReplace { self.temporary = nil }
  }

  /// The path with symbolic links resolved; the file itself need not exist.
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

  static func isFolder(_ name: String) -> Failure { Failure("cannot write \(name): it is a folder", .badOutput) }

  private static func cannotStream(_ name: String) -> Failure {
    Failure(
      "cannot write \(name): MP4 and MOV need a file that can be gone back in; use --container mkv, webm or ts",
      .badOutput)
  }
}

/// A prefix of its own, so that the name is short whatever the target's is.
private let litter = ".syncdiff-"

/// Creates a file in `folder` ("" or with a trailing slash), locked while its descriptor is open, so that others see it is in
/// use. The descriptor is negative on failure, with errno set.
func openTemporary(in folder: String) -> (descriptor: Int32, path: String) {
  while true {
    var template = Array("\(folder)\(litter)XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    if descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    var status = stat()
    // Before it was locked, another process may have removed it as litter.
    guard descriptor >= 0, flock(descriptor, LOCK_EX) == 0, fstat(descriptor, &status) == 0, status.st_nlink == 0 else {
      return (descriptor, path)
    }
    close(descriptor)
  }
}

/// Removes what killed processes left in `folder`.
private func removeLitter(in folder: String) {
  for name in entries(of: folder.isEmpty ? "." : folder) ?? [] {
    guard name.hasPrefix(litter), name.utf8.count == litter.utf8.count + 6 else { continue }
    let path = folder + name
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { continue }
    defer { close(descriptor) }
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
      flock(descriptor, LOCK_EX | LOCK_NB) == 0
    {
      unlink(path)
    }
  }
}

/// The names in a folder; nil if it cannot be read, with errno set.
func entries(of folder: String) -> [String]? {
  guard let open = opendir(folder) else { return nil }
  defer { closedir(open) }
  var names: [String] = []
  while let entry = readdir(open) {
    names.append(
      withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      })
  }
  return names
}
