// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What --keep copies from the video's file without re-encoding: audio tracks, subtitles, chapters.

import CGStreamer
import CGStreamerTools
import Synchronization

struct Kept {
  /// A stream of a file as parsed.
  struct Stream {
    /// Index among the file's streams, from 0.
    let index: Int
    /// The relevant part of its caps.
    let caps: String
    /// What the file's header says of it.
    var track: Track?
    /// Whether players play it unless told otherwise. Of the audio tracks that is the new one.
    var isDefault: Bool { !isSound && track?.isDefault ?? false }
    var kind: String { String(caps.prefix { ![",", ";"].contains($0) }) }
    var isSound: Bool { caps.hasPrefix("audio/") }
    var isText: Bool { kind == "text/x-raw" }
    var isOpus: Bool { kind == Opus.caps }
    /// Of Matroska's WebVTT, among others.
    static let unknownSubtitles = "application/x-subtitle-unknown"
    /// For people.
    var name: String {
      let names = [
        "audio/x-raw": "PCM sound", "audio/x-flac": "FLAC sound", "audio/x-opus": "Opus sound",
        "audio/x-vorbis": "Vorbis sound", "audio/x-ac3": "AC-3 sound", "audio/x-eac3": "E-AC-3 sound",
        "audio/x-dts": "DTS sound", "audio/x-true-hd": "TrueHD sound", "audio/x-alac": "ALAC sound",
        "text/x-raw": "subtitles as text", "application/x-ass": "ASS subtitles", "application/x-ssa": "SSA subtitles",
        "subpicture/x-dvd": "DVD subtitles", "subpicture/x-dvb": "DVB subtitles",
        "subpicture/x-pgs": "PGS subtitles", Self.unknownSubtitles: "subtitles of a kind that GStreamer does not know",
      ]
      if kind == "audio/mpeg" { return caps.contains("mpegversion=(int)1") ? "MPEG sound" : "AAC sound" }
      return kind == "audio/x-raw" && caps.contains("rate=") ? "PCM sound above 65535 Hz" : names[kind] ?? kind
    }
  }

  /// Streams copied to the result, and those that its container cannot hold.
  private(set) var streams: [Stream] = []
  private(set) var misfits: [Stream] = []
  private(set) var chapters: Chapters?
  let isWanted: Bool
  /// Whether the file's headers, which would say which of its tracks are default or forced, could not be read.
  private(set) var isUntold = false
  private let (uri, part): (String, Part)
  private let container: Container
  private let isTransportStream: Bool

  /// Everything but video, if wanted.
  init(of media: Media, in container: Container, part: Part, isWanted: Bool) throws {
    (uri, self.part, self.container, self.isWanted) = (media.uri, part, container, isWanted)
    isTransportStream = media.container == "video/mpegts"
    guard isWanted else { return }
    var stored = try Stored(uri: media.uri).streams(of: media.path)
    for isSound in [true, false] {
      let (places, tracks) = (
        stored.indices.filter { stored[$0].isSound == isSound }, media.tracks.filter { $0.isSound == isSound }
      )
      guard places.count == tracks.count else {
        isUntold = isUntold || media.hasTrackHeaders && !places.isEmpty
        continue
      }
      for (place, track) in zip(places, tracks) { stored[place].track = track }
    }
    for stream in stored {
      if container.holds(stream.caps) { streams.append(stream) } else { misfits.append(stream) }
    }
    // If only a part is dubbed, the chapters would not match.
    if container.hasChapters, part.from == 0, part.to == nil { chapters = media.chapters }
  }

  var sounds: Int { streams.count(where: \.isSound) }
  var subtitles: Int { streams.count - sounds }

  /// Parts of a pipeline description. Each stream is read separately, so that none waits for another.
  var description: String {
    streams.enumerated().map { index, stream in
      let parser = stream.caps == "audio/mpeg, mpegversion=(int)4" ? "aacparse" : "identity"
      let timed = isUntimed(stream) ? "opusparse name=timed\(index) ! " : ""
      return
        "urisourcebin name=kept\(index) ! parsebin name=parser\(index)  "
        + "\(timed)queue name=stream\(index) ! \(parser) name=out\(index)"
    }.joined(separator: "  ")
  }

