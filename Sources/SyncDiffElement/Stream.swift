// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The element behind its shape. Four threads meet in a `Stream`:
//
// - the picture's: `receiveVideo` and `videoEvent` put frames, serialized events and queries into `items`, in order;
// - the sound's: `receiveSound` appends to the timeline and never waits, unless it is a minute ahead;
// - the painter, which takes the items one by one, lets a frame wait for its sound, paints it, and puts all into `ready`;
// - the task of the source pad, which pushes what is ready. While a sink holds a frame until its time, the next ones are
//   painted.
//
// So neither branch can hold up the other: frames that wait are held here, not upstream, and sound flows past them. A
// frame waits until its sound and the look-ahead after it are there, the sound is at EOS, its deadline is over (live), or
// no sound has come for the `stall-timeout` (then something else in the pipeline blocks, the element says so and goes on
// without).

import CGStreamer
import Faces
import GstSyncDiff
import Speech
import SyncDiff
import Tensors

final class Stream {
  /// One thing on its way from the sink pad to the source pad. Owned, but for the query.
  enum Item {
    case event(UnsafeMutablePointer<GstEvent>)
    case query(UnsafeMutablePointer<GstQuery>)
    case frame(Frame)
    /// What became of a frame that cannot be pushed: an error, after the frames before it.
    case lost(GstFlowReturn)

    var frame: Frame? { if case .frame(let frame) = self { frame } else { nil } }
    var isQuery: Bool { if case .query = self { true } else { false } }
  }

  struct Frame {
    var buffer: UnsafeMutablePointer<GstBuffer>
    /// Nil for a frame that is pushed untouched because it has no place in time: outside the segment, or played at
    /// another rate than 1.
    let time: RunningTime?
    let moment: Moment
  }

  /// Nanoseconds of frames that are held beyond the latency: sound comes in chunks, and decoders in bursts.
  static let slack: GstClockTime = 100_000_000
  /// The same while sound lags behind the picture, and bytes of frames up to which it counts: that the sound has ended,
  /// qtdemux tells when the picture is 2 s further on, matroskademux when it is 3 s. Sound lags when a frame waits for it
  /// and none has come for `longWait` (microseconds).
  static let wideSlack: GstClockTime = 3_500_000_000
  static let longWait: gint64 = 200_000
  static let mostBytes = 256 << 20
  /// Painted frames that wait to be pushed at most, and nanoseconds from the first of them to the next that is painted.
  static let mostReady = 4
  private static let readyTime: UInt64 = 160_000_000

  let element: Element
  let monitor = Monitor()

  // Guarded by the monitor.

  var items: [Item] = []
  /// What the painter is done with.
  var ready: [Item] = []
  /// Frames in `items`, in `ready`, and in the hands of those who take them from there.
  var framesHeld = 0
  /// Whether the painter's thread lives, and which it is. It ends when the stream flushes.
  var paints = false
  private var painter: UnsafeMutablePointer<GThread>?
  /// How often the stream has been cleared.
  private(set) var cleared = 0
  /// A frame was lost in the painter's hands: those after it are not to be pushed.
  var broken = false
  var flushing = true
  /// An error has been posted since the stream began or was flushed.
  var failed = false
  /// What downstream said last; the picture's thread hands it upstream.
  var flow = GST_FLOW_OK
  /// Upstream has been told of it.
  var flowTold = false
  /// Events on their way behind which downstream's EOS is over: frames before them may still meet it.
  var beginnings = 0
  var videoEnded = false
  var queryAnswer: Bool?
  /// Whether downstream knows GstVideoMeta, which upstream was told that it may use; nil: nobody has asked.
  var stridesKnown: Bool?
  /// Nanoseconds from one frame to the next; nil when the caps do not say.
  var frameDuration: GstClockTime?
  var pairing = Pairing()
  var timeline = SoundTimeline()
  /// When a loop was sought whose picture has not begun yet, as `g_get_monotonic_time` counts.
  var loopFrom: gint64?
  var playing = false
  /// True while the audio pad is flushing or inactive.
  var soundStopped = true
  /// When sound last came, and since when the painter has had no frame: `g_get_monotonic_time`.
  var soundMoved: gint64 = 0
  var starvingSince: gint64?
  /// Whether sound lags behind the picture, see `wideSlack`; until it is there for every frame that is held.
  var soundLags = false
  /// Upstream's latency if it is live, nanoseconds: the slower of the two branches.
  var liveLatency: GstClockTime?
  var computeTime = ComputeTime()
  /// The part of `latencyReported` that painting a frame may take, nanoseconds.
  var paintingTime: GstClockTime = 0
  var latencyReported: GstClockTime = 0
  var overload = Overload()
  var counts = Statistics()
  var soundCheck = SoundCheck()

