// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The painting thread. It starts when the source pad is activated and after a flush, and ends when the stream flushes. While
// it runs it owns the painter; between two runs the painter is kept here.

import CGStreamer
import GstSyncDiff

struct PainterThread {
  private(set) var runs = false
  private var thread: UnsafeMutablePointer<GThread>?
  /// The painter while no thread runs.
  private var parked: Painter?
  /// What the painter has to do before its next item.
  private var orders: [Painter.Order] = []

  /// True if a thread must be started.
  mutating func starts() -> Bool {
    defer { runs = true }
    return !runs
  }

  mutating func failedToStart() { runs = false }

  /// The calling thread becomes the painting thread; returns its painter, if there is one already.
  mutating func begins() -> Painter? {
    thread = g_thread_self()
    defer { parked = nil }
    return parked
  }

  mutating func takeOrders() -> [Painter.Order] {
    defer { orders = [] }
    return orders
  }

  mutating func order(_ order: Painter.Order) { orders.append(order) }

  /// The thread ends, and its painter is kept.
  mutating func ends(_ painter: Painter) {
    (runs, thread) = (false, nil)
    parked = painter
  }

  /// The stream is stopped: none of it continues. If a painter still runs, it stopped the stream itself, by a message that it
  /// posted.
  mutating func forget() {
    parked = nil
    orders = runs ? [.forget] : []
  }

  /// Whether a thread other than the calling one paints.
  var runsElsewhere: Bool { runs && thread != g_thread_self() }
}

extension Stream {
  func startPainter() -> Bool {
    guard state.change({ $0.thread.starts() }) else { return true }
    let me = Unmanaged.passRetained(self)
    let thread = g_thread_try_new(
      "syncdiff",
      { me in
        guard let me else { return nil }
        let stream = Unmanaged<Stream>.fromOpaque(me).takeRetainedValue()
        let painter = stream.state.change { $0.thread.begins() } ?? Painter(of: stream)
        stream.log(GST_LEVEL_DEBUG, "the painting thread begins")
        while painter.takeTurn() {}
        return nil
      }, me.toOpaque(), nil)
    guard let thread else {
      me.release()
      state.change { $0.thread.failedToStart() }
      postError(.resource(GST_RESOURCE_ERROR_NO_SPACE_LEFT), "Cannot start the painting thread.")
      return false
    }
    g_thread_unref(thread)
    return true
  }

  /// Ends all waits, and stops painter and task from starting another item.
  func letGo() { state.change { $0.flushing = true } }

  /// Waits until the painter, which has been told to stop, has ended, or until another waiting thread has restarted it. The
  /// painter itself does not wait: a message that it posts may make the application seek.
  func awaitPainter() {
    state.wait { $0.thread.runsElsewhere && $0.flushing ? .wait(until: nil) : .done(()) }
  }
}
