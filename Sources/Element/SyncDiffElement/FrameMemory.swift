// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The memory of a frame: maps it for reading or painting, makes it writable, and lays it out as downstream expects.

import CGStreamer
import Faces

struct FrameMemory {
  /// The current caps; nil if there are none, or they cannot be parsed.
  var info: GstVideoInfo?
  private var warnedUnmappable = false

  /// The result of `body` on the buffer's frame; nil if it cannot be read.
  mutating func withView<Result>(
    of buffer: UnsafeMutablePointer<GstBuffer>, _ stream: Stream, _ body: (FrameView) -> Result?
  ) -> Result? {
    guard var map = map(buffer, GST_MAP_READ, stream) else { return nil }
    defer { gst_video_frame_unmap(&map) }
    return FrameView(map).flatMap(body)
  }

  /// The same, for painting.
  mutating func withPicture<Result>(
    of buffer: UnsafeMutablePointer<GstBuffer>, _ stream: Stream, _ body: (MutableFrameView) -> Result?
  ) -> Result? {
    let flags = GstMapFlags(GST_MAP_READ.rawValue | GST_MAP_WRITE.rawValue)
    guard var map = map(buffer, flags, stream) else { return nil }
    defer { gst_video_frame_unmap(&map) }
    return MutableFrameView(map).flatMap(body)
  }

  private mutating func map(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ flags: GstMapFlags, _ stream: Stream
  ) -> GstVideoFrame? {
    guard var info else { return nil }
    var map = GstVideoFrame()
    if gst_video_frame_map(&map, &info, buffer, flags) != 0 { return map }
    if !warnedUnmappable {
      warnedUnmappable = true
      stream.postWarning(.resource(GST_RESOURCE_ERROR_READ), "Cannot map frame memory: frames pass through unchanged.")
    }
    return nil
  }

  /// The same buffer if nobody else holds it, otherwise a copy. Takes ownership of the buffer.
  func writable(_ buffer: UnsafeMutablePointer<GstBuffer>) -> UnsafeMutablePointer<GstBuffer> {
    let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
    guard gst_mini_object_is_writable(object) == 0, let copy = gst_mini_object_copy(object) else { return buffer }
    gst_buffer_unref(buffer)
    return UnsafeMutableRawPointer(copy).assumingMemoryBound(to: GstBuffer.self)
  }

  /// The same buffer if downstream can find its lines, otherwise a copy with the lines where the caps put them. Nil if there
  /// is no memory for it. Takes ownership of the buffer.
  mutating func packed(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ stream: Stream
  ) -> UnsafeMutablePointer<GstBuffer>? {
    guard stream.state.read({ $0.downstream.stridesKnown == false }), var info,
      let meta = gst_buffer_get_video_meta(buffer), !meta.pointee.isLaid(as: info),
      var from = map(buffer, GST_MAP_READ, stream)
    else { return buffer }
    defer { gst_buffer_unref(buffer) }
    defer { gst_video_frame_unmap(&from) }
    guard let copy = gst_buffer_new_allocate(nil, info.size, nil) else { return nil }
    var to = GstVideoFrame()
    guard gst_video_frame_map(&to, &info, copy, GST_MAP_WRITE) != 0 else {
      gst_buffer_unref(copy)
      return nil
    }
    gst_video_frame_copy(&to, &from)
    gst_video_frame_unmap(&to)
    let all = GST_BUFFER_COPY_FLAGS.rawValue | GST_BUFFER_COPY_TIMESTAMPS.rawValue | GST_BUFFER_COPY_META.rawValue
    gst_buffer_copy_into(copy, buffer, GstBufferCopyFlags(rawValue: all), 0, gsize.max)
    if let meta = gst_buffer_get_video_meta(copy) {
      gst_buffer_remove_meta(copy, UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstMeta.self))
    }
    return copy
  }
}

extension GstVideoMeta {
  /// Whether planes and lines are where `info` puts them.
  fileprivate func isLaid(as info: GstVideoInfo) -> Bool {
    let planes = Int(n_planes)
    return values(of: offset, planes) == values(of: info.offset, planes)
      && values(of: stride, planes) == values(of: info.stride, planes)
  }

  private func values<Number>(of four: (Number, Number, Number, Number), _ count: Int) -> [Number] {
    Array([four.0, four.1, four.2, four.3].prefix(count))
  }
}
