// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the user sees meanwhile, on stderr: one line that moves on a terminal, a line for every tenth elsewhere.

import Glibc
import Synchronization

struct Progress {
  private let duration: Double?
  private let terminal = isatty(STDERR_FILENO) != 0
  private let marks: Bool
  private var tenthsShown = 0
  private var open = false

  /// `duration` in seconds, if it is known. Without `marks` nothing is said but on a terminal.
  init(duration: Double?, marks: Bool = true) { (self.duration, self.marks) = (duration, marks) }

  mutating func show(_ seconds: Double) {
    let share = duration.map { min(seconds / $0, 1) }
    let line = "\(tenths(seconds)) s" + (share.map { " of \(tenths(duration ?? 0)) s, \(Int($0 * 100)) %" } ?? "")
    if terminal {
      put("\r\(line)   ")
      open = true
    } else if marks, let share, Int(share * 10) > tenthsShown {
      tenthsShown = Int(share * 10)
      say(line)
    }
  }

  /// Leaves the line, so that another text can follow.
  mutating func end() {
    if open { put("\n") }
    open = false
  }
}

/// A line on stderr.
func say(_ line: String) { put("\(line)\n") }

private func put(_ text: String) {
  var text = text
  text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// 1.25 -> "1.3" and "1.25".
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

/// Ctrl-C: the first time it is noted, the second time it ends the program as usual.
enum Interrupt {
  static let flag = Atomic(false)

  static var came: Bool { flag.load(ordering: .relaxed) }

  static func arm() {
    signal(SIGINT, noteInterrupt)
    // A program may be started by a thread that blocks signals, and would inherit that.
    var mask = sigset_t()
    sigemptyset(&mask)
    sigaddset(&mask, SIGINT)
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
  }
}

private func noteInterrupt(_: Int32) {
  Interrupt.flag.store(true, ordering: .relaxed)
  signal(SIGINT, SIG_DFL)
}
