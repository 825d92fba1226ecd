// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipeline of `syncdiff dub`: two decoders, the element, encodebin. Or, if stretches of the video were dubbed separately,
// the pipeline that joins them.

import CGStreamer
import CGStreamerTools
import Glibc
import SyncDiffElement

final class Dubbing {
  private let pipeline: UnsafeMutablePointer<GstElement>
  /// Nil if the video comes in stretches.
  private let pictures: Source?
  private let stretches: [Stretch]
  private let sounds: [Source]
  /// How many of the sounds are spoken; they come first.
  private let voices: Int
  /// Names of the elements that read the inputs.
  private let inputs: [String]
  private let watch: Watch
  private let length: Double?
  /// Path of the video, and of the result.
  private let video, output: String
  private var `extension`: Extension?
  private var carriers: [Carrier] = []
  private var repair: MatroskaRepair?
  private let soundEnd: SoundEnd
  private var direction: Direction?

  /// `stretches`: the dubbed video in order; if empty, it is dubbed here.
  init(_ job: Job, output: Output, joining stretches: [Stretch] = []) throws {
    (length, self.stretches, voices) = (job.length, stretches, job.voices.count)
    (video, self.output) = (job.picture.path, output.name)
    let pipeline = try parse(stretches.isEmpty ? job.description : job.joined(stretches.map(\.path)))
    self.pipeline = pipeline
    watch = Watch(job)
    soundEnd = SoundEnd(watch, at: pipeline.element("spoken").pad("src"))
    var sounds = job.voices.enumerated().map { index, voice in
      Source(
        voice.media, .sound, track: voice.track, part: Part(to: voice.end.map { $0 - voice.start }), at: voice.start,
        from: "sound\(index)", to: "hearing\(index)", in: pipeline)
    }
    if stretches.isEmpty {
      pictures = Source(
        job.picture, .picture, part: job.part, from: "picture", to: "frames", also: job.own.map { _ in "under" },
        in: pipeline)
    } else {
      pictures = nil
      if job.own != nil {
        sounds.append(
          Source(
            job.picture, .sound, part: Part(to: job.part.to), at: -job.part.from, from: "picture", to: "under",
            in: pipeline))
      }
    }
    self.sounds = sounds
    let picture = stretches.isEmpty ? ["picture", "dub"] : job.own == nil ? [] : ["picture"]
    inputs = picture + job.voices.indices.map { "sound\($0)" }
    pipeline.element("file").object.set("fd", to: "\(output.descriptor)")
    if stretches.isEmpty { job.label?.show(in: pipeline, on: job.shown) }
    let isStereo = job.own != nil || job.hasCues || job.voices[0].sound.becomesPairs(in: job.encoding)
    try encode(job, channels: isStereo ? 2 : job.voices[0].sound.channels)
    if job.extend != .cut, !job.picture.isStill {
      `extension` = Extension(
        job.extend, of: job.picture.duration, until: job.spoken, at: pipeline.element("shown").pad("sink"),
        in: try output.scratch())
    }
  }

  deinit { gst_object_unref(pipeline) }

  /// Inserts an encodebin between the dubbed streams and the file.
  private func encode(_ job: Job, channels: Int) throws {
    let encoding = job.encoding
    let encoder = try encodebin(encoding.profile(channels: channels), in: pipeline)
    // Encoded input is not encoded again.
    if !stretches.isEmpty { encoder.object.set("avoid-reencoding", to: "true") }
    for (queue, stream) in [("painted", "video"), ("spoken", "audio")] {
      try link(queue, to: encoder, stream, of: encoding, in: pipeline)
    }
    guard gst_pad_link(encoder.pad("src"), pipeline.element("file").pad("sink")) == GST_PAD_LINK_OK else {
      throw Failure("GStreamer cannot write \(encoding.container.rawValue)", .internalFault)
    }
    if let format = encoding.streamFormat {
      // If the profile asks for it, encodebin finds no encoder for HEVC.
      forEachElement(of: encoder.bin) { element in
        guard factoryName(of: element) == "capsfilter", structureName(of: element.pad("src")) == encoding.video.caps
        else { return }
        element.object.set("caps", to: "\(encoding.video.caps),stream-format=(string)\(format)")
      }
    }
    guard let muxer = muxer(in: encoder) else { throw Failure("there is no muxer", .internalFault) }
    StreamTags(encoding).attach(to: encoder)
    tag(muxer)
    if encoding.beginsFast { muxer.object.set("faststart", to: "true") }
    var encoded: [UnsafeMutablePointer<GstPad>] = []
    forEach(gst_element_iterate_sink_pads(muxer)) { (pad: UnsafeMutablePointer<GstPad>) in
      guard let peer = gst_pad_get_peer(pad) else { return }
      encoded.append(peer)
      gst_object_unref(peer)  // the bin holds a reference
    }
    watch.attach(picture: pipeline.element(stretches.isEmpty ? "dub" : "joined").pad("src"), encoded: encoded)
    carriers = try job.kept.link(in: pipeline, encoder, to: muxer, margin: job.margin)
    if [.mkv, .webm].contains(encoding.container) {
      sayNoLanguage(muxer)
      repair = MatroskaRepair(job.kept)
      repair?.attach(to: muxer)
    }
  }

