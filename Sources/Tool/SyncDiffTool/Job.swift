// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// What is to be dubbed, and how.
struct Job {
  let picture: Media
  /// One voice, or one for each cue.
  let voices: [Voice]
  let hasCues: Bool
  let part: Part
  let encoding: Encoding
  let deinterlaced: Bool
  /// Level of the video's own audio under a voice, decibels; nil: muted.
  let original: Double?
  /// Whether the result shows the original beside the dub.
  let compares: Bool
  let shown: Picture
  let extend: Extend
  /// Language of the new audio, ISO 639; nil: as its file says.
  let language: String?
  /// What is carried over from the video's file.
  let kept: Kept
  /// What of the video's file is lost, one line each.
  let losses: [String]
  /// Text shown in the video.
  let label: Label?

  /// Throws if the first file has no video, or the second, or where needed the first, has no audio.
  init(
    picture: Media, voices: [Voice], hasCues: Bool, output: String, _ format: FormatOptions, label: Label?
  ) throws {
    (encoding, kept, losses) = try format.plan(for: picture, output: output, hasCues: hasCues)
    guard let shown = picture.pictures.first else { throw Failure("nothing to dub") }
    (self.picture, self.voices, self.hasCues, self.shown, self.label) = (picture, voices, hasCues, shown, label)
    (part, deinterlaced, language) = (format.part, format.deinterlace, format.language)
    (original, compares) = (format.mixOriginal, format.compare)
    extend = picture.isStill ? .freeze : format.extend
    guard extend == .cut || voices[0].media.duration != nil else {
      throw Failure("\(voices[0].media.path) does not say how long it is, so the picture cannot be made as long")
    }
  }

  /// Timecode of the result; nil if it has none.
  var timecode: Timecode? { encoding.container.hasTimecode ? picture.timecode?.later(by: part.from) : nil }

  /// By how much all streams of the result are later than they would be, nanoseconds: so that in MPEG-TS, which cannot say where in
  /// its first packet Opus begins, that can be earlier than the picture.
  var margin: GstClockTime {
    let hasOpus = encoding.audio == .opus || kept.streams.contains(where: \.isOpus)
    return encoding.container == .ts && hasOpus ? Opus.longest : 0
  }

  /// Duration of the result in seconds, if known.
  var length: Double? {
    let shown = picture.duration.map { max(min(part.to ?? $0, $0) - part.from, 0) }
    return extend == .cut ? shown : max(shown ?? 0, spoken)
  }

  /// Duration of the single voice in seconds, if its file states it.
  var spoken: Double { max((voices[0].media.duration ?? 0) - voices[0].sound.delay, 0) }

  /// Whether the audio becomes slower, 48 kHz, since the result cannot say its rate.
  var isResampled: Bool { own == nil && !hasCues && encoding.rates.map { !$0.contains(voices[0].sound.rate) } ?? false }

  /// The video's own audio if it can be heard: under the single voice, or before, between and under the cues.
  var own: Sound? { original == nil && !hasCues ? nil : picture.sounds.first }
}

/// One audio track, and when in the video it is spoken.
struct Voice {
  let media: Media
  let sound: Sound
  /// Index of the audio track in its file, from 0.
  let track: Int
  /// Seconds in the video; nil `end`: until the shorter of the two ends.
  var start = 0.0
  var end: Double?
  var face: Cue.Face?

  /// `number`: of the audio track in its file, from 1; nil: the first.
  init(_ media: Media, number: Int? = nil) throws {
    try media.requireSound()
    track = (number ?? 1) - 1
    guard media.sounds.indices.contains(track) else {
      throw Failure(
        media.sounds.count == 1
          ? "\(media.path) has one sound track: --audio-track must be 1"
          : "\(media.path) has \(media.sounds.count) sound tracks: --audio-track must be 1 to \(media.sounds.count)")
    }
    (self.media, sound) = (media, media.sounds[track])
    guard Self.rates.contains(sound.rate) else {
      throw Failure(
        "\(media.path) has \(sound.rate) samples a second; \(Self.rates.lowerBound) to \(Self.rates.upperBound) can be heard"
      )
    }
  }

  /// Those that the element takes, Hz.
  private static let rates = 8000...384_000

  init(_ cue: Cue, in media: Media) throws {
    self = try Voice(media)
    (start, end, face) = (cue.start, cue.end, cue.face)
  }
}
