// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Gets to know the face in the picture of a file, and where its scenes begin.

import Faces
import Speech
import SyncDiff

final class Look {
  private let picture: Media
  private let part: Part
  private let deinterlaced: Bool
  /// The streaming thread's while the picture is gone through.
  private var learner: Learner
  private var frames = 0
  private var detector = CutDetector()
  /// Where scenes begin, seconds.
  private(set) var cuts: [Double] = []
  private let findsCuts: Bool
  private var learns: Bool
  /// What was seen in each frame that was looked at, at which time, seconds.
  private(set) var sights: [(time: Double, sight: Learner.Observation)] = []
  private let isQuick: Bool

  /// `isQuick`: every other frame is looked at, up to the first in which a second face is followed. `findsCuts`: all are gone through
  /// for scenes, even if none has to be looked at (`learns`).
  init(
    picture: Media, model: Model, threads: Int, part: Part = Part(), deinterlaced: Bool = false, isQuick: Bool = false,
    findsCuts: Bool = false, learns: Bool = true
  ) {
    (self.picture, self.part, self.deinterlaced) = (picture, part, deinterlaced)
    (self.isQuick, self.findsCuts, self.learns) = (isQuick, findsCuts, learns)
    learner = Learner(model: model, threads: threads)
  }

  /// What has been learned at the end. `progress` is shown meanwhile.
  func run(_ progress: Progress) throws -> Learner {
    let scan = try Scan(picture, part: part, deinterlaced: deinterlaced) { [unowned self] in see($0, at: $1) }
    try scan.run(progress)
    return learner
  }

  /// Whether there is more to look at.
  private func see(_ frame: FrameView, at time: RunningTime) -> Bool {
    frames += 1
    let seconds = Double(time.nanoseconds) / 1e9
    if findsCuts, detector(frame, threshold: FindSettings().sceneThreshold).isCut { cuts.append(seconds) }
    guard learns, !isQuick || frames % 2 == 1 else { return true }
    learner.observe(frame, at: time)
    sights.append((seconds, learner.newest))
    if isQuick, learner.faces > 1 { learns = false }
    return learns || findsCuts
  }
}
