// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What may happen in a random sequence.

enum Step: CaseIterable {
  // on the picture's thread
  case frame, tag, custom, gap, caps, segment, streamStart, query, end
  // on the sound's thread
  case sound, soundGap, soundCaps, soundSegment, soundStreamStart, soundEnd
  // on the application's thread
  case flush, flushSound, flushBoth, seek, qos, latency, stats, property, pause, link, unlink, request, release, clock
  case hold, refuse

  enum Thread { case picture, sound, application }

  var thread: Thread {
    switch self {
    case .frame, .tag, .custom, .gap, .caps, .segment, .streamStart, .query, .end: .picture
    case .sound, .soundGap, .soundCaps, .soundSegment, .soundStreamStart, .soundEnd: .sound
    default: .application
    }
  }

  private var weight: Int {
    switch self {
    case .frame: 40
    case .sound: 25
    case .property, .clock: 6
    case .caps, .custom, .flush: 3
    case .tag, .gap, .segment, .query, .soundGap, .soundCaps, .soundSegment, .seek, .qos, .latency, .stats: 2
    case .end, .refuse: 1
    default: 1
    }
  }

  static let table = allCases.flatMap { [Step](repeating: $0, count: $0.weight) }
}

/// A step with its own dice, so that threads do not share any.
struct Move: CustomStringConvertible {
  let step: Step
  let seed: UInt64

  var description: String { "\(step)" }
}

/// What painting has to do with a sequence. Looking for faces takes its time, so most do without.
enum Kind {
  case passing  // by the property passthrough
  case faceless
  case faces
}
