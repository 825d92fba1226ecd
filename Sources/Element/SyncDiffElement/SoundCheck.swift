// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whether the frames have audio to speak at all: the most common mistakes are an unlinked pad and a muted microphone, and
// neither unchanged frames nor closed mouths show the cause. Works on running times only, like AVSync.

import Speech

package struct SoundCheck: Sendable {
  package enum Lack: Sendable {
    case unlinked
    case sound  // it arrives, but has been silent from the beginning
  }

  /// Nanoseconds of frames after which it is reported: audio may be linked, or begin, a little later than the video.
  private static let patience: [Lack: UInt64] = [.unlinked: 2_000_000_000, .sound: 10_000_000_000]
  /// At the end of a stream this much silence suffices.
  private static let shortest: UInt64 = 1_000_000_000

  private var lack: Lack?
  private var span: Range<RunningTime>?
  private var isAudible = false
  private var told: Lack?
  private var silent: UInt64 = 0

  package init() {}

  /// Frames that were painted with only silence to speak, once that has been reported.
  package var silentFrames: UInt64 { told == .sound ? silent : 0 }

  /// Audio that is not silent has arrived. From now on silence is a pause.
  package mutating func heard() { isAudible = true }

  /// Whatever was reported before, the pad is linked from now on.
  package mutating func linked() { lack = nil }

  /// What comes next may be at any time.
  package mutating func flushed() { span = nil }

  /// This frame had no audio to speak. If its audio has arrived, it counts only if all audio so far was silent. `passes`:
  /// whether it is not painted for that reason.
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

  /// What is to be reported now; each stream reports once.
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
