// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Ctrl-C and SIGTERM: the first one is noted, a second one ends the program as usual.
enum Interrupt {
  fileprivate static let signal = Atomic<Int32>(0)

  /// How the program ends because of it; nil if none has come.
  static var status: ExitStatus? {
    switch signal.load(ordering: .relaxed) {
    case SIGINT: .interrupted
    case SIGTERM: .terminated
    default: nil
    }
  }

  static func arm() {
    // A program may be started by a thread that blocks signals, and would inherit that.
    var mask = sigset_t()
    sigemptyset(&mask)
    for signal in [SIGINT, SIGTERM] {
      Glibc.signal(signal, noteInterrupt)
      sigaddset(&mask, signal)
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
  }
}

private func noteInterrupt(_ number: Int32) {
  Interrupt.signal.store(number, ordering: .relaxed)
  signal(SIGINT, SIG_DFL)
  signal(SIGTERM, SIG_DFL)
}
