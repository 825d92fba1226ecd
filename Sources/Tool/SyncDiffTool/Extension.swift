// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Extends a video past its end, until the audio's end.

import ArgumentParser
import CGStreamer
import Glibc

enum Extend: String, ExpressibleByArgument, CaseIterable { case cut, freeze, loop, pingpong }

/// Must live as long as the pipeline it is attached to. Frames that may be shown again are kept in a temporary file.
final class Extension: @unchecked Sendable {
  private struct Frame {
    /// Bytes in the file.
    let offset, size: Int
    let start: GstClockTime
    var duration: GstClockTime
  }

  private let way: Extend
  private let scratch: Scratch
  /// Running time, nanoseconds: where the result ends, and the part of the video that may be shown again.
  private let until, first, last: GstClockTime
  // Used by the streaming thread only.
  private var frames: [Frame] = []
  private var size = 0
  /// Of the newest frame: its start, its duration, and the offset of its timestamp from its running time.
  private var start: GstClockTime = 0
  private var duration: GstClockTime = 40_000_000
  private var shift: gint64 = 0
  private var isOver = false
  /// Why frames can no longer be kept.
  private var failure: Failure?

  /// `until`: end of the audio, seconds. `length`: duration of the video, if known. The frames at `pad` are raw.
  init(
    _ way: Extend, of length: Double?, until: Double, at pad: UnsafeMutablePointer<GstPad>,
    in scratch: Scratch
  ) {
    (self.way, self.scratch) = (way, scratch)
    self.until = GstClockTime(until * 1e9)
    // Frames after `last` can never be reached, frames before `first` are never needed again.
    last = way == .loop ? GstClockTime(until * 0.5e9) : .max
    let missing = length.map { until - $0 + 1 }
    first = way == .pingpong ? GstClockTime(max((length ?? 0) - (missing ?? .infinity), 0) * 1e9) : 0
    gst_pad_add_probe(
      pad, bufferOrEvent,
      { pad, info, me in
        if let pad, let info, let me { Unmanaged<Extension>.fromOpaque(me).takeUnretainedValue().pass(pad, info) }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  /// Call after the pipeline has played.
  func check() throws {
    if let failure { throw failure }
  }

  private func pass(_ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    if let buffer = info.buffer {
      if !isOver, failure == nil, let time = runningTime(of: buffer, on: pad) { keep(buffer, time, on: pad) }
      return
    }
    guard let event = gst_pad_probe_info_get_event(info) else { return }
    switch event.pointee.type {
    case GST_EVENT_SEGMENT: info.openSegment(event)
    case GST_EVENT_EOS where !isOver:
      isOver = true
      goOn(pad)
    default: break
    }
  }

  private func keep(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ time: GstClockTime, on pad: UnsafeMutablePointer<GstPad>
  ) {
    if time > start {
      duration = time - start
      if let last = frames.indices.last, frames[last].start == start { frames[last].duration = duration }
    }
    if buffer.pointee.duration != .max { duration = max(buffer.pointee.duration, 1_000_000) }
    (start, shift) = (time, gint64(buffer.pointee.pts) - gint64(time))
    guard way == .freeze || (first...last).contains(time), let bytes = pixels(of: buffer, on: pad) else { return }
    if way == .freeze {
      rewind(scratch.file)
      (frames, size) = ([], 0)
    }
    if fwrite(bytes, 1, bytes.count, scratch.file) != bytes.count { fail() }
    frames.append(Frame(offset: size, size: bytes.count, start: time, duration: duration))
    size += bytes.count
  }

  /// The pixels laid out by the caps alone, whatever the decoder's strides are.
  private func pixels(of buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) -> [UInt8]? {
    guard let caps = gst_pad_get_current_caps(pad) else { return nil }
    defer { gst_caps_unref(caps) }
    var (info, from, to) = (GstVideoInfo(), GstVideoFrame(), GstVideoFrame())
    guard gst_video_info_from_caps(&info, caps) != 0, let packed = gst_buffer_new_allocate(nil, info.size, nil) else {
      return nil
    }
    defer { gst_buffer_unref(packed) }
    guard gst_video_frame_map(&from, &info, buffer, GST_MAP_READ) != 0 else { return nil }
    defer { gst_video_frame_unmap(&from) }
    guard gst_video_frame_map(&to, &info, packed, GST_MAP_WRITE) != 0 else { return nil }
    gst_video_frame_copy(&to, &from)
    gst_video_frame_unmap(&to)
    return contents(of: packed)
  }

  private func fail() { failure = scratch.failure(String(cString: strerror(errno))) }

  private func goOn(_ pad: UnsafeMutablePointer<GstPad>) {
    guard !frames.isEmpty, failure == nil else { return }
    if fflush(scratch.file) != 0 { fail() }
    var (next, step) = (frames.count - 1, -1)
    var time = start + duration
    while time < until, failure == nil, Interrupt.status == nil {
      switch way {
      case .loop: next = (next + 1) % frames.count
      case .pingpong where frames.count > 1:
        if !frames.indices.contains(next + step) { step = -step }
        next += step
      default: break
      }
      let frame = frames[next]
      guard let buffer = read(frame) else { return }
      buffer.pointee.pts = GstClockTime(max(gint64(time) + shift, 0))
      buffer.pointee.duration = frame.duration
      guard gst_pad_chain(pad, buffer) == GST_FLOW_OK else { return }
      time += frame.duration
    }
  }

  private func read(_ frame: Frame) -> UnsafeMutablePointer<GstBuffer>? {
    guard let buffer = gst_buffer_new_allocate(nil, gsize(frame.size), nil) else { return nil }
    var map = GstMapInfo()
    guard gst_buffer_map(buffer, &map, GST_MAP_WRITE) != 0 else { return nil }
    defer { gst_buffer_unmap(buffer, &map) }
    return pread(fileno(scratch.file), map.data, frame.size, off_t(frame.offset)) == frame.size ? buffer : nil
  }
}
