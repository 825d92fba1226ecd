// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Decodes the first frame of every stream of a file to find out what the file contains. GstDiscoverer would do nearly the
// same, but it sometimes fails on AIFF, and the colorimetry from the demuxer hides that of the video itself.

import CGStreamer
import CGStreamerTools
import SyncDiffElement
import Synchronization

final class Discovery: Sendable {
  private struct State {
    var sinks: [Sink] = []
    var unknown: [String] = []
    var chapters: Chapters?
    /// Colorimetry of the video according to an MP4 demuxer.
    var colours: Colours?
    /// Of the first frame that goes to a decoder: its pixel aspect ratio, and how it asks to be turned.
    var aspect: Ratio?
    var asked: DisplayOrientation?
  }

  /// The end of a stream.
  private struct Sink: @unchecked Sendable {
    let element: UnsafeMutablePointer<GstElement>
    /// Such as "text/x-raw"; subtitles may have only this so far.
    let name: String
  }

  private let state = Mutex(State())
  private let early = EarlyPushes()
  private let uri: String

  init(of uri: String) { self.uri = uri }

  private static let patience: GstClockTime = 30_000_000_000

  func look(into media: inout Media) throws {
    guard let pipeline = gst_pipeline_new(nil), let source = gst_element_factory_make("uridecodebin", nil) else {
      throw Failure("GStreamer's base plugins are missing", .internalFault)
    }
    source.object.set("uri", to: uri)
    preferExactDecoders()
    let bin = UnsafeMutableRawPointer(pipeline).assumingMemoryBound(to: GstBin.self)
    gst_bin_add(bin, source)
    early.hold(in: source)
    readWholeTracks(in: source)
    Opus.keepInPlace(in: source)
    listen(to: source)
    let bus = gst_element_get_bus(pipeline)
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(bus)
      gst_object_unref(pipeline)
    }
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    try awaitFrames(bus, media.path)
    media.container = container(in: bin)
    var duration: gint64 = 0
    if gst_element_query_duration(pipeline, GST_FORMAT_TIME, &duration) != 0, duration > 0 {
      media.duration = Double(duration) / 1e9
    }
    state.withLock { state in
      (media.unknown, media.chapters, media.hasChapters) = (state.unknown, state.chapters, state.chapters != nil)
      for sink in state.sinks { add(sink, to: &media) }
      if let colours = state.colours, !media.pictures.isEmpty { media.pictures[0].colours.fill(from: colours) }
      guard media.pictures.count == 1 else { return }
      // From a stereoscopic picture GStreamer's decoder makes a wider one.
      if let aspect = state.aspect, media.pictures[0].views != nil { media.pictures[0].correct(aspect) }
      if let asked = state.asked, media.pictures[0].orientation == .upright {
        media.pictures[0].orientation = asked.orientation
      }
    }
    guard !media.pictures.isEmpty || !media.sounds.isEmpty || media.unknown.isEmpty else {
      throw Failure(
        "cannot decode \(media.path): GStreamer has no decoder for \(media.unknown.joined(separator: ", "))")
    }
  }

  /// Waits until every stream has delivered its first frame.
  private func awaitFrames(_ bus: UnsafeMutablePointer<GstBus>?, _ path: String) throws {
    let types = [GST_MESSAGE_ASYNC_DONE, GST_MESSAGE_ERROR, GST_MESSAGE_TOC, GST_MESSAGE_EOS].reduce(0) {
      $0 | $1.rawValue
    }
    let end = g_get_monotonic_time() + gint64(Self.patience / 1000)
    while g_get_monotonic_time() < end {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      guard let message = gst_bus_timed_pop_filtered(bus, 100_000_000, GstMessageType(rawValue: types)) else {
        continue
      }
      defer { gst_message_unref(message) }
      switch message.pointee.type {
      case GST_MESSAGE_TOC:
        var toc: OpaquePointer?
        gst_message_parse_toc(message, &toc, nil)
        if let toc { state.withLock { $0.chapters = Chapters(toc) } }
      case GST_MESSAGE_ERROR:
        let unknown = state.withLock { $0.unknown }
        guard unknown.isEmpty else {
          throw Failure("cannot decode \(path): GStreamer has no decoder for \(unknown.joined(separator: ", "))")
        }
        throw Failure("cannot decode \(path): \(text(of: message))")
      default: return
      }
    }
    throw Failure("cannot decode \(path): timed out")
  }

  private func listen(to source: UnsafeMutablePointer<GstElement>) {
    let me = Unmanaged.passUnretained(self).toOpaque()
    let padAdded: @convention(c) (UnsafeMutablePointer<GstElement>, UnsafeMutablePointer<GstPad>, gpointer) -> Void = {
      Unmanaged<Discovery>.fromOpaque($2).takeUnretainedValue().end($1, beside: $0)
    }
    connect(source, "pad-added", unsafeBitCast(padAdded, to: GCallback.self), me)
    let unknown:
      @convention(c) (gpointer, UnsafeMutablePointer<GstPad>, UnsafeMutablePointer<GstCaps>, gpointer) -> Void = {
        let name = String(cString: gst_structure_get_name(gst_caps_get_structure($2, 0)))
        Unmanaged<Discovery>.fromOpaque($3).takeUnretainedValue().state.withLock { $0.unknown.append(name) }
      }
    connect(source, "unknown-type", unsafeBitCast(unknown, to: GCallback.self), me)
    let elementAdded: @convention(c) (gpointer, gpointer, UnsafeMutablePointer<GstElement>, gpointer) -> Void = {
      let videoDecoder = GstElementFactoryListType(1 | 1 << 49)  // these are macros
      if let factory = gst_element_get_factory($2), gst_element_factory_list_is_type(factory, videoDecoder) != 0,
        let pad = gst_element_get_static_pad($2, "sink")
      {
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, takeEncoded, $3, nil)
        gst_object_unref(pad)
      }
      // Before the first sound there may be many frames, each of which may be larger than the usual 2 MB.
      if factoryName(of: $2) == "decodebin" { $2.object.set("max-size-bytes", to: "\(256 << 20)") }
      guard factoryName(of: $2) == "qtdemux" else { return }
      let padAdded: @convention(c) (gpointer, UnsafeMutablePointer<GstPad>, gpointer) -> Void = { _, pad, me in
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, takeColours, me, nil)
      }
      connect($2, "pad-added", unsafeBitCast(padAdded, to: GCallback.self), $3)
    }
    connect(source, "deep-element-added", unsafeBitCast(elementAdded, to: GCallback.self), me)
  }

  /// Adds a sink that keeps the first frame of a decoded stream.
  private func end(_ pad: UnsafeMutablePointer<GstPad>, beside source: UnsafeMutablePointer<GstElement>) {
    guard let bin = source.parent else { return }
    guard let sink = gst_element_factory_make("fakesink", nil) else { return }
    let name = structureName(of: pad) ?? ""
    if !name.hasPrefix("video/"), !name.hasPrefix("audio/") {  // subtitles may start late
      sink.object.set("async", to: "false")
    }
    gst_bin_add(bin, sink)
    state.withLock { $0.sinks.append(Sink(element: sink, name: name)) }
    gst_element_sync_state_with_parent(sink)
    gst_pad_link(pad, sink.pad("sink"))
    early.release()
  }

  /// Takes what the demuxer read from the headers, which the decoder would adopt.
  fileprivate func take(_ info: UnsafeMutablePointer<GstPadProbeInfo>) {
    guard let event = gst_pad_probe_info_get_event(info), event.pointee.type == GST_EVENT_CAPS else { return }
    var caps: UnsafeMutablePointer<GstCaps>?
    gst_event_parse_caps(event, &caps)
    guard let caps, let said = gst_structure_get_string(gst_caps_get_structure(caps, 0), "colorimetry"),
      let copy = gst_caps_copy(caps)
    else { return }
    let colours = Colours(String(cString: said))
    state.withLock { $0.colours = $0.colours ?? colours }
    gst_structure_remove_field(gst_caps_get_structure(copy, 0), "colorimetry")
    info.pointee.data = gst_event_new_caps(copy).map { UnsafeMutableRawPointer($0) }
    gst_caps_unref(copy)
    gst_event_unref(event)
  }

  /// Takes what the first frame says before it is decoded.
  fileprivate func take(_ frame: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) {
    guard let caps = gst_pad_get_current_caps(pad) else { return }
    defer { gst_caps_unref(caps) }
    let fields = gst_caps_get_structure(caps, 0)
    let name = String(cString: gst_structure_get_name(fields))
    var (width, height): (gint, gint) = (1, 1)
    let hasAspect = gst_structure_get_fraction(fields, "pixel-aspect-ratio", &width, &height) != 0
    let asked =
      ["video/x-h264", "video/x-h265"].contains(name)
      ? contents(of: frame).flatMap {
        DisplayOrientation(
          frame: $0, isHEVC: name == "video/x-h265", lengths: lengthSize(fields, isHEVC: name == "video/x-h265"))
      } : nil
    state.withLock { state in
      if state.aspect == nil, hasAspect { state.aspect = Ratio(width, height) }
      state.asked = state.asked ?? asked
    }
  }

  private func container(in bin: UnsafeMutablePointer<GstBin>) -> String {
    var name = ""
    forEachElement(of: bin) { element in
      guard name.isEmpty, factoryName(of: element) == "typefind" else { return }
      name = structureName(of: element.pad("src")) ?? ""
    }
    return name
  }

  private func add(_ sink: Sink, to media: inout Media) {
    let caps = gst_pad_get_current_caps(sink.element.pad("sink"))
    defer { if let caps { gst_caps_unref(caps) } }
    if caps != nil, let start = firstTime(sink.element) { media.begin = min(media.begin, start) }
    switch (sink.name, caps) {
    case ("video/x-raw", let caps?):
      if let picture = picture(caps, sink.element) { media.pictures.append(picture) }
      // Those of the whole file come with every stream.
      if let tags = tags(on: sink.element.pad("sink")) {
        media.tags.formUnion(names(of: tags))
        media.made = media.made ?? creation(in: tags)
        gst_tag_list_unref(tags)
      }
      if media.timecode == nil { media.timecode = timecode(sink.element) }
    case ("audio/x-raw", let caps?): media.sounds.append(sound(gst_caps_get_structure(caps, 0), sink.element))
    case ("video/x-raw", _), ("audio/x-raw", _): break
    case (let name, _) where ["text/", "subpicture/", "application/x-ss"].contains(where: name.hasPrefix):
      media.subtitles += 1
    case (let name, _): media.unknown.append(name)
    }
  }

  private func picture(_ caps: UnsafeMutablePointer<GstCaps>, _ sink: UnsafeMutablePointer<GstElement>) -> Picture? {
    var info = GstVideoInfo()
    guard gst_video_info_from_caps(&info, caps) != 0, let format = info.finfo?.pointee else { return nil }
    let fields = gst_caps_get_structure(caps, 0)
    var picture = Picture()
    (picture.width, picture.height) = (Int(info.width), Int(info.height))
    picture.aspect = Ratio(info.par_n, info.par_d)
    picture.rate = Ratio(info.fps_n, info.fps_d)
    picture.isInterlaced = info.interlace_mode != GST_VIDEO_INTERLACE_MODE_PROGRESSIVE
    picture.isRGB = format.flags.rawValue & GST_VIDEO_FORMAT_FLAG_RGB.rawValue != 0
    picture.hasAlpha = format.flags.rawValue & GST_VIDEO_FORMAT_FLAG_ALPHA.rawValue != 0
    picture.layout.depth = Int(format.depth.0)
    picture.layout.chroma =
      format.flags.rawValue & GST_VIDEO_FORMAT_FLAG_GRAY.rawValue != 0
      ? .quarter : format.w_sub.1 == 0 ? .full : format.h_sub.1 == 0 ? .half : .quarter
    picture.colours = string(fields, "colorimetry").map(Colours.init) ?? Colours()
    // The one of GstVideoInfo is wrong if the caps have no colorimetry.
    picture.chromaSite = string(fields, "chroma-site")
    picture.views = string(fields, "multiview-mode").flatMap { $0 == "mono" ? nil : $0 }
    picture.masteringDisplay = string(fields, "mastering-display-info")
    picture.contentLight = string(fields, "content-light-level")
    if let sample = lastSample(of: sink) {
      let captions = gst_buffer_get_meta(gst_sample_get_buffer(sample), gst_video_caption_meta_api_get_type())
      picture.hasCaptions = captions != nil
      gst_sample_unref(sample)
    }
    var method = GST_VIDEO_ORIENTATION_IDENTITY
    if let tags = tags(on: sink.pad("sink")) {
      if gst_video_orientation_from_tag(tags, &method) != 0 {
        picture.orientation = Orientation(rawValue: Int32(bitPattern: UInt32(method.rawValue))) ?? .upright
      }
      gst_tag_list_unref(tags)
    }
    return picture
  }

  private func sound(_ fields: UnsafeMutablePointer<GstStructure>?, _ sink: UnsafeMutablePointer<GstElement>) -> Sound {
    var (rate, channels): (gint, gint) = (0, 0)
    gst_structure_get_int(fields, "rate", &rate)
    gst_structure_get_int(fields, "channels", &channels)
    let mask = gst_structure_get_value(fields, "channel-mask").map { gst_value_get_bitmask($0) } ?? 0
    var sound = Sound(rate: Int(rate), channels: Int(channels), mask: UInt64(mask))
    if let tags = tags(on: sink.pad("sink")) {
      var code: UnsafeMutablePointer<CChar>?
      if gst_tag_list_get_string(tags, GST_TAG_LANGUAGE_CODE, &code) != 0, let code {
        sound.language = String(cString: code)
      }
      g_free(code)
      sound.codec = text(GST_TAG_AUDIO_CODEC, in: tags)
      gst_tag_list_unref(tags)
    }
    return sound
  }

  /// The timestamp of a stream's first frame, nanoseconds.
  private func firstTime(_ sink: UnsafeMutablePointer<GstElement>) -> GstClockTime? {
    guard let sample = lastSample(of: sink) else { return nil }
    defer { gst_sample_unref(sample) }
    return gst_sample_get_buffer(sample)?.pointee.pts
  }

  private func timecode(_ sink: UnsafeMutablePointer<GstElement>) -> Timecode? {
    guard let sample = lastSample(of: sink) else { return nil }
    defer { gst_sample_unref(sample) }
    guard let buffer = gst_sample_get_buffer(sample),
      let meta = gst_buffer_get_meta(buffer, gst_video_time_code_meta_api_get_type())
    else { return nil }
    let code = UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstVideoTimeCodeMeta.self)
    return withUnsafePointer(to: &code.pointee.tc) { Timecode($0) }
  }
}

