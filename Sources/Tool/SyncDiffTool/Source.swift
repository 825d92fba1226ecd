// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One decoded stream of a file in a pipeline: selected, cut to the wanted part, and monitored.

import CGStreamer
import Synchronization

/// The wanted part of a file, seconds.
struct Part {
  var from = 0.0
  var to: Double?
}

/// Must live as long as the pipeline it is attached to.
final class Source: Sendable {
  enum Kind: String { case picture = "video/", sound = "audio/" }

  private struct State {
    var timeline: Timeline
    /// Pads of this kind so far.
    var pads = 0
    var isOver = false
    /// Where the file's other streams end, seconds.
    var others = 0.0
    var size: (gint, gint)?
    var sizeChange: String?
    /// What the next element knows of time, but for the pad's offset.
    var first: Segment?
  }

  private struct Segment: @unchecked Sendable { var segment: GstSegment }

  private struct Pad: @unchecked Sendable { let pad: UnsafeMutablePointer<GstPad> }

  private let state: Mutex<State>
  private let early = EarlyPushes()
  private let undecoded: Undecoded
  private let media: Media
  private let kind: Kind
  /// Index among the streams of this kind, from 0.
  private let track: Int
  private let part: Part
  /// Where it begins in the result, seconds.
  private let begin: Double
  /// Time in the result before which nothing is needed, seconds; earlier data are dropped after their time is determined.
  private let skip: Double
  /// Whether timestamps are evened out: those of a program stream are not reliable.
  private let isEven: Bool
  private let next: Pad
  /// Where the first audio track of a video's file goes, if wanted.
  private let also: Pad?

  /// Links the stream from the uridecodebin of the given name to the sink pad of the element `next`, and the first audio
  /// track of a video's file to that of `also`.
  init(
    _ media: Media, _ kind: Kind, track: Int = 0, part: Part = Part(), at begin: Double = 0,
    skipping skip: Double = 0, from name: String, to next: String, also: String? = nil,
    in pipeline: UnsafeMutablePointer<GstElement>
  ) {
    (self.media, self.kind, self.track, self.part) = (media, kind, track, part)
    (self.begin, self.skip, undecoded) = (begin, skip, Undecoded(kind, of: media))
    isEven = media.container == "video/mpeg"
    let rate = kind == .picture ? media.pictures.first?.rate.value ?? 0 : 0
    state = Mutex(State(timeline: Timeline(rate: rate, isEven: isEven, longest: media.longestFrame)))
    self.next = Pad(pad: pipeline.element(next).pad("sink"))
    self.also = also.map { Pad(pad: pipeline.element($0).pad("sink")) }
    let source = pipeline.element(name)
    source.object.set("uri", to: media.uri)
    early.hold(in: source)
    readWholeTracks(in: source)
    Opus.keepInPlace(in: source)
    let padAdded: @convention(c) (UnsafeMutablePointer<GstElement>, UnsafeMutablePointer<GstPad>, gpointer) -> Void = {
      Unmanaged<Source>.fromOpaque($2).takeUnretainedValue().take($1, of: $0)
    }
    connect(source, "pad-added", unsafeBitCast(padAdded, to: GCallback.self), Unmanaged.passUnretained(self).toOpaque())
  }

  /// Notes for the user at the end.
  var notes: [String] {
    state.withLock { state in
      var notes: [String] = []
      if let change = state.sizeChange { notes.append("\(media.path) \(change)") }
      let leaps = state.timeline.leaps
      if kind == .picture, leaps.count > 0 {
        notes.append(
          "\(media.path): the timestamps of its frames leap \(leaps.count == 1 ? "once" : "\(leaps.count) times"), first at "
            + "\(hundredths(leaps.first)) s, by \(hundredths(leaps.largest)) s at most; "
            + (isEven ? "evened out to its frame rate" : "the sound may be off there"))
      }
      return notes
    }
  }

