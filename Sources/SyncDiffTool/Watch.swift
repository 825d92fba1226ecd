// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Looks on while the pipeline runs: counts frames, puts the encoded sound in its place, and cuts it where the picture ends.

import CGStreamer
import CGStreamerTools
import Synchronization

/// Lives as long as the pipeline it is attached to.
final class Watch: Sendable {
  private struct State {
    var frames = 0
    /// Running time, nanoseconds, where the frames so far end.
    var end: GstClockTime = 0
    var pictureOver = false
    var soundOver = false
  }

  private let state = Mutex(State())

  /// Frames so far, and seconds of them.
  var progress: (frames: Int, seconds: Double) { state.withLock { ($0.frames, Double($0.end) / 1e9) } }

  func attach(picture: UnsafeMutablePointer<GstPad>, sound: UnsafeMutablePointer<GstPad>) {
    let types = GstPadProbeType(
      rawValue: GST_PAD_PROBE_TYPE_BUFFER.rawValue | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue)
    let me = Unmanaged.passUnretained(self).toOpaque()
    gst_pad_add_probe(
      picture, types,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        return Unmanaged<Watch>.fromOpaque(me).takeUnretainedValue().picture(pad, info)
      }, me, nil)
    gst_pad_add_probe(
      sound, types,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        return Unmanaged<Watch>.fromOpaque(me).takeUnretainedValue().sound(pad, info)
      }, me, nil)
  }

  private func picture(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    if info.isEvent {
      if gst_pad_probe_info_get_event(info)?.pointee.type == GST_EVENT_EOS { state.withLock { $0.pictureOver = true } }
    } else if let buffer = gst_pad_probe_info_get_buffer(info), let start = runningTime(of: buffer, on: pad) {
      let duration = buffer.pointee.duration == .max ? 0 : buffer.pointee.duration
      state.withLock {
        $0.frames += 1
        $0.end = max($0.end, start + duration)
      }
    }
    return GST_PAD_PROBE_OK
  }

  /// Once the picture is over, the first sound after it becomes EOS, and the rest nothing.
  private func sound(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    if info.isEvent, let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_CAPS {
      skipPriming(pad, event)
    }
    guard !info.isEvent, let buffer = gst_pad_probe_info_get_buffer(info), let start = runningTime(of: buffer, on: pad)
    else {
      return state.withLock { $0.soundOver } ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK
    }
    let (over, first) = state.withLock { state in
      guard state.pictureOver, start >= state.end else { return (state.soundOver, false) }
      defer { state.soundOver = true }
      return (true, !state.soundOver)
    }
    if first, let peer = gst_pad_get_peer(pad) {
      gst_pad_send_event(peer, gst_event_new_eos())
      gst_object_unref(peer)
    }
    return over ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK
  }

  /// The first frame of avenc_aac, 1024 samples, lies before the sound, but its timestamps do not say so: everything moves
  /// to the front by one frame, and the muxer leaves out what then begins before 0.
  private func skipPriming(_ pad: UnsafeMutablePointer<GstPad>, _ event: UnsafeMutablePointer<GstEvent>) {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    var rate: gint = 0
    guard let caps, gst_structure_get_int(gst_caps_get_structure(caps, 0), "rate", &rate) != 0, rate > 0 else { return }
    gst_pad_set_offset(pad, -1_024_000_000_000 / gint64(rate))
  }
}

/// Of a buffer that passes a pad, nanoseconds; nil when it has none.
func runningTime(
  of buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>
) -> GstClockTime? {
  guard let event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0) else { return nil }
  defer { gst_event_unref(event) }
  var segment: UnsafePointer<GstSegment>?
  gst_event_parse_segment(event, &segment)
  let time = gst_segment_to_running_time(segment, GST_FORMAT_TIME, buffer.pointee.pts)
  return time == .max ? nil : time
}

extension UnsafeMutablePointer<GstPadProbeInfo> {
  fileprivate var isEvent: Bool { pointee.type.rawValue & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue != 0 }
}
