// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whether the frames have sound to speak at all: the commonest mistakes are a pad that nobody has linked and a microphone that
// is muted, and frames that pass, or mouths that stay closed, do not say why. Running times only, as in AVSync.

import Speech

package struct SoundCheck: Sendable {
  package enum Lack: Sendable {
    case unlinked
    case sound  // it comes, but was silent from the beginning
  }

  /// Nanoseconds of frames after which it is told of: sound may be linked, or begin, a little later than the picture.
  private static let patience: [Lack: UInt64] = [.unlinked: 2_000_000_000, .sound: 10_000_000_000]
  /// At the end of a stream this much of silence is enough.
  private static let shortest: UInt64 = 1_000_000_000

  private var lack: Lack?
  private var span: Range<RunningTime>?
  private var isAudible = false
  private var told: Lack?
  private var silent: UInt64 = 0

  package init() {}

  /// Frames that were painted though they had only silence to speak, as soon as that has been told of.
  package var silentFrames: UInt64 { told == .sound ? silent : 0 }

  /// Sound that is no silence has come. From now on silence is a pause.
  package mutating func heard() { isAudible = true }

  /// Whatever was told of or not, from now on there is a link.
  package mutating func linked() { lack = nil }

  /// What comes next may be at any time.
  package mutating func flushed() { span = nil }

  /// This frame had no sound to speak. Of one whose sound has come it counts only if no other sound was ever heard; `passes`: it is
  /// not painted for that.
  package mutating func lacks(_ lack: Lack, at frame: RunningTime, passes: Bool = true) {
    if lack == .sound {
      guard !isAudible else {
        self.lack = nil
        return
      }
      if !passes { silent &+= 1 }
    }
    let first = self.lack == lack ? span?.lowerBound ?? frame : frame
    (self.lack, span) = (lack, min(first, frame)..<frame)
  }

  /// What is to be told of now; each stream has one such piece of news.
  package mutating func news(atEnd: Bool = false) -> Lack? {
    guard told == nil, let lack, let span else { return nil }
    let lasted = span.upperBound.nanoseconds - span.lowerBound.nanoseconds
    let isLong = lasted >= Self.patience[lack] ?? 0
    let isWhole = atEnd && (lack == .unlinked || lasted >= Self.shortest)
    guard isLong || isWhole else { return nil }
    told = lack
    return lack
  }
}
