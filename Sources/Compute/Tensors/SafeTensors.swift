// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Reads the safetensors format (github.com/huggingface/safetensors, "Format"): eight bytes of header length, little
// endian; a JSON header {name: {dtype, shape, data_offsets}}; the values. Every byte of the values must belong to
// exactly one tensor. The optional metadata entry `crc32`, eight lower-case hexadecimal digits, is the checksum of the
// values. Reading never traps, whatever the file contains.

import Glibc

/// One case for each way in which a file can be invalid.
public enum SafeTensorsError: Error, Equatable, CustomStringConvertible {
  case notFound(path: String)
  case unreadable(path: String, reason: String)
  case empty
  case tooShort(size: Int)
  case headerTooLong(length: UInt64)
  case headerBeyondEnd(length: UInt64, size: Int)
  case notJSON(offset: Int)
  case notAnObject
  case duplicateName(String)
  case badMetadata
  case badEntry(name: String)
  case unsupportedType(name: String, type: String)
  case badShape(name: String)
  case tooLarge(name: String)
  case badOffsets(name: String)
  case outOfRange(name: String)
  case sizeMismatch(name: String, expected: Int, actual: Int)
  case overlap(name: String)
  case gap(name: String)
  case trailingBytes(count: Int)
  case damaged(crc32: String)

  public var description: String {
    switch self {
    case .notFound(let path): "there is no file \(path); check the path"
    case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
    case .empty: "the file is empty; copy or write it again"
    case .tooShort(let size):
      "the file has only \(size) bytes and is no safetensors file; give a file that syncdiff wrote"
    case .headerTooLong(let length):
      "the header would be \(length) bytes long, more than any of syncdiff's; give a file that syncdiff wrote"
    case .headerBeyondEnd(let length, let size):
      "the header of \(length) bytes does not fit into the \(size) bytes of the file; it was cut off, copy it again"
    case .notJSON(let offset): "the header is not JSON at its byte \(offset); the file is damaged, copy it again"
    case .notAnObject: "the header is not a JSON object; give a file that syncdiff wrote"
    case .duplicateName(let name): "the header names \"\(name)\" twice; write it again"
    case .badMetadata: "__metadata__ is not an object of strings; write it again"
    case .badEntry(let name):
      "tensor \"\(name)\" is not described by exactly dtype, shape and data_offsets; write it again"
    case .unsupportedType(let name, let type):
      "tensor \"\(name)\" has the type \(type); write it with F32, F16, BF16 or U8"
    case .badShape(let name): "the shape of tensor \"\(name)\" is not a list of sizes; write it again"
    case .tooLarge(let name): "tensor \"\(name)\" is larger than memory can be; write it again"
    case .badOffsets(let name): "the data_offsets of tensor \"\(name)\" are not [begin, end]; write it again"
    case .outOfRange(let name): "tensor \"\(name)\" ends behind the file's end; it was cut off, copy it again"
    case .sizeMismatch(let name, let expected, let actual):
      "tensor \"\(name)\" has \(actual) bytes where its shape needs \(expected); write it again"
    case .overlap(let name): "tensor \"\(name)\" overlaps another one; write it again"
    case .gap(let name): "bytes before tensor \"\(name)\" belong to no tensor; write it again"
    case .trailingBytes(let count):
      "\(count) bytes at the end of the file belong to no tensor; copy or write it again"
    case .damaged(let crc32):
      "its values have the checksum \(crc32) and not the one in its header; the file is damaged, copy it again"
    }
  }
}

/// A file in memory. The header is validated when it is opened; a tensor is converted to `Float` when it is requested.
public struct SafeTensors: Sendable {
  // Limits for hostile files; ours have 60 kB and 20 MB.
  static let longestHeader = 1 << 20  // bytes
  public static let largestFile = 1 << 30  // bytes

  /// The header's `__metadata__`.
  public let metadata: [String: String]
  private let entries: [String: Entry]
  private let bytes: [UInt8]
  private let first: Int  // offset of the values

