// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipeline of `syncdiff dub`: two decoders, the element, encodebin.

import CGStreamer
import CGStreamerTools
import Glibc
import SyncDiffElement

final class Dubbing {
  /// The sound for the muxer waits without limit: the picture comes later, by what the video encoder holds back, and the sound
  /// must flow on to the element meanwhile. It never runs more than the element's minute ahead of the picture.
  private static func description(_ job: Job) -> String {
    let frames = job.shown.conversion(
      to: job.encoding.layout, deinterlaced: job.deinterlaced,
      still: job.picture.isStill ? max(Int((job.spoken * 25).rounded(.up)), 1) : nil)
    var painted = "syncdiff name=dub"
    if job.compares {
      let (width, height) = job.shown.shownSize
      painted = """
        tee name=both  both. ! \(unlimited) ! sides.sink_0  both. ! syncdiff name=dub ! \(few) ! sides.sink_1 \
        compositor name=sides start-time-selection=first sink_1::xpos=\(width) \
        ! video/x-raw,format=\(job.encoding.layout.format),width=\(2 * width),height=\(height)
        """
    }
    return """
      uridecodebin name=picture  \(frames) ! identity name=shown ! \(painted) ! \(few) name=painted \
      \(voices(job)) ! tee name=twice  twice. ! queue ! dub.audio \
      twice. ! \(unlimited) ! \(spoken(job)) \(job.language.map { "! taginject tags=language-code=\($0)" } ?? "") \
      ! queue name=spoken \
      fdsink name=file  \(job.kept.description)
      """
  }

  private static let unlimited = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
  private static let few = "queue max-size-buffers=4 max-size-bytes=0 max-size-time=0"
  private static let stereo =
    "audioresample ! audio/x-raw,format=F32LE,rate=48000,channels=2,channel-mask=(bitmask)0x3"

  /// What is to be spoken, each sound in its place.
  private static func voices(_ job: Job) -> String {
    guard job.hasCues else { return "uridecodebin name=sound0  \(sound(job.voices[0].sound, "hearing0"))" }
    return job.voices.enumerated().map { index, voice in
      "uridecodebin name=sound\(index)  \(paired(voice.sound, "hearing\(index)")) ! \(stereo) ! queue ! voices."
    }.joined(separator: "  ") + "  audiomixer name=voices"
  }

  /// What the file gets of it, with the picture's own sound where that is wanted.
  private static func spoken(_ job: Job) -> String {
    let mixing = job.hasCues ? "audioconvert" : job.voices[0].sound.mixing(for: job.encoding)
    guard let own = job.own else { return mixing }
    let volume = job.hasCues ? 1 : share(job.original)
    return """
      \(mixing) ! \(stereo) ! mixer. \
      \(paired(own, "under")) ! \(stereo) ! volume name=own volume=\(volume) ! \(unlimited) ! mixer. \
      audiomixer name=mixer ! audioconvert
      """
  }

  /// Of the picture's own sound under a voice.
  private static func share(_ decibels: Double?) -> Double { decibels.map { pow(10, $0 / 20) } ?? 0 }

  private static func paired(_ sound: Sound, _ name: String) -> String {
    "\(self.sound(sound, name)) \(sound.hasPositions ? "" : sound.pairs)"
  }

  /// The beginning of a sound's way, with a name. Demuxers for AIFF do not say that channels have no positions.
  private static func sound(_ sound: Sound, _ name: String) -> String {
    sound.hasPositions
      ? "audioconvert name=\(name)"
      : "capssetter name=\(name) caps=\"audio/x-raw,channel-mask=(bitmask)0x0\" ! audioconvert"
  }

  private let pipeline: UnsafeMutablePointer<GstElement>
  private let pictures: Source
  private let sounds: [Source]
  private let watch: Watch
  private let length: Double?
  private var `extension`: Extension?
  private var carriers: [Carrier] = []
  private var direction: Direction?

