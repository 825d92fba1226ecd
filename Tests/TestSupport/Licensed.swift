// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The path of a copy of the shipped model under another licence; the caller removes it.
public func licensedModel(_ licence: String) throws -> String {
  let shipped = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../meta/models/syncdiff.safetensors")
  let whole = try Data(contentsOf: shipped)
  let length = whole.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
  var header = try JSONSerialization.jsonObject(with: whole[8..<8 + length]) as? [String: Any]
  var metadata = header?["__metadata__"] as? [String: String]
  metadata?["licence"] = licence
  header?["__metadata__"] = metadata
  let text = try JSONSerialization.data(withJSONObject: header ?? [:])
  let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
  let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
  try (Data(prefix) + text + whole[(8 + length)...]).write(to: file)
  return file.path
}
