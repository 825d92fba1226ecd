// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The whole way of a model file that a user names: read, checked, packed, and one frame painted. Whatever the file holds, it
// ends in a model or an error; a trap ends the process, and that is what is looked for.

import Faces
import Glibc
import Speech
public import SyncDiff
import Tensors

/// A model file mostly holds weights. Files of the corpus stop behind their header: zeros stand for as much as it claims, up
/// to 4 MB.
public func completed(_ bytes: [UInt8]) -> [UInt8] {
  guard bytes.count >= 8 else { return bytes }
  let length = bytes[0..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  guard length == UInt64(bytes.count - 8), case .object(let header)? = try? JSON(parsing: bytes[8...]) else {
    return bytes
  }
  var end = 0
  for case .object(let tensor) in header.values {
    guard case .array(let offsets)? = tensor["data_offsets"], case .integer(let last)? = offsets.last else { continue }
    end = max(end, last)
  }
  return end <= 4 << 20 ? bytes + [UInt8](repeating: 0, count: end) : bytes
}

/// Loads what a file of these bytes holds, and paints with it if its networks are small.
public func load(_ bytes: [UInt8]) throws(ModelError) {
  guard let file = tmpfile() else { throw .unreadable(path: "temporary file", why: "there is none") }
  defer { fclose(file) }
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
    throw .unreadable(path: "temporary file", why: "the disk is full")
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
  guard let frame, let window = Similarity(a: 1, b: 0, tx: 0, ty: 0) else { return }
  let (tokens, width) = (model.configuration.tokens, 4 * Filterbank.bands)
  let silence = Tensor([tokens, width], [Float](repeating: Filterbank.silence, count: tokens * width))
  var journey = Journey(model: model)
  _ = journey.find(frame.view, at: RunningTime(nanoseconds: 0))
  for _ in 0..<2 {
    journey.paint(
      frame, face: Face(points: [], score: 1, window: window), sound: silence, settings: PaintSettings(steps: 1))
  }
}