  /// What is missing compared with what the file announces, or cannot be decoded.
  var shortfall: String? {
    if let end = media.missingEnd { return end }
    if let text = undecoded.text { return "\(media.path): \(text)" }
    // Other formats only estimate their duration.
    let estimated = ["video/mpeg", "audio/mpeg", "audio/x-ac3", "application/x-id3", "audio/x-adts"]
    // In a file of several streams, the audio alone does not show where the file ends.
    let isAlone = media.pictures.isEmpty && media.sounds.count == 1
    guard part.to == nil, kind == .picture || isAlone, let announced = media.exactDuration ?? media.duration,
      media.exactDuration != nil || !estimated.contains(where: media.container.hasPrefix)
    else {
      return nil
    }
    return state.withLock { state in
      let end = max(state.timeline.end, state.others)
      guard state.isOver, end + max(0.5, announced / 100) < announced else {
        return media.exactDuration != nil && state.isOver && end + 0.001 < announced ? media.cutOff : nil
      }
      return "\(media.path) announces \(tenths(announced)) s and holds \(tenths(end)) s"
    }
  }

  /// What of a sound is not heard, since its cue ends before, or the picture does, at `end` (seconds in the result); nil if
  /// nothing. Its length is what was read if that was all of it, otherwise what its file states.
  func cut(at end: Double) -> String? {
    let until = min(part.to ?? .infinity, end - begin)
    let read = state.withLock { $0.isOver ? $0.timeline.end - delay : nil }
    let isAll = read.map { $0 < part.to ?? .infinity } ?? false
    let rest = (isAll ? read : media.duration.map { $0 - delay }).map { $0 - until } ?? 0
    guard until > 0, rest >= 0.1 else { return nil }
    let advice = part.to == nil ? "; see --extend" : ""
    let why = until == part.to ? "its cue ends before" : "the picture ends before\(advice)"
    return "the last \(tenths(rest)) s of \(media.path) are cut, as \(why)"
  }

  /// Encoder delay at the beginning of the audio, seconds.
  private var delay: Double { kind == .sound ? media.sounds[track].delay : 0 }

  /// Time in the file before which nothing is needed, seconds.
  private var lead: Double { max(delay, skip + part.from + delay - begin) }

