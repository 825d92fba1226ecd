// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Glibc
import SyncDiff
import SyncDiffElement

struct Learn: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Learns a person's mouth from footage.",
    discussion: """
      Writes a file of at most 16 MB for --presenter of syncdiff dub and for the element's property presenter. It holds mouths of the \
      person, so that full quality is there from the first frame. Ten seconds of the person speaking are enough. The face \
      tracked longest without a cut counts.

      \(Download.help)
      """)

  @Argument(
    help: ArgumentHelp("File or URL: anything GStreamer can decode.", valueName: "footage"), completion: .file())
  var footage: String

  @Option(name: .shortAndLong, help: ArgumentHelp("File to write.", valueName: "name.presenter"), completion: .file())
  var output: String

  @Option(help: "Model file. Default: $SYNCDIFF_MODEL, then the one shipped with syncdiff.", completion: .file())
  var model: String?

  @Option(help: "Threads per frame, 0 = one per core.")
  var threads: UInt32 = 0

  private static let least = 1.0  // seconds with a face

  func validate() throws {
    guard threads <= 256 else { throw ValidationError("--threads must be 0 to 256.") }
  }

  func run() throws {
    gst_init(nil, nil)
    Interrupt.arm()
    let report = Report()
    let picture = try Media(path: footage)
    try picture.requirePicture()
    guard !picture.isStill else { throw Failure("\(footage) is a still picture, not a video", .badInput) }
    let file = try Output(output, inputs: [footage])
    let model = try loadModel(self.model)
    let began = ContinuousClock.now
    let learner = try Look(picture: picture, model: model, threads: Int(threads)).run(
      report.progress("look", of: picture.duration, marks: false))
    report.closeLine()
    guard learner.faces > 0 else { throw Failure("no face was found in \(footage)") }
    let seconds = learner.secondsOfFace
    guard seconds > 0, let presenter = learner.presenter else {
      throw Failure(
        "the face in \(footage) shows too little of its mouth: it is less than 48 px wide, turned away, covered, or half "
          + "outside")
    }
    guard seconds >= Self.least else {
      throw Failure("\(footage) shows a face for \(tenths(seconds)) s only; one second is needed, ten are good")
    }
    try file.write(presenter.written(for: model))
    try file.finish()
    let spent = (ContinuousClock.now - began) / .seconds(1)
    say(
      "\(output): \(mouths(presenter.count)), the widest open by \(hundredths(Double(presenter.widest))) of the distance of the "
        + "eyes' outer corners, from \(tenths(seconds)) s of a face, in \(tenths(spent)) s")
  }
}

func mouths(_ count: Int) -> String { count == 1 ? "1 mouth" : "\(count) mouths" }

/// The model at `path`, or the one that the element would load by default.
func loadModel(_ path: String?, precision: Precision = .auto) throws -> Model {
  do {
    return try Model.load(path: path ?? defaultModel(), precision: precision)
  } catch {
    throw Failure(error.description)
  }
}
