// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// How much of the new mouth a frame shows, so that it neither pops up nor vanishes: three frames from the original to the
/// new mouth, three back. A mouth at the start of a shot appears in full.
package struct Fade: Sendable {
  private static let frames = 3

  /// Of `frames`.
  private var shown = 0
  private var first = true

  package init() {}

  package var isShowing: Bool { shown > 0 }

  /// The opacity for the next frame, 0 ... 1, whether there is something to paint or not.
  package mutating func next(painting: Bool) -> Double {
    shown = !painting ? max(shown - 1, 0) : first ? Self.frames : min(shown + 1, Self.frames)
    first = false
    return Double(shown) / Double(Self.frames)
  }

  /// The next frame passes unchanged, because it cannot be painted at all.
  package mutating func cease() { (shown, first) = (0, false) }
}
