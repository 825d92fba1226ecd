// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What a waiting thread decides each time it checks the state.
package enum Turn<Result> {
  case done(Result)
  /// The state has been changed: check again at once.
  case again
  /// Check again when the state has changed, or when `g_get_monotonic_time` reaches this (microseconds).
  case wait(until: Int64?)
}

/// State that several threads share, with the mutex that guards it and the condition that signals its changes. The state is
/// accessible only in the closures of `read`, `change` and `wait`, where the mutex is held: so the compiler enforces the
/// guard. It has to trust us only here (`@unchecked`) and for `Stream.element`. The mutex is pthread's, which
/// ThreadSanitizer supports.
///
/// Rules for the closures, since other threads wait while they run: no second `Guarded`, and no GStreamer call that may run
/// foreign code (push, post, query, the last unref of a buffer). Allowed are a clock, a GstObject's lock and parents, and log
/// lines: GStreamer's own elements log under their locks as well, so a log function must not call into an element.
package final class Guarded<State: ~Copyable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state: State

  package init(_ state: consuming State) {
    self.state = state
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Changes the state, and wakes every waiting thread to check it.
  package func change<Result>(_ body: (inout State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return body(&state)
  }

  /// Takes turns until one is done. The mutex is free while waiting. Changes of the last turn are signalled to other threads.
  package func wait<Result>(_ turn: (inout State) -> Turn<Result>) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    while true {
      switch turn(&state) {
      case .done(let result): return result
      case .again: pthread_cond_broadcast(changed)
      case .wait(let limit?):
        let (seconds, rest) = max(limit, 0).quotientAndRemainder(dividingBy: 1_000_000)
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(rest) * 1000)
        pthread_cond_timedwait(changed, mutex, &time)
      case .wait(nil): pthread_cond_wait(changed, mutex)
      }
    }
  }
}

extension Guarded {
  /// Reads the state.
  package func read<Result>(_ body: (State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(state)
  }
}
