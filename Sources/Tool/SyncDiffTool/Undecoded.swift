// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a decoder was given and did not return: GStreamer's skip broken packets without a word.

import CGStreamer
import Synchronization

/// Must live as long as the pipeline it is attached to.
final class Undecoded: Sendable {
  private struct State {
    /// When packets begin that have entered and not been returned yet, seconds of running time.
    var entered: [Double] = []
    /// The end of the newest that was returned; of a frame shortly after its start, as the next one may begin early.
    var end: Double?
    var isOver = false
    var (count, seconds, first) = (0, 0.0, 0.0)
  }

  private let state = Mutex(State())
  private let kind: Source.Kind
  /// Seconds. At a beginning, decoders need some packets that they return nothing of.
  private static let (jitter, beginning) = (0.002, 0.1)

  /// Pictures of which each packet is a frame; elsewhere there are packets that say that nothing has changed, among others.
  private static let whole: Set = ["video/x-h264", "video/x-h265", "video/x-prores", "video/mpeg", "image/jpeg"]

  init(_ kind: Source.Kind) { self.kind = kind }

  /// What is missing, for people; nil if nothing is.
  var text: String? {
    state.withLock { state in
      guard state.count > 0 else { return nil }
      let amount = kind == .picture ? "\(state.count) of its frames" : "\(hundredths(state.seconds)) s of its sound"
      return "\(amount) cannot be decoded, first at \(hundredths(state.first)) s"
    }
  }

  /// Watches the decoder that a pad of a uridecodebin comes from.
  func attach(behind pad: UnsafeMutablePointer<GstPad>) {
    guard let decoder = decoder(behind: pad),
      kind == .sound || Self.whole.contains(structureName(of: decoder.pad("sink")) ?? "")
    else { return }
    let me = Unmanaged.passUnretained(self).toOpaque()
    gst_pad_add_probe(
      decoder.pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let me, let packet = info?.buffer, !isAtEnd(packet, on: pad),
          let time = runningTime(of: packet, on: pad)
        {
          Unmanaged<Undecoded>.fromOpaque(me).takeUnretainedValue().enter(Double(time) / 1e9)
        }
        return GST_PAD_PROBE_OK
      }, me, nil)
    gst_pad_add_probe(
      decoder.pad("src"), bufferOrEvent,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        let undecoded = Unmanaged<Undecoded>.fromOpaque(me).takeUnretainedValue()
        if let buffer = info.buffer, let time = runningTime(of: buffer, on: pad) {
          undecoded.leave(Double(time) / 1e9, lasting: Double(buffer.pointee.duration) / 1e9)
        } else if gst_pad_probe_info_get_event(info)?.pointee.type == GST_EVENT_EOS {
          undecoded.finish()
        }
        return GST_PAD_PROBE_OK
      }, me, nil)
  }

  /// No more is wanted of the decoder.
  func stop() { state.withLock { $0.isOver = true } }

  private func enter(_ time: Double) { state.withLock { $0.entered.append(time) } }

  private func leave(_ start: Double, lasting duration: Double) {
    state.withLock { state in
      let end = state.end ?? (state.entered.min() ?? start) + Self.beginning
      note(from: end, until: start, in: &state)
      state.end = max(start + (kind == .picture ? Self.jitter : duration), state.end ?? 0)
      state.entered.removeAll { $0 < start + Self.jitter }
    }
  }

  private func finish() {
    state.withLock { state in
      guard let end = state.end, let last = state.entered.max() else { return }
      note(from: end + (kind == .picture ? 0 : Self.beginning), until: last + 2 * Self.jitter, in: &state)
      state.entered = []
    }
  }

  private func note(from end: Double, until start: Double, in state: inout State) {
    let missing = state.entered.count { $0 > end - Self.jitter && $0 < start - Self.jitter }
    guard !state.isOver, missing > 0, start - end > Self.jitter else { return }
    if state.count == 0 { state.first = end }
    state.count += missing
    state.seconds += start - end
  }
}

/// Whether a packet begins where its segment ends, as an edit list may ask for, so that nothing of it is shown.
private func isAtEnd(_ packet: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) -> Bool {
  guard let event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0) else { return false }
  defer { gst_event_unref(event) }
  var segment = GstSegment()
  gst_event_copy_segment(event, &segment)
  return packet.pointee.pts != .max && segment.stop != .max && packet.pointee.pts + 1_000_000 >= segment.stop
}

/// The decoder whose output a pad of a uridecodebin is; nil if its stream is not encoded.
private func decoder(behind pad: UnsafeMutablePointer<GstPad>) -> UnsafeMutablePointer<GstElement>? {
  var inner = pad
  func isGhost(_ pad: UnsafeMutablePointer<GstPad>) -> Bool {
    g_type_check_instance_is_a(
      UnsafeMutableRawPointer(pad).assumingMemoryBound(to: GTypeInstance.self), gst_ghost_pad_get_type()) != 0
  }
  while isGhost(inner) {
    let ghost = UnsafeMutableRawPointer(inner).assumingMemoryBound(to: GstGhostPad.self)
    guard let target = gst_ghost_pad_get_target(ghost) else { return nil }
    gst_object_unref(target)  // its element holds a reference
    inner = target
  }
  guard let element = gst_pad_get_parent_element(inner) else { return nil }
  gst_object_unref(element)  // its bin holds a reference
  // GST_ELEMENT_FACTORY_TYPE_DECODER, which is a macro.
  guard let factory = gst_element_get_factory(element), gst_element_factory_list_is_type(factory, 1) != 0 else {
    return nil
  }
  return element
}
