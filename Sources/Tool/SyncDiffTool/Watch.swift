// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Monitors the running pipeline: counts frames, adjusts the time of the encoded audio, and drops what of it follows the video.

import CGStreamer
import Dispatch
import Synchronization

/// Must live as long as the pipeline it is attached to.
final class Watch: Sendable {
  private struct State {
    var frames = 0
    /// Running time, nanoseconds: end of the frames so far, and start and duration of the newest one.
    var end: GstClockTime = 0
    var start: GstClockTime = 0
    var lasts: GstClockTime = 0
    /// Frames from the encoder, and when the newest of them is shown.
    var encoded = 0
    var newest: GstClockTime = .max
    /// Of frames from the encoder, nanoseconds: when the first and the last of all so far are shown, and decoding time of the
    /// first.
    var shown: (first: GstClockTime, last: GstClockTime) = (.max, 0)
    var firstDecoded: GstClockTime = .max
    var pictureOver = false
    var isStopped = false
    var hasSound = false
    /// How long the samples last that the audio encoder inserts before the audio, nanoseconds.
    var priming: gint64 = 0
  }

  private let state = Mutex(State())
  /// Signalled when the video has come further.
  let step = DispatchSemaphore(value: 0)
  private let encoding: Encoding
  private let timecode: Timecode?
  private let margin: GstClockTime

  init(_ job: Job) { (encoding, timecode, margin) = (job.encoding, job.timecode, job.margin) }

  /// Frames so far, and their duration in seconds.
  var progress: (frames: Int, seconds: Double) { state.withLock { ($0.frames, Double($0.end) / 1e9) } }

  /// Frames that have gone to the muxer so far.
  var encoded: Int { state.withLock { $0.encoded } }

  /// Time from the first packet of the audio to its beginning in a container that can say so, seconds.
  var lead: Double { encoding.container.hasEditLists ? state.withLock { Double($0.priming) / 1e9 } : 0 }

