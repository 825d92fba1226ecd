// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Tensors
import TestSupport
import Testing

/// A file with this header and `size` bytes of values.
private func file(_ header: String, _ size: Int = 0) -> [UInt8] {
  let length = UInt64(header.utf8.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
    + (0..<size).map { UInt8(truncatingIfNeeded: $0) }
}

private func tensor(_ type: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
  "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
}

@Suite struct SafeTensorsTests {
  @Test func readsEveryTypeAndMetadata() throws {
    let header = """
      {"__metadata__":{"config":"{\\"steps\\":4}"},"a":\(tensor("F32", "[2]", 0, 8)),
      "b":\(tensor("F16", "[1,5]", 8, 18)),
      "c":\(tensor("BF16", "[2]", 18, 22)),"none":\(tensor("F32", "[0,3]", 22, 22)),
      "one":\(tensor("F32", "[]", 22, 26)),"u":\(tensor("U8", "[1,3]", 26, 29))}
      """
    let values: [UInt8] = [
      0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0,  // 1, -2
      0, 0x3C, 0, 0xC0, 1, 0, 0xFF, 0x7B, 0, 0x7C,  // 1, -2, the smallest, the largest, infinity
      0x80, 0x3F, 0, 0xC0, 0, 0, 0, 0x3F, 0, 127, 255,
    ]
    let contents = try SafeTensors(file(header) + values)
    #expect(contents.metadata == ["config": "{\"steps\":4}"])
    #expect(
      contents.tensors == [
        "a": Tensor([2], [1, -2]), "b": Tensor([1, 5], [1, -2, 0x1p-24, 65504, .infinity]), "c": Tensor([2], [1, -2]),
        "none": Tensor([0, 3], []), "one": Tensor([], [0.5]), "u": Tensor([1, 3], [0, 127, 255]),
      ])
  }

  /// A round trip preserves everything including the checksum, and damage is detected.
  @Test(arguments: 0..<8) func readsWhatIsWritten(length: Int) throws {
    let bytes = (0..<6).map { UInt8(50 * $0) }
    var written = SafeTensors.written(
      [
        WrittenTensor("a", [2, 1], [0.1, -.greatestFiniteMagnitude] as [Float]), WrittenTensor("b", [2, 3], bytes),
        WrittenTensor("none", [0], [] as [Float]),
      ], metadata: ["format": String(repeating: "x", count: length)])
    let contents = try SafeTensors(written)
    #expect(contents.metadata["format"] == String(repeating: "x", count: length))
    #expect(contents.metadata["crc32"]?.count == 8)
    #expect(
      contents.tensors == [
        "a": Tensor([2, 1], [0.1, -.greatestFiniteMagnitude]), "b": Tensor([2, 3], bytes.map { Float($0) }),
        "none": Tensor([0], []),
      ])
    #expect(written[0] % 8 == 0)
    written[written.count - 1] ^= 1
    #expect { try SafeTensors(written) } throws: { if case .damaged = $0 as? SafeTensorsError { true } else { false } }
  }

  /// Every binary16 value, eight at a time and one by one, against the definition.
  @Test(arguments: [1 << 16, 3]) func widensHalves(count: Int) throws {
    let values = (0..<count).map { UInt16($0 * 65535 / (count - 1)) }
    let bytes = values.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    let contents = try SafeTensors(file("{\"a\":\(tensor("F16", "[\(count)]", 0, 2 * count))}") + bytes)
    let widened = try #require(contents["a"])
    for (half, value) in zip(values, widened.values) {
      let (exponent, fraction) = (half >> 10 & 31, Float(half & 1023))
      let magnitude =
        switch exponent {
        case 0: fraction * 0x1p-24
        case 31: fraction == 0 ? Float.infinity : .nan
        default: Float(sign: .plus, exponent: Int(exponent) - 15, significand: 1 + fraction / 1024)
        }
      if magnitude.isNaN {
        #expect(value.isNaN)
      } else {
        #expect(value.bitPattern == (half >> 15 == 0 ? magnitude : -magnitude).bitPattern)
      }
    }
  }

  /// One file for each error.
  @Test(
    arguments: [
      ([], .empty),
      ([1, 2, 3], .tooShort(size: 3)),
      ([0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10, 0x4A, 0x46, 0x49, 0x46], .headerTooLong(length: 0x464A_1000_E0FF_D8FF)),
      ([9, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D], .headerBeyondEnd(length: 9, size: 10)),
      (file("{\"a\":}"), .notJSON(offset: 5)),
      (file("{} x"), .notJSON(offset: 3)),
      ([3, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xFF, 0x22], .notJSON(offset: 0)),
      (file("{\"a\":1e999}"), .notJSON(offset: 5)),
      (file("[]"), .notAnObject),
      (file("{\"a\":\(tensor("F32", "[0]", 0, 0)),\"a\":\(tensor("F32", "[0]", 0, 0))}"), .duplicateName("a")),
      (file("{\"__metadata__\":{\"a\":1}}"), .badMetadata),
      (file("{\"__metadata__\":[]}"), .badMetadata),
      (file("{\"a\":3}"), .badEntry(name: "a")),
      (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4), .badEntry(name: "a")),
      (file("{\"a\":\(tensor("I8", "[1]", 0, 1))}", 1), .unsupportedType(name: "a", type: "I8")),
      (file("{\"a\":\(tensor("F32", "[-1]", 0, 4))}", 4), .badShape(name: "a")),
      (file("{\"a\":\(tensor("F32", "[1.5]", 0, 4))}", 4), .badShape(name: "a")),
      (file("{\"a\":\(tensor("F32", "[4611686018427387904,4]", 0, 0))}"), .tooLarge(name: "a")),
      (file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4), .badOffsets(name: "a")),
      (file("{\"a\":\(tensor("F32", "[1]", 4, 0))}", 4), .badOffsets(name: "a")),
      (file("{\"a\":\(tensor("F32", "[1]", -4, 0))}", 4), .badOffsets(name: "a")),
      (file("{\"a\":\(tensor("F32", "[2]", 0, 8))}", 4), .outOfRange(name: "a")),
      (file("{\"a\":\(tensor("F32", "[2]", 0, 4))}", 4), .sizeMismatch(name: "a", expected: 8, actual: 4)),
      (
        file("{\"a\":\(tensor("F32", "[2]", 0, 8)),\"b\":\(tensor("F32", "[2]", 4, 12))}", 12), .overlap(name: "b")
      ),
      (file("{\"a\":\(tensor("F32", "[1]", 0, 4)),\"b\":\(tensor("F32", "[1]", 8, 12))}", 12), .gap(name: "b")),
      (file("{\"a\":\(tensor("F32", "[1]", 0, 4))}", 7), .trailingBytes(count: 3)),
    ] as [([UInt8], SafeTensorsError)])
  func refuses(bytes: [UInt8], error: SafeTensorsError) {
    #expect(throws: error) { try SafeTensors(bytes) }
    #expect(!error.description.isEmpty)
  }

  @Test func refusesDeepNesting() {
    let deep = file(String(repeating: "[", count: 1_000_000))
    #expect(throws: SafeTensorsError.notJSON(offset: JSON.maximumDepth)) { try SafeTensors(deep) }
  }

  /// Values by Python's `zlib.crc32(bytes(range(size)))`.
  @Test(arguments: [(0, "00000000"), (2, "36de2269"), (8, "88aa689f"), (14, "69ef56c8"), (256, "29058c73")])
  func checksum(size: Int, crc: String) throws {
    func bytes(_ told: String) -> [UInt8] {
      file("{\"__metadata__\":{\"crc32\":\"\(told)\"},\"a\":\(tensor("F16", "[\(size / 2)]", 0, size))}", size)
    }
    _ = try SafeTensors(bytes(crc))
    #expect(throws: SafeTensorsError.damaged(crc32: crc)) { try SafeTensors(bytes("12345678")) }
  }

  /// Truncated or damaged anywhere, a file is read or refused, and nothing traps.
  @Test func survivesDamage() {
    let whole = file("{\"a\":\(tensor("F32", "[2,1]", 0, 8)),\"b\":\(tensor("BF16", "[3]", 8, 14))}", 14)
    for count in 0..<whole.count {
      #expect(throws: SafeTensorsError.self) { try SafeTensors(Array(whole[..<count])) }
    }
    for i in whole.indices {
      for byte in [0, 0x22, 0x2D, 0x39, 0x5B, 0x5C, 0x7B, 0x7F, 0x80, 0xFF] as [UInt8] {
        var damaged = whole
        damaged[i] = byte
        _ = try? SafeTensors(damaged)
      }
    }
  }

  @Test func namesThePath() throws {
    #expect(throws: SafeTensorsError.notFound(path: "/no/such/model")) { try SafeTensors.load(path: "/no/such/model") }
    #expect(throws: SafeTensorsError.unreadable(path: "/", reason: "it is not a file")) {
      try SafeTensors.load(path: "/")
    }
    #expect(throws: SafeTensorsError.unreadable(path: #filePath, reason: "it is larger than 0 MiB")) {
      try SafeTensors.load(path: #filePath, largest: 100)
    }
    #expect(throws: SafeTensorsError.unreadable(path: "/dev/zero", reason: "it is not a file")) {
      try SafeTensors.load(path: "/dev/zero")
    }
    let fifo = "/tmp/syncdiff-fifo-\(getpid())"
    try #require(mkfifo(fifo, 0o600) == 0)
    defer { unlink(fifo) }
    #expect(throws: SafeTensorsError.unreadable(path: fifo, reason: "it is not a file")) {
      try SafeTensors.load(path: fifo)
    }
  }
}

@Suite struct JSONTests {
  @Test func readsEveryKind() throws {
    let text = #" {"a": [1, -2.5e1, true, false, null], "b\u00e9\ud83d\ude00": "\"\\\/\b\f\n\r\té"} "#
    #expect(
      try JSON(parsing: text.utf8)
        == .object([
          "a": .array([.integer(1), .number(-25), .bool(true), .bool(false), .null]),
          "bé😀": .string("\"\\/\u{8}\u{C}\n\r\té"),
        ]))
  }

  @Test(arguments: [
    "", " ", "01", "1.", ".5", "+1", "-", "1e", "tru", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"",
    "\"\\ud800\\u0041\"",
    "\"\\udc00\"", "\"\n\"", "[1,]", "[1 2]", "{\"a\" 1}", "{\"a\":1,}", "{1:2}", "1 1", "NaN",
  ])
  func refuses(text: String) { #expect(throws: JSON.Problem.self) { try JSON(parsing: text.utf8) } }
}
