// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import CGStreamerTools
import Glibc
import GstSyncDiff
import SyncDiff

struct Dub: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dubs a file: its picture speaks the sound of another one.",
    discussion: """
      The result is an MP4 file (H.264, AAC) with the frames and timestamps of VIDEO and the sound of AUDIO. Sound that \
      VIDEO has itself is left out. Where AUDIO is shorter, the rest of the picture stays as it was, without sound; where it is \
      longer, it is cut. VIDEO is looked through before: if it shows one face all the time, mouths of later frames can be shown in \
      earlier ones. The file carries a comment that says it was made by AI.

      Ctrl-C ends early and leaves a playable file, or none while VIDEO is looked through.
      """)

  @Option(help: ArgumentHelp("File with the picture: anything GStreamer can decode.", valueName: "video"))
  var video: String

  @Option(help: ArgumentHelp("File with the sound: anything GStreamer can decode.", valueName: "audio"))
  var audio: String

  @Option(name: .shortAndLong, help: ArgumentHelp("MP4 file to write.", valueName: "out.mp4"))
  var output: String

  @Option(help: "Model file. Without it: $SYNCDIFF_MODEL, else the one that came with syncdiff.")
  var model: String?

  @Option(
    help: ArgumentHelp("What syncdiff learn wrote of the person in the picture.", valueName: "name.presenter"))
  var presenter: String?

  @Flag(help: "Do not look through the picture before.")
  var once = false

  @Option(help: "Denoising steps a frame. Without it: the model's own.")
  var steps: UInt32?

  @Option(help: "Blend of the new mouth over the original, 0 to 1.")
  var strength = 1.0

  @Option(help: "Seed of the noise that the mouths are made from.")
  var seed: UInt64 = 0

  @Option(help: "Threads that compute one frame, 0 = one per core.")
  var threads: UInt32 = 0

  @Option(help: "Number format of the networks.")
  var precision = Precision.auto

  enum Precision: String, ExpressibleByArgument, CaseIterable {
    case auto, f32, bf16

    /// Of the networks.
    var format: SyncDiff.Precision {
      switch self {
      case .auto: .auto
      case .f32: .f32
      case .bf16: .bf16
      }
    }
  }

  func validate() throws {
    guard (0...1).contains(strength) else { throw ValidationError("--strength is a number from 0 to 1.") }
    guard steps.map({ (1...1000).contains($0) }) ?? true else { throw ValidationError("--steps is 1 to 1000.") }
    guard threads <= 256 else { throw ValidationError("--threads is 0 to 256.") }
  }

  func run() throws {
    gst_init(nil, nil)
    guard gst_element_register_syncdiff(nil) != 0 else { throw Failure("the element syncdiff cannot be registered") }
    let picture = try Media(path: video)
    try picture.requirePicture()
    let sound = try Media(path: audio)
    try sound.requireSound()
    for input in [video, audio] where PartialFile.overwrites(input, at: output) {
      throw Failure("cannot write \(output): it is one of the inputs")
    }

    let dubbing = try Dubbing(picture: picture, sound: sound, output: output)
    dubbing.set("precision", precision.rawValue)
    dubbing.set("threads", "\(threads)")
    dubbing.set("strength", "\(strength)")
    dubbing.set("seed", "\(seed)")
    if let model { dubbing.set("model", model) }
    if let steps { dubbing.set("steps", "\(steps)") }
    var known: UnsafeMutablePointer<FILE>?
    defer { if let known { fclose(known) } }
    try dubbing.run {
      if let presenter {
        dubbing.set("presenter", presenter)
      } else if !once {
        known = try look(through: picture)
        if let known { dubbing.set("presenter", "/proc/self/fd/\(fileno(known))") }
      }
    }
  }

  /// A file without a name that holds the mouths of the picture, if it is one shot of one face: in another shot the same place may be
  /// another person's.
  private func look(through picture: Media) throws -> UnsafeMutablePointer<FILE>? {
    let began = g_get_monotonic_time()
    let model = try loadModel(model, precision: precision.format)
    let learner = try Look(picture: picture, model: model, threads: Int(threads), isQuick: true).run(
      Progress(duration: picture.duration, marks: false))
    let spent = tenths(Double(g_get_monotonic_time() - began) / 1e6)
    guard learner.faces == 1, let presenter = learner.presenter, let file = tmpfile() else {
      say(
        "Looked through \(picture.path) in \(spent) s: not one face all the time, so mouths are learned on the way.")
      return nil
    }
    let bytes = presenter.written(for: model)
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
      fclose(file)
      throw Failure("cannot write a temporary file: \(String(cString: strerror(errno)))")
    }
    say("Looked through \(picture.path) in \(spent) s: \(mouths(presenter.count)).")
    return file
  }
}

/// One clear line that ends the program.
struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Whether two paths lead to one file; false when there is none.
func areOneFile(_ a: String, _ b: String) -> Bool {
  var (first, second) = (stat(), stat())
  guard stat(a, &first) == 0, stat(b, &second) == 0 else { return false }
  return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
}