  /// Whether its packets need times: of several packets of Opus in one of MPEG-TS only the first has one.
  private func isUntimed(_ stream: Stream) -> Bool { isTransportStream && stream.isOpus }

  /// Links the streams to the muxer in an encodebin. The returned objects must live as long as the pipeline.
  /// `margin`: by how much the result's streams are later, nanoseconds.
  func link(
    in pipeline: UnsafeMutablePointer<GstElement>, _ encoder: UnsafeMutablePointer<GstElement>,
    to muxer: UnsafeMutablePointer<GstElement>, margin: GstClockTime
  ) throws -> [Carrier] {
    if let chapters { gst_toc_setter_set_toc(OpaquePointer(muxer), chapters.toc) }
    return try streams.enumerated().map { index, stream in
      pipeline.element("kept\(index)").object.set("uri", to: uri)
      readWholeTracks(in: pipeline.element("parser\(index)"))
      let out = pipeline.element("out\(index)").pad("src")
      let caps = gst_caps_from_string(stream.caps)
      defer { gst_caps_unref(caps) }
      guard let pad = gst_element_get_compatible_pad(muxer, out, caps),
        let ghost = gst_ghost_pad_new("kept_\(index)", pad), gst_element_add_pad(encoder, ghost) != 0,
        gst_pad_link(out, ghost) == GST_PAD_LINK_OK
      else { throw Failure("GStreamer cannot put \(stream.kind) into \(container.rawValue)", .internalFault) }
      gst_object_unref(pad)
      return Carrier(
        stream, part, margin: margin, isPlain: !container.holds("text/x-raw, format=(string)pango-markup"),
        hasList: container.hasEditLists && stream.isSound, keepsItalics: container == .mkv,
        from: pipeline.element("parser\(index)"), by: isUntimed(stream) ? pipeline.element("timed\(index)") : nil,
        to: pipeline.element("stream\(index)").pad("sink"))
    }
  }
}

/// Passes one stream from a parsebin to a pad. Must live as long as the pipeline.
final class Carrier: Sendable {
  private struct Pad: @unchecked Sendable { let pad: UnsafeMutablePointer<GstPad> }
  private struct Packet: @unchecked Sendable { let buffer: UnsafeMutablePointer<GstBuffer> }

  let stream: Kept.Stream
  private let part: Part
  private let margin: GstClockTime
  private let next: Pad
  /// The pads of what gives the packets times.
  private let timer: (sink: Pad, src: Pad)?
  private let isPlain, hasList, keepsItalics: Bool
  /// Whether packets may come that lie before the beginning.
  private var isLed: Bool { hasList || stream.isOpus && margin > 0 }
  private struct State {
    /// Pads so far.
    var pads = 0
    var (hasPassed, hasBegun) = (false, false)
    /// Of Opus: whether the caps have passed.
    var isOpen = false
    /// Packets before the part, until one of the part comes.
    var held: [Packet] = []
    /// Of Opus from Matroska: what of its first packet is left out, nanoseconds.
    var skipped: GstClockTime = 0
    var lengths = PacketLengths()
    var hasMarkup = false
    var losesStyles = false
    /// How much of the part is in a packet that begins before it and cannot be kept, seconds.
    var late = 0.0
    var lead: Double?
  }

  private let state = Mutex(State())

  /// What of the stream is lost.
  var loss: String? {
    state.withLock { state in
      if state.losesStyles {
        return "\(keepsItalics ? "colours" : "italics") and the like of its subtitles are left out"
      }
      guard state.hasBegun, state.late >= 0.005 else { return nil }
      return "the first \(hundredths(state.late)) s of its \(stream.name) are left out"
    }
  }

  /// Whether nothing of the stream lies in the part.
  var isEmpty: Bool { state.withLock { !$0.hasBegun } }

