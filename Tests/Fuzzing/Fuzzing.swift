// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The whole path of a model file from a user: read, checked, packed, and one frame painted. Whatever the file contains,
// the result must be a model or an error; a trap ends the process, which is what fuzzing looks for.

import Faces
import Glibc
import Speech
public import SyncDiff
import Tensors

/// A model file is mostly weights. Files of the corpus end after their header: the geometry of Tests/FacesTests stands
/// in for one of its size, and zeros for everything else it claims, up to 4 MB.
public func completed(_ bytes: [UInt8]) -> [UInt8] {
  guard bytes.count >= 8 else { return bytes }
  let length = bytes[0..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  guard length == UInt64(bytes.count - 8), case .object(let header)? = try? JSON(parsing: bytes[8...]) else {
    return bytes
  }
  var (end, parts) = (0, [(first: Int, values: Tensor)]())
  for case (let name, .object(let tensor)) in header {
    guard case .array(let offsets)? = tensor["data_offsets"], case .integer(let first)? = offsets.first,
      case .integer(let last)? = offsets.last
    else { continue }
    end = max(end, last)
    guard let values = geometry[name], first >= 0, last - first == 4 * values.values.count else { continue }
    parts.append((first, values))
  }
  guard end <= 4 << 20 else { return bytes }
  var whole = bytes + [UInt8](repeating: 0, count: end)
  for (first, tensor) in parts {
    for (i, value) in tensor.values.enumerated() {
      for k in 0..<4 { whole[bytes.count + first + 4 * i + k] = UInt8(truncatingIfNeeded: value.bitPattern >> (8 * k)) }
    }
  }
  return whole
}

private let geometry: [String: Tensor] = {
  let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
  return (try? SafeTensors.load(path: "\(root)/FacesTests/Golden/geometry.safetensors").tensors) ?? [:]
}()

/// Loads a file with these bytes, and paints with it if its networks are small.
public func load(_ bytes: [UInt8]) throws(LoadError) {
  guard let file = tmpfile() else { throw .unreadable(.model, path: "temporary file", why: "there is none") }
  defer { fclose(file) }
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
    throw .unreadable(.model, path: "temporary file", why: "the disk is full")
  }
  let model = try Model.load(path: "/proc/self/fd/\(fileno(file))")
  if model.configuration.window <= 64 { paint(model) }
}

/// A grey frame.
private func paint(_ model: Model) {
  let side = 64
  let grey = UnsafeMutableRawPointer.allocate(byteCount: side * side * 3, alignment: 64)
  defer { grey.deallocate() }
  grey.initializeMemory(as: UInt8.self, repeating: 128, count: side * side * 3)
  let frame = MutableFrameView(
    format: .rgb, width: side, height: side, planes: [(base: grey, stride: side * 3)],
    colorimetry: Colorimetry(.bt709, .full))
  guard let frame, let face = model.face(side: side) else { return }
  var noise = GaussianNoise(seed: 0)
  var timeline = AudioTimeline()
  timeline.append(noise.fill(8000), at: 0)
  var pipeline = FramePipeline(model: model)
  _ = pipeline.find(frame.view, at: RunningTime(nanoseconds: 0))
  for count in 0..<2 as Range<UInt64> {
    pipeline.capture(from: &timeline, at: RunningTime(nanoseconds: count * 40_000_000))
    pipeline.paint(frame, face: face, features: pipeline.audioFeatures(), settings: PaintSettings(steps: 1))
  }
}
