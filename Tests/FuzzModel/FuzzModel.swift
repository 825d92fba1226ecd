// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What libFuzzer calls. Built and run by meta/scripts/fuzz only.

import Fuzzing

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do {
    try load(completed(Array(UnsafeBufferPointer(start: bytes, count: count))))
  } catch {
    precondition(!error.description.isEmpty)
  }
  return 0
}

@_silgen_name("LLVMFuzzerMutate")
private func mutate(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ limit: Int) -> Int

/// Mostly the header's text changes and its length is put right, or nothing else would ever be reached.
@_cdecl("LLVMFuzzerCustomMutator")
public func customMutator(
  _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ limit: Int, _ seed: CUnsignedInt
) -> Int {
  guard seed % 16 > 0, count > 8, limit > 8 else { return mutate(bytes, count, limit) }
  let length = mutate(bytes + 8, count - 8, limit - 8)
  for i in 0..<8 { bytes[i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
  return 8 + length
}
