// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Malicious files: libFuzzer's corpus (meta/scripts/fuzz), and a small model damaged in a thousand ways. A trap would
// end the process.

import Foundation
import Fuzzing
import SyncDiff
import TestSupport
import Testing

@Suite struct HostileTests {
  static let corpus = URL(filePath: #filePath).appending(path: "../../Fuzzing/Corpus").standardized

  @Test func theCorpusIsLoadedOrRefused() throws {
    let files = try FileManager.default.contentsOfDirectory(at: Self.corpus, includingPropertiesForKeys: nil)
    #expect(!files.isEmpty)
    for file in files {
      let bytes = [UInt8](try Data(contentsOf: file))
      if file.lastPathComponent == "model" { try load(completed(bytes)) } else { tryToLoad(completed(bytes)) }
    }
  }

  @Test func aDamagedModelIsLoadedOrRefused() throws {
    let file = try untrainedModelFile(window: 32)
    defer { try? FileManager.default.removeItem(at: file) }
    let whole = [UInt8](try Data(contentsOf: file))
    try load(whole)
    let header = 8 + whole[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    if let path = ProcessInfo.processInfo.environment["SYNCDIFF_HEADER"] {
      try Data(whole[..<header]).write(to: URL(filePath: path))
    }
    let seed = UInt64.random(in: 0..<1 << 48)
    print("damaged models from seed \(seed)")
    var dice = Dice(seed)
    for _ in 0..<1000 { tryToLoad(damaged(whole, header, &dice)) }
  }

  private func tryToLoad(_ bytes: [UInt8]) {
    do throws(LoadError) {
      try load(bytes)
    } catch {
      #expect(!error.description.isEmpty)
    }
  }

  /// Truncated, with a few bytes of the header or the values changed, or with a number of the header replaced.
  private func damaged(_ whole: [UInt8], _ header: Int, _ dice: inout Dice) -> [UInt8] {
    var bytes = whole
    switch Int.random(in: 0..<10, using: &dice) {
    case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &dice))
    case 1: bytes[Int.random(in: 0..<8, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
    case 2, 3:
      for _ in 0..<3 {
        bytes[Int.random(in: header..<bytes.count, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
      }
    case 4, 5:
      for _ in 0..<3 {
        bytes[Int.random(in: 8..<header, using: &dice)] = UInt8.random(in: 32...126, using: &dice)
      }
    default:
      let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
      let start = Int.random(in: 8..<header, using: &dice)
      guard let first = bytes[start..<header].firstIndex(where: digits.contains) else { break }
      let end = bytes[first...].firstIndex { !digits.contains($0) } ?? header
      let number = dice.pick(["0", "-1", "1", "4294967296", "9223372036854775807", "1e999", "16", "512", "1024"])
      bytes.replaceSubrange(first..<end, with: number.utf8)
      let length = header - 8 + number.utf8.count - (end - first)
      for i in 0..<8 { bytes[i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
    }
    return bytes
  }
}
