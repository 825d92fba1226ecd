// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// What the inputs have and the result will not, one line each. The video's own audio is not included: replacing it is the
/// purpose of dubbing.
func losses(of job: Job) -> [String] {
  var losses = losses(
    of: job.picture, in: job.encoding, job.kept, deinterlaced: job.deinterlaced, mixed: job.own != nil)
  func lose(_ media: Media, _ text: String) { losses.append("\(media.path): \(text)") }
  let encoding = job.encoding
  for voice in job.voices {
    let (audio, sound) = (voice.media, voice.sound)
    if audio.sounds.count > 1, voice.track == 0 {
      lose(audio, "of \(audio.sounds.count) sound tracks the first is used")
    }
    let (channels, most) = (sound.channels, encoding.channels)
    if job.own != nil || job.hasCues {
      if channels > 2 { lose(audio, "\(channels) channels are mixed to two, with the others") }
    } else if sound.becomesPairs(in: encoding) {
      lose(audio, "\(channels) channels without positions are mixed to two: odd ones left, even ones right")
    } else if sound.becomesSurround(in: encoding) {
      lose(audio, "\(channels) channels are mixed to 5.1")
    } else if channels > most {
      lose(audio, "\(channels) channels are mixed to \(most), the most that \(encoding.audio.rawValue) holds here")
    }
  }
  return losses
}

/// `mixed`: whether the video's first audio track is heard in the result.
func losses(of video: Media, in encoding: Encoding, _ kept: Kept, deinterlaced: Bool, mixed: Bool = false) -> [String] {
  var losses: [String] = []
  func lose(_ text: String) { losses.append("\(video.path): \(text)") }
  guard let picture = video.pictures.first else { return [] }

  if video.pictures.count > 1 {
    lose("of \(video.pictures.count) pictures the first is dubbed, the others are left out")
  }
  if kept.isWanted {
    for stream in kept.misfits {
      lose("\(encoding.container.rawValue) does not hold \(stream.kind), which is left out")
    }
  } else {
    if video.sounds.count > 1 {
      lose(
        mixed
          ? "of its \(video.sounds.count) sound tracks the first is mixed in, the others are left out; --keep keeps them"
          : "its \(video.sounds.count) sound tracks are left out, not only the first; --keep keeps them")
    }
    if video.subtitles > 0 { lose("its subtitles are left out; --keep keeps them") }
  }
  if video.hiddenTracks > 0 {
    lose(
      "\(video.hiddenTracks) of its sound tracks and subtitles last less than a fifth of it, which GStreamer does not read; they are left out"
    )
  }
  if video.hasChapters, kept.chapters == nil { lose("its chapters are left out") }
  if video.hasTimecode, !encoding.container.hasTimecode || video.timecode == nil {
    lose("its timecode is left out\(video.timecode == nil ? "" : "; mov keeps it")")
  }
  for stream in video.unknown where !kept.isWanted {
    lose("a stream that GStreamer cannot decode is left out: \(stream)")
  }

  let (from, to) = (picture.layout, encoding.layout)
  if picture.hasCaptions, encoding.video != .h264 {
    lose("its closed captions are left out; --video-codec h264 keeps them")
  }
  if let views = picture.views { lose("it is stereoscopic (\(views)), which the result does not say") }
  if picture.hasAlpha { lose("transparency is left out") }
  if picture.isRGB {
    lose("RGB becomes \(to.text)")
  } else if from.depth > to.depth || from.chroma > to.chroma {
    lose("\(from.text) becomes \(to.text)")
  }
  if deinterlaced, picture.isInterlaced {
    let depth = from.depth > 8 ? ", in 8 bits" : ""
    lose("deinterlaced: of every two fields the upper one is kept\(depth)")
  }
  if video.hasDolbyVision { lose("Dolby Vision is left out, what it is based on stays") }
  if picture.orientation == nil {
    lose("it asks to be turned by an angle that is no quarter of a turn; it stays as stored")
  }
  return losses
}
