// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The Swift side of `syncdiffdetect`: looks at every frame, posts the marks that are found as messages `syncdiff-mark`, and
// attaches them to the frames as regions of interest of the type `syncdiff-mark`.

import CGStreamer
import Faces
import GstSyncDiff
import SyncDiff
import Tensors

/// Used by one streaming thread at a time.
private final class MarkDetector {
  private var reader: MarkReader
  private var stamps = Timestamps()
  private var warned = false

  init(_ reader: MarkReader) { self.reader = reader }

  func look(_ frame: GstVideoFrame, _ segment: UnsafePointer<GstSegment>, _ element: UnsafeMutablePointer<GstElement>) {
    guard let buffer = frame.buffer, let view = FrameView(frame) else { return }
    let pts = buffer.pointee.pts
    guard segment.pointee.format == GST_FORMAT_TIME, pts != .max else { return warn(element) }
    stamps = Timestamps(
      timestamp: pts, streamTime: gst_segment_to_stream_time(segment, GST_FORMAT_TIME, pts),
      runningTime: gst_segment_to_running_time(segment, GST_FORMAT_TIME, pts), duration: buffer.pointee.duration)
    guard stamps.runningTime != .max else { return }
    withStandardArithmetic { reader.look(view, at: Double(stamps.runningTime) / 1e9) }
    post(element)
    for (mark, box) in reader.worn {
      let (x, y) = (pixels(box.x, frame.info.width), pixels(box.y, frame.info.height))
      let right = pixels(box.x + box.width, frame.info.width)
      let bottom = pixels(box.y + box.height, frame.info.height)
      let meta = gst_buffer_add_video_region_of_interest_meta(buffer, "syncdiff-mark", x, y, right - x, bottom - y)
      gst_video_region_of_interest_meta_add_param(meta, Self.structure(mark).take())
    }
  }

  func finish(_ element: UnsafeMutablePointer<GstElement>) {
    withStandardArithmetic { reader.finish() }
    post(element)
  }

  /// Posts the marks that are new or were found again.
  private func post(_ element: UnsafeMutablePointer<GstElement>) {
    for mark in reader.takeNews() { Self.structure(mark).post(at: stamps, from: element) }
    reader.forgetPast()
  }

  /// Once: frames without a time pass unseen.
  private func warn(_ element: UnsafeMutablePointer<GstElement>) {
    if !warned {
      let text = "Frames without timestamps, or in a segment that is not in time format, are not searched for marks"
      gst_element_message_full(
        element, GST_MESSAGE_WARNING, gst_stream_error_quark(), gint(bitPattern: GST_STREAM_ERROR_FORMAT.rawValue),
        g_strdup(text), nil, #fileID, #function, #line)
    }
    warned = true
  }

  private static func structure(_ mark: FoundMark) -> Structure {
    let structure = Structure("syncdiff-mark")
    structure.set("face", UInt32(clamping: mark.face))
    structure.set("version", mark.payload.release)
    structure.set("model", UInt32(mark.payload.model))
    structure.set("id", UInt32(mark.payload.user))
    structure.set("from", nanoseconds(mark.from))
    structure.set("to", nanoseconds(mark.to))
    structure.set("score", mark.score)
    structure.set("false-alarm", mark.falseAlarm)
    return structure
  }

  private static func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(exactly: (seconds * 1e9).rounded()) ?? .max }
}

/// A coordinate as a pixel of a frame that has `most`; 0 if it is no number.
package func pixels(_ value: Float, _ most: Int32) -> guint { value > 0 ? guint(min(value, Float(most)).rounded()) : 0 }

private func detector(_ pointer: gpointer) -> MarkDetector {
  Unmanaged<MarkDetector>.fromOpaque(pointer).takeUnretainedValue()
}

@c @implementation
public func gst_sync_diff_detector_new(
  _ model: UnsafePointer<gchar>?, _ key: UnsafePointer<gchar>?,
  _ problem: UnsafeMutablePointer<UnsafeMutablePointer<gchar>?>
) -> gpointer? {
  do {
    let model = try Model.load(path: model.map { String(cString: $0) } ?? defaultModel())
    return Unmanaged.passRetained(MarkDetector(model.markReader(key: key.map { String(cString: $0) }))).toOpaque()
  } catch {
    problem.pointee = g_strdup(error.description)
    return nil
  }
}

@c @implementation
public func gst_sync_diff_detector_free(_ pointer: gpointer) {
  Unmanaged<MarkDetector>.fromOpaque(pointer).release()
}

@c @implementation
public func gst_sync_diff_detector_look(
  _ pointer: gpointer, _ element: UnsafeMutablePointer<GstElement>, _ frame: UnsafePointer<GstVideoFrame>,
  _ segment: UnsafePointer<GstSegment>
) {
  detector(pointer).look(frame.pointee, segment, element)
}

@c @implementation
public func gst_sync_diff_detector_finish(_ pointer: gpointer, _ element: UnsafeMutablePointer<GstElement>) {
  detector(pointer).finish(element)
}