/// GStreamer's names of the metadata; without what describes the file rather than its content, what a dub sets itself, and
/// QuickTime's own, of which GStreamer does not know the names.
private func names(of tags: UnsafeMutablePointer<GstTagList>) -> [String] {
  let others = [
    GST_TAG_ENCODER, GST_TAG_ENCODER_VERSION, GST_TAG_APPLICATION_NAME, GST_TAG_CONTAINER_FORMAT, GST_TAG_LANGUAGE_CODE,
    GST_TAG_LANGUAGE_NAME, GST_TAG_IMAGE_ORIENTATION, GST_TAG_PREVIEW_IMAGE, GST_TAG_DATE_TIME,
    GST_TAG_EXTENDED_COMMENT,
    "private-qt-tag", "mxf-structure", "container-specific-track-id",
  ]
  return (0..<gst_tag_list_n_tags(tags)).compactMap { index -> String? in
    guard let name = gst_tag_list_nth_tag_name(tags, guint(index)), gst_tag_get_flag(name) == GST_TAG_FLAG_META else {
      return nil
    }
    let tag = String(cString: name)
    return others.contains(tag) || tag == GST_TAG_COMMENT && text(tag, in: tags) == disclosure ? nil : tag
  }
}

private func text(_ name: String, in tags: UnsafeMutablePointer<GstTagList>) -> String? {
  var text: UnsafeMutablePointer<CChar>?
  defer { g_free(text) }
  return gst_tag_list_get_string(tags, name, &text) != 0 ? text.map { String(cString: $0) } : nil
}