  /// Seconds from the first packet to the beginning.
  var lead: Double { state.withLock { $0.lead ?? 0 } }

  /// `isPlain`: whether to strip markup from text, which the muxer does not accept. `hasList`: whether the file has a list that
  /// says that the stream begins after its first packet. `timer`: gives the packets times.
  fileprivate init(
    _ stream: Kept.Stream, _ part: Part, margin: GstClockTime, isPlain: Bool, hasList: Bool, keepsItalics: Bool,
    from parser: UnsafeMutablePointer<GstElement>, by timer: UnsafeMutablePointer<GstElement>?,
    to next: UnsafeMutablePointer<GstPad>
  ) {
    (self.stream, self.part, self.margin, self.next) = (stream, part, margin, Pad(pad: next))
    self.timer = timer.map { (sink: Pad(pad: $0.pad("sink")), src: Pad(pad: $0.pad("src"))) }
    (self.isPlain, self.hasList, self.keepsItalics) = (isPlain, hasList, keepsItalics)
    let padAdded: @convention(c) (gpointer, UnsafeMutablePointer<GstPad>, gpointer) -> Void = {
      Unmanaged<Carrier>.fromOpaque($2).takeUnretainedValue().take($1)
    }
    connect(parser, "pad-added", unsafeBitCast(padAdded, to: GCallback.self), Unmanaged.passUnretained(self).toOpaque())
  }

  deinit { state.withLock { state in state.held.forEach { gst_buffer_unref($0.buffer) } } }

