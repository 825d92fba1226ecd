// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Tensors

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what is in a file, and what syncdiff dub would make of it.",
    discussion: """
      Streams, length, and what the result could not keep. JSON: {"path", "container", "seconds", "pictures": [{"width", \
      "height", "rate", "format", "colours", "interlaced", "alpha", "hdr"}], "sounds": [{"rate", "channels", "language"}], \
      "kept" (the format dubbed and written), "losses": [a line each], "usable" (whether dub would take the picture), "why" (if not)}.
      """)

  @Argument(help: ArgumentHelp("File or URL: anything GStreamer can decode.", valueName: "file"))
  var file: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @OptionGroup var format: FormatOptions

  func run() throws {
    gst_init(nil, nil)
    let media = try Media(path: file)
    var (kept, lost, why): (String?, [String], String?) = (nil, [], nil)
    do {
      try media.requirePicture(deinterlaced: format.deinterlace)
      let encoding = try format.encoding(of: "", for: media)
      kept = "\(encoding.container.rawValue), \(encoding.video.rawValue), \(encoding.layout.text)"
      lost = losses(media, nil, encoding, deinterlaced: format.deinterlace)
    } catch let failure as Failure {
      why = failure.description
    }
    print(json ? record(media, kept, lost, why).text : text(media, kept, lost, why))
  }

  private func text(_ media: Media, _ kept: String?, _ losses: [String], _ why: String?) -> String {
    var lines = ["\(media.path): \(media.container)\(media.duration.map { ", \(tenths($0)) s" } ?? "")"]
    lines += media.pictures.map { picture in
      var words = ["picture: \(picture.width) x \(picture.height)", picture.isRGB ? "RGB" : picture.layout.text]
      if picture.rate.value > 0 { words.append("\(hundredths(picture.rate.value)) frames a second") }
      words.append("colours \(picture.colours.text)")
      if picture.isInterlaced { words.append("interlaced") }
      if picture.colours.isHDR { words.append("HDR") }
      if picture.orientation != .upright { words.append("stored turned") }
      return words.joined(separator: ", ")
    }
    lines += media.sounds.map { sound in
      "sound: \(sound.rate) Hz, channels: \(sound.channels)" + (sound.language.map { ", language: \($0)" } ?? "")
    }
    if media.isCutOff { lines.append("its end is missing") }
    if let kept { lines.append("would be written as: \(kept)") }
    lines += losses.map { "would be lost: \($0)" }
    if let why { lines.append("cannot be dubbed: \(why)") }
    return lines.joined(separator: "\n")
  }

  private func record(_ media: Media, _ kept: String?, _ losses: [String], _ why: String?) -> JSON {
    let pictures = media.pictures.map { picture in
      JSON.object([
        "width": .integer(picture.width), "height": .integer(picture.height), "rate": .number(picture.rate.value),
        "format": .string(picture.isRGB ? "RGB" : picture.layout.text), "colours": .string(picture.colours.text),
        "interlaced": .bool(picture.isInterlaced), "alpha": .bool(picture.hasAlpha),
        "hdr": .bool(picture.colours.isHDR),
      ])
    }
    let sounds = media.sounds.map { sound in
      JSON.object([
        "rate": .integer(sound.rate), "channels": .integer(sound.channels),
        "language": sound.language.map { .string($0) } ?? .null,
      ])
    }
    return .object([
      "path": .string(media.path), "container": .string(media.container),
      "seconds": media.duration.map { .number($0) } ?? .null, "pictures": .array(pictures), "sounds": .array(sounds),
      "kept": kept.map { .string($0) } ?? .null, "losses": .array(losses.map { .string($0) }),
      "usable": .bool(why == nil), "why": why.map { .string($0) } ?? .null,
    ])
  }
}
