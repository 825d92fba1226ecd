// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Learns the face in a video file, and finds where its scenes begin.

import Faces
import Speech
import SyncDiff

final class Look {
  private let picture: Media
  private let part: Part
  private let deinterlaced: Bool
  /// Used only by the streaming thread during the scan.
  private var learner: Learner
  private var frames = 0
  private var detector = CutDetector()
  /// Where scenes begin, seconds.
  private(set) var cuts: [Double] = []
  private let findsCuts: Bool
  private var learns: Bool
  /// What was seen in each frame examined, with its time in seconds.
  private(set) var sights: [(time: Double, sight: Learner.Observation)] = []
  private let isQuick: Bool
  /// What is wrong with the file's picture, one line each, once all of it was read.
  private(set) var notes: [String] = []

  /// `isQuick`: examines every other frame, until a second face is tracked. `findsCuts`: scans all frames for cuts, even if
  /// there is nothing to learn (`learns`).
  init(
    picture: Media, model: Model, threads: Int, part: Part = Part(), deinterlaced: Bool = false, isQuick: Bool = false,
    findsCuts: Bool = false, learns: Bool = true
  ) {
    (self.picture, self.part, self.deinterlaced) = (picture, part, deinterlaced)
    (self.isQuick, self.findsCuts, self.learns) = (isQuick, findsCuts, learns)
    learner = Learner(model: model, threads: threads)
  }

  /// Runs to the end and returns what was learned. `progress` is updated meanwhile.
  func run(_ progress: Progress) throws -> Learner {
    let scan = try Scan(picture, part: part, deinterlaced: deinterlaced) { [unowned self] in see($0, at: $1) }
    try scan.run(progress)
    notes = scan.notes
    return learner
  }

  /// Whether there is more to examine.
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