  // Owned by the picture's thread, or whoever stopped it.

  var arrival = Arrival()

  // Owned by the sound's thread, or whoever stopped it.

  var hearing = Hearing()

  // Owned by the painter, or whoever stopped it.

  var info: GstVideoInfo?
  /// Changes under the monitor, for queries read it too.
  var model: LoadedModel?
  var presenter: LoadedPresenter?
  var journey: Journey?
  var faceNews = FaceNews()
  var fade = Fade()
  var statisticsPosted: RunningTime?
  var warnedRegion: RegionOfInterest?
  var disclosed = false
  var warnedUnmappable = false
  /// `cleared` when the item in hands was taken.
  private(set) var taken = 0

  init(of element: Element) { self.element = element }

  var base: UnsafeMutablePointer<GstElement> {
    UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstElement.self)
  }

  // MARK: States

  func before(_ change: GstStateChange) -> Bool {
    switch change {
    case GST_STATE_CHANGE_NULL_TO_READY, GST_STATE_CHANGE_READY_TO_PAUSED:
      let settings = Settings(of: element)
      monitor.locked { failed = false }
      if settings.preload, !load(settings) { return false }
      if change == GST_STATE_CHANGE_READY_TO_PAUSED {
        monitor.locked {
          (soundStopped, counts, overload, soundCheck) = (false, Statistics(), Overload(), SoundCheck())
        }
      }
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED: monitor.locked { playing = false }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      monitor.locked {
        flushing = true
        soundStopped = true
        monitor.broadcast()
      }
    default: break
    }
    return true
  }

  func after(_ change: GstStateChange) {
    switch change {
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING:
      monitor.locked {
        playing = true
        soundMoved = g_get_monotonic_time()  // nothing came while paused
        if starvingSince != nil { starvingSince = soundMoved }
        monitor.broadcast()  // there is a clock now
      }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      let events = monitor.locked {
        clearSound()
        pairing.pictureFlushed()
        (frameDuration, liveLatency, stridesKnown) = (nil, nil, nil)
        return clearVideo()
      }
      for event in events { gst_event_unref(event) }
      arrival = Arrival()
      hearing = Hearing()
      (info, journey, faceNews, disclosed) = (nil, nil, FaceNews(), false)
      (fade, statisticsPosted, warnedRegion, warnedUnmappable) = (Fade(), nil, nil, false)
    case GST_STATE_CHANGE_READY_TO_NULL:
      monitor.locked { model = nil }
      presenter = nil
    default: break
    }
  }

  /// Starts and stops the painter and the task of the source pad.
  func activate(_ active: Bool) -> Bool {
    guard active else {
      letGo()
      awaitPainter()
      return gst_pad_stop_task(element.pointee.src) != 0
    }
    monitor.locked { flushing = false }
    return startPainter() && startTask()
  }

  /// Whoever waits for something waits no longer, and neither painter nor task begins with another item.
  func letGo() {
    monitor.locked {
      flushing = true
      monitor.broadcast()
    }
  }

  func startPainter() -> Bool {
    let begins = monitor.locked {
      defer { paints = true }
      return !paints
    }
    guard begins else { return true }
    let me = Unmanaged.passRetained(self)
    let thread = g_thread_try_new(
      "syncdiff",
      { me in
        guard let me else { return nil }
        let stream = Unmanaged<Stream>.fromOpaque(me).takeRetainedValue()
        stream.monitor.locked { stream.painter = g_thread_self() }
        while stream.paintNext() {}
        return nil
      }, me.toOpaque(), nil)
    guard let thread else {
      me.release()
      monitor.locked { paints = false }
      postError(.resource(GST_RESOURCE_ERROR_NO_SPACE_LEFT), "There is no thread to paint on.")
      return false
    }
    g_thread_unref(thread)
    return true
  }

  /// Waits until the painter, which has been let go, has ended, or until another thread that has waited so starts it again.
  /// The painter itself does not wait: a message of its own may make the application seek.
  func awaitPainter() {
    monitor.locked { while paints, flushing, painter != g_thread_self() { monitor.wait() } }
  }

  func startTask() -> Bool {
    gst_pad_start_task(
      element.pointee.src,
      { object in
        guard let object else { return }
        let element = object.assumingMemoryBound(to: GstSyncDiff.self)
        Unmanaged<Stream>.fromOpaque(element.pointee.stream).takeUnretainedValue().forward()
      }, element, nil) != 0
  }

  /// Forgets everything that is on its way, and returns the events that stay true after a flush: upstream does not send
  /// them again. Under the monitor.
  func clearVideo() -> [UnsafeMutablePointer<GstEvent>] {
    var lasting: [UnsafeMutablePointer<GstEvent>] = []
    for item in ready + items {
      switch item {
      case .event(let event):
        let type = event.pointee.type
        let isSticky = gst_event_type_get_flags(type).rawValue & GST_EVENT_TYPE_STICKY.rawValue != 0
        if isSticky, type != GST_EVENT_SEGMENT, type != GST_EVENT_EOS {
          lasting.append(event)
        } else {
          gst_event_unref(event)
        }
      case .frame(let frame): gst_buffer_unref(frame.buffer)
      case .query: queryAnswer = false
      case .lost: break
      }
    }
    (items, ready, beginnings, broken, cleared) = ([], [], 0, false, cleared &+ 1)
    (framesHeld, flow, flowTold, videoEnded) = (0, GST_FLOW_OK, false, false)
    starvingSince = nil
    monitor.broadcast()
    return lasting
  }

  /// Under the monitor.
  func clearSound() {
    pairing.soundFlushed()
    (timeline, soundLags) = (SoundTimeline(), false)
  }

  func audioAdded() {
    monitor.locked {
      clearSound()
      pairing.pictureFlushed()
      soundStopped = false
    }
    hearing = Hearing()
  }

  func audioLinked(_ linked: Bool) {
    monitor.locked {
      pairing.linked = linked
      if linked { soundCheck.linked() }
      soundMoved = g_get_monotonic_time()
      monitor.broadcast()
    }
    refreshLatency()
    // Frames will be held from now on: upstream may ask again how many.
    if linked { gst_pad_push_event(element.pointee.sink, gst_event_new_reconfigure()) }
  }

  func audioRemoving() {
    monitor.locked {
      pairing.linked = false
      soundStopped = true
      monitor.broadcast()
    }
    refreshLatency()
  }

  // MARK: The painter and the task

  /// One turn of the painter: the next item. False when it is over.
  private func paintNext() -> Bool {
    monitor.lock()
    while !flushing, items.isEmpty || isFarAhead {
      if framesHeld == 0, starvingSince == nil {
        starvingSince = g_get_monotonic_time()
        monitor.broadcast()
      }
      monitor.wait()
    }
    guard !flushing else {
      (paints, painter) = (false, nil)
      monitor.broadcast()
      monitor.unlock()
      return false
    }
    let item = items.removeFirst()
    taken = cleared
    let dead = broken || flow != GST_FLOW_OK
    if item.frame != nil { starvingSince = nil }
    if item.isQuery { ready.append(item) }  // who asks looks for it there
    monitor.broadcast()
    monitor.unlock()

    switch item {
    case .event(let event): use(event)
    case .frame(let frame) where dead:
      gst_buffer_unref(frame.buffer)
      gone(GST_FLOW_OK)
    case .frame(let frame):
      let result = withStandardArithmetic { deliver(frame) }
      guard result != GST_FLOW_OK else { break }
      monitor.locked { if taken == cleared { broken = true } }
      makeReady(.lost(result))
    case .query, .lost: break
    }
    return true
  }

  /// Whether the next frame is not to be painted yet: properties that change would show too late, and it would ask for sound
  /// that nobody needs for now. Under the monitor.
  private var isFarAhead: Bool {
    let waiting = ready.compactMap(\.frame)
    guard let first = waiting.first, let next = items.first?.frame else { return false }
    if waiting.count >= Self.mostReady { return true }
    guard let from = first.time, let to = next.time else { return false }
    return to.nanoseconds.subtractingClamped(from.nanoseconds) > Self.readyTime
  }

  /// Whether frames before the one in the painter's hands have not been pushed yet. Under the monitor.
  var isAhead: Bool { framesHeld > 1 + items.count { $0.frame != nil } }

  /// What the painter is done with. What was in its hands while the stream was cleared is gone.
  func makeReady(_ item: Item) {
    let late: Bool = monitor.locked {
      guard taken == cleared else { return true }
      ready.append(item)
      monitor.broadcast()
      return false
    }
    guard late else { return }
    switch item {
    case .event(let event): gst_event_unref(event)
    case .frame(let frame): gst_buffer_unref(frame.buffer)
    case .query, .lost: break
    }
  }

  /// A frame is no longer held: it was pushed with this result, or is lost.
  private func gone(_ result: GstFlowReturn) {
    let orphaned = monitor.locked {
      if framesHeld > 0 { framesHeld -= 1 }
      if flow == GST_FLOW_OK, result != GST_FLOW_EOS || beginnings == 0 { flow = result }
      monitor.broadcast()
      return videoEnded
    }
    report(result, orphaned: orphaned)
  }

  /// One turn of the source pad's task: the next item that is ready.
  func forward() {
    monitor.lock()
    while !flushing, ready.isEmpty { monitor.wait() }
    guard !flushing else {
      monitor.unlock()
      gst_pad_pause_task(element.pointee.src)
      return
    }
    let item = ready.removeFirst()
    let dead = flow != GST_FLOW_OK
    monitor.broadcast()
    monitor.unlock()

    switch item {
    case .event(let event):
      let begins = event.begins
      gst_pad_push_event(element.pointee.src, event)
      if begins { monitor.locked { beginnings = max(beginnings - 1, 0) } }
    case .query(let query):
      let answer = gst_pad_peer_query(element.pointee.src, query) != 0
      monitor.locked {
        queryAnswer = answer
        monitor.broadcast()
      }
    case .frame(let frame):
      if dead { gst_buffer_unref(frame.buffer) }
      gone(dead ? GST_FLOW_OK : gst_pad_push(element.pointee.src, frame.buffer))
    case .lost(let result): gone(result)
    }
  }

  /// A refusal of downstream is upstream's to report, unless upstream is at EOS already and will not hear of it. An ERROR
  /// has been reported by whoever it comes from.
  func report(_ result: GstFlowReturn, orphaned: Bool) {
    guard orphaned, result != GST_FLOW_ERROR,
      result == GST_FLOW_NOT_LINKED || result.rawValue < GST_FLOW_EOS.rawValue
    else { return }
    let reason = String(cString: gst_flow_get_name(result))
    postError(
      .stream(GST_STREAM_ERROR_FAILED), "Internal data stream error.", debug: "streaming stopped, reason \(reason)")
  }

  private func use(_ event: UnsafeMutablePointer<GstEvent>) {
    switch event.pointee.type {
    case GST_EVENT_CAPS: useCaps(event)
    case GST_EVENT_STREAM_START: disclosed = false
    case GST_EVENT_EOS: tellLack(atEnd: true, Settings(of: element))
    case GST_EVENT_TAG:
      makeReady(.event(disclosing(event)))
      return
    default: break
    }
    makeReady(.event(event))
  }

  /// Events that a flush has overtaken go out before the next frame.
  func keep(_ events: [UnsafeMutablePointer<GstEvent>]) {
    for event in events {
      if event.pointee.type == GST_EVENT_CAPS { useCaps(event) }
      gst_pad_store_sticky_event(element.pointee.src, event)
      gst_event_unref(event)
    }
  }

  private func useCaps(_ event: UnsafeMutablePointer<GstEvent>) {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    var parsed = GstVideoInfo()
    info = gst_video_info_from_caps(&parsed, caps) != 0 ? parsed : nil
    journey?.reset()
    fade = Fade()
  }
}

extension UnsafeMutablePointer<GstEvent> {
  /// Whether frames after this one are new to downstream, whatever it has said.
  var begins: Bool { pointee.type == GST_EVENT_STREAM_START || pointee.type == GST_EVENT_SEGMENT }
}
