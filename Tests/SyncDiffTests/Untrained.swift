// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A model file of another size than the one that ships, written by the test. What tensors it must hold it learns from
// what the loader says is missing.

import Foundation
import SyncDiff
import Tensors
import Testing

/// The shipped face networks and the smallest networks of ours, for a window of `window` px.
func untrainedModel(window: Int, maskTop: Int) throws -> Model {
  let config = """
    {"window": \(window), "mask_top": \(maskTop), "latent_channels": 4, "ae_channels": [4, 4, 8], \
    "unet_channels": [8, 8, 8], "groups": 4, "head": 4, "embedding": 8, "prior": 2, "audio_width": 8, \
    "audio_layers": 1, "audio_past": 8, "audio_future": 5, "steps": 2}
    """
  let faces = URL(filePath: modelPath).deletingLastPathComponent().appending(path: "faces.safetensors").path
  var tensors = try SafeTensors.load(path: faces).tensors
  let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
  defer { try? FileManager.default.removeItem(at: file) }
  try write(tensors, config, to: file)
  guard case .malformed(_, let why)? = #expect(throws: ModelError.self, performing: { try Model.load(path: file.path) })
  else { throw Missing() }
  for missing in why.matches(of: /missing (\S+) \[([\d, ]*)\]/) {
    let shape = missing.2.split(separator: ", ").compactMap { Int($0) }
    let values = (0..<shape.reduce(1, *)).map { 0.1 + 0.2 * sinf(Float($0 * $0)) }
    tensors[String(missing.1)] = Tensor(shape, values)
  }
  try write(tensors, config, to: file)
  return try Model.load(path: file.path)
}

private struct Missing: Error {}

private func write(_ tensors: [String: Tensor], _ config: String, to file: URL) throws {
  var header: [String: Any] = ["__metadata__": ["format": "syncdiff", "version": "1", "config": config]]
  var data = Data()
  for (name, tensor) in tensors {
    let bytes = Array(tensor.values).withUnsafeBytes { Data($0) }
    header[name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [data.count, data.count + bytes.count]]
    data += bytes
  }
  let text = try JSONSerialization.data(withJSONObject: header)
  let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
  try (Data(prefix) + text + data).write(to: file)
}
