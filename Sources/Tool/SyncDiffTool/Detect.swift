// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Faces
import SyncDiff
import Tensors

struct Detect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Looks for the invisible mark that syncdiff leaves in the mouths it paints.",
    discussion: """
      Reports where a mark is, what it says and how certain that is; fewer than one unmarked file in a million shows one by chance. JSON: \
      {"path", "seconds" (looked at), "marks": [{"face" (its number in the file), "from", "to" (seconds), "box" (x, y, width, height of \
      the face at the end, px), "version" (of the syncdiff that painted), "model" (last byte of its model's checksum), "id" (the user's \
      number), "score" (standard deviations of chance), "false_alarm" (less than this is the probability that it is chance)}]}. Exit \
      status: 0 with a mark, 3 without.

      \(Download.help)
      """)

  @Argument(help: ArgumentHelp("File or URL: anything GStreamer can decode.", valueName: "file"), completion: .file())
  var file: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Option(help: ArgumentHelp("Key of the marks, if not the public one.", valueName: "text"))
  var watermarkKey: String?

  @Option(
    help: "Model file, for its face detector. Default: $SYNCDIFF_MODEL, then the one shipped with syncdiff.",
    completion: .file())
  var model: String?

  func run() throws {
    gst_init(nil, nil)
    Interrupt.arm()
    let media = try Media(path: file)
    try media.requirePicture(deinterlaced: true)
    var reader = try loadModel(model).markReader(key: watermarkKey)
    let scan = try Scan(media, deinterlaced: true) { frame, time in
      reader.look(frame, at: Double(time.nanoseconds) / 1e9)
      return true
    }
    let report = Report(isQuiet: json)
    try scan.run(report.progress("look", of: media.duration, marks: false))
    report.closeLine()
    reader.finish()
    print(json ? record(reader.found, scan.seconds).text : text(reader.found, scan.seconds))
    if reader.found.isEmpty { throw ExitCode(ExitStatus.noFace.rawValue) }
  }

  private func text(_ marks: [FoundMark], _ seconds: Double) -> String {
    guard !marks.isEmpty else { return "\(file): no mark in \(tenths(seconds)) s" }
    return marks.map { mark in
      let chance = mark.falseAlarm < 1e-30 ? "1e-30" : exponential(mark.falseAlarm)
      let payload = mark.payload
      return "\(tenths(mark.from)) to \(tenths(mark.to)) s, face \(mark.face): painted by syncdiff \(payload.release), "
        + "model \(payload.model), id \(payload.user); chance: less than \(chance)"
    }.joined(separator: "\n")
  }

  private func record(_ marks: [FoundMark], _ seconds: Double) -> JSON {
    .object([
      "path": .string(file), "seconds": .number(seconds),
      "marks": .array(
        marks.map { mark in
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

  /// Formatted as 3e-12.
  private func exponential(_ number: Double) -> String {
    var (digit, power) = (number, 0)
    while digit < 1, power > -300 { (digit, power) = (digit * 10, power - 1) }
    return "\(Int(digit.rounded(.up)))e\(power)"
  }
}
