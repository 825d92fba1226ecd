// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// What a waiting thread decides each time it looks at the state.
enum Turn<Result> {
  case done(Result)
  /// The state has been changed: look again at once.
  case again
  /// Look again when the state has changed, or when `g_get_monotonic_time` reaches this (microseconds).
  case wait(until: Int64?)
}

/// State that several threads share, with the mutex that guards it and the condition that tells of its changes. The state can
/// be reached in the closures of `read`, `change` and `wait` only, and there the mutex is held: so the compiler guards it. This
/// is the one place where it has to take our word (`@unchecked`).
///
/// Rules for the closures, for they run while other threads wait: no GStreamer call that may run somebody else's code (push, post,
/// query), no second `Guarded`. Log lines, a clock's time and GstObject's own lock are fine.
final class Guarded<State: ~Copyable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<GMutex>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<GCond>.allocate(capacity: 1)
  private var state: State

  init(_ state: consuming State) {
    self.state = state
    g_mutex_init(mutex)
    g_cond_init(changed)
  }

  deinit {
    g_cond_clear(changed)
    g_mutex_clear(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Changes the state, and lets every waiting thread look at it again.
  func change<Result>(_ body: (inout State) -> Result) -> Result {
    g_mutex_lock(mutex)
    defer {
      g_cond_broadcast(changed)
      g_mutex_unlock(mutex)
    }
    return body(&state)
  }

  /// Takes turns until one is done. While it waits, the mutex is free. What the last turn has changed is told to others.
  func wait<Result>(_ turn: (inout State) -> Turn<Result>) -> Result {
    g_mutex_lock(mutex)
    defer {
      g_cond_broadcast(changed)
      g_mutex_unlock(mutex)
    }
    while true {
      switch turn(&state) {
      case .done(let result): return result
      case .again: g_cond_broadcast(changed)
      case .wait(let limit?): g_cond_wait_until(changed, mutex, gint64(limit))
      case .wait(nil): g_cond_wait(changed, mutex)
      }
    }
  }
}

extension Guarded {
  /// Looks at the state.
  func read<Result>(_ body: (State) -> Result) -> Result {
    g_mutex_lock(mutex)
    defer { g_mutex_unlock(mutex) }
    return body(state)
  }
}
