// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Cues in a pipeline: properties that follow stream time, and boxes on the frames.

import CGStreamer
import CGStreamerTools
import GstSyncDiff

/// Must live as long as the pipeline.
final class Direction: Sendable {
  private struct Box {
    let start, end: GstClockTime
    /// x, y, width, height in pixels.
    let sides: [UInt32]
  }

  private static let glide = 0.005  // seconds over which the video's own audio is faded, to avoid clicks
  private let boxes: [Box]

  /// The element paints only during cues, each time the chosen face; other frames pass unchanged. During cues the video's own
  /// audio has the volume `share`.
  init(
    _ voices: [Voice], usual: ElementOptions.FaceSelect, share: Double, in pipeline: UnsafeMutablePointer<GstElement>
  ) {
    boxes = voices.compactMap { voice in
      guard case .box(let sides)? = voice.face, let end = voice.end else { return nil }
      return Box(start: nanoseconds(voice.start), end: nanoseconds(end), sides: sides)
    }
    let dub = pipeline.element("dub")
    automate(dub, "passthrough", [(0, 1)] + voices.flatMap { [($0.start, 0), ($0.end ?? $0.start, 1)] })
    if voices.contains(where: { $0.face != nil }) {
      automate(
        dub, "face-select",
        voices.map { voice in
          let select =
            switch voice.face {
            case .select(let select): select.value
            case .box: GST_SYNC_DIFF_FACE_SELECT_ROI_META
            case nil: usual.value
            }
          // GStreamer maps the enum's values to 0 ... 1, and rounds down.
          return (voice.start, (Double(select.rawValue) + 0.01) / Double(GST_SYNC_DIFF_FACE_SELECT_ALL.rawValue))
        })
    }
    if let own = gst_bin_get_by_name(pipeline.bin, "own") {
      let edges = voices.flatMap { voice -> [(time: Double, value: Double)] in
        let (start, end) = (voice.start, voice.end ?? voice.start)
        let glide = min(Self.glide, (end - start) / 3)
        return [(start, 1), (start + glide, share), (end - glide, share), (end, 1)]
      }
      automate(own, "volume", [(0, edges.first?.time == 0 ? share : 1)] + edges.filter { $0.time > 0 }, glides: true)
      gst_object_unref(own)
    }
    guard !boxes.isEmpty else { return }
    gst_pad_add_probe(
      dub.pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let info, let me { Unmanaged<Direction>.fromOpaque(me).takeUnretainedValue().mark(pad, info) }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  private func mark(_ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    guard let buffer = info.buffer, let time = runningTime(of: buffer, on: pad),
      let box = boxes.first(where: { $0.start <= time && time < $0.end })
    else { return }
    let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
    guard let writable = gst_mini_object_make_writable(object) else { return }
    let marked = UnsafeMutableRawPointer(writable).assumingMemoryBound(to: GstBuffer.self)
    gst_buffer_add_video_region_of_interest_meta(
      marked, "face", box.sides[0], box.sides[1], box.sides[2], box.sides[3])
    info.pointee.data = UnsafeMutableRawPointer(marked)
  }
}

private func nanoseconds(_ seconds: Double) -> GstClockTime { GstClockTime((seconds * 1e9).rounded()) }

/// Makes a property follow stream time, exact to a frame or a sample: from each point (in seconds) on it has the point's
/// value, or, if it `glides`, it is interpolated linearly from the previous point.
private func automate(
  _ element: UnsafeMutablePointer<GstElement>, _ property: String, _ points: [(time: Double, value: Double)],
  glides: Bool = false
) {
  let object = UnsafeMutableRawPointer(element).assumingMemoryBound(to: GstObject.self)
  guard let curve = gst_interpolation_control_source_new(),
    let binding = gst_direct_control_binding_new_absolute(object, property, curve)
  else { return }
  UnsafeMutableRawPointer(curve).assumingMemoryBound(to: GObject.self).set("mode", to: glides ? "linear" : "none")
  let values = UnsafeMutableRawPointer(curve).assumingMemoryBound(to: GstTimedValueControlSource.self)
  for (time, value) in points { gst_timed_value_control_source_set(values, nanoseconds(time), value) }
  gst_object_add_control_binding(object, binding)
  gst_object_unref(curve)
}

extension ElementOptions.FaceSelect {
  fileprivate var value: GstSyncDiffFaceSelect {
    switch self {
    case .largest: GST_SYNC_DIFF_FACE_SELECT_LARGEST
    case .center: GST_SYNC_DIFF_FACE_SELECT_CENTER
    case .left: GST_SYNC_DIFF_FACE_SELECT_LEFT
    case .right: GST_SYNC_DIFF_FACE_SELECT_RIGHT
    case .all: GST_SYNC_DIFF_FACE_SELECT_ALL
    }
  }
}
