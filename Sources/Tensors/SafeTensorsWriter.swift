// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The other direction of SafeTensors.swift.

/// A tensor to be written: values of one type, row-major.
public struct WrittenTensor {
  fileprivate let name, type: String
  fileprivate let shape: [Int]
  fileprivate let bytes: [UInt8]

  /// F32. As many values as the shape says.
  public init(_ name: String, _ shape: [Int], _ values: [Float]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    (self.name, type, self.shape) = (name, "F32", shape)
    bytes = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
  }

  /// U8.
  public init(_ name: String, _ shape: [Int], _ values: [UInt8]) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    (self.name, type, self.shape, bytes) = (name, "U8", shape, values)
  }
}

extension SafeTensors {
  /// A file of these tensors, in this order, with its checksum in the metadata. Names, keys and texts must need no escapes
  /// in JSON.
  public static func written(_ tensors: [WrittenTensor], metadata: [String: String]) -> [UInt8] {
    let values = tensors.flatMap(\.bytes)
    let told = metadata.merging(["crc32": values.withUnsafeBytes { checksum($0) }]) { $1 }
    var entries = ["\"__metadata__\":{\(told.sorted { $0 < $1 }.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ","))}"]
    var end = 0
    for tensor in tensors {
      let (begin, shape) = (end, tensor.shape.map { "\($0)" }.joined(separator: ","))
      end += tensor.bytes.count
      entries.append(
        "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(end)]}")
    }
    // Spaces bring the values to a multiple of eight bytes, as other writers do.
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    header += [UInt8](repeating: 0x20, count: -header.count & 7)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + values
  }
}
