// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A strict JSON parser (RFC 8259) for the header and configuration of model files; the plugin does not link
/// Foundation, whose parser would add megabytes. Rejects duplicate keys, invalid UTF-8 and nesting deeper than
/// `maximumDepth`.
package enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)  // with a fraction or an exponent, or too large for `Int`
  case string(String)
  case array([JSON])
  case object([String: JSON])

  package static let maximumDepth = 32

  package enum Problem: Error, Equatable {
    case syntax(at: Int)  // offset of the unexpected byte
    case duplicateKey(String)
  }

  /// Parses `text`, which must be one value, with nothing but white space around it.
  package init(parsing text: some Collection<UInt8>) throws(Problem) {
    var reader = Reader(bytes: Array(text))
    self = try reader.value(depth: 0)
    reader.skipSpace()
    if reader.at < reader.bytes.count { throw .syntax(at: reader.at) }
  }
}

private struct Reader {
  let bytes: [UInt8]
  var at = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { at += 1 }
  }

  mutating func accept(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    at += 1
    return true
  }

  mutating func expect(_ text: StaticString) throws(JSON.Problem) {
    for i in 0..<text.utf8CodeUnitCount {
      guard next == text.utf8Start[i] else { throw .syntax(at: at) }
      at += 1
    }
  }

  mutating func value(depth: Int) throws(JSON.Problem) -> JSON {
    skipSpace()
    guard depth < JSON.maximumDepth, let first = next else { throw .syntax(at: at) }
    switch Unicode.Scalar(first) {
    case "{": return try object(depth: depth)
    case "[": return try array(depth: depth)
    case "\"": return .string(try string())
    case "t":
      try expect("true")
      return .bool(true)
    case "f":
      try expect("false")
      return .bool(false)
    case "n":
      try expect("null")
      return .null
    default: return try number()
    }
  }

  mutating func object(depth: Int) throws(JSON.Problem) -> JSON {
    try expect("{")
    var members: [String: JSON] = [:]
    skipSpace()
    if accept("}") { return .object(members) }
    repeat {
      skipSpace()
      let key = try string()
      skipSpace()
      try expect(":")
      let member = try value(depth: depth + 1)
      guard members.updateValue(member, forKey: key) == nil else { throw .duplicateKey(key) }
      skipSpace()
    } while accept(",")
    try expect("}")
    return .object(members)
  }

  mutating func array(depth: Int) throws(JSON.Problem) -> JSON {
    try expect("[")
    var elements: [JSON] = []
    skipSpace()
    if accept("]") { return .array(elements) }
    repeat {
      elements.append(try value(depth: depth + 1))
      skipSpace()
    } while accept(",")
    try expect("]")
    return .array(elements)
  }

  mutating func string() throws(JSON.Problem) -> String {
    let start = at
    try expect("\"")
    var text: [UInt8] = []
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw .syntax(at: at) }
      at += 1
      if byte == UInt8(ascii: "\\") {
        text += String(Character(try escaped())).utf8
      } else {
        text.append(byte)
      }
    }
    try expect("\"")
    guard let string = String(validating: text, as: UTF8.self) else { throw .syntax(at: start) }
    return string
  }

  /// Parses what follows a backslash.
  mutating func escaped() throws(JSON.Problem) -> Unicode.Scalar {
    let start = at
    guard let byte = next else { throw .syntax(at: at) }
    at += 1
    switch Unicode.Scalar(byte) {
    case "\"", "\\", "/": return Unicode.Scalar(byte)
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        try expect("\\u")
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw .syntax(at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw .syntax(at: start) }
      return scalar
    default: throw .syntax(at: start)
    }
  }

  mutating func hexadecimal() throws(JSON.Problem) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw .syntax(at: at) }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }

  mutating func digits() throws(JSON.Problem) {
    let start = at
    while let byte = next, (0x30...0x39).contains(byte) { at += 1 }
    if at == start { throw .syntax(at: at) }
  }

  mutating func number() throws(JSON.Problem) -> JSON {
    let start = at
    _ = accept("-")
    if !accept("0") { try digits() }
    let whole = at
    if accept(".") { try digits() }
    if accept("e") || accept("E") {
      if !accept("+") { _ = accept("-") }
      try digits()
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if at == whole, let integer = Int(text) { return .integer(integer) }
    guard let number = Double(text), number.isFinite else { throw .syntax(at: start) }
    return .number(number)
  }
}
