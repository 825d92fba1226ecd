// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Ends the audio with the video, to the sample: audio goes to its encoder only as far as the video has come.

import CGStreamer
import Synchronization

/// Must live as long as the pipeline it is attached to.
final class SoundEnd: Sendable {
  private let watch: Watch
  private let isOpen = Atomic(false)
  /// Whether the encoder was told that the audio is over.
  private let isOver = Atomic(false)

  /// `pad`: the pad by which raw audio goes to its encoder, from a queue.
  init(_ watch: Watch, at pad: UnsafeMutablePointer<GstPad>) {
    self.watch = watch
    gst_pad_add_probe(
      pad, bufferOrEvent,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        return Unmanaged<SoundEnd>.fromOpaque(me).takeUnretainedValue().pass(pad, info)
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  /// Stops waiting; call before the pipeline stops.
  func open() {
    isOpen.store(true, ordering: .relaxed)
    watch.step.signal()
  }

  private func pass(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    guard !isOver.load(ordering: .relaxed) else { return GST_PAD_PROBE_DROP }
    if info.buffer == nil, let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_SEGMENT {
      info.openSegment(event)  // up to its end encodebin's audiorate would add silence
    }
    guard let buffer = info.buffer, let start = runningTime(of: buffer, on: pad),
      let caps = gst_pad_get_current_caps(pad)
    else { return GST_PAD_PROBE_OK }
    defer { gst_caps_unref(caps) }
    var format = GstAudioInfo()
    guard gst_audio_info_from_caps(&format, caps) != 0, format.rate > 0, format.bpf > 0 else { return GST_PAD_PROBE_OK }
    let count = samples(in: buffer, format)
    var sent = 0
    while sent < count {
      let video = watch.reached
      if isOpen.load(ordering: .relaxed) { return GST_PAD_PROBE_DROP }
      let time = max(Double(video.end) - Double(start), 0) / 1e9
      let until = min(Int((time * Double(format.rate)).rounded()), count)
      if sent == 0, until == count { return GST_PAD_PROBE_OK }
      if until > sent {
        guard let piece = piece(of: buffer, sent..<until, format) else { return GST_PAD_PROBE_OK }
        sent = until
        // Comes by here again, and passes. The pad itself stays open, so that nothing upstream ends early.
        guard gst_pad_push(pad, piece) == GST_FLOW_OK else { return GST_PAD_PROBE_DROP }
      } else if video.isOver {
        isOver.store(true, ordering: .relaxed)
        if let peer = gst_pad_get_peer(pad) {
          gst_pad_send_event(peer, gst_event_new_eos())
          gst_object_unref(peer)
        }
        return GST_PAD_PROBE_DROP
      } else {
        watch.step.wait()
      }
    }
    return GST_PAD_PROBE_DROP
  }

  private func samples(in buffer: UnsafeMutablePointer<GstBuffer>, _ format: GstAudioInfo) -> Int {
    // Where channels lie one after the other, the buffer says how many of its samples count.
    let meta = gst_buffer_get_meta(buffer, gst_audio_meta_api_get_type()).map {
      UnsafeMutableRawPointer($0).assumingMemoryBound(to: GstAudioMeta.self)
    }
    return meta.map { Int($0.pointee.samples) } ?? Int(gst_buffer_get_size(buffer)) / Int(format.bpf)
  }

  /// Some samples of a buffer as a buffer of their own.
  private func piece(
    of buffer: UnsafeMutablePointer<GstBuffer>, _ samples: Range<Int>, _ format: GstAudioInfo
  ) -> UnsafeMutablePointer<GstBuffer>? {
    gst_buffer_ref(buffer)  // the next call takes it
    guard
      let piece = gst_audio_buffer_truncate(
        buffer, format.bpf, gsize(samples.lowerBound), gsize(samples.count))
    else { return nil }
    func time(_ sample: Int) -> GstClockTime { GstClockTime(sample) * 1_000_000_000 / GstClockTime(format.rate) }
    piece.pointee.pts = buffer.pointee.pts + time(samples.lowerBound)
    piece.pointee.duration = time(samples.upperBound) - time(samples.lowerBound)
    if samples.lowerBound > 0 {
      let object = UnsafeMutableRawPointer(piece).assumingMemoryBound(to: GstMiniObject.self)
      object.pointee.flags &= ~GST_BUFFER_FLAG_DISCONT.rawValue
    }
    return piece
  }
}
