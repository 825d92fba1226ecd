// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// What the endings of file names, in lower case, say of files.
enum Ending {
  /// A file name's; nil if it has none.
  static func of(_ name: String) -> String? {
    name.split(separator: "/").last?.split(separator: ".").dropFirst().last?.lowercased()
  }

  /// Of what can be written.
  static let containers: [String: Container] = [
    "mp4": .mp4, "m4v": .mp4, "mov": .mov, "qt": .mov, "mkv": .mkv, "mka": .mkv, "webm": .webm, "ts": .ts, "m2ts": .ts,
    "mts": .ts,
  ]

  /// Of files with a picture.
  static let pictures = films.union(["jpg", "jpeg", "png"])

  /// Of files with a sound.
  static let sounds = films.union([
    "aac", "aif", "aiff", "flac", "m4a", "mka", "mp3", "oga", "ogg", "opus", "wav",
  ])

  /// Of files that may hold both.
  private static let films = Set(containers.keys).subtracting(["mka"]).union(["avi", "mpg", "mpeg", "mxf"])
}
