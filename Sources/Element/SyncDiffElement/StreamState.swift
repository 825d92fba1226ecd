// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the threads of an element share. It lives in the `Guarded` of a `Stream`; what belongs to one thread alone is in
// `VideoInput`, `AudioInput` and `Painter`.

import CGStreamer
import GstSyncDiff
import Speech

struct StreamState {
  var queue = FrameQueue()
  var waiting = Waiting()
  /// The sound that is held.
  var timeline = AudioTimeline()
  var thread = PainterThread()
  var downstream = Downstream()
  /// Nothing is taken in and nothing goes on.
  var flushing = true
  /// True while the audio pad is flushing or inactive.
  var soundStopped = true
  /// The picture is at EOS.
  var videoEnded = false
  /// An error has been posted since the stream began or was flushed.
  var failed = false
  /// The pipeline is PLAYING.
  var playing = false
  /// What downstream says to the query that is on its way; nil: not yet.
  var queryAnswer: Bool?
  var computeTime = ComputeTime()
  var overload = Overload()
  var counts = Statistics()
  var soundCheck = SoundCheck()
  var model: LoadedModel?
  var presenter: LoadedPresenter?

  // MARK: Resets

  /// READY -> PAUSED: what is counted begins anew.
  mutating func starts() {
    soundStopped = false
    counts = Statistics()
    overload = Overload()
    soundCheck = SoundCheck()
  }

  /// PAUSED -> READY: all but the model goes. What was on its way is the caller's.
  mutating func stopped() -> [Item] {
    soundFlushed()
    waiting.sync.pictureFlushed()
    waiting.frameDuration = nil
    waiting.liveLatency = nil
    downstream.stridesKnown = nil
    thread.forget()
    return clearQueue()
  }

  /// FLUSH_STOP at the picture: frames of before are gone, and what was measured by their time. What was on its way is the
  /// caller's.
  mutating func pictureFlushed() -> [Item] {
    waiting.sync.pictureFlushed()
    overload.flushed()
    soundCheck.flushed()
    thread.order(.flush)
    flushing = false
    failed = false
    return clearQueue()
  }

  /// The sound that is held goes, and what is known about it.
  mutating func soundFlushed() {
    waiting.soundFlushed()
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

  /// Sound, or a gap in it, for this time is there.
  mutating func soundArrived(_ range: Range<RunningTime>, now: Int64) {
    if waiting.sync.soundArrived(range) { timeline = AudioTimeline() }
    waiting.soundMoved = now
  }

  /// No frame needs any more sound; after a loop was sought, the picture may be about to begin again.
  var soundIsNeedless: Bool {
    videoEnded && queue.framesHeld == 0 && waiting.loopFrom == nil || !waiting.sync.linked
  }

  /// Why there is no sound.
  var lackOfSound: String {
    guard waiting.sync.linked else { return "No sound is linked to the pad audio." }
    return waiting.sync.ended ? "The sound has ended before the picture." : "No sound comes to the pad audio."
  }

  // MARK: Properties

  /// What the properties say about waiting.
  mutating func apply(_ settings: Settings) {
    waiting.sync.lookahead =
      settings.lookahead ?? model.map { Int64(clamping: $0.model.lookahead.nanoseconds) } ?? 0
    waiting.sync.live = waiting.liveLatency != nil
    waiting.sync.offset = settings.audioOffset
    waiting.sync.hold = Int64(clamping: settings.silenceHold)
    waiting.sync.missing = settings.missingAudio
  }
}

/// What downstream says, and what upstream has been told of it.
struct Downstream {
  /// What downstream said last; the picture's thread hands it upstream.
  private(set) var flow = GST_FLOW_OK
  /// Upstream has been told of `flow`.
  private(set) var isTold = false
  /// STREAM_START and SEGMENT events that are not pushed yet: while there is one, an EOS from downstream ends the old segment
  /// only.
  private var beginnings = 0
  /// A frame was lost in the painter's hands: those after it are not to be pushed.
  var isBroken = false
  /// Whether downstream knows GstVideoMeta, which upstream was told that it may use; nil: nobody has asked.
  var stridesKnown: Bool?

  /// Nobody pushes anything more: frames are only let go.
  var isDead: Bool { isBroken || flow != GST_FLOW_OK }

  /// A frame was pushed, with this result.
  mutating func answered(_ result: GstFlowReturn) {
    if flow == GST_FLOW_OK, result != GST_FLOW_EOS || beginnings == 0 { flow = result }
  }

  mutating func told() { isTold = true }

  /// A STREAM_START or SEGMENT is on its way: frames after it are new to downstream, whatever it has said.
  mutating func begins() {
    beginnings += 1
    if flow == GST_FLOW_EOS { (flow, isTold) = (GST_FLOW_OK, false) }
  }

  /// It has been pushed.
  mutating func hasBegun() { beginnings = max(beginnings - 1, 0) }

  /// Whoever asks for RECONFIGURE is linked, and knows what it knows only when it has been asked.
  mutating func reconfigures() {
    if flow == GST_FLOW_NOT_LINKED { (flow, isTold) = (GST_FLOW_OK, false) }
    if stridesKnown == true { stridesKnown = false }
  }

  /// What downstream said about the frames of before counts no longer.
  mutating func flushed() {
    (flow, isTold) = (GST_FLOW_OK, false)
    beginnings = 0
    isBroken = false
  }
}
