// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The audio input: buffers are converted to 16 kHz mono and appended to the timeline, placed by running time.

import CGStreamer
import Glibc
import GstSyncDiff
import Speech

/// The audio pad. What its thread knows about its stream is in `input`; the timeline belongs to the stream.
final class AudioInput: Sendable {
  private let stream: Stream
  private let input = Guarded(Input())

  init(of stream: Stream) { self.stream = stream }

  /// A new pad, or a new stream.
  func restart() { input.change { $0 = Input() } }

  // MARK: Buffers

  func receive(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    if buffer.pointee.pts == .max, input.change({ $0.warnsUntimed() }) {
      stream.postWarning(
        .stream(GST_STREAM_ERROR_FORMAT), "Audio buffers without timestamps.",
        debug: "Each is assumed to follow the one before it. A parser before the audio pad may know the timestamps.")
    }
    let taken = input.change { $0.take(buffer) }
    gst_buffer_unref(buffer)  // before a wait: upstream may need its memory
    switch taken {
    case .notNegotiated: return GST_FLOW_NOT_NEGOTIATED
    case .outside: stream.log(GST_LEVEL_LOG, "dropped audio outside the segment")
    case .unreadable: stream.log(GST_LEVEL_WARNING, "dropped audio that cannot be read, or has no running time")
    case .sound(let samples, let start):
      // In pieces, because a buffer may hold more than fits.
      let piece = Filterbank.sampleRate / 2
      for first in stride(from: 0, to: samples.count, by: piece) {
        let part = Array(samples[first..<min(first + piece, samples.count)])
        guard append(part, at: start.addingClamped(Int64(first))) else { return GST_FLOW_FLUSHING }
      }
    }
    return GST_FLOW_OK
  }

  private enum Appending: String {
    case stopped = "dropped, since the pad flushes"
    case needless = "dropped, since no frame needs it"
    case appended
    case gaveWay = "appended, and the oldest dropped for it"
  }

  /// Appends to the timeline, after waiting while it is full. False when flushing.
  private func append(_ samples: [Float], at start: Int64) -> Bool {
    let range = RunningTime(sample: start)..<RunningTime(sample: start.addingClamped(Int64(samples.count)))
    let isLive = isLive(beyond: range.upperBound)
    let settings = stream.settings
    let quiet = Float(pow(10, settings.silenceThreshold / 20))
    let isAudible = samples.contains { abs($0) >= quiet }
    var waits = false
    let result: Appending = stream.state.wait { state in
      guard !state.audioStopped else { return .done(.stopped) }
      guard !state.audioIsNeedless else { return .done(.needless) }
      let playing = state.playing
      let around = Waiting.Surroundings(now: stream.now, timeout: stream.settings.stallTimeout) { [stream] in
        stream.restsInPaused(playing: playing)
      }
      let step = state.waiting.next(audioUpTo: range.upperBound, isLive: isLive, around)
      if case .wait(let until) = step {
        if !waits { stream.logWait(of: range, until: until, now: around.now) }
        waits = true
        return .wait(until: until)
      }
      if step == .giveWay { state.waiting.sync.makeRoom(upTo: range.upperBound) }
      state.audioArrived(range, now: stream.now)
      state.timeline.append(samples, at: start)
      if isAudible { state.soundCheck.heard() }
      return .done(step == .giveWay ? .gaveWay : .appended)
    }
    stream.log(GST_LEVEL_LOG, "audio from \(seconds(range)): \(result.rawValue)\(isAudible ? "" : ", silent")")
    if result == .gaveWay, !isLive, input.change({ $0.warnsFull() }) {
      stream.postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "The video is a minute behind the audio: the oldest audio is dropped.",
        debug:
          "No frame has arrived on the sink pad while the audio pad was full. If both come from one demuxer, set "
          + "max-size-time=0 max-size-bytes=0 max-size-buffers=0 on the queue before the sink pad.")
    }
    return result != .stopped
  }

  /// Whether audio that has no room up to `end` comes from a live source, in which case the video may be live too.
  private func isLive(beyond end: RunningTime) -> Bool {
    let matters = stream.state.read { $0.waiting.liveLatency != nil && !$0.waiting.sync.hasRoom(upTo: end) }
    guard matters else { return false }
    if let known = input.change({ $0.isLive }) { return known }
    guard let audio = gst_element_get_static_pad(stream.base, "audio") else { return true }
    defer { gst_object_unref(audio) }
    guard let live = stream.latency(of: audio)?.live else { return true }
    input.change { $0.isLive = live }
    return live
  }

  // MARK: Events

  func event(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    defer { gst_event_unref(event) }
    stream.log(GST_LEVEL_DEBUG, "\(event.pointee.type.name) on the audio pad")
    switch event.pointee.type {
    case GST_EVENT_FLUSH_START: stream.state.change { $0.audioStopped = true }
    case GST_EVENT_FLUSH_STOP:
      input.change { $0.flushed() }
      stream.state.change { state in
        state.audioFlushed()
        state.audioStopped = false
        state.waiting.audioCame = stream.now
      }
    case GST_EVENT_STREAM_START:
      input.change { $0.streamBegins() }
      stream.state.change { $0.waiting.sync.ended = false }
    case GST_EVENT_SEGMENT:
      if input.change({ $0.segmentBegins(event) }) { stream.warnTimeless("audio") }
      stream.state.change { $0.waiting.sync.ended = false }
    case GST_EVENT_CAPS: return useCaps(event)
    case GST_EVENT_GAP:
      guard let range = input.change({ $0.gap(event) }) else { break }
      stream.log(GST_LEVEL_DEBUG, "gap in the audio from \(seconds(range))")
      stream.state.change { $0.audioArrived(range, now: stream.now) }
    case GST_EVENT_EOS, GST_EVENT_SEGMENT_DONE: stream.state.change { $0.waiting.sync.ended = true }
    default: break
    }
    return true
  }

  private func useCaps(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    guard let caps, let (rate, channels) = input.change({ $0.prepare(caps) }) else {
      stream.postError(
        .stream(GST_STREAM_ERROR_FORMAT), "Cannot convert the audio to 16 kHz mono.")
      return false
    }
    stream.log(GST_LEVEL_INFO, "audio caps: \(rate) Hz, channels: \(channels)")
    return true
  }

  func query(_ pad: UnsafeMutablePointer<GstPad>, _ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    switch query.pointee.type {
    case GST_QUERY_DRAIN: true  // no part of a buffer is kept
    case GST_QUERY_ALLOCATION: false
    default: gst_pad_query_default(pad, stream.object, query) != 0
    }
  }
}

