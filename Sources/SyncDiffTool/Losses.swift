// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// What the inputs have and the result will not, a line each. The sound of the video is not among it: leaving that out is
/// what dubbing is.
func losses(_ video: Media, _ audio: Media?, _ encoding: Encoding, deinterlaced: Bool, mixed: Bool = false) -> [String]
{
  var losses: [String] = []
  func lose(_ media: Media, _ text: String) { losses.append("\(media.path): \(text)") }
  guard let picture = video.pictures.first else { return [] }

  if video.pictures.count > 1 {
    lose(video, "of \(video.pictures.count) pictures the first is dubbed, the others are left out")
  }
  if video.sounds.count > 1 {
    lose(
      video,
      mixed
        ? "of its \(video.sounds.count) sound tracks the first is mixed in, the others are left out"
        : "its \(video.sounds.count) sound tracks are left out, not only the first")
  }
  if video.subtitles > 0 { lose(video, "its subtitles are left out") }
  if video.hasChapters { lose(video, "its chapters are left out") }
  if video.hasTimecode { lose(video, "its timecode is left out") }
  for stream in video.unknown { lose(video, "a stream that GStreamer cannot decode is left out: \(stream)") }

  let (from, to) = (picture.layout, encoding.layout)
  if picture.hasAlpha { lose(video, "transparency is left out") }
  if picture.isRGB {
    lose(video, "RGB becomes \(to.text)")
  } else if from.depth > to.depth || from.chroma > to.chroma {
    lose(video, "\(from.text) becomes \(to.text)")
  }
  if deinterlaced, picture.isInterlaced {
    let depth = from.depth > 8 ? ", in 8 bits" : ""
    lose(video, "deinterlaced: of every two fields the upper one is kept\(depth)")
  }
  if video.hasDolbyVision { lose(video, "Dolby Vision is left out, what it is based on stays") }
  if picture.orientation == nil {
    lose(video, "it asks to be turned by an angle that is no quarter of a turn; it stays as stored")
  }

  guard let audio, let sound = audio.sounds.first else { return losses }
  if audio.sounds.count > 1 { lose(audio, "of \(audio.sounds.count) sound tracks the first is used") }
  let (channels, most) = (sound.channels, encoding.channels)
  if sound.becomesPairs(in: encoding) {
    lose(audio, "\(channels) channels without positions are mixed to two: odd ones left, even ones right")
  } else if mixed, channels > 2 {
    lose(audio, "\(channels) channels are mixed to two, with the original's")
  } else if sound.becomesSurround(in: encoding) {
    lose(audio, "\(channels) channels are mixed to 5.1")
  } else if channels > most {
    lose(audio, "\(channels) channels are mixed to \(most), the most that \(encoding.audio.rawValue) holds here")
  }
  return losses
}
