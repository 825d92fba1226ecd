// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Memory for floats, aligned to a cache line. Up to 63 floats beyond the last one may be read.
final class Storage: @unchecked Sendable {
  // Sendable: written before it is shared, and again only when nothing but the workspace refers to it.
  let memory: UnsafeMutablePointer<Float>
  let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    memory = UnsafeMutableRawPointer.allocate(byteCount: 4 * (capacity + 64), alignment: 64)
      .bindMemory(to: Float.self, capacity: capacity + 64)
  }

  deinit { UnsafeMutableRawPointer(memory).deallocate() }
}

/// The memory for all activations of the process. A block, once allocated, stays and is reused when its tensor is gone:
/// fresh pages cost more time than a small layer takes, and a recently used block is still in the cache. It grows to
/// the peak demand of the networks and no further.
final class Workspace: @unchecked Sendable {
  // Sendable: `pieces` is accessed with the lock held.
  static let shared = Workspace()

  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var pieces: [[Storage]] = Array(repeating: [], count: 4 * 64)  // by size class

  private init() { pthread_mutex_init(lock, nil) }

  /// A block of at least `count` floats with arbitrary content.
  func lease(_ count: Int) -> Storage {
    let (index, capacity) = Self.sizeClass(count)
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    for i in pieces[index].indices where isKnownUniquelyReferenced(&pieces[index][i]) { return pieces[index][i] }
    let piece = Storage(capacity: capacity)
    pieces[index].append(piece)
    return piece
  }

  /// Four size classes for each power of two.
  private static func sizeClass(_ count: Int) -> (index: Int, capacity: Int) {
    let count = max(count, 64)
    let power = Int.bitWidth - 1 - count.leadingZeroBitCount
    let step = 1 << (power - 2)
    let quarter = (count - 1 << power + step - 1) / step
    return quarter == 4 ? (4 * (power + 1), 2 << power) : (4 * power + quarter, 1 << power + quarter * step)
  }
}

/// Scratch memory for one task. Each thread has its own.
enum Scratch {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { free($0) }
    return key
  }()

  private static let header = 64  // bytes; the first eight hold the capacity, and the padding keeps the rest aligned

  /// Lends `count` floats with arbitrary content. Must not be nested.
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
