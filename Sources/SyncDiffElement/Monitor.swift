// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// A mutex and a condition. Everything that two threads share in a `Stream` is guarded by its monitor.
final class Monitor {
  private let mutex = UnsafeMutablePointer<GMutex>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<GCond>.allocate(capacity: 1)

  init() {
    g_mutex_init(mutex)
    g_cond_init(changed)
  }

  deinit {
    g_cond_clear(changed)
    g_mutex_clear(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  func lock() { g_mutex_lock(mutex) }
  func unlock() { g_mutex_unlock(mutex) }

  /// Wakes every waiting thread. The lock must be held.
  func broadcast() { g_cond_broadcast(changed) }

  /// Waits for a broadcast. The lock must be held; it is free meanwhile.
  func wait() { g_cond_wait(changed, mutex) }

  /// The same, until `g_get_monotonic_time` reaches `deadline` (microseconds) at most.
  func wait(until deadline: gint64) { g_cond_wait_until(changed, mutex, deadline) }

  func locked<Result>(_ body: () -> Result) -> Result {
    lock()
    defer { unlock() }
    return body()
  }
}