extension Stream {
  /// Logs why audio waits.
  fileprivate func logWait(of range: Range<RunningTime>, until limit: Int64?, now: Int64) {
    log(
      GST_LEVEL_DEBUG,
      "audio up to \(seconds(range.upperBound)) waits for the video, which is a minute behind or has not begun: "
        + (limit.map { "at most \(seconds(microseconds: $0 - now)) more" } ?? "for as long as it takes"))
  }
}

/// What the audio thread knows about its stream.
private struct Input: ~Copyable {
  enum Taken {
    case notNegotiated
    case outside
    case unreadable
    /// 16 kHz mono, and the index of the first sample.
    case sound([Float], at: Int64)
  }

  private var converter = AudioConverter()
  /// Whether the audio source is live; nil until it matters.
  var isLive: Bool?
  private var warnedUntimed = false
  private var warnedTimeless = false
  private var warnedFull = false

  mutating func flushed() {
    gst_segment_init(&converter.segment, GST_FORMAT_UNDEFINED)
    converter.restart()
  }

  mutating func streamBegins() {
    isLive = nil
    converter.restart()
  }

  /// True if the segment is not in time format, which must be reported.
  mutating func segmentBegins(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    gst_event_copy_segment(event, &converter.segment)
    converter.restart()
    guard converter.segment.format != GST_FORMAT_TIME, !warnedTimeless else { return false }
    warnedTimeless = true
    return true
  }

  /// Rate and channels of the coming audio; nil if it cannot be converted.
  mutating func prepare(_ caps: UnsafeMutablePointer<GstCaps>) -> (rate: Int32, channels: Int32)? {
    converter.prepare(caps) ? (converter.info.rate, converter.info.channels) : nil
  }

  /// True the first time that it matters.
  mutating func warnsUntimed() -> Bool {
    guard converter.isReady, converter.isOfUse, !warnedUntimed else { return false }
    warnedUntimed = true
    return true
  }

  /// True the first time.
  mutating func warnsFull() -> Bool {
    defer { warnedFull = true }
    return !warnedFull
  }

  /// The caller keeps the buffer, so that its memory, whose allocator may be foreign code, is not freed under the lock.
  mutating func take(_ buffer: UnsafeMutablePointer<GstBuffer>) -> Taken {
    guard converter.isReady, converter.isOfUse else { return converter.isReady ? .outside : .notNegotiated }
    guard
      let buffer = gst_audio_buffer_clip(
        gst_buffer_ref(buffer), &converter.segment, converter.info.rate, converter.info.bpf)
    else { return .outside }
    defer { gst_buffer_unref(buffer) }
    let isUntimed = buffer.pointee.pts == .max
    // Inside the segment, but before its offset, there is no running time.
    guard isUntimed || gst_segment_to_running_time(&converter.segment, GST_FORMAT_TIME, buffer.pointee.pts) != .max
    else { return .outside }
    guard let (samples, start) = converter.convert(buffer) else { return .unreadable }
    return .sound(samples, at: start)
  }

  /// A gap is silence that has arrived; nil if it belongs to no frame.
  mutating func gap(_ event: UnsafeMutablePointer<GstEvent>) -> Range<RunningTime>? {
    guard converter.isOfUse else { return nil }
    var (start, duration): (GstClockTime, GstClockTime) = (0, 0)
    gst_event_parse_gap(event, &start, &duration)
    let end = duration == .max ? start : start.addingClamped(duration)
    var (first, last): (guint64, guint64) = (0, 0)
    guard gst_segment_clip(&converter.segment, GST_FORMAT_TIME, start, end, &first, &last) != 0 else { return nil }
    let from = gst_segment_to_running_time(&converter.segment, GST_FORMAT_TIME, first)
    let to = gst_segment_to_running_time(&converter.segment, GST_FORMAT_TIME, last)
    guard from != .max, to != .max, from <= to else { return nil }
    let range = RunningTime(nanoseconds: UInt64(from))..<RunningTime(nanoseconds: UInt64(to))
    converter.skip(to: range.upperBound)
    return range
  }
}