  private func take(_ pad: UnsafeMutablePointer<GstPad>) {
    let index = state.withLock { state in
      defer { state.pads += 1 }
      return state.pads
    }
    guard index == stream.index else {
      // Some demuxers report an error if only a subtitle stream is linked.
      gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, { _, _, _ in GST_PAD_PROBE_DROP }, nil, nil)
      return
    }
    let timed = timer?.src.pad ?? pad
    gst_pad_set_offset(timed, gint64(margin) - gint64(part.from * 1e9))
    gst_pad_add_probe(
      timed, bufferOrEvent,
      { pad, info, me in
        guard let pad, let info, let me else { return GST_PAD_PROBE_OK }
        return Unmanaged<Carrier>.fromOpaque(me).takeUnretainedValue().pass(pad, info)
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
    if isPlain, stream.isText {
      let types = bufferOrEvent.rawValue | GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM.rawValue
      gst_pad_add_probe(
        pad, GstPadProbeType(rawValue: types),
        { _, info, me in
          guard let info, let me else { return GST_PAD_PROBE_OK }
          return Unmanaged<Carrier>.fromOpaque(me).takeUnretainedValue().plain(info)
        }, Unmanaged.passUnretained(self).toOpaque(), nil)
    }
    // The probe will change the pad's current caps, hence no check here. If linking fails, the muxer must not wait.
    if gst_pad_link_full(pad, timer?.sink.pad ?? next.pad, GST_PAD_LINK_CHECK_NOTHING) != GST_PAD_LINK_OK {
      gst_pad_send_event(next.pad, gst_event_new_eos())
    }
  }

  /// Drops everything outside the part, and chapters, which the muxer gets from `Kept`.
  private func pass(
    _ pad: UnsafeMutablePointer<GstPad>, _ info: UnsafeMutablePointer<GstPadProbeInfo>
  ) -> GstPadProbeReturn {
    guard let buffer = info.buffer else {
      guard let event = gst_pad_probe_info_get_event(info) else { return GST_PAD_PROBE_OK }
      return pass(event, on: pad) ? GST_PAD_PROBE_OK : GST_PAD_PROBE_DROP
    }
    let result = pass(buffer, info, on: pad)
    if result == GST_PAD_PROBE_OK { open(pad) }
    return result
  }

  private func pass(_ event: UnsafeMutablePointer<GstEvent>, on pad: UnsafeMutablePointer<GstPad>) -> Bool {
    guard event.pointee.type != GST_EVENT_TOC else { return false }
    switch event.pointee.type {
    case GST_EVENT_CAPS, GST_EVENT_SEGMENT, GST_EVENT_TAG, GST_EVENT_GAP:
      return !stream.isOpus || state.withLock { $0.isOpen }
    case GST_EVENT_EOS:
      open(pad)
      return true
    default: return true
    }
  }

  /// Lets the caps of Opus and what follows them pass, now that they say what the first packet asks for: some muxers take no others
  /// later.
  private func open(_ pad: UnsafeMutablePointer<GstPad>) {
    let wasOpen = state.withLock { state in
      defer { state.isOpen = true }
      return state.isOpen
    }
    guard stream.isOpus, !wasOpen else { return }
    // The pad sends tags itself before what comes next.
    for type in [GST_EVENT_CAPS, GST_EVENT_SEGMENT] {
      if let event = gst_pad_get_sticky_event(pad, type, 0) { gst_pad_push_event(pad, event) }
    }
  }

  private func pass(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>,
    on pad: UnsafeMutablePointer<GstPad>
  ) -> GstPadProbeReturn {
    // The pad's offset has not been added yet.
    guard let time = runningTime(of: buffer, on: pad) else {
      if part.from == 0 { beginWithFile(buffer, info, on: pad) }
      return GST_PAD_PROBE_OK
    }
    var start = Double(time) / 1e9
    guard start < part.to ?? .infinity else { return GST_PAD_PROBE_DROP }
    var isWithin = true
    if start < part.from, stream.isSound {
      let lasts = buffer.pointee.duration == .max ? 0 : Double(buffer.pointee.duration) / 1e9
      guard isLed, start + lasts > part.from - Self.preroll else {
        state.withLock { $0.late = max($0.late, start + lasts - part.from) }
        return GST_PAD_PROBE_DROP
      }
      isWithin = start + lasts > part.from
      guard isWithin || state.withLock({ $0.held.isEmpty && $0.hasBegun }) else {
        gst_buffer_ref(buffer)
        state.withLock { $0.held.append(Packet(buffer: buffer)) }
        return GST_PAD_PROBE_DROP
      }
      if isWithin { release(on: pad) }
      if hasList { beginEarly(pad, start) }
    } else if start < part.from {
      guard keepRest(of: buffer, info, part.from - start) else { return GST_PAD_PROBE_DROP }
      start = part.from
    } else if stream.isSound {
      release(on: pad)
    }
    let isFirst = state.withLock { state in
      defer { state.hasBegun = state.hasBegun || isWithin }
      return !state.hasBegun
    }
    if isFirst, isPlain, stream.isText { beginAtOnce(pad, buffer, start - part.from) }
    if stream.isSound, buffer.pointee.duration == .max,
      let length = state.withLock({ $0.lengths.next(start, on: pad) })
    {
      info.writable(buffer)?.pointee.duration = length
    }
    if stream.isOpus { keepInPlace(info, on: pad) }
    return GST_PAD_PROBE_OK
  }

  /// Puts the packets of Opus where its first one, of which some is left out, asks for.
  private func keepInPlace(_ info: UnsafeMutablePointer<GstPadProbeInfo>, on pad: UnsafeMutablePointer<GstPad>) {
    guard let packet = info.buffer else { return }
    let skipped = Opus.skipped(of: packet)
    let isFirst = state.withLock { state in
      defer { state.hasPassed = true }
      return !state.hasPassed
    }
    if isFirst, skipped > 0, timer != nil, !isLed {
      shorten(packet, info, by: skipped)
      if let packet = info.buffer { Opus.skip(skipped, of: packet, on: pad) }
    } else if isFirst, skipped > 0, timer == nil, isLed {
      state.withLock { state in
        state.skipped = skipped
        if hasList { state.lead = (state.lead ?? 0) + Double(skipped) / 1e9 }
      }
      if !hasList { gst_pad_set_offset(pad, gst_pad_get_offset(pad) - gint64(skipped)) }
    }
    let first = state.withLock { $0.skipped }
    if first > 0 { info.addSkipped(first, to: packet, isFirst: isFirst) }
  }

  /// Lets a packet begin later, as if its beginning were cut off.
  private func shorten(
    _ packet: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>, by time: GstClockTime
  ) {
    guard let changed = info.writable(packet) else { return }
    (changed.pointee.pts, changed.pointee.dts) = (changed.pointee.pts + time, .max)
    if changed.pointee.duration != .max { changed.pointee.duration -= min(time, changed.pointee.duration) }
  }

  /// What decoders need before the packet from which on all is heard as it was: Opus' 80 ms (RFC 7845, 4.6), and more than AAC
  /// needs. Seconds.
  private static let preroll = 0.08

  /// Sends the packets that were held back; they come by here again.
  private func release(on pad: UnsafeMutablePointer<GstPad>) {
    let held = state.withLock { state in
      defer { (state.held, state.hasBegun) = ([], true) }
      return state.held
    }
    for packet in held { gst_pad_push(pad, packet.buffer) }
  }

  /// Moves the whole stream, so that the first packet, before the part, begins with the file.
  private func beginEarly(_ pad: UnsafeMutablePointer<GstPad>, _ start: Double) {
    let isFirst = state.withLock { state in
      defer { state.lead = state.lead ?? part.from - start }
      return state.lead == nil
    }
    if isFirst { gst_pad_set_offset(pad, -gint64((start * 1e9).rounded())) }
  }

  /// Lets a subtitle begin some seconds later; false if it is over by then.
  private func keepRest(
    of buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>, _ early: Double
  ) -> Bool {
    let (lasts, early) = (buffer.pointee.duration, GstClockTime((early * 1e9).rounded(.up)))
    guard lasts != .max, lasts > early else { return false }
    shorten(buffer, info, by: early)
    return true
  }

  /// Lets a packet that begins before the file's start, as edit lists ask for, begin with it. A muxer would drop all of it.
  /// If the result can have such a list too, the whole stream is moved instead.
  private func beginWithFile(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ info: UnsafeMutablePointer<GstPadProbeInfo>,
    on pad: UnsafeMutablePointer<GstPad>
  ) {
    guard let event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0) else { return }
    defer { gst_event_unref(event) }
    var segment = GstSegment()
    gst_event_copy_segment(event, &segment)
    let (pts, lasts, start) = (buffer.pointee.pts, buffer.pointee.duration, segment.start)
    guard pts != .max, pts < start else { return }
    let (early, isFirst) = (start - pts, state.withLock { !$0.hasPassed })
    if isLed {
      guard hasList || early <= margin else { return }
      state.withLock { $0.hasPassed = true }
      guard isFirst else { return }
      state.withLock { $0.lead = Double(early) / 1e9 }
      segment.start = pts
      if !hasList { gst_segment_offset_running_time(&segment, GST_FORMAT_TIME, gint64(margin - early)) }
      if stream.isOpus, let packet = info.writable(buffer) { Opus.skip(early, of: packet, on: pad) }
      open(pad)
      gst_pad_send_event(next.pad, gst_event_new_segment(&segment))
      return
    }
    let skipped = stream.isOpus ? max(early, Opus.skipped(of: buffer)) : early
    guard lasts != .max, skipped < lasts else { return }
    shorten(buffer, info, by: skipped)
    guard stream.isOpus, isFirst, let packet = info.buffer else { return }
    Opus.skip(skipped, of: packet, on: pad)
    state.withLock { $0.hasPassed = true }
  }