  /// In Matroska, a track that does not state its language is English. So each says that its language is unknown, unless its own
  /// tags, which may come before or later, know better.
  private func sayNoLanguage(_ muxer: UnsafeMutablePointer<GstElement>) {
    forEach(gst_element_iterate_sink_pads(muxer)) { (pad: UnsafeMutablePointer<GstPad>) in
      gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
        { pad, info, _ in
          guard let pad, let info, gst_pad_probe_info_get_event(info)?.pointee.type == GST_EVENT_SEGMENT,
            !saysLanguage(pad), let tags = gst_tag_list_new_empty()
          else { return GST_PAD_PROBE_OK }
          var value = GValue()
          g_value_init(&value, gst_tag_get_type(GST_TAG_LANGUAGE_CODE))
          g_value_set_string(&value, "und")
          gst_tag_list_add_value(tags, GST_TAG_MERGE_REPLACE, GST_TAG_LANGUAGE_CODE, &value)
          g_value_unset(&value)
          gst_pad_send_event(pad, gst_event_new_tag(tags))
          return GST_PAD_PROBE_OK
        }, nil, nil)
    }
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

  /// Applies the cues. `usual`: the face that speaks where a cue does not name one.
  func direct(_ job: Job, usual: ElementOptions.FaceSelect) {
    guard job.hasCues else { return }
    direction = Direction(job.voices, usual: usual, share: job.share, in: pipeline)
  }

  /// The element; there is none if the video comes in stretches.
  var dub: UnsafeMutablePointer<GstElement> { pipeline.element("dub") }

  struct Result {
    let frames, painted, faceless, hidden: Int
    /// Frames that the encoder did not return.
    let lost: Int
    let seconds: Double
    /// What inputs announce but do not contain.
    let shortfalls: [String]
    /// Seconds from the first packets of the new and the kept streams to their beginning, if the file can say so.
    let leads: [Double]
    /// Kept streams that have nothing in the part.
    let empty: [Kept.Stream]
    /// What of the sounds is not heard.
    let cuts: [String]
    /// How the user ended it early.
    let interruption: ExitStatus?
  }

  /// Dubs to the end, or until the user interrupts.
  func run(_ report: Report) throws -> Result {
    defer {
      soundEnd.open()
      gst_element_set_state(pipeline, GST_STATE_NULL)
    }
    // Stretches are still joined if the user interrupted them.
    let earlier = stretches.isEmpty ? nil : Interrupt.status
    let interruption = try earlier ?? play(report)
    if earlier != nil { _ = try play(report, ends: false) }
    try `extension`?.check()
    let sources = (pictures.map { [$0] } ?? stretches.map(\.pictures)) + sounds
    for note in sources.flatMap(\.notes) + [repair?.loss].compactMap(\.self) { report.warn(note) }
    for loss in carriers.compactMap(\.loss) { report.warn("\(video): \(loss)") }
    let seconds = watch.progress.seconds
    let frames = stretches.isEmpty ? watch.progress.frames : stretches.map(\.frames).reduce(0, +)
    let counts = stretches.isEmpty ? Counts(of: dub) : stretches.map(\.counts).reduce(Counts(), +)
    return Result(
      frames: frames, painted: min(counts.painted, frames), faceless: counts.faceless, hidden: counts.hidden,
      lost: frames - watch.encoded, seconds: seconds,
      shortfalls: interruption == nil ? sources.compactMap(\.shortfall) : [],
      leads: [watch.lead] + carriers.map(\.lead), empty: carriers.filter(\.isEmpty).map(\.stream),
      cuts: sounds.prefix(voices).compactMap { $0.cut(at: seconds) }, interruption: interruption)
  }

  /// `ends`: whether a signal ends it.
  private func play(_ report: Report, ends: Bool = true) throws -> ExitStatus? {
    let bus = gst_element_get_bus(pipeline)
    defer { gst_object_unref(bus) }
    var progress = stretches.isEmpty ? report.progress("dub", of: length) : nil
    var interruption: ExitStatus?
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    while true {
      let types = GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, GstMessageType(rawValue: types)) {
        defer { gst_message_unref(message) }
        switch message.pointee.type {
        case GST_MESSAGE_ERROR:
          let (status, text) = (blame(message), text(of: message))
          throw Failure(status == .badOutput ? "cannot write \(output): \(text)" : text, status)
        case GST_MESSAGE_WARNING: report.warn(text(of: message))
        default:
          report.closeLine()
          return interruption
        }
      }
      // Without a frame matroskamux 1.26 never ends.
      if watch.isOverWithoutFrames { return interruption }
      progress?.show(watch.progress.seconds)
      if ends, let status = Interrupt.status, interruption == nil {
        interruption = status
        report.note("Finishing the file. Interrupt again to stop at once.")
        // All of a short file may be on its way already.
        watch.stop()
        gst_element_send_event(pipeline, gst_event_new_eos())
      }
    }
  }

  /// The exit status for an error, by its origin.
  private func blame(_ message: UnsafeMutablePointer<GstMessage>) -> ExitStatus {
    guard let source = message.pointee.src else { return .internalFault }
    let kept = carriers.indices.flatMap { ["kept\($0)", "parser\($0)"] }
    return ExitStatus.blame(source, badInput: inputs + kept, badOutput: ["file"], in: pipeline)
  }

  /// Sets the file's comment to the disclosure, even where the input video has a comment of its own.
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

private func saysLanguage(_ pad: UnsafeMutablePointer<GstPad>) -> Bool {
  guard let tags = tags(on: pad) else { return false }
  defer { gst_tag_list_unref(tags) }
  return gst_tag_list_get_tag_size(tags, GST_TAG_LANGUAGE_CODE) > 0
}
