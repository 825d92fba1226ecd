// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Faces
import SyncDiff
import SyncDiffElement
import Synchronization
import Tensors

struct Detect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks for the mark that syncdiff leaves in the mouths that it paints.",
    discussion: """
      Says where a mark is, what it tells, and how sure that is: chance finds one in less than one file of a million. JSON: \
      {"path", "seconds" (looked at), "marks": [{"face" (its number in the file), "from", "to" (seconds), "box" (x, y, width, height of \
      the face at the end, px), "version" (of the syncdiff that painted), "model" (last byte of its model's checksum), "id" (the user's \
      number), "score" (standard deviations of chance), "false_alarm" (less than this is the probability that it is chance)}]}. Exit \
      status: 0 with a mark, 3 without.
      """)

  @Argument(help: ArgumentHelp("File or URL: anything GStreamer can decode.", valueName: "file"))
  var file: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Option(help: ArgumentHelp("Of the marks, if not the public one.", valueName: "text"))
  var watermarkKey: String?

  @Option(help: "Model file, for its face finder. Without it: $SYNCDIFF_MODEL, else the one that came with syncdiff.")
  var model: String?

  func run() throws {
    gst_init(nil, nil)
    Interrupt.arm()
    let media = try Media(path: file)
    try media.requirePicture(deinterlaced: true)
    let scan = try MarkScan(media, try loadModel(model).markReader(key: watermarkKey))
    let report = Report(isQuiet: json)
    try scan.run(report.progress("look", of: media.duration, marks: false))
    report.closeLine()
    print(json ? record(scan).text : text(scan))
    if scan.found.isEmpty { throw ExitCode(ExitStatus.noFace.rawValue) }
  }

  private func text(_ scan: MarkScan) -> String {
    guard !scan.found.isEmpty else { return "\(file): no mark in \(tenths(scan.seconds)) s" }
    return scan.found.map { mark in
      let chance = mark.falseAlarm < 1e-30 ? "1e-30" : exponential(mark.falseAlarm)
      let payload = mark.payload
      return "\(tenths(mark.from)) to \(tenths(mark.to)) s, face \(mark.face): painted by syncdiff \(payload.release), "
        + "model \(payload.model), id \(payload.user); chance: less than \(chance)"
    }.joined(separator: "\n")
  }

  private func record(_ scan: MarkScan) -> JSON {
    .object([
      "path": .string(file), "seconds": .number(scan.seconds),
      "marks": .array(
        scan.found.map { mark in
          let box = [mark.box.x, mark.box.y, mark.box.width, mark.box.height]
          return .object([
            "face": .integer(mark.face), "from": .number(mark.from), "to": .number(mark.to),
            "box": .array(box.map { .integer(Int(exactly: $0.rounded()) ?? 0) }),
            "version": .string(mark.payload.release),
            "model": .integer(Int(mark.payload.model)), "id": .integer(Int(mark.payload.user)),
            "score": .number(mark.score), "false_alarm": .number(mark.falseAlarm),
          ])
        }),
    ])
  }

  /// As 3e-12.
  private func exponential(_ number: Double) -> String {
    var (digit, power) = (number, 0)
    while digit < 1, power > -300 { (digit, power) = (digit * 10, power - 1) }
    return "\(Int(digit.rounded(.up)))e\(power)"
  }
}

extension MarkPayload {
  /// As 0.2.
  fileprivate var release: String { "\(version >> 4).\(version & 15)" }
}

/// Goes through the picture of a file as fast as it can, and looks for marks.
private final class MarkScan {
  private let media: Media
  private let source: Source
  private let pipeline: UnsafeMutablePointer<GstElement>
  /// The streaming thread's while the pipeline plays.
  private var reader: MarkReader
  /// Running time of the newest frame, nanoseconds.
  private let position = Atomic<UInt64>(0)

  var found: [FoundMark] { reader.found }
  var seconds: Double { Double(position.load(ordering: .relaxed)) / 1e9 }

  init(_ media: Media, _ reader: MarkReader) throws {
    guard let shown = media.pictures.first else { throw Failure("\(media.path) has no video stream") }
    (self.media, self.reader) = (media, reader)
    let layout = try shown.layout(among: VideoCodec.h264.layouts)
    pipeline = try parse(
      "uridecodebin name=picture  \(shown.conversion(to: layout, deinterlaced: true)) ! fakesink name=out")
    source = Source(media, .picture, part: Part(), from: "picture", to: "frames", in: pipeline)
    gst_pad_add_probe(
      pipeline.element("out").pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let me, let buffer = info.flatMap({ gst_pad_probe_info_get_buffer($0) }) {
          withStandardArithmetic { Unmanaged<MarkScan>.fromOpaque(me).takeUnretainedValue().see(buffer, on: pad) }
        }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  deinit {
    gst_element_set_state(pipeline, GST_STATE_NULL)
    gst_object_unref(pipeline)
  }

  /// `progress` is shown meanwhile.
  func run(_ progress: Progress) throws {
    var progress = progress
    let bus = gst_element_get_bus(pipeline)
    defer { gst_object_unref(bus) }
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    defer { gst_element_set_state(pipeline, GST_STATE_NULL) }
    let types = GstMessageType(rawValue: GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue)
    while true {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, types) {
        defer { gst_message_unref(message) }
        guard message.pointee.type != GST_MESSAGE_ERROR else {
          throw Failure("cannot decode \(media.path): \(text(of: message))")
        }
        break
      }
      progress.show(seconds)
    }
    gst_element_set_state(pipeline, GST_STATE_NULL)
    reader.finish()
  }

  private func see(_ buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) {
    guard let time = runningTime(of: buffer, on: pad), let caps = gst_pad_get_current_caps(pad) else { return }
    defer { gst_caps_unref(caps) }
    var (info, map) = (GstVideoInfo(), GstVideoFrame())
    guard gst_video_info_from_caps(&info, caps) != 0, gst_video_frame_map(&map, &info, buffer, GST_MAP_READ) != 0
    else { return }
    defer { gst_video_frame_unmap(&map) }
    guard let view = FrameView(map) else { return }
    reader.look(view, at: Double(time) / 1e9)
    position.store(UInt64(time), ordering: .relaxed)
  }
}