  /// Puts an empty text before the first one. Otherwise mp4mux begins the track with a gap in its edit list, and FFmpeg shows
  /// the last text too short by it.
  private func beginAtOnce(
    _ pad: UnsafeMutablePointer<GstPad>, _ first: UnsafeMutablePointer<GstBuffer>, _ gap: Double
  ) {
    let gap = GstClockTime(gap * 1e9)
    guard gap > 0, first.pointee.pts >= gap, let empty = gst_buffer_new() else { return }
    (empty.pointee.pts, empty.pointee.duration) = (first.pointee.pts - gap, gap)
    gst_pad_push(pad, empty)
  }

  /// Plain text instead of Pango's, also for those who ask beforehand whether theirs is taken.
  private func plain(_ info: UnsafeMutablePointer<GstPadProbeInfo>) -> GstPadProbeReturn {
    if let buffer = info.buffer {
      guard state.withLock({ $0.hasMarkup }), let bytes = contents(of: buffer) else { return GST_PAD_PROBE_OK }
      let text = String(decoding: bytes, as: UTF8.self)
      // Matroska's text is SubRip's.
      let styles = keepsItalics ? #/<(?!/?[biu]>)[^>]*>/# : #/<[^>]*>/#
      if text.contains(styles) { state.withLock { $0.losesStyles = true } }
      let plain = plainText(text, without: styles)
      info.replace(buffer, with: Array(plain.utf8), keeping: [GST_BUFFER_COPY_TIMESTAMPS])
    } else if info.pointee.type.rawValue & GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM.rawValue != 0 {
      guard let query = gst_pad_probe_info_get_query(info), query.pointee.type == GST_QUERY_ACCEPT_CAPS else {
        return GST_PAD_PROBE_OK
      }
      gst_query_set_accept_caps_result(query, 1)
      return GST_PAD_PROBE_HANDLED
    } else if let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_CAPS {
      var caps: UnsafeMutablePointer<GstCaps>?
      gst_event_parse_caps(event, &caps)
      let hasMarkup = caps.map { string(gst_caps_get_structure($0, 0), "format") == "pango-markup" } ?? false
      state.withLock { $0.hasMarkup = hasMarkup }
      guard hasMarkup, let plain = gst_caps_from_string("text/x-raw, format=(string)utf8") else {
        return GST_PAD_PROBE_OK
      }
      info.pointee.data = gst_event_new_caps(plain).map { UnsafeMutableRawPointer($0) }
      gst_caps_unref(plain)
      gst_event_unref(event)
    }
    return GST_PAD_PROBE_OK
  }
}

