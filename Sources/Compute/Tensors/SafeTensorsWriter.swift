// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Writes the format that SafeTensors.swift reads.

/// A tensor to write: values of one type, row-major.
public struct WrittenTensor {
  fileprivate let name, type: String
  fileprivate let shape: [Int]
  fileprivate let bytes: [UInt8]

  /// An F32 tensor; `values` must match the shape.
  public init(_ name: String, _ shape: [Int], _ values: [Float]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    (self.name, type, self.shape) = (name, "F32", shape)
    bytes = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
  }

  /// A U8 tensor; `values` must match the shape.
  public init(_ name: String, _ shape: [Int], _ values: [UInt8]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    (self.name, type, self.shape, bytes) = (name, "U8", shape, values)
  }
}

extension SafeTensors {
  /// Serialises the tensors, in this order, and adds their checksum to the metadata. Names, keys and values of the
  /// metadata must not need JSON escapes.
  public static func written(_ tensors: [WrittenTensor], metadata: [String: String]) -> [UInt8] {
    let values = tensors.flatMap(\.bytes)
    let metadata = metadata.merging(["crc32": values.withUnsafeBytes { checksum($0) }]) { $1 }
    var entries = [
      "\"__metadata__\":{\(metadata.sorted { $0 < $1 }.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ","))}"
    ]
    var end = 0
    for tensor in tensors {
      let (begin, shape) = (end, tensor.shape.map { "\($0)" }.joined(separator: ","))
      end += tensor.bytes.count
      entries.append(
        "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(end)]}")
    }
    // The values are aligned to eight bytes with spaces, as other writers do.
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    header += [UInt8](repeating: 0x20, count: -header.count & 7)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + values
  }
}
