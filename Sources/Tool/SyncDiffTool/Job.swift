// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// What is to be dubbed, and how.
struct Job {
  let picture: Media
  /// One, or where there are cues, one for each.
  let voices: [Voice]
  let hasCues: Bool
  let part: Part
  let encoding: Encoding
  let deinterlaced: Bool
  /// Decibels that the picture's own sound has under a voice; nil: none of it.
  let original: Double?
  /// Whether the result shows the original beside.
  let compares: Bool
  let shown: Picture
  let extend: Extend
  /// Of the new sound, ISO 639; nil: as its file says.
  let language: String?
  /// What of the picture's file is carried over.
  let kept: Kept
  /// What stands in the picture.
  let label: Label?

  /// Throws if there is no picture in the one, or no sound in the other or, where it is wanted, in the first.
  init(
    picture: Media, voices: [Voice], hasCues: Bool, output: String, _ format: FormatOptions, label: Label?
  ) throws {
    try picture.requirePicture(deinterlaced: format.deinterlace)
    if format.mixOriginal != nil { try picture.requireSound() }
    guard let shown = picture.pictures.first else { throw Failure("nothing to dub") }
    (self.picture, self.voices, self.hasCues, self.shown, self.label) = (picture, voices, hasCues, shown, label)
    encoding = try format.encoding(of: output, for: picture)
    (part, deinterlaced, language) = (format.part, format.deinterlace, format.language)
    (original, compares) = (format.mixOriginal, format.compare)
    extend = picture.isStill ? .freeze : format.extend
    kept = try format.kept(of: picture, in: encoding)
    guard extend == .cut || voices[0].media.duration != nil else {
      throw Failure("\(voices[0].media.path) does not say how long it is, so the picture cannot be made as long")
    }
  }

  /// Of the result; nil if it has none.
  var timecode: Timecode? { encoding.container.hasTimecode ? picture.timecode?.later(by: part.from) : nil }

  /// Seconds of the result, if it is known.
  var length: Double? {
    let shown = picture.duration.map { max(min(part.to ?? $0, $0) - part.from, 0) }
    return extend == .cut ? shown : max(shown ?? 0, spoken)
  }

  /// Seconds of the one voice, where its file says it.
  var spoken: Double { max((voices[0].media.duration ?? 0) - voices[0].sound.delay, 0) }

  /// The picture's own sound where it is heard: under the one voice, or before, between, and under the cues.
  var own: Sound? { original == nil && !hasCues ? nil : picture.sounds.first }
}

/// One sound, and where in the picture it is spoken.
struct Voice {
  let media: Media
  let sound: Sound
  /// Which of its file's sounds, from 0 on.
  let track: Int
  /// Seconds of the picture; nil: as long as both last.
  var start = 0.0
  var end: Double?
  var face: Cue.Face?

  /// `number`: of the sound in its file, from 1 on; nil: the first.
  init(_ media: Media, number: Int? = nil) throws {
    try media.requireSound()
    track = (number ?? 1) - 1
    guard media.sounds.indices.contains(track) else {
      throw Failure(
        "\(media.path) has \(media.sounds.count) sound tracks, so --audio-track is 1 to \(media.sounds.count)")
    }
    (self.media, sound) = (media, media.sounds[track])
  }

  init(_ cue: Cue) throws {
    self = try Voice(Media(path: cue.sound))
    (start, end, face) = (cue.start, cue.end, cue.face)
  }
}