  private func take(_ pad: UnsafeMutablePointer<GstPad>, of source: UnsafeMutablePointer<GstElement>) {
    let isMine = structureName(of: pad)?.hasPrefix(kind.rawValue) ?? false
    let isWanted =
      isMine
      && state.withLock { state in
        defer { state.pads += 1 }
        return state.pads == track
      }
    let me = Unmanaged.passUnretained(self).toOpaque()
    if isWanted {
      // Elsewhere a packet need not be a frame.
      if kind == .sound || media.container == "video/quicktime" { undecoded.attach(behind: pad) }
      gst_pad_set_offset(pad, gint64((begin - part.from - delay) * 1e9))
      gst_pad_add_probe(
        pad, bufferOrEvent,
        { pad, info, me in
          guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
          return Unmanaged<Source>.fromOpaque(me).takeUnretainedValue().pass(pad, info)
        }, me, nil)
      gst_pad_link(pad, next.pad)
      early.release()
    } else if kind == .picture {
      gst_pad_set_offset(pad, -gint64(part.from * 1e9))
      gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_BUFFER,
        { pad, info, me in
          guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
          return Unmanaged<Source>.fromOpaque(me).takeUnretainedValue().passOther(pad, info)
        }, me, nil)
      if let also, structureName(of: pad)?.hasPrefix("audio/") ?? false, gst_pad_is_linked(also.pad) == 0 {
        gst_pad_link(pad, also.pad)
      }
    }
  }

  private func pass(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    guard let buffer = info.buffer else {
      guard let event = gst_pad_probe_info_get_event(info) else { return GST_PAD_PROBE_OK }
      // Muxers would write chapters that come with a stream; Kept.swift gives them those that are to be kept.
      if event.pointee.type == GST_EVENT_TOC { return GST_PAD_PROBE_DROP }
      if event.pointee.type == GST_EVENT_SEGMENT { return begin(pad, event, info) }
      see(event, info)
      return GST_PAD_PROBE_OK
    }
    let time = join(buffer, info, on: pad)
    guard kind == .picture || media.duration != nil || part.to != nil, let time, let buffer = info.buffer else {
      return GST_PAD_PROBE_OK
    }
    let start = Double(time) / 1e9
    let duration = buffer.pointee.duration == .max ? nil : Double(buffer.pointee.duration) / 1e9
    if start < part.from { return GST_PAD_PROBE_DROP }
    let end = part.to.map { $0 + delay }
    if let end, start >= end {
      let isFirst = state.withLock { state in
        defer { state.isOver = true }
        return !state.isOver
      }
      if isFirst {
        undecoded.stop()
        gst_pad_send_event(next.pad, gst_event_new_eos())
      }
      return GST_PAD_PROBE_DROP
    }
    if kind == .sound, start < lead || start + (duration ?? 0) > end ?? .infinity, !trim(buffer, info, on: pad) {
      return GST_PAD_PROBE_HANDLED
    }
    let placed = state.withLock { $0.timeline.place(start, lasting: duration) }
    if kind == .picture, skip > 0, placed < lead { return GST_PAD_PROBE_DROP }
    if kind == .picture, abs(placed - start) > 1e-6 {
      move(buffer, info, by: gint64(((placed - start) * 1e9).rounded()))
    }
    return GST_PAD_PROBE_OK
  }

  private func move(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>, by time: gint64
  ) {
    guard let moved = info.writable(buffer) else { return }
    moved.pointee.pts = GstClockTime(max(gint64(moved.pointee.pts) + time, 0))
  }

  /// Cuts off the delay, what is not needed, and what follows the part; false if nothing is left.
  private func trim(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>,
    on pad: UnsafeMutablePointer<GstPad>
  ) -> Bool {
    guard let caps = gst_pad_get_current_caps(pad), var segment = state.withLock({ $0.first })?.segment else {
      return true
    }
    defer { gst_caps_unref(caps) }
    var format = GstAudioInfo()
    guard gst_audio_info_from_caps(&format, caps) != 0 else { return true }
    func position(_ time: Double) -> guint64 {
      gst_segment_position_from_running_time(&segment, GST_FORMAT_TIME, guint64(time * 1e9))
    }
    let (start, stop) = (position(lead), part.to.map { position($0 + delay) })
    (segment.start, segment.stop) = (start, stop ?? .max)
    let rest = gst_audio_buffer_clip(buffer, &segment, format.rate, format.bpf)
    info.pointee.data = rest.map { UnsafeMutableRawPointer($0) }
    return rest != nil
  }

  /// Most other streams are only observed, to see where they end.
  private func passOther(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    if let buffer = info.buffer, let start = seconds(of: buffer, on: pad) {
      let end = start + (buffer.pointee.duration == .max ? 0 : Double(buffer.pointee.duration) / 1e9)
      state.withLock { $0.others = max($0.others, end) }
    }
    return gst_pad_is_linked(pad) == 0 ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK
  }

  private func see(_ event: UnsafeMutablePointer<GstEvent>, _ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    switch event.pointee.type {
    case GST_EVENT_EOS: state.withLock { $0.isOver = true }
    case GST_EVENT_CAPS where kind == .picture: noteSize(event)
    case GST_EVENT_TAG: dropTags(event, info)
    default: break
    }
  }

  /// The next elements see one segment without an end, even if an edit list makes several: encoders mix those up.
  private func begin(
    _ pad: UnsafeMutablePointer<GstPad>, _ event: UnsafeMutablePointer<GstEvent>,
    _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    guard var now = segment(on: pad) else { return GST_PAD_PROBE_OK }
    var known = state.withLock { state in
      state.first = state.first ?? now
      return state.first ?? now
    }
    guard gst_segment_is_equal(&now.segment, &known.segment) != 0 else { return GST_PAD_PROBE_DROP }
    var first = segment(of: event)
    let new = gst_event_new_segment(&first)
    gst_event_set_seqnum(new, gst_event_get_seqnum(event))
    info.pointee.data = new.map { UnsafeMutableRawPointer($0) }
    gst_event_unref(event)
    return GST_PAD_PROBE_OK
  }

  /// matroskademux 1.22 lets the time begin with the first stream that comes, and anew if another one is earlier: then the
  /// first frame would be shown early.
  private func segment(of event: UnsafeMutablePointer<GstEvent>) -> GstSegment {
    var segment = GstSegment()
    gst_event_copy_segment(event, &segment)
    if ["video/x-matroska", "video/webm"].contains(media.container), segment.start > media.begin {
      segment.time -= min(segment.time, segment.start - media.begin)
      segment.start = media.begin
    }
    // A sound alone begins with what is heard of it.
    let isAlone = media.container == "video/mpegts" && media.pictures.isEmpty
    if isAlone, (1..<Opus.longest).contains(media.begin - min(segment.start, media.begin)) {
      segment.start = media.begin
    }
    segment.stop = .max
    return segment
  }

  /// The newest, without the pad's offset.
  private func segment(on pad: UnsafeMutablePointer<GstPad>) -> Segment? {
    guard let event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0) else { return nil }
    defer { gst_event_unref(event) }
    return Segment(segment: segment(of: event))
  }

  /// Gives a buffer the timestamp that it has in the first segment. Its running time, nanoseconds; nil if it has none.
  private func join(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>,
    on pad: UnsafeMutablePointer<GstPad>
  ) -> GstClockTime? {
    guard var now = segment(on: pad), var first = state.withLock({ $0.first }) else { return nil }
    let time = gst_segment_to_running_time(&now.segment, GST_FORMAT_TIME, buffer.pointee.pts)
    guard time != .max else { return nil }
    let joined = gst_segment_position_from_running_time(&first.segment, GST_FORMAT_TIME, time)
    guard joined != .max else { return nil }
    if joined != buffer.pointee.pts { move(buffer, info, by: gint64(joined) - gint64(buffer.pointee.pts)) }
    return time
  }

  private func noteSize(_ event: UnsafeMutablePointer<GstEvent>) {
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    var (width, height): (gint, gint) = (0, 0)
    guard let caps, let fields = gst_caps_get_structure(caps, 0), gst_structure_get_int(fields, "width", &width) != 0,
      gst_structure_get_int(fields, "height", &height) != 0
    else { return }
    state.withLock { state in
      guard let size = state.size else { return state.size = (width, height) }
      if size != (width, height), state.sizeChange == nil {
        state.sizeChange =
          "changes its size at \(hundredths(state.timeline.end)) s from \(size.0) x \(size.1) to \(width) x \(height); all is "
          + "scaled to the first"
      }
    }
  }

  /// The frames are rotated here; nothing downstream may rotate them again.
  /// Leaves out the orientation of a picture, which is upright now, and all that a sound's file says but its language: muxers
  /// would write its title, artist and cover for the video's.
  private func dropTags(_ event: UnsafeMutablePointer<GstEvent>, _ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    var tags: UnsafeMutablePointer<GstTagList>?
    gst_event_parse_tag(event, &tags)
    guard let tags, let copy = gst_tag_list_copy(tags) else { return }
    for index in (0..<gst_tag_list_n_tags(tags)).reversed() {
      guard let name = gst_tag_list_nth_tag_name(tags, guint(index)).map({ String(cString: $0) }) else { continue }
      let isLost =
        kind == .picture
        ? name == GST_TAG_IMAGE_ORIENTATION : ![GST_TAG_LANGUAGE_CODE, GST_TAG_LANGUAGE_NAME].contains(name)
      if isLost { gst_tag_list_remove_tag(copy, name) }
    }
    info.pointee.data = gst_event_new_tag(copy).map { UnsafeMutableRawPointer($0) }
    gst_event_unref(event)
  }

  private func seconds(of buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) -> Double? {
    runningTime(of: buffer, on: pad).map { Double($0) / 1e9 }
  }
}