/// Of how many bytes the length before each unit of H.264 or HEVC is, by its avcC or hvcC; nil if start codes are there instead.
private func lengthSize(_ fields: UnsafeMutablePointer<GstStructure>?, isHEVC: Bool) -> Int? {
  if string(fields, "stream-format") == "byte-stream" { return nil }
  guard let value = gst_structure_get_value(fields, "codec_data"),
    let buffer = g_value_get_boxed(value)?.assumingMemoryBound(to: GstBuffer.self),
    let bytes = contents(of: buffer)
  else { return 4 }
  let place = isHEVC ? 21 : 4
  return bytes.indices.contains(place) ? Int(bytes[place] & 3) + 1 : 4
}

/// When a file was made, in ISO 8601; nil if it does not say.
private func creation(in tags: UnsafeMutablePointer<GstTagList>) -> String? {
  var time: OpaquePointer?
  guard gst_tag_list_get_date_time(tags, GST_TAG_DATE_TIME, &time) != 0, let time else { return nil }
  defer { gst_date_time_unref(time) }
  guard let text = gst_date_time_to_iso8601_string(time) else { return nil }
  defer { g_free(text) }
  return String(cString: text)
}

/// jpegdec 1.22 converts everything to 4:2:0; FFmpeg's decoder keeps what is stored.
private func preferExactDecoders() {
  guard let factory = gst_element_factory_find("avdec_mjpeg") else { return }
  gst_plugin_feature_set_rank(factory, GST_RANK_PRIMARY.rawValue + 1)
  gst_object_unref(UnsafeMutableRawPointer(factory))
}

private func takeColours(
  _ pad: UnsafeMutablePointer<GstPad>?, _ info: UnsafeMutablePointer<GstPadProbeInfo>?, _ me: gpointer?
) -> GstPadProbeReturn {
  if let info, let me { Unmanaged<Discovery>.fromOpaque(me).takeUnretainedValue().take(info) }
  return GST_PAD_PROBE_OK
}

private func takeEncoded(
  _ pad: UnsafeMutablePointer<GstPad>?, _ info: UnsafeMutablePointer<GstPadProbeInfo>?, _ me: gpointer?
) -> GstPadProbeReturn {
  if let pad, let me, let buffer = info?.buffer {
    Unmanaged<Discovery>.fromOpaque(me).takeUnretainedValue().take(buffer, on: pad)
  }
  return GST_PAD_PROBE_REMOVE
}

extension Colours {
  /// The container takes precedence over the video stream, except where the container says nothing, and for the range, which
  /// GStreamer does not read from containers.
  fileprivate mutating func fill(from container: Colours) {
    if container.matrix != 0 { matrix = container.matrix }
    if container.transfer != 0 { transfer = container.transfer }
    if container.primaries != 0 { primaries = container.primaries }
  }
}
