// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// State shared by the threads of an element. It lives in the `Guarded` of a `Stream`; state of a single thread is in
// `VideoInput`, `AudioInput` and `Painter`.

import CGStreamer
import GstSyncDiff
import Speech

struct StreamState {
  var queue = FrameQueue()
  var waiting = Waiting()
  /// The audio held.
  var timeline = AudioTimeline()
  var thread = PainterThread()
  var downstream = Downstream()
  /// Nothing is accepted and nothing goes on.
  var flushing = true
  /// True while the audio pad is flushing or inactive.
  var audioStopped = true
  /// The video is at EOS.
  var videoEnded = false
  /// An error has been posted since the stream began or was flushed.
  var failed = false
  /// The pipeline is PLAYING.
  var playing = false
  /// Downstream's answer to the query on its way; nil: none yet.
  var queryAnswer: Bool?
  var computeTime = ComputeTime()
  var overload = Overload()
  var counts = Statistics()
  var soundCheck = SoundCheck()
  var model: LoadedModel?
  var presenter: LoadedPresenter?

  // MARK: Resets

  /// READY -> PAUSED: resets the counts.
  mutating func starts() {
    audioStopped = false
    counts = Statistics()
    overload = Overload()
    soundCheck = SoundCheck()
  }

  /// PAUSED -> READY: discards all but the model. Returns what was queued, which the caller owns.
  mutating func stopped() -> [Item] {
    audioFlushed()
    waiting.sync.videoFlushed()
    waiting.frameDuration = nil
    waiting.liveLatency = nil
    downstream.stridesKnown = nil
    thread.forget()
    return clearQueue()
  }

  /// FLUSH_STOP on the video: discards earlier frames and what was measured by their time. Returns what was queued, which the
  /// caller owns.
  mutating func videoFlushed() -> [Item] {
    waiting.sync.videoFlushed()
    overload.flushed()
    soundCheck.flushed()
    thread.order(.flush)
    flushing = false
    failed = false
    return clearQueue()
  }

  /// Discards the audio held and what is known about it.
  mutating func audioFlushed() {
    waiting.audioFlushed()
    timeline = AudioTimeline()
  }

  private mutating func clearQueue() -> [Item] {
    let items = queue.clear()
    if items.contains(where: \.isQuery) { queryAnswer = false }
    downstream.flushed()
    videoEnded = false
    waiting.starvingSince = nil
    return items
  }

  // MARK: Sound

  /// Audio, or a gap in it, has arrived for this range.
  mutating func audioArrived(_ range: Range<RunningTime>, now: Int64) {
    if waiting.sync.audioArrived(range) { timeline = AudioTimeline() }
    waiting.audioCame = now
  }

  /// No frame needs any more audio, unless the video is about to begin again after a seek for a loop.
  var audioIsNeedless: Bool {
    videoEnded && queue.framesHeld == 0 && waiting.loopFrom == nil || !waiting.sync.linked
  }

  /// Why there is no audio.
  var lackOfAudio: String {
    guard waiting.sync.linked else { return "The audio pad is not linked." }
    return waiting.sync.ended ? "The audio has ended before the video." : "No audio arrives."
  }

  // MARK: Properties

  /// Applies the properties that concern waiting.
  mutating func apply(_ settings: Settings) {
    waiting.sync.lookahead =
      settings.lookahead ?? model.map { Int64(clamping: $0.model.lookahead.nanoseconds) } ?? 0
    waiting.sync.live = waiting.liveLatency != nil
    waiting.sync.offset = settings.audioOffset
    waiting.sync.hold = Int64(clamping: settings.silenceHold)
    waiting.sync.missing = settings.missingAudio
  }
}

/// What downstream returned, and what upstream has been told of it.
struct Downstream {
  /// Downstream's last result; the video thread returns it to upstream.
  private(set) var flow = GST_FLOW_OK
  /// Whether upstream has been told of `flow`.
  private(set) var isTold = false
  /// STREAM_START and SEGMENT events that are not pushed yet: while there is one, an EOS from downstream ends only the old
  /// segment.
  private var beginnings = 0
  /// A frame was lost in the painter: those after it must not be pushed.
  var isBroken = false
  /// Whether downstream supports GstVideoMeta, as upstream was told; nil: nobody has asked.
  var stridesKnown: Bool?

  /// Nothing more is pushed: frames are only released.
  var isDead: Bool { isBroken || flow != GST_FLOW_OK }

  /// A frame was pushed, with this result.
  mutating func answered(_ result: GstFlowReturn) {
    if flow == GST_FLOW_OK, result != GST_FLOW_EOS || beginnings == 0 { flow = result }
  }

  mutating func told() { isTold = true }

  /// A STREAM_START or SEGMENT is queued: downstream may accept frames after it, whatever it returned before.
  mutating func begins() {
    beginnings += 1
    if flow == GST_FLOW_EOS { (flow, isTold) = (GST_FLOW_OK, false) }
  }

  /// The event has been pushed.
  mutating func hasBegun() { beginnings = max(beginnings - 1, 0) }

  /// An element that sends RECONFIGURE is linked, and must be asked again what it supports.
  mutating func reconfigures() {
    if flow == GST_FLOW_NOT_LINKED { (flow, isTold) = (GST_FLOW_OK, false) }
    if stridesKnown == true { stridesKnown = false }
  }

  /// Downstream's results for earlier frames no longer count.
  mutating func flushed() {
    (flow, isTold) = (GST_FLOW_OK, false)
    beginnings = 0
    isBroken = false
  }
}
