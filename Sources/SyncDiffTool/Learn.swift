// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Glibc
import SyncDiff
import SyncDiffElement

struct Learn: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gets to know a person's mouth from footage.",
    discussion: """
      The result is a file of at most 16 MB for the option --presenter of syncdiff dub and the property presenter of the element: \
      mouths of a person, so that none of them has to be seen before it can be shown. Some ten seconds in which the person \
      speaks are enough. The face that is followed longest counts; a cut ends that.
      """)

  @Argument(help: ArgumentHelp("File with the picture: anything GStreamer can decode.", valueName: "footage"))
  var footage: String

  @Option(name: .shortAndLong, help: ArgumentHelp("File to write.", valueName: "name.presenter"))
  var output: String

  @Option(help: "Model file. Without it: $SYNCDIFF_MODEL, else the one that came with syncdiff.")
  var model: String?

  @Option(help: "Threads that compute one frame, 0 = one per core.")
  var threads: UInt32 = 0

  private static let least = 1.0  // seconds of a face

  func validate() throws {
    guard threads <= 256 else { throw ValidationError("--threads is 0 to 256.") }
  }

  func run() throws {
    gst_init(nil, nil)
    let picture = try Media(path: footage)
    try picture.requirePicture()
    if PartialFile.overwrites(footage, at: output) { throw Failure("cannot write \(output): it is the footage") }
    let file = try PartialFile(for: output)
    let model = try loadModel(self.model)
    let began = g_get_monotonic_time()
    let learner = try Look(picture: picture, model: model, threads: Int(threads)).run(
      Progress(duration: picture.duration, marks: false))
    guard learner.faces > 0 else { throw Failure("no face was found in \(footage)") }
    let seconds = learner.secondsOfFace
    guard seconds > 0, let presenter = learner.presenter else {
      throw Failure(
        "the face in \(footage) shows too little of its mouth: it is less than 48 px wide, turned away, covered, or half "
          + "outside")
    }
    guard seconds >= Self.least else {
      throw Failure("\(footage) shows a face for \(tenths(seconds)) s only; a second is the least, ten are good")
    }
    try file.write(presenter.written(for: model))
    try file.finish()
    let spent = Double(g_get_monotonic_time() - began) / 1e6
    say(
      "\(output): \(mouths(presenter.count)), the widest open by \(hundredths(Double(presenter.widest))) of the distance of the "
        + "eyes' outer corners, from \(tenths(seconds)) s of a face, in \(tenths(spent)) s")
  }
}

func mouths(_ count: Int) -> String { count == 1 ? "1 mouth" : "\(count) mouths" }

/// The model at `path`, or the one that the element would load.
func loadModel(_ path: String?, precision: Precision = .auto) throws -> Model {
  do {
    return try Model.load(path: path ?? defaultModel(), precision: precision)
  } catch {
    throw Failure(error.description)
  }
}

/// A file that is there once it is whole; until then what is written has the name with ".part".
final class PartialFile {
  let path: String
  var partial: String { "\(path).part" }
  private var isFinished = false

  /// Whether a file at `path` would be written over `input`, under its own name or the one that it has before.
  static func overwrites(_ input: String, at path: String) -> Bool {
    [path, "\(path).part"].contains { areOneFile(input, $0) }
  }

  /// Throws when it cannot be written.
  init(for path: String) throws {
    self.path = path
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      throw Failure("cannot write \(path): it is a folder")
    }
    let file = open("\(path).part", O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw Failure("cannot write \(path): \(String(cString: strerror(errno)))") }
    close(file)
  }

  deinit { if !isFinished { unlink(partial) } }

  /// All that it holds.
  func write(_ bytes: [UInt8]) throws {
    guard let file = fopen(partial, "we") else { throw failure }
    let isWhole = fwrite(bytes, 1, bytes.count, file) == bytes.count
    guard fclose(file) == 0, isWhole else { throw failure }
  }

  func finish() throws {
    guard rename(partial, path) == 0 else { throw failure }
    isFinished = true
  }

  private var failure: Failure { Failure("cannot write \(path): \(String(cString: strerror(errno)))") }
}
