// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What is on its way from the sink pad to the source pad, in order: first to the painter, then to the source pad's task.

import CGStreamer
import Speech

/// A frame with its running time.
struct Frame {
  var buffer: UnsafeMutablePointer<GstBuffer>
  /// Nil for a frame that is pushed unchanged because it has no running time: outside the segment, or played at a rate other
  /// than 1.
  let time: RunningTime?
  let stamps: Timestamps
}

extension Frame: CustomStringConvertible {
  var description: String { time.map { "the frame at \(seconds($0))" } ?? "a frame without a place in time" }
}

/// One queued item. Owned, except the query.
enum Item {
  case event(UnsafeMutablePointer<GstEvent>)
  case query(UnsafeMutablePointer<GstQuery>)
  case frame(Frame)
  /// The result for a frame that cannot be pushed: an error, reported after the frames before it.
  case lost(GstFlowReturn)

  var frame: Frame? { if case .frame(let frame) = self { frame } else { nil } }
  var isQuery: Bool { if case .query = self { true } else { false } }

  /// Frees what it owns.
  func discard() {
    switch self {
    case .event(let event): gst_event_unref(event)
    case .frame(let frame): gst_buffer_unref(frame.buffer)
    case .query, .lost: break
    }
  }
}

struct FrameQueue {
  /// Most painted frames that wait to be pushed, and most nanoseconds from the first of them to the next one to paint.
  static let mostReady = 4
  private static let readyTime: UInt64 = 160_000_000

  /// For the painter.
  private var items: [Item] = []
  /// Finished by the painter.
  private var ready: [Item] = []
  /// Frames in `items`, in `ready`, and being processed by the threads that take them from there.
  private(set) var framesHeld = 0
  /// How often the queue has been cleared.
  private(set) var generation = 0

  mutating func append(_ item: Item) {
    items.append(item)
    if item.frame != nil { framesHeld += 1 }
  }

  /// The next item for the painter; nil if there is none, or its frame must not be painted yet. A query moves on by itself:
  /// the asking thread finds it among the ready items.
  mutating func takeForPainter() -> Item? {
    guard !items.isEmpty, !isFarAhead else { return nil }
    let item = items.removeFirst()
    if item.isQuery { ready.append(item) }
    return item
  }

  /// The painter has finished an item that it took in this generation. False, and the item stays with the caller, if the
  /// queue has been cleared since.
  mutating func makeReady(_ item: Item, of generation: Int) -> Bool {
    guard generation == self.generation else { return false }
    ready.append(item)
    return true
  }

  mutating func takeReady() -> Item? { ready.isEmpty ? nil : ready.removeFirst() }

  /// A frame is no longer held: it was pushed or lost.
  mutating func frameLeft() { if framesHeld > 0 { framesHeld -= 1 } }

  /// Withdraws the query, unless a thread is processing it.
  mutating func withdrawQuery() -> Bool {
    for list in [\FrameQueue.items, \FrameQueue.ready] {
      guard let place = self[keyPath: list].firstIndex(where: \.isQuery) else { continue }
      self[keyPath: list].remove(at: place)
      return true
    }
    return false
  }

  /// Removes everything and returns it; the caller owns it.
  mutating func clear() -> [Item] {
    defer {
      (items, ready) = ([], [])
      framesHeld = 0
      generation &+= 1
    }
    return ready + items
  }

  /// Running times of the first and the last frame that wait for the painter and have one.
  var firstTime: RunningTime? { items.lazy.compactMap { $0.frame?.time }.first }
  var lastTime: RunningTime? { items.last { $0.frame?.time != nil }?.frame?.time }

  /// Whether frames before the one that the painter has taken have not been pushed yet.
  var isAhead: Bool { framesHeld > 1 + items.count { $0.frame != nil } }

  /// Whether it is too early to paint the next frame: property changes would take effect too late, and it would wait for
  /// audio that is not needed yet.
  private var isFarAhead: Bool {
    let waiting = ready.compactMap(\.frame)
    guard let first = waiting.first, let next = items.first?.frame else { return false }
    if waiting.count >= Self.mostReady { return true }
    guard let from = first.time, let to = next.time else { return false }
    return to.nanoseconds.subtractingClamped(from.nanoseconds) > Self.readyTime
  }
}