  /// `picture`: the pad that frames leave by. `encoded`: the pads that feed the muxer.
  func attach(picture: UnsafeMutablePointer<GstPad>, encoded: [UnsafeMutablePointer<GstPad>]) {
    let me = Unmanaged.passUnretained(self).toOpaque()
    gst_pad_add_probe(
      picture, bufferOrEvent,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        return Unmanaged<Watch>.fromOpaque(me).takeUnretainedValue().picture(pad, info)
      }, me, nil)
    for pad in encoded {
      if margin > 0 { gst_pad_set_offset(pad, gint64(margin)) }
      gst_pad_add_probe(
        pad, bufferOrEvent,
        { pad, info, me in
          guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
          return Unmanaged<Watch>.fromOpaque(me).takeUnretainedValue().encoded(pad, info)
        }, me, nil)
    }
  }

  /// Ends the video before its next frame, but not before its first.
  func stop() { state.withLock { $0.isStopped = true } }

  /// Whether the video is over and had no frame.
  var isOverWithoutFrames: Bool { state.withLock { $0.pictureOver && $0.frames == 0 } }

  private func picture(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    defer { step.signal() }
    if info.buffer != nil, state.withLock({ $0.isStopped && $0.frames > 0 }) {
      if !reached.isOver { gst_pad_push_event(pad, gst_event_new_eos()) }  // which comes by here
      return GST_PAD_PROBE_DROP
    }
    if let buffer = info.buffer, let start = runningTime(of: buffer, on: pad) {
      state.withLock {
        // A last frame without a duration lasts as long as the one before it.
        let duration = buffer.pointee.duration == .max ? start - min($0.start, start) : buffer.pointee.duration
        $0.frames += 1
        ($0.start, $0.lasts) = (start, duration)
        $0.end = max($0.end, start + duration)
      }
    } else if info.buffer == nil, gst_pad_probe_info_get_event(info)?.pointee.type == GST_EVENT_EOS {
      state.withLock { $0.pictureOver = true }
    }
    return GST_PAD_PROBE_OK
  }

  /// How far the video has come in running time, nanoseconds, and whether it is over.
  var reached: (end: GstClockTime, isOver: Bool) { state.withLock { ($0.end, $0.pictureOver) } }

  /// Drops encoded audio that begins after the video: what an encoder adds at its end.
  private func encoded(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    guard structureName(of: pad)?.hasPrefix("audio/") ?? false else {
      if let buffer = info.buffer {
        count(buffer, info)
      } else if encoding.container == .mkv {
        dropMasteringDisplay(info)
      }
      return GST_PAD_PROBE_OK
    }
    guard let buffer = info.buffer else {
      if let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_CAPS {
        skipPriming(pad, event)
      }
      return GST_PAD_PROBE_OK
    }
    guard let start = runningTime(of: buffer, on: pad) else { return GST_PAD_PROBE_OK }
    let (end, isOver) = reached
    let (priming, isFirst) = state.withLock { state in
      defer { state.hasSound = true }
      return (state.priming, !state.hasSound)
    }
    // opusenc gives each packet the time of what is heard of it.
    let isOpus = encoding.audio == .opus
    guard !isOver || gint64(start) - (isOpus ? 0 : priming) < gint64(end) else { return GST_PAD_PROBE_DROP }
    if isOpus, priming > 0 { info.addSkipped(GstClockTime(priming), to: buffer, isFirst: isFirst) }
    return GST_PAD_PROBE_OK
  }

  /// A frame may come in several buffers. The muxer takes the timecode from the first, and the MP4 muxer takes the duration
  /// from the last. Together the durations must span the time from the first frame shown to the last; with B-frames of
  /// unequal duration their own do not.
  private func count(_ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    let isFirst = state.withLock { state in
      if buffer.pointee.pts != state.newest { state.encoded += 1 }
      state.newest = buffer.pointee.pts
      return state.encoded == 1
    }
    let isMarked = timecode == nil || gst_buffer_get_meta(buffer, gst_video_time_code_meta_api_get_type()) != nil
    let duration = lasting(buffer)
    guard duration != nil || isFirst && !isMarked else { return }
    guard let changed = info.writable(buffer) else { return }
    if isFirst, !isMarked { timecode?.mark(changed) }
    if let duration { changed.pointee.duration = duration }
  }

  /// The duration that a frame from the encoder would need if it were the last one, nanoseconds; nil: its own.
  private func lasting(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstClockTime? {
    let (pts, dts, own) = (buffer.pointee.pts, buffer.pointee.dts, buffer.pointee.duration)
    guard [.mp4, .mov].contains(encoding.container), pts != .max, dts != .max else { return nil }
    return state.withLock { state in
      state.shown = (min(state.shown.first, pts), max(state.shown.last, pts))
      state.firstDecoded = min(state.firstDecoded, dts)
      let (whole, before) = (state.shown.last - state.shown.first + state.lasts, dts - state.firstDecoded)
      return own == .max || whole > before + own ? whole - min(before, whole) : nil
    }
  }

  /// matroskamux 1.22 writes a fifth of the luminances. The video stream carries them too.
  private func dropMasteringDisplay(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    guard let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_CAPS else { return }
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    guard let caps, let copy = gst_caps_copy(caps) else { return }
    gst_structure_remove_field(gst_caps_get_structure(copy, 0), "mastering-display-info")
    info.pointee.data = gst_event_new_caps(copy).map { UnsafeMutableRawPointer($0) }
    gst_caps_unref(copy)
    gst_event_unref(event)
  }

  /// Moves the encoder's priming samples before the start of the audio, where the muxer drops them, unless the container can
  /// say that they are there: without them the audio begins softly.
  private func skipPriming(_ pad: UnsafeMutablePointer<GstPad>, _ event: UnsafeMutablePointer<GstEvent>) {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    var rate: gint = 0
    guard let caps, gst_structure_get_int(gst_caps_get_structure(caps, 0), "rate", &rate) != 0, rate > 0 else { return }
    let priming = gint64(encoding.priming(rate: Int(rate)))
    state.withLock { $0.priming = priming }
    // One microsecond remains, so that the first real packet is not taken for priming.
    let rest: gint64 = encoding.audio == .opus ? 0 : 1000
    if priming > 0, !encoding.container.hasEditLists { gst_pad_set_offset(pad, gint64(margin) + rest - priming) }
  }
}
