// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Memory for the inside of one layer. Each thread keeps its own from layer to layer, since fresh pages cost more than
/// a small layer computes.
enum Scratch {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { free($0) }
    return key
  }()

  private static let header = 64  // bytes; the first eight hold the capacity, and what follows is aligned

  /// Lends `count` floats of any content. Must not be nested.
  static func withFloats<Result>(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Result) -> Result {
    let size = count * MemoryLayout<Float>.stride
    var memory = pthread_getspecific(key)
    if (memory?.load(as: Int.self) ?? -1) < size {
      free(memory)
      memory = nil
      pthread_setspecific(key, nil)
      precondition(posix_memalign(&memory, header, header + size) == 0, "out of memory")
      memory?.storeBytes(of: size, as: Int.self)
      pthread_setspecific(key, memory)
    }
    guard let memory else { preconditionFailure("out of memory") }
    return body((memory + header).assumingMemoryBound(to: Float.self))
  }
}