/// Finds the streams of a file.
private final class Stored: Sendable {
  private let found = Mutex<(pads: Int, streams: [Kept.Stream])>((0, []))
  private let uri: String

  init(uri: String) { self.uri = uri }

  /// Seconds to wait for the first packet of a file.
  private static let patience = 60

  /// All but video.
  func streams(of path: String) throws -> [Kept.Stream] {
    let pipeline = try parse("urisourcebin name=source ! parsebin name=parser")
    let bus = gst_element_get_bus(pipeline)
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(bus)
      gst_object_unref(pipeline)
    }
    pipeline.element("source").object.set("uri", to: uri)
    readWholeTracks(in: pipeline.element("parser"))
    let padAdded: @convention(c) (gpointer, UnsafeMutablePointer<GstPad>, gpointer) -> Void = {
      Unmanaged<Stored>.fromOpaque($2).takeUnretainedValue().take($1)
    }
    connect(
      pipeline.element("parser"), "pad-added", unsafeBitCast(padAdded, to: GCallback.self),
      Unmanaged.passUnretained(self).toOpaque())
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    let types = GstMessageType(rawValue: GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_APPLICATION.rawValue)
    var message: UnsafeMutablePointer<GstMessage>?
    for _ in 0..<10 * Self.patience where message == nil {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      message = gst_bus_timed_pop_filtered(bus, 100_000_000, types)
    }
    guard let message else { throw Failure("cannot read \(path): nothing came for \(Self.patience) s") }
    defer { gst_message_unref(message) }
    let (pads, streams) = found.withLock { $0 }
    guard pads > 0 else { throw Failure("cannot read \(path): \(text(of: message))") }
    return streams
  }

  private func take(_ pad: UnsafeMutablePointer<GstPad>) {
    let caps = identifyingCaps(of: pad)
    found.withLock { found in
      if !caps.hasPrefix("video/") { found.streams.append(Kept.Stream(index: found.pads, caps: caps)) }
      found.pads += 1
    }
    // parsebin 1.22 never signals no-more-pads, but no buffer leaves a pad before all pads exist.
    let type = GstPadProbeType(rawValue: GST_PAD_PROBE_TYPE_BLOCK.rawValue | GST_PAD_PROBE_TYPE_BUFFER.rawValue)
    gst_pad_add_probe(
      pad, type,
      { pad, _, _ in
        guard let parser = gst_pad_get_parent_element(pad) else { return GST_PAD_PROBE_OK }
        gst_element_post_message(parser, gst_message_new_application(nil, gst_structure_new_empty("complete")))
        gst_object_unref(parser)
        return GST_PAD_PROBE_OK
      }, nil, nil)
  }
}

