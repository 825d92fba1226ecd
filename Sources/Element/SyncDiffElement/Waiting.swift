// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Who waits for what, and for how long: a frame for its audio, the video for room, the audio for room. No clock, no lock, no
// GStreamer: the callers pass the time, in microseconds of `g_get_monotonic_time`, and carry out the decisions. All other
// times are nanoseconds.

import Speech

package struct Waiting: Sendable {
  /// Duration of frames held beyond the latency: audio comes in chunks, and decoders output bursts.
  package static let slack: UInt64 = 100_000_000
  /// The same while audio lags, and the bytes of frames up to which it applies: qtdemux signals the end of the audio when the
  /// video is 2 s ahead, matroskademux when it is 3 s.
  package static let wideSlack: UInt64 = 3_500_000_000
  package static let mostBytes = 256 << 20
  /// Microseconds after which audio lags: a frame waits for it and none has come.
  package static let lag: Int64 = 200_000
  /// Microseconds that audio waits for the video of a loop.
  package static let loopPatience: Int64 = 1_000_000
  /// Frame duration where the caps do not state it.
  package static let usualFrame: UInt64 = 40_000_000

  package var sync = AVSync()
  /// Upstream's latency if it is live: that of the slower branch.
  package var liveLatency: UInt64?
  /// The latency that the element adds, and the part of it that painting a frame may take.
  package var latencyReported: UInt64 = 0
  package var paintingTime: UInt64 = 0
  /// Frame duration; nil if the caps do not state it.
  package var frameDuration: UInt64?
  /// When audio last came, and since when the painter has had no frame, microseconds.
  package var audioCame: Int64 = 0
  package var starvingSince: Int64?
  /// Since when audio has found no room, microseconds.
  private var fullSince: Int64?
  /// When a seek started a loop whose video has not begun yet, microseconds.
  package var loopFrom: Int64?
  /// Whether audio lags behind the video; stays true until it is there for every frame held.
  package private(set) var audioLags = false

  package init() {}

  /// The audio was flushed: what comes next starts afresh.
  package mutating func audioFlushed() {
    sync.audioFlushed()
    audioLags = false
  }

  /// The pipeline plays: nothing came while it was paused, and that was not a stall.
  package mutating func resumed(_ now: Int64) {
    audioCame = now
    if starvingSince != nil { starvingSince = now }
  }

  // MARK: When frames leave

  /// How long after its running time a frame without audio must go on, to be painted in time; nil if it is not live.
  package var deadline: UInt64? {
    liveLatency.map { $0.addingClamped(latencyReported - min(paintingTime, latencyReported)) }
  }

  /// How long after its running time a frame must leave, to be in time at a synchronized sink. Frames that are not live have
  /// no latency.
  package var departure: UInt64 { liveLatency.map { $0.addingClamped(latencyReported) } ?? 0 }

  // MARK: A frame waits for its audio

  /// A waiting frame.
  package struct FrameWait: Sendable {
    package let frame: RunningTime
    /// Start of the wait, microseconds; time in PAUSED does not count.
    package fileprivate(set) var began: Int64
    fileprivate var isResting = false

    package init(frame: RunningTime, now: Int64) { (self.frame, began) = (frame, now) }
  }

  /// What a frame does next.
  package enum FrameStep: Equatable, Sendable {
    case paint  // its audio is there, or silence replaces it
    case pass  // it has no audio: push it unchanged
    case fail  // it has no audio, and that is an error
    /// No audio has come for too long, which has not been reported yet. `ahead`: nanoseconds until the deadline of a live
    /// frame that is too far ahead of the clock.
    case warn(ahead: Int64?)
    case makeRoom  // audio lags: from now on more frames may be held
    /// Until something changes, or until this time, microseconds.
    case wait(until: Int64?)
  }

  /// Conditions outside the stream's own state during a wait.
  package struct Surroundings {
    let now: Int64
    /// The property `stall-timeout`, microseconds; nil: forever.
    let timeout: Int64?
    /// Whether waiting is not a stall: the pipeline rests in PAUSED, or downstream blocks earlier frames. Called only where
    /// it matters, because it is costly.
    let isResting: () -> Bool

    package init(now: Int64, timeout: Int64?, isResting: @escaping () -> Bool = { false }) {
      (self.now, self.timeout, self.isResting) = (now, timeout, isResting)
    }
  }

  /// `left`: nanoseconds until the frame's deadline; nil if it has none.
  package mutating func next(_ wait: inout FrameWait, left: Int64?, _ around: Surroundings) -> FrameStep {
    if wait.isResting { (wait.began, wait.isResting) = (around.now, false) }
    let verdict = sync.verdict(for: wait.frame)
    guard verdict == .wait else { return FrameStep(verdict) }
    let isResting = liveLatency == nil ? around.isResting() : left == nil
    let limit = isResting ? nil : stallTime(since: wait.began, left: left, around.timeout)
    if let limit, around.now >= limit {
      let isNews = sync.stall(at: wait.frame)
      return isNews ? .warn(ahead: left.flatMap { $0 > 0 ? $0 : nil }) : FrameStep(sync.verdict(for: wait.frame))
    }
    if let left, left <= 0 { return FrameStep(sync.verdict(for: wait.frame, late: true)) }
    let mayLag = liveLatency == nil && !isResting && !audioLags
    let lags = mayLag ? max(wait.began, audioCame).addingClamped(Self.lag) : .max
    if around.now >= lags {
      audioLags = true
      return .makeRoom
    }
    wait.isResting = isResting
    let until = min(limit ?? .max, lags)
    return .wait(until: until == .max ? nil : until)
  }

  /// The frame no longer waits; `last` is the last frame held.
  package mutating func ended(_ wait: FrameWait, last: RunningTime?) {
    audioLags = audioLags && !sync.reaches(last ?? wait.frame)
  }

  /// A frame passes for lack of time and does not wait for audio. True if missing audio must be reported all the same.
  package mutating func overlooks(_ frame: RunningTime, now: Int64, timeout: Int64?) -> Bool {
    guard let timeout, sync.verdict(for: frame) == .wait else { return false }
    return now >= audioCame.addingClamped(sync.patience(timeout)) && sync.stall(at: frame)
  }

  /// When a frame that waits since `began` considers the audio stalled; nil for never. When live, its deadline is at most the
  /// latency away: if it is further away than that and the timeout, at once; once it has passed (`left`), only the time
  /// without audio counts.
  private func stallTime(since began: Int64, left: Int64?, _ timeout: Int64?) -> Int64? {
    guard let timeout else { return nil }
    var since = max(began, audioCame)
    if let liveLatency {
      let latency = Int64(clamping: liveLatency.addingClamped(latencyReported) / 1000)
      let left = left ?? 0
      if left / 1000 > latency.addingClamped(timeout) { return began }
      since = left <= 0 ? audioCame : began.addingClamped(latency)
    }
    return since.addingClamped(sync.patience(timeout))
  }

  /// A description of what a frame waits for. `left` as above, `until` as in `FrameStep.wait`.
  package func account(of wait: FrameWait, left: Int64?, until: Int64?, _ around: Surroundings) -> String {
    let needed = sync.audioTime(of: wait.frame)?.advanced(by: sync.lookahead)
    let reached = sync.newest.map { "it has arrived up to \(seconds($0))" } ?? "none has arrived"
    let came = audioCame > 0 ? ", the last \(seconds(microseconds: around.now - audioCame)) ago" : ""
    var rest = "for as long as it takes"
    if wait.isResting {
      rest = "for as long as the pipeline rests in PAUSED, or downstream blocks earlier frames"
    } else if let limit = stallTime(since: wait.began, left: left, around.timeout) {
      rest = "at most \(seconds(microseconds: limit - around.now)) more"
    }
    if let left { rest += ", or until its deadline in \(seconds(nanoseconds: left))" }
    return "the frame at \(seconds(wait.frame)) waits for audio up to \(needed.map(seconds) ?? "its time"): "
      + "\(reached)\(came); it waits \(rest)"
  }

  // MARK: The video waits for room

  /// Whether another frame may be queued (two always may). Decided by running time, since caps may omit or misstate the rate.
  /// `held`: number of frames held, `first`: the first that waits for the painter.
  package func hasRoom(forFrameAt time: RunningTime?, bytes: Int, held: Int, first: RunningTime?) -> Bool {
    guard held >= 2 else { return true }
    guard sync.linked else { return false }
    // A frame without a running time does not wait for audio.
    guard let time else { return held < frames(in: holdTime(Self.slack)) }
    let fits = held < Self.mostBytes / max(bytes, 1)
    let holdTime = holdTime(audioLags && liveLatency == nil && fits ? Self.wideSlack : Self.slack)
    let densest: UInt64 = 4_000_000
    guard UInt64(held) < holdTime / max(min(frameDuration ?? densest, densest), 1_000_000) + 2 else { return false }
    guard let first, first < time else { return true }
    return time.nanoseconds - first.nanoseconds <= holdTime
  }

  /// Longest span of frames that wait for their audio. The painting time counts only where upstream may not wait, since
  /// elsewhere a slow machine would hold more.
  private func holdTime(_ slack: UInt64) -> UInt64 {
    let painting = liveLatency == nil ? min(paintingTime, latencyReported) : 0
    return (latencyReported - painting).addingClamped(liveLatency ?? 0).addingClamped(slack)
  }

  /// How many frames come in a time by the caps, or at 50 fps, plus two.
  private func frames(in time: UInt64) -> Int {
    guard sync.linked else { return 2 }
    return Int(clamping: min(time / max(frameDuration ?? 20_000_000, 1), 254)) + 2
  }

  /// Most frames that may be held at the same time. Upstream may turn out to be live only when the pipeline queries the
  /// latency, which may be later.
  package var mostFrames: Int {
    frames(in: latencyReported.addingClamped(liveLatency ?? Self.usualFrame).addingClamped(Self.slack))
  }

  // MARK: The audio waits for room

  package enum AudioStep: Equatable, Sendable {
    case append
    /// It has waited long enough: the oldest audio is dropped.
    case giveWay
    /// Until something changes, or until this time, microseconds.
    case wait(until: Int64?)
  }

  /// What audio up to `end` does next. Full means a minute ahead of the video. Audio from a live source never waits, and
  /// other audio waits at most the `stall-timeout` for video that does not come at all, since both may come from one thread.
  ///
  /// In a segment seek no sink throttles the audio, so a short loop could end (SEGMENT_DONE) before its video has begun: the
  /// audio waits for the video, but not for long, for the same reason.
  package mutating func next(audioUpTo end: RunningTime, isLive: Bool, _ around: Surroundings) -> AudioStep {
    if let loopFrom {
      let limit = loopFrom.addingClamped(Self.loopPatience)
      if around.now < limit { return .wait(until: limit) }
      self.loopFrom = nil
    }
    guard !sync.hasRoom(upTo: end) else {
      fullSince = nil
      return .append
    }
    let full = fullSince ?? around.now
    fullSince = full
    if isLive { return .giveWay }
    guard let starvingSince, let timeout = around.timeout, !around.isResting() else { return .wait(until: nil) }
    let limit = max(starvingSince, full).addingClamped(timeout)
    return around.now >= limit ? .giveWay : .wait(until: limit)
  }
}

extension Waiting.FrameStep {
  fileprivate init(_ verdict: AVSync.Verdict) {
    self =
      switch verdict {
      case .paint: .paint
      case .pass: .pass
      case .fail: .fail
      case .wait: .wait(until: nil)
      }
  }
}