extension UnsafeMutablePointer<GstPadProbeInfo> {
  /// Nil if the probe was called for an event.
  var buffer: UnsafeMutablePointer<GstBuffer>? {
    pointee.type.rawValue & GST_PAD_PROBE_TYPE_BUFFER.rawValue != 0 ? gst_pad_probe_info_get_buffer(self) : nil
  }

  /// The probe's buffer as one that may be changed; nil if there is no memory.
  func writable(_ buffer: UnsafeMutablePointer<GstBuffer>) -> UnsafeMutablePointer<GstBuffer>? {
    let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
    guard let writable = gst_mini_object_make_writable(object) else { return nil }
    pointee.data = UnsafeMutableRawPointer(writable)
    return UnsafeMutableRawPointer(writable).assumingMemoryBound(to: GstBuffer.self)
  }

  /// Opens the segment of a probe's event beyond the end that the file states.
  func openSegment(_ event: UnsafeMutablePointer<GstEvent>) {
    var segment = GstSegment()
    gst_event_copy_segment(event, &segment)
    segment.stop = .max
    pointee.data = gst_event_new_segment(&segment).map { UnsafeMutableRawPointer($0) }
    gst_event_unref(event)
  }

  /// Puts a buffer with other bytes in the place of `buffer`.
  func replace(
    _ buffer: UnsafeMutablePointer<GstBuffer>, with bytes: [UInt8], keeping metadata: [GstBufferCopyFlags]
  ) {
    guard let copy = gst_buffer_new_allocate(nil, gsize(bytes.count), nil) else { return }
    _ = bytes.withUnsafeBytes { gst_buffer_fill(copy, 0, $0.baseAddress, gsize($0.count)) }
    let flags = GstBufferCopyFlags(rawValue: metadata.reduce(0) { $0 | $1.rawValue })
    gst_buffer_copy_into(copy, buffer, flags, 0, gsize.max)
    gst_buffer_unref(buffer)
    pointee.data = UnsafeMutableRawPointer(copy)
  }
}