  init(_ job: Job, output: Output) throws {
    length = job.length
    let pipeline = try parse(Self.description(job))
    self.pipeline = pipeline
    watch = Watch(job.encoding)
    pictures = Source(
      job.picture, .picture, part: job.part, from: "picture", to: "frames", also: job.own.map { _ in "under" },
      in: pipeline)
    sounds = job.voices.enumerated().map { index, voice in
      Source(
        voice.media, .sound, track: voice.track, part: Part(to: voice.end.map { $0 - voice.start }), at: voice.start,
        from: "sound\(index)", to: "hearing\(index)", in: pipeline)
    }
    gst_util_set_object_arg(pipeline.element("file").object, "fd", "\(output.descriptor)")
    let isStereo = job.own != nil || job.hasCues || job.voices[0].sound.becomesPairs(in: job.encoding)
    try encode(job, channels: isStereo ? 2 : job.voices[0].sound.channels)
    if job.extend != .cut, !job.picture.isStill {
      `extension` = try Extension(
        job.extend, of: job.picture.duration, until: job.spoken, at: pipeline.element("shown").pad("sink"))
    }
  }

  deinit { gst_object_unref(pipeline) }

  /// Puts an encodebin between what is painted and spoken, and the file.
  private func encode(_ job: Job, channels: Int) throws {
    let encoding = job.encoding
    guard let encoder = gst_element_factory_make("encodebin", "encoder"),
      let profile = encoding.profile(channels: channels)
    else { throw Failure("GStreamer's encodebin is missing", .internalFault) }
    defer { gst_object_unref(UnsafeMutableRawPointer(profile)) }
    gst_bin_add(pipeline.bin, encoder)
    var value = GValue()
    g_value_init(&value, gst_encoding_profile_get_type())
    g_value_set_object(&value, UnsafeMutableRawPointer(profile))
    g_object_set_property(encoder.object, "profile", &value)
    g_value_unset(&value)
    for (name, text) in [
      ("flags", "no-video-conversion"), ("queue-buffers-max", "4"), ("queue-bytes-max", "0"), ("queue-time-max", "0"),
    ] { gst_util_set_object_arg(encoder.object, name, text) }
    for (queue, stream) in [("painted", "video_%u"), ("spoken", "audio_%u")] {
      guard let pad = gst_element_request_pad_simple(encoder, stream) else {
        throw Failure("GStreamer cannot encode this as \(encoding.container.rawValue)", .internalFault)
      }
      defer { gst_object_unref(pad) }
      guard gst_pad_link(pipeline.element(queue).pad("src"), pad) == GST_PAD_LINK_OK else {
        throw Failure("GStreamer cannot encode this as \(encoding.container.rawValue)", .internalFault)
      }
    }
    guard gst_pad_link(encoder.pad("src"), pipeline.element("file").pad("sink")) == GST_PAD_LINK_OK else {
      throw Failure("GStreamer cannot write \(encoding.container.rawValue)", .internalFault)
    }
    guard let muxer = muxer(in: encoder) else { throw Failure("there is no muxer", .internalFault) }
    tag(muxer)
    if encoding.beginsFast { gst_util_set_object_arg(muxer.object, "faststart", "true") }
    var encoded: [UnsafeMutablePointer<GstPad>] = []
    forEachSinkPad(of: muxer) { pad in
      guard let peer = gst_pad_get_peer(pad) else { return }
      encoded.append(peer)
      gst_object_unref(peer)  // the bin keeps it
    }
    watch.attach(picture: pipeline.element("dub").pad("src"), encoded: encoded)
    carriers = try job.kept.link(in: pipeline, encoder, to: muxer)
  }

  private func muxer(in encoder: UnsafeMutablePointer<GstElement>) -> UnsafeMutablePointer<GstElement>? {
    var muxer: UnsafeMutablePointer<GstElement>?
    forEachElement(of: encoder.bin) { element in
      // GST_ELEMENT_FACTORY_TYPE_MUXER, which is a macro.
      guard let factory = gst_element_get_factory(element),
        gst_element_factory_list_is_type(factory, 1 << 4) != 0
      else { return }
      muxer = element
    }
    return muxer
  }

  /// Cues; `usual`: whose face speaks where a cue does not say it.
  func direct(_ job: Job, usual: ElementOptions.FaceSelect) {
    guard job.hasCues else { return }
    direction = Direction(job.voices, usual: usual, share: Self.share(job.original), in: pipeline)
  }

  /// Sets what the element has under this name; throws if there is no such preset.
  func load(preset: String) throws {
    let dub = OpaquePointer(pipeline.element("dub"))
    guard gst_preset_load_preset(dub, preset) != 0 else {
      throw Failure("there is no preset \(preset); there are draft, realtime, broadcast and archive")
    }
  }

