// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A stretch of a video that is dubbed in parallel with others: it has its own decoder, element and encoder, and writes frames
// without a container to an unnamed file.

import CGStreamer
import Glibc
import Synchronization

final class Stretch: @unchecked Sendable {
  /// Lead-in before the first frame that counts, for the element's filters to settle and for a previous frame.
  private static let warmUp = 1.0  // seconds
  /// More audio than can affect a frame.
  private static let hearing = 10.0  // seconds

  private let pipeline: UnsafeMutablePointer<GstElement>
  let pictures: Source
  private let sound: Source
  private let watch: Watch
  private let gate: Gate
  private let scratch: Scratch
  /// Warnings of the element. Read after `play`.
  private(set) var warnings: Set<String> = []
  /// Whether the user ended it early. Read after `play`.
  private(set) var isCut = false
  /// Read after `play`.
  private(set) var failure: Failure?

  /// Start and end in the result, seconds; nil: its beginning, its end.
  init(of job: Job, from: Double?, to: Double?, in scratch: Scratch) throws {
    self.scratch = scratch
    let pipeline = try parse(job.stretch)
    self.pipeline = pipeline
    let first = max((from ?? 0) - Self.warmUp, 0)
    // Start at a whole second, so that resampling at any rate has the same phase as from the beginning.
    let heard = max(first - Self.hearing, 0).rounded(.down)
    let part = Part(from: job.part.from, to: to.map { $0 + job.part.from } ?? job.part.to)
    pictures = Source(job.picture, .picture, part: part, skipping: first, from: "picture", to: "frames", in: pipeline)
    let voice = job.voices[0]
    sound = Source(
      voice.media, .sound, track: voice.track, skipping: heard, from: "sound0", to: "hearing0", in: pipeline)
    pipeline.element("file").object.set("fd", to: "\(fileno(scratch.file))")
    job.label?.show(in: pipeline, on: job.shown)
    let encoder = try encodebin(job.encoding.pictures, in: pipeline)
    try link("painted", to: encoder, "video", of: job.encoding, in: pipeline)
    StreamTags(job.encoding).attach(to: encoder)
    guard gst_pad_link(encoder.pad("src"), pipeline.element("pay").pad("sink")) == GST_PAD_LINK_OK else {
      throw Failure("GStreamer cannot encode \(job.encoding.video.rawValue)", .internalFault)
    }
    gate = Gate(of: pipeline.element("dub"), from: from ?? 0)
    watch = Watch(job)
    watch.attach(picture: pipeline.element("painted").pad("src"), encoded: [])
  }

  deinit { gst_object_unref(pipeline) }

  /// Path of the encoded frames, after `play`.
  var path: String { "/proc/self/fd/\(fileno(scratch.file))" }
  var dub: UnsafeMutablePointer<GstElement> { pipeline.element("dub") }
  var frames: Int { watch.progress.frames }
  /// Seconds so far.
  var progress: Double { max(watch.progress.seconds - gate.start, 0) }
  private(set) var counts = Counts()

  /// Dubs to the end, or until a signal comes or `isOver` returns true.
  func play(_ isOver: () -> Bool) {
    guard Interrupt.status == nil else { return isCut = true }
    let bus = gst_element_get_bus(pipeline)
    defer {
      gate.open()
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(bus)
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    let types = GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue
    while !isOver() {
      if Interrupt.status != nil, !isCut {
        isCut = true
        // There is nothing to end yet.
        guard watch.progress.frames > 0 else { return }
        watch.stop()
        gst_element_send_event(pipeline, gst_event_new_eos())
      }
      guard let message = gst_bus_timed_pop_filtered(bus, 100_000_000, GstMessageType(rawValue: types)) else {
        continue
      }
      defer { gst_message_unref(message) }
      switch message.pointee.type {
      case GST_MESSAGE_ERROR:
        let status = message.pointee.src.map {
          ExitStatus.blame($0, badInput: ["picture", "sound0", "dub"], badOutput: ["file"], in: pipeline)
        }
        failure =
          status == .badOutput
          ? scratch.failure(text(of: message)) : Failure(text(of: message), status ?? .internalFault)
        return
      case GST_MESSAGE_WARNING: warnings.insert(text(of: message))
      default:
        counts = Counts(of: dub) - gate.before
        return
      }
    }
  }
}

/// Holds back frames dubbed before the stretch begins.
private final class Gate: Sendable {
  private struct State {
    var (entered, left) = (0, 0)
    var isOpen = false
    var before = Counts()
  }

