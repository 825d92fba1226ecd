// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Ctrl-C and SIGTERM: the first one is noted, a second one ends the program as usual. No `g_unix_signal_add`, because it
/// needs a main loop: the tool's threads each wait for a bus or a socket, and check `status` several times a second.
enum Interrupt {
  fileprivate static let signal = Atomic<Int32>(0)

  /// The exit status that results; nil if no signal has come.
  static var status: ExitStatus? {
    switch signal.load(ordering: .relaxed) {
    case SIGINT: .interrupted
    case SIGTERM: .terminated
    default: nil
    }
  }

  static func arm() {
    // A program started by a thread that blocks signals would inherit the mask.
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
