// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Model files of another size than the one that ships, written by the test. What tensors they must hold it learns from what
// the loader says is missing.

public import Foundation
public import SyncDiff
import Tensors
import Testing

/// The shipped face networks, the geometry of Tests/FacesTests and the smallest networks of ours, for a window of `window` px; with channels of AV-HuBERT
/// that is the audio encoder.
public func untrainedModel(window: Int, avHuBERT: Int? = nil) throws -> Model {
  let file = try untrainedModelFile(window: window, avHuBERT: avHuBERT)
  defer { try? FileManager.default.removeItem(at: file) }
  return try Model.load(path: file.path)
}

/// The file of such a model, its tensors changed at last; the caller removes it.
public func untrainedModelFile(
  window: Int, avHuBERT: Int? = nil, changing change: (inout [String: Tensor]) -> Void = { _ in }
) throws -> URL {
  let config = """
    {"window": \(window), "latent_channels": 4, "ae_channels": [4, 4, 8], \
    "unet_channels": [8, 8, 8], "groups": 4, "head": 4, "embedding": 8, "prior": 2, "audio_width": 8, \
    "audio_layers": 1, "audio_past": 8, "audio_future": 5, "coefficients": 12, \
    "steps": 2\(avHuBERT.map { ", \"av_hubert\": \($0)" } ?? "")}
    """
  var tensors: [String: Tensor] = [:]
  for part in ["meta/models/faces.safetensors", "Tests/FacesTests/Golden/geometry.safetensors"] {
    let path = URL(filePath: #filePath).appending(path: "../../../\(part)").standardized.path
    tensors.merge(try SafeTensors.load(path: path).tensors) { $1 }
  }
  let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
  try write(tensors, config, to: file)
  guard
    case .malformed(_, _, let why)? = #expect(throws: LoadError.self, performing: { try Model.load(path: file.path) })
  else { throw Missing() }
  for missing in why.matches(of: /missing (\S+) \[([\d, ]*)\]/) {
    let shape = missing.2.split(separator: ", ").compactMap { Int($0) }
    let values = (0..<shape.reduce(1, *)).map { 0.1 + 0.2 * sinf(Float($0 * $0)) }
    tensors[String(missing.1)] = Tensor(shape, values)
  }
  change(&tensors)
  try write(tensors, config, to: file)
  return file
}

private struct Missing: Error {}

private func write(_ tensors: [String: Tensor], _ config: String, to file: URL) throws {
  var header: [String: Any] = ["__metadata__": ["format": "syncdiff", "version": "3", "config": config]]
  var data = Data()
  for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
    let bytes = Array(tensor.values).withUnsafeBytes { Data($0) }
    header[name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [data.count, data.count + bytes.count]]
    data += bytes
  }
  let text = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes])
  let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
  try (Data(prefix) + text + data).write(to: file)
}