  public init(_ bytes: [UInt8]) throws(SafeTensorsError) {
    if bytes.isEmpty { throw .empty }
    guard bytes.count >= 8 else { throw .tooShort(size: bytes.count) }
    let length = bytes[0..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(Self.longestHeader) else { throw .headerTooLong(length: length) }
    let first = 8 + Int(length)
    guard first <= bytes.count else { throw .headerBeyondEnd(length: length, size: bytes.count) }

    var header = try Self.header(bytes[8..<first])
    metadata = try Self.metadata(header.removeValue(forKey: "__metadata__"))
    var sorted: [Entry] = []
    for (name, description) in header { sorted.append(try Entry(name, description)) }
    sorted.sort { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }

    var entries: [String: Entry] = [:]
    var end = 0
    for entry in sorted {
      guard entry.begin >= end else { throw .overlap(name: entry.name) }
      guard entry.begin == end else { throw .gap(name: entry.name) }
      guard entry.end <= bytes.count - first else { throw .outOfRange(name: entry.name) }
      end = entry.end
      entries[entry.name] = entry
    }
    guard end == bytes.count - first else { throw .trailingBytes(count: bytes.count - first - end) }
    if let expected = metadata["crc32"] {
      let found = bytes.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[first...])) }
      guard expected == found else { throw .damaged(crc32: found) }
    }
    (self.entries, self.bytes, self.first) = (entries, bytes, first)
  }

  /// Loads the file at `path`, at most `largest` bytes.
  public static func load(path: String, largest: Int = largestFile) throws(SafeTensorsError) -> SafeTensors {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)  // does not block on a FIFO
    guard file >= 0 else {
      if errno == ENOENT { throw .notFound(path: path) }
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    defer { close(file) }
    var information = stat()
    guard fstat(file, &information) == 0 else {
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    guard information.st_mode & S_IFMT == S_IFREG else { throw .unreadable(path: path, reason: "it is not a file") }
    let size = Int(information.st_size)
    guard size <= largest else { throw .unreadable(path: path, reason: "it is larger than \(largest >> 20) MiB") }
    // Read rather than mapped: if somebody truncated a mapped file, the process would die with SIGBUS.
    var failure: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        let got = Glibc.read(file, buffer.baseAddress.map { $0 + count }, size - count)
        if got < 0 && errno == EINTR { continue }
        if got < 0 { failure = errno }
        if got <= 0 { return }
        count += got
      }
    }
    if failure != 0 { throw .unreadable(path: path, reason: String(cString: strerror(failure))) }
    return try SafeTensors(bytes)
  }

  public var names: [String] { Array(entries.keys) }

  /// The tensor `name`; nil if there is none.
  public subscript(name: String) -> Tensor? {
    entries[name].map { entry in
      bytes.withUnsafeBytes { entry.tensor(UnsafeRawBufferPointer(rebasing: $0[(first + entry.begin)...])) }
    }
  }

  /// All tensors.
  public var tensors: [String: Tensor] {
    names.reduce(into: [:]) { tensors, name in tensors[name] = self[name] }
  }

  private static func header(_ text: ArraySlice<UInt8>) throws(SafeTensorsError) -> [String: JSON] {
    do {
      guard case .object(let header) = try JSON(parsing: text) else { throw SafeTensorsError.notAnObject }
      return header
    } catch JSON.Problem.syntax(let offset) {
      throw .notJSON(offset: offset)
    } catch JSON.Problem.duplicateKey(let name) {
      throw .duplicateName(name)
    } catch {
      throw .notAnObject
    }
  }

  private static func metadata(_ value: JSON?) throws(SafeTensorsError) -> [String: String] {
    guard let value else { return [:] }
    guard case .object(let members) = value else { throw .badMetadata }
    var metadata: [String: String] = [:]
    for (key, member) in members {
      guard case .string(let text) = member else { throw .badMetadata }
      metadata[key] = text
    }
    return metadata
  }
}

/// A tensor's entry in the header; offsets in bytes from the end of the header.
private struct Entry {
  enum Kind: String {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case u8 = "U8"

    var bytes: Int {
      switch self {
      case .f32: 4
      case .f16, .bf16: 2
      case .u8: 1
      }
    }
  }

  let name: String
  let kind: Kind
  let shape: [Int]
  let begin: Int
  let end: Int

  init(_ name: String, _ description: JSON) throws(SafeTensorsError) {
    guard case .object(let fields) = description, fields.count == 3, case .string(let type)? = fields["dtype"],
      case .array(let sizes)? = fields["shape"], case .array(let offsets)? = fields["data_offsets"]
    else { throw .badEntry(name: name) }
    guard let kind = Kind(rawValue: type) else { throw .unsupportedType(name: name, type: type) }
    var shape: [Int] = []
    var size = kind.bytes
    for value in sizes {
      guard case .integer(let n) = value, n >= 0 else { throw .badShape(name: name) }
      shape.append(n)
      let (product, overflow) = size.multipliedReportingOverflow(by: n)
      if overflow { throw .tooLarge(name: name) }
      size = product
    }
    guard offsets.count == 2, case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1],
      begin >= 0, end >= begin
    else { throw .badOffsets(name: name) }
    guard end - begin == size else { throw .sizeMismatch(name: name, expected: size, actual: end - begin) }
    (self.name, self.kind, self.shape, self.begin, self.end) = (name, kind, shape, begin, end)
  }

  /// `bytes` begins with the tensor's values, little endian like every platform that Swift supports.
  func tensor(_ bytes: UnsafeRawBufferPointer) -> Tensor {
    Tensor(shape) { output in
      guard let bytes = bytes.baseAddress else { return }
      switch kind {
      case .f32: UnsafeMutableRawPointer(output).copyMemory(from: bytes, byteCount: end - begin)
      case .f16: widen(bytes, count: (end - begin) / 2, output, widened(f16:))
      case .bf16: widen(bytes, count: (end - begin) / 2, output, widened(bf16:))
      case .u8: for i in 0..<end - begin { output[i] = Float(bytes.load(fromByteOffset: i, as: UInt8.self)) }
      }
    }
  }
}

@inline(__always)
private func widen(
  _ bytes: UnsafeRawPointer, count: Int, _ output: UnsafeMutablePointer<Float>, _ widened: (UInt32) -> Float
) {
  for i in 0..<count {
    output[i] = widened(UInt32(bytes.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self)))
  }
}

/// Converts IEEE 754 binary16, because `Float16` does not exist on every platform. Branch-free, so that the compiler
/// vectorises it. Subnormals are the difference of two normal numbers, so flushing denormals to zero does not affect
/// them.
@inline(__always)
private func widened(f16 bits: UInt32) -> Float {
  let exponentStep: UInt32 = 1 << 23
  let magnitude = (bits & 0x7FFF) &<< 13
  let exponent = magnitude & (31 &* exponentStep)
  let normal = magnitude &+ 112 &* exponentStep  // the biases are 127 and 15
  let special = normal &+ 112 &* exponentStep  // infinity and NaN
  let subnormal = (Float(bitPattern: normal &+ exponentStep) - 0x1p-14).bitPattern
  let wide = exponent == 0 ? subnormal : exponent == 31 &* exponentStep ? special : normal
  return Float(bitPattern: wide | (bits & 0x8000) &<< 16)
}

@inline(__always)
private func widened(bf16 bits: UInt32) -> Float { Float(bitPattern: bits &<< 16) }
