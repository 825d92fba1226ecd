// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Several lines in one video: a list of which face speaks which audio, and when.

import ArgumentParser

struct Cue {
  /// Seconds in the video.
  let start, end: Double
  /// Path or URL.
  let sound: String
  /// Nil: as the options say.
  let face: Face?

  enum Face {
    case select(ElementOptions.FaceSelect)
    /// x, y, width, height in pixels.
    case box([UInt32])

    init?(_ text: String) {
      if let select = ElementOptions.FaceSelect(rawValue: text) {
        self = .select(select)
      } else if let box = ElementOptions.box(text) {
        self = .box(box)
      } else {
        return nil
      }
    }
  }

  private init(_ row: Row) throws {
    let known = ["start", "end", "sound", "face"]
    var cells: [String: String] = [:]
    for (name, text) in row.cells where !text.isEmpty {
      guard known.contains(name) else {
        throw ValidationError("\(row.name): there is no \(name); there are \(known.joined(separator: ", ")).")
      }
      cells[name] = text
    }
    func time(_ name: String) throws -> Double {
      guard let value = cells[name].flatMap({ try? seconds(from: $0) }) else {
        throw ValidationError("\(row.name): \(name) must be a number of seconds from 0 on, or h:mm:ss.")
      }
      return value
    }
    (start, end) = (try time("start"), try time("end"))
    guard end > start else { throw ValidationError("\(row.name): end is not after start.") }
    guard let sound = cells["sound"] else { throw ValidationError("\(row.name) has no sound.") }
    self.sound = sound
    face = try cells["face"].map { text in
      guard let face = Face(text) else {
        throw ValidationError("\(row.name): face must be largest, center, left, right, all or x,y,w,h in pixels.")
      }
      return face
    }
  }

  /// Sorted by start. Throws if the file is not a list of cues, or if two of them overlap.
  static func load(path: String) throws -> [Cue] {
    let cues = try table(at: path).map { (name: $0.name, cue: try Cue($0)) }.sorted { $0.cue.start < $1.cue.start }
    for (before, after) in zip(cues, cues.dropFirst()) where after.cue.start < before.cue.end {
      throw ValidationError("\(after.name) begins before \(before.name) ends.")
    }
    return cues.map(\.cue)
  }
}
