// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a decoder was given and did not return: GStreamer's skip broken packets without a word. And what its parser skipped in a
// file that is nothing but packets.

import CGStreamer
import Glibc
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
    /// Where the next packet is if nothing is skipped before it, and the size of the largest so far, bytes.
    var (next, largest) = (guint64.max, 0)
    /// What was skipped, bytes, and where it begins, seconds.
    var skipped: (count: guint64, first: Double) = (0, 0)
  }

  private let state = Mutex(State())
  private let kind: Source.Kind
  /// The file if it may be nothing but packets.
  private let file: String?
  /// Seconds. At a beginning, decoders need some packets that they return nothing of.
  private static let (jitter, beginning) = (0.002, 0.1)

  /// Pictures of which each packet is a frame; elsewhere there are packets that say that nothing has changed, among others.
  private static let whole: Set = ["video/x-h264", "video/x-h265", "video/x-prores", "video/mpeg", "image/jpeg"]
  /// Sounds of which a file may be nothing but packets, and packets come with their place in it.
  private static let bare: Set = ["audio/mpeg", "audio/x-ac3", "audio/x-eac3", "audio/x-dts"]

  init(_ kind: Source.Kind, of media: Media) {
    self.kind = kind
    file = kind == .sound && Self.bare.union(["application/x-id3"]).contains(media.container) ? media.file : nil
  }

  /// What is missing, for people; nil if nothing is.
  var text: String? {
    state.withLock { state in
      var texts: [String] = []
      if state.count > 0 {
        let amount = kind == .picture ? "\(state.count) of its frames" : "\(hundredths(state.seconds)) s of its sound"
        texts.append("\(amount) cannot be decoded, first at \(hundredths(state.first)) s")
      }
      let (count, first) = state.skipped
      if count > 0 { texts.append("\(count) bytes in it are not sound, first at \(hundredths(first)) s") }
      return texts.isEmpty ? nil : texts.joined(separator: "; ")
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
          let undecoded = Unmanaged<Undecoded>.fromOpaque(me).takeUnretainedValue()
          undecoded.enter(Double(time) / 1e9)
          undecoded.look(before: packet, at: Double(time) / 1e9, on: pad)
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

  /// Notes what was skipped between two packets, unless it is less than one, as where two files were joined, or a tag.
  private func look(
    before packet: UnsafeMutablePointer<GstBuffer>, at time: Double, on pad: UnsafeMutablePointer<GstPad>
  ) {
    guard let file, packet.pointee.offset != .max, Self.bare.contains(structureName(of: pad) ?? "") else { return }
    let (place, size) = (packet.pointee.offset, Int(gst_buffer_get_size(packet)))
    state.withLock { state in
      defer { (state.next, state.largest) = (place + guint64(size), max(state.largest, size)) }
      guard !state.isOver, place > state.next, place - state.next >= state.largest,
        !isTag(at: state.next, in: file)
      else { return }
      if state.skipped.count == 0 { state.skipped.first = time }
      state.skipped.count += place - state.next
    }
  }

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

/// Whether a tag, and not sound, is at a place in a file, bytes behind tags at its beginning.
private func isTag(at place: guint64, in path: String) -> Bool {
  guard let file = fopen(path, "re") else { return false }
  defer { fclose(file) }
  let start = bytes(8, at: startBehindID3(in: file) + Int(clamping: place), of: file) ?? []
  return ["ID3", "TAG", "APETAGEX", "LYRICS"].contains { start.starts(with: $0.utf8) }
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
