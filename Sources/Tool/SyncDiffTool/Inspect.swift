// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import SyncDiff
import Tensors

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Reports what a file contains and what syncdiff dub would make of it.",
    discussion: """
      Streams, length, faces, and what the result could not preserve. Reads the whole picture, which takes a while, unless \
      --no-faces is given. JSON: {"path", "container", "seconds", "pictures": [{"width", "height", "rate", "format", "colours", \
      "interlaced", "alpha", "hdr"}], "sounds": [{"codec", "rate", "channels", "language"}], "subtitles", "chapters", "faces": {"frames", \
      "seen" and "paintable" (frames with a face, and with one that is large, turned to the camera and clear enough), "most" (at a \
      time)} or null, "credentials" (the file's C2PA manifests and whether they hold, as the C2PA library reports it, or an "error"; see "syncdiff dub"), \
      "kept" (the format dubbed and written), "losses" and "warnings": [a line each], "usable" (whether dub would take the picture), \
      "why" (if not)}.

      The options are those of syncdiff dub that decide what is written. --audio-track and --once, which choose the new sound and how \
      faces are learned, change nothing here and are not taken.

      \(Download.help)

      Exit status: 0 it can be dubbed; otherwise the status with which syncdiff dub would end, such as 66 or 73, but never its 3 or 4.
      """)

  @Argument(help: ArgumentHelp("File or URL: anything GStreamer can decode.", valueName: "file"), completion: .file())
  var file: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(inversion: .prefixedNo, help: "Look for faces.")
  var faces = true

  @OptionGroup var format: FormatOptions

  /// Faces in the frames of a video.
  private struct Faces {
    let frames, seen, paintable, most: Int

    init(_ sights: [Learner.Observation]) {
      (frames, most) = (sights.count, sights.map(\.faces).max() ?? 0)
      (seen, paintable) = (sights.count { $0.faces > 0 }, sights.count(where: \.isUsable))
    }
  }

  /// What is told of a file beside its streams.
  private struct Findings {
    var signed: JSON?
    var faces: Faces?
    var kept: String?
    var losses: [String] = []
    var warnings: [String] = []
    /// Why it cannot be dubbed.
    var why: Failure?
  }

  func run() throws {
    gst_init(nil, nil)
    Interrupt.arm()
    let media = try Media(path: file)
    var found = Findings()
    do {
      let (encoding, _, losses) = try format.plan(for: media, output: "")
      found.losses = losses
      found.kept = "\(encoding.container.rawValue), \(encoding.video.rawValue), \(encoding.layout.text)"
    } catch let failure as Failure {
      found.why = failure
    }
    if faces, found.why == nil {
      let look = Look(
        picture: media, model: try loadModel(nil), threads: 0, part: format.part, deinterlaced: format.deinterlace)
      let report = Report(isQuiet: json)
      _ = try look.run(report.progress("look", of: media.duration, marks: false))
      report.closeLine()
      found.faces = Faces(look.sights.map(\.sight))
      found.warnings = look.notes
    }
    if found.faces == nil, let end = media.missingEnd { found.warnings.append(end) }
    found.signed = media.isFile ? (try? C2PA()).flatMap { manifests(of: media, $0) } : nil
    print(json ? record(media, found).text : text(media, found))
    if let why = found.why { throw ExitCode(why.status.rawValue) }
  }

  private func text(_ media: Media, _ found: Findings) -> String {
    var lines = ["\(media.path): \(media.container)\(media.duration.map { ", \(tenths($0)) s" } ?? "")"]
    lines += media.pictures.map { picture in
      var words = ["picture: \(picture.width) x \(picture.height)", picture.isRGB ? "RGB" : picture.layout.text]
      if picture.rate.value > 0 { words.append("\(hundredths(picture.rate.value)) frames a second") }
      words.append("colours \(picture.colours.name)")
      if picture.isInterlaced { words.append("interlaced") }
      if picture.colours.isHDR { words.append("HDR") }
      if picture.orientation != .upright { words.append("stored turned") }
      return words.joined(separator: ", ")
    }
    lines += media.sounds.map { sound in
      "sound: \(sound.codec.map { "\($0), " } ?? "")\(sound.rate) Hz, channels: \(sound.channels)"
        + (sound.language.map { ", language: \($0)" } ?? "")
    }
    if media.subtitles > 0 { lines.append("subtitles: \(media.subtitles)") }
    if media.hasChapters { lines.append("chapters") }
    if let faces = found.faces, faces.seen > 0 {
      let (seen, paintable) = (100 * faces.seen / faces.frames, 100 * faces.paintable / faces.frames)
      lines.append(
        "faces: \(faces.most) at a time, in \(seen) % of \(faces.frames) frames; large, turned to the camera and clear enough for a new "
          + "mouth in \(paintable) %")
    } else if found.faces != nil {
      lines.append("faces: none")
    }
    if let signed = found.signed { lines.append("signed (C2PA): \(signature(signed))") }
    if let kept = found.kept { lines.append("would be written as: \(kept)") }
    lines += found.losses.map { "would be lost: \($0)" }
    lines += found.warnings
    if let why = found.why { lines.append("cannot be dubbed: \(why.description)") }
    return lines.map(\.onOneLine).joined(separator: "\n")
  }

  /// Nil if there are none; a member `error` says why they cannot be read.
  private func manifests(of media: Media, _ library: C2PA) -> JSON? {
    do {
      return try library.manifests(of: media.path, as: media.container)
    } catch {
      return .object(["error": .string((error as? C2PA.Problem)?.text ?? "\(error)")])
    }
  }

  /// Whether the newest manifest is valid, and whose certificate signed it.
  private func signature(_ manifests: JSON) -> String {
    func member(_ json: JSON?, _ name: String) -> JSON? {
      guard case .object(let members)? = json else { return nil }
      return members[name]
    }
    if let reason = member(manifests, "error") { return "cannot be read: \(reason.plain)" }
    let newest = member(manifests, "active_manifest").flatMap { member(member(manifests, "manifests"), $0.plain) }
    let signer = member(newest, "signature_info")
    let names = ["issuer", "common_name"].compactMap { member(signer, $0)?.plain }
    return ([member(manifests, "validation_state")?.plain ?? "unknown"] + names).joined(separator: ", ")
  }

  private func record(_ media: Media, _ found: Findings) -> JSON {
    let pictures = media.pictures.map { picture in
      JSON.object([
        "width": .integer(picture.width), "height": .integer(picture.height), "rate": .number(picture.rate.value),
        "format": .string(picture.isRGB ? "RGB" : picture.layout.text), "colours": .string(picture.colours.name),
        "interlaced": .bool(picture.isInterlaced), "alpha": .bool(picture.hasAlpha),
        "hdr": .bool(picture.colours.isHDR),
      ])
    }
    let sounds = media.sounds.map { sound in
      JSON.object([
        "codec": sound.codec.map { .string($0) } ?? .null, "rate": .integer(sound.rate),
        "channels": .integer(sound.channels),
        "language": sound.language.map { .string($0) } ?? .null,
      ])
    }
    return .object([
      "path": .string(media.path), "container": .string(media.container),
      "seconds": media.duration.map { .number($0) } ?? .null, "pictures": .array(pictures), "sounds": .array(sounds),
      "subtitles": .integer(media.subtitles), "chapters": .bool(media.hasChapters),
      "faces": found.faces.map {
        .object([
          "frames": .integer($0.frames), "seen": .integer($0.seen), "paintable": .integer($0.paintable),
          "most": .integer($0.most),
        ])
      } ?? .null,
      "credentials": found.signed ?? .null, "kept": found.kept.map { .string($0) } ?? .null,
      "losses": .array(found.losses.map { .string($0) }), "warnings": .array(found.warnings.map { .string($0) }),
      "usable": .bool(found.why == nil), "why": found.why.map { .string($0.description) } ?? .null,
    ])
  }
}