  private struct Element: @unchecked Sendable { let element: UnsafeMutablePointer<GstElement> }

  private let state = Mutex(State())
  private let dub: Element
  /// Seconds in the result.
  let start: Double

  init(of dub: UnsafeMutablePointer<GstElement>, from start: Double) {
    (self.dub, self.start) = (Element(element: dub), start)
    let me = Unmanaged.passUnretained(self).toOpaque()
    gst_pad_add_probe(
      dub.pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let me, let buffer = info?.buffer {
          Unmanaged<Gate>.fromOpaque(me).takeUnretainedValue().enter(buffer, pad)
        }
        return GST_PAD_PROBE_OK
      }, me, nil)
    gst_pad_add_probe(
      dub.pad("src"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        guard let pad, let me, let buffer = info?.buffer else { return GST_PAD_PROBE_OK }
        return Unmanaged<Gate>.fromOpaque(me).takeUnretainedValue().leave(buffer, pad)
      }, me, nil)
  }

  /// Outcomes of the frames before the start.
  var before: Counts { state.withLock { $0.before } }

  /// Lets everything pass.
  func open() { state.withLock { $0.isOpen = true } }

  private func isEarly(_ buffer: UnsafeMutablePointer<GstBuffer>, _ pad: UnsafeMutablePointer<GstPad>) -> Bool {
    runningTime(of: buffer, on: pad).map { Double($0) / 1e9 < start } ?? false
  }

  /// The first frame that counts waits until the frames before it have left, since only then their outcomes are known.
  private func enter(_ buffer: UnsafeMutablePointer<GstBuffer>, _ pad: UnsafeMutablePointer<GstPad>) {
    if isEarly(buffer, pad) { return state.withLock { $0.entered += 1 } }
    while state.withLock({ !$0.isOpen && $0.left < $0.entered }) { usleep(1000) }
    let isFirst = state.withLock { state in
      defer { state.isOpen = true }
      return !state.isOpen
    }
    guard isFirst else { return }
    let before = Counts(of: dub.element)
    state.withLock { $0.before = before }
  }

  private func leave(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ pad: UnsafeMutablePointer<GstPad>
  ) -> GstPadProbeReturn {
    guard isEarly(buffer, pad) else { return GST_PAD_PROBE_OK }
    state.withLock { $0.left += 1 }
    return GST_PAD_PROBE_DROP
  }
}

/// Outcomes of frames, as in the element's property `stats`.
struct Counts {
  var (painted, faceless, hidden) = (0, 0, 0)

  init() {}

  init(of dub: UnsafeMutablePointer<GstElement>) {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    defer { g_value_unset(&value) }
    g_object_get_property(dub.object, "stats", &value)
    func count(_ field: String) -> Int {
      var count: guint64 = 0
      if let stats = gst_value_get_structure(&value) { gst_structure_get_uint64(stats, field, &count) }
      return Int(count)
    }
    (painted, faceless, hidden) = (count("painted"), count("no-face"), count("hidden"))
  }

  static func + (a: Counts, b: Counts) -> Counts {
    var sum = a
    (sum.painted, sum.faceless, sum.hidden) = (a.painted + b.painted, a.faceless + b.faceless, a.hidden + b.hidden)
    return sum
  }

  static func - (a: Counts, b: Counts) -> Counts {
    var rest = a
    (rest.painted, rest.faceless, rest.hidden) = (a.painted - b.painted, a.faceless - b.faceless, a.hidden - b.hidden)
    return rest
  }
}
