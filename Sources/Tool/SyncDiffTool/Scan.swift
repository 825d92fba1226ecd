// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Scans the video of a file as fast as possible.

import CGStreamer
import Faces
import Speech
import SyncDiffElement
import Synchronization
import Tensors

final class Scan {
  private let picture: Media
  private let source: Source
  private let pipeline: UnsafeMutablePointer<GstElement>
  private let see: (FrameView, RunningTime) -> Bool
  /// Running time of the newest frame, nanoseconds.
  private let position = Atomic<UInt64>(0)
  private let isOver = Atomic(false)

  /// What is wrong with the file's picture, one line each, once all of it was read.
  var notes: [String] { source.notes + (source.shortfall.map { [$0] } ?? []) }

  /// Seconds of video scanned.
  var seconds: Double { Double(position.load(ordering: .relaxed)) / 1e9 }

  /// `see` gets each frame on a streaming thread during `run`, and returns whether to continue.
  init(_ picture: Media, part: Part = Part(), deinterlaced: Bool, see: @escaping (FrameView, RunningTime) -> Bool)
    throws
  {
    guard let shown = picture.pictures.first else { throw Failure("\(picture.path) has no video stream") }
    (self.picture, self.see) = (picture, see)
    let layout = try shown.layout(among: VideoCodec.h264.layouts)
    pipeline = try parse(
      "uridecodebin name=picture  \(shown.conversion(to: layout, deinterlaced: deinterlaced)) ! fakesink name=out")
    source = Source(picture, .picture, part: part, from: "picture", to: "frames", in: pipeline)
    gst_pad_add_probe(
      pipeline.element("out").pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let me, let buffer = info.flatMap({ gst_pad_probe_info_get_buffer($0) }) {
          withStandardArithmetic { Unmanaged<Scan>.fromOpaque(me).takeUnretainedValue().take(buffer, on: pad) }
        }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  deinit {
    gst_element_set_state(pipeline, GST_STATE_NULL)
    gst_object_unref(pipeline)
  }

  /// Runs to the end, or until `see` returns false. `progress` is updated meanwhile.
  func run(_ progress: Progress) throws {
    var progress = progress
    let bus = gst_element_get_bus(pipeline)
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(bus)
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    let types = GstMessageType(rawValue: GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue)
    while !isOver.load(ordering: .acquiring) {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, types) {
        defer { gst_message_unref(message) }
        guard message.pointee.type != GST_MESSAGE_ERROR else {
          throw Failure("cannot decode \(picture.path): \(text(of: message))")
        }
        return
      }
      progress.show(seconds)
    }
  }

  private func take(_ buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) {
    guard !isOver.load(ordering: .relaxed), let time = runningTime(of: buffer, on: pad),
      let caps = gst_pad_get_current_caps(pad)
    else { return }
    defer { gst_caps_unref(caps) }
    var (info, map) = (GstVideoInfo(), GstVideoFrame())
    guard gst_video_info_from_caps(&info, caps) != 0, gst_video_frame_map(&map, &info, buffer, GST_MAP_READ) != 0
    else { return }
    defer { gst_video_frame_unmap(&map) }
    guard let view = FrameView(map) else { return }
    position.store(UInt64(time), ordering: .relaxed)
    if !see(view, RunningTime(nanoseconds: UInt64(time))) { isOver.store(true, ordering: .releasing) }
  }
}