/// A table of contents shared with GStreamer.
final class Chapters: @unchecked Sendable {
  let toc: OpaquePointer

  /// Takes ownership.
  init(_ toc: OpaquePointer) { self.toc = toc }

  deinit { gst_mini_object_unref(UnsafeMutableRawPointer(toc).assumingMemoryBound(to: GstMiniObject.self)) }
}

extension Container {
  /// GStreamer's muxer, the one that encodebin chooses too.
  private var muxer: String {
    switch self {
    case .mp4: "mp4mux"
    case .mov: "qtmux"
    case .mkv: "matroskamux"
    case .webm: "webmmux"
    case .ts: "mpegtsmux"
    }
  }

  var hasChapters: Bool { self == .mkv || self == .webm }
  /// Matroska could hold it in a tag, and MXF could hold it, but GStreamer 1.22 writes neither.
  var hasTimecode: Bool { self == .mov }

  /// Whether it can hold a stream with these caps.
  func holds(_ text: String) -> Bool {
    // matroskamux would take them, but not write them. In WebM only WebVTT may be, which it writes otherwise.
    let isForeign = self == .webm && text.hasPrefix("text/")
    guard text != Kept.Stream.unknownSubtitles, !isForeign, let factory = gst_element_factory_find(muxer),
      let caps = gst_caps_from_string(text)
    else { return false }
    defer {
      gst_caps_unref(caps)
      gst_object_unref(UnsafeMutableRawPointer(factory))
    }
    var rate: gint = 0
    gst_structure_get_int(gst_caps_get_structure(caps, 0), "rate", &rate)
    guard pcmRates?.contains(Int(rate)) ?? true else { return false }
    return gst_element_factory_can_sink_any_caps(factory, caps) != 0
  }
}

/// The caps without fields that parsers change or that differ between files.
private func identifyingCaps(of pad: UnsafeMutablePointer<GstPad>) -> String {
  guard let now = gst_pad_get_current_caps(pad) ?? gst_pad_query_caps(pad, nil), let caps = gst_caps_copy(now) else {
    return ""
  }
  defer {
    gst_caps_unref(now)
    gst_caps_unref(caps)
  }
  let fields = gst_caps_get_structure(caps, 0)
  if String(cString: gst_structure_get_name(fields)) == "text/x-raw" { return "text/x-raw" }
  let names = (0..<gst_structure_n_fields(fields)).compactMap { index in
    gst_structure_nth_field_name(fields, guint(index)).map { String(cString: $0) }
  }
  var identifying = ["mpegversion", "layer", "format", "layout"]
  var rate: gint = 0
  let isPCM = gst_structure_has_name(fields, "audio/x-raw") != 0
  if isPCM, gst_structure_get_int(fields, "rate", &rate) != 0, rate > 65535 { identifying.append("rate") }
  for name in names where !identifying.contains(name) {
    gst_structure_remove_field(fields, name)
  }
  guard let text = gst_caps_to_string(caps) else { return "" }
  defer { g_free(text) }
  return String(cString: text)
}

private func plainText(_ markup: String, without styles: Regex<Substring>) -> String {
  let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")]
  return entities.reduce(markup.replacing(styles, with: "")) { $0.replacing($1.0, with: $1.1) }
}