extension Picture {
  /// The part of a pipeline description that prepares decoded frames for dubbing: colorimetry set, upright, of one size and format.
  /// Its first element is named "frames".
  /// `made`: the colours wanted; nil: as they are. `keepsViews`: whether a stereoscopic picture still says so.
  /// `still`: number of frames to make from a photo.
  func conversion(
    to layout: Layout, _ made: Colours? = nil, keepsViews: Bool = false, deinterlaced: Bool, still: Int? = nil
  ) -> String {
    let colours = colours.resolved(height: height, rate: rate)
    var fields = ["video/x-raw"]
    if isAspectCorrected { fields.append("pixel-aspect-ratio=(fraction)\(aspect.text)") }
    if !isRGB { fields.append("colorimetry=(string)\(colours.text)") }
    if views != nil, !keepsViews { fields.append("multiview-mode=(string)mono") }
    var elements = [
      "queue name=frames max-size-buffers=4 max-size-bytes=0 max-size-time=0", "video/x-raw",
      "capssetter caps=\"\(fields.joined(separator: ","))\"", "videoconvert",
    ]
    // Between two kinds of YUV of one matrix, videoconvert 1.22 does not convert the range.
    if let made, !isRGB, made.isFullRange != colours.isFullRange {
      elements += ["video/x-raw,format=ARGB64", "videoconvert"]
    }
    if isInterlaced, deinterlaced {
      // Frames of more bits would pass through deinterlace 1.22 as they are.
      let shallow = Layout(depth: 8, chroma: self.layout.chroma)
      if self.layout.depth > 8 { elements.append("video/x-raw,format=\(shallow.format)") }
      elements += ["deinterlace fields=top", "videoconvert"]
    }
    if let orientation, orientation != .upright {
      // After rotation, chroma halved vertically would no longer be halved horizontally.
      let turned = layout.chroma == .half ? (layout.depth > 8 ? "Y444_10LE" : "Y444") : layout.format
      elements += ["video/x-raw,format=\(turned)", "videoflip video-direction=\(orientation.rawValue)", "videoconvert"]
    }
    let (width, height) = shownSize
    elements += [
      "videoscale add-borders=true",
      "video/x-raw,format=\(layout.format),width=\(width),height=\(height),pixel-aspect-ratio=\(shownAspect.text),"
        + "colorimetry=(string)\((made ?? colours).text)",
    ]
    if let still { elements += ["imagefreeze num-buffers=\(still)", "video/x-raw,framerate=25/1"] }
    return elements.joined(separator: " ! ")
  }

  /// The poorest of the layouts that loses nothing, or else the richest; throws if the size suits none.
  func layout(among layouts: [Layout]) throws -> Layout {
    var wanted = Layout(depth: layout.depth > 8 ? 10 : 8, chroma: layout.chroma)
    if isRGB { wanted.chroma = .quarter }  // the usual format to share; Losses.swift reports it
    let (width, height) = shownSize
    let fitting = layouts.filter {
      $0.chroma == .full || (width % 2 == 0 && ($0.chroma == .half || height % 2 == 0))
    }
    guard let richest = fitting.last, !colours.isHDR || fitting.contains(where: { $0.depth > 8 }) else {
      throw Failure("\(width) x \(height) is odd, which this codec cannot store", .badOutput)
    }
    return fitting.first { $0.holds(wanted) } ?? fitting.last { $0.depth >= wanted.depth }
      ?? fitting.first { $0.chroma >= wanted.chroma } ?? richest
  }
}

extension Layout {
  /// GStreamer's name of the frame format.
  var format: String {
    switch (depth, chroma) {
    case (8, .quarter): "I420"
    case (8, .half): "Y42B"
    case (8, .full): "Y444"
    case (_, .quarter): "I420_10LE"
    default: "I422_10LE"
    }
  }
}