  /// A property of the element, in its text form.
  func set(_ property: String, _ value: String) {
    gst_util_set_object_arg(pipeline.element("dub").object, property, value)
  }

  struct Result {
    let frames, painted, faceless, hidden: Int
    let seconds: Double
    /// What an input announces and does not hold.
    let shortfalls: [String]
    /// How the user ended it early.
    let interruption: ExitStatus?
  }

  /// Dubs to the end, or until the user ends it.
  func run(_ report: Report) throws -> Result {
    defer { gst_element_set_state(pipeline, GST_STATE_NULL) }
    let interruption = try play(report)
    try `extension`?.check()
    for note in pictures.notes + sounds.flatMap(\.notes) { report.warn(note) }
    let (frames, seconds) = watch.progress
    let shortfalls = interruption == nil ? ([pictures] + sounds).compactMap(\.shortfall) : []
    return Result(
      frames: frames, painted: count("painted"), faceless: count("no-face"), hidden: count("hidden"), seconds: seconds,
      shortfalls: shortfalls, interruption: interruption)
  }

  private func play(_ report: Report) throws -> ExitStatus? {
    let bus = gst_element_get_bus(pipeline)
    defer { gst_object_unref(bus) }
    var progress = report.progress("dub", of: length)
    var interruption: ExitStatus?
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    while true {
      let types = GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, GstMessageType(rawValue: types)) {
        defer { gst_message_unref(message) }
        switch message.pointee.type {
        case GST_MESSAGE_ERROR: throw Failure(text(of: message), blame(message))
        case GST_MESSAGE_WARNING: report.warn(text(of: message))
        default:
          report.closeLine()
          return interruption
        }
      }
      progress.show(watch.progress.seconds)
      if let status = Interrupt.status, interruption == nil {
        interruption = status
        report.note("Ending. Once more to stop at once.")
        gst_element_send_event(pipeline, gst_event_new_eos())
      }
    }
  }

  /// How the program ends because of an error, by where it came from.
  private func blame(_ message: UnsafeMutablePointer<GstMessage>) -> ExitStatus {
    guard let source = message.pointee.src else { return .internalFault }
    let inputs = sounds.indices.map { "sound\($0)" } + carriers.indices.flatMap { ["kept\($0)", "parser\($0)"] }
    for (name, status) in (["picture", "dub"] + inputs).map({ ($0, ExitStatus.badInput) }) + [("file", .badOutput)] {
      let object = UnsafeMutableRawPointer(pipeline.element(name)).assumingMemoryBound(to: GstObject.self)
      if source == object || gst_object_has_as_ancestor(source, object) != 0 { return status }
    }
    return .internalFault
  }

  /// Of the frames so far, as the element's property `stats` has it.
  private func count(_ field: String) -> Int {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    defer { g_value_unset(&value) }
    g_object_get_property(pipeline.element("dub").object, "stats", &value)
    var count: guint64 = 0
    if let stats = gst_value_get_structure(&value) { gst_structure_get_uint64(stats, field, &count) }
    return Int(count)
  }

  /// The file's comment is the disclosure, even where the picture's file has a comment of its own.
  private func tag(_ muxer: UnsafeMutablePointer<GstElement>) {
    guard
      g_type_check_instance_is_a(
        UnsafeMutableRawPointer(muxer).assumingMemoryBound(to: GTypeInstance.self), gst_tag_setter_get_type()) != 0
    else { return }
    var value = GValue()
    g_value_init(&value, gst_tag_get_type(GST_TAG_COMMENT))
    g_value_set_string(&value, disclosure)
    gst_tag_setter_add_tag_value(OpaquePointer(muxer), GST_TAG_MERGE_REPLACE, GST_TAG_COMMENT, &value)
    g_value_unset(&value)
  }
}

private func forEachSinkPad(
  of element: UnsafeMutablePointer<GstElement>, _ body: (UnsafeMutablePointer<GstPad>) -> Void
) {
  guard let iterator = gst_element_iterate_sink_pads(element) else { return }
  defer { gst_iterator_free(iterator) }
  var value = GValue()
  while gst_iterator_next(iterator, &value) == GST_ITERATOR_OK {
    if let object = g_value_get_object(&value) { body(object.assumingMemoryBound(to: GstPad.self)) }
    g_value_reset(&value)
  }
  g_value_unset(&value)
}
