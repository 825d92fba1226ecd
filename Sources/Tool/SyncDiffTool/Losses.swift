// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// What the inputs have and the result will not, one line each. The video's own audio is not included: replacing it is the
/// purpose of dubbing.
func losses(of job: Job) -> [String] {
  var losses = job.losses
  func lose(_ media: Media, _ text: String) { losses.append("\(media.path): \(text)") }
  let encoding = job.encoding
  if let end = job.picture.duration {
    for voice in job.voices where job.hasCues && voice.start >= end {
      lose(voice.media, "is to begin at \(tenths(voice.start)) s, after the picture's end; it is not heard")
    }
  }
  for voice in job.voices {
    let (audio, sound) = (voice.media, voice.sound)
    if audio.sounds.count > 1, voice.track == 0 {
      lose(audio, "of \(audio.sounds.count) sound tracks the first is used")
    }
    let (channels, most) = (sound.channels, encoding.channels)
    if job.isResampled {
      lose(audio, "its \(sound.rate) Hz become 48000 Hz, as mov holds PCM of up to 65535 Hz; mkv keeps them")
    }
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
func losses(
  of video: Media, in encoding: Encoding, _ kept: Kept, deinterlaced: Bool, compares: Bool, mixed: Bool
) -> [String] {
  var losses: [String] = []
  func lose(_ text: String) { losses.append("\(video.path): \(text)") }
  guard let picture = video.pictures.first else { return [] }

  if video.pictures.count > 1 {
    lose("of \(video.pictures.count) pictures the first is dubbed, the others are left out")
  }
  if kept.isWanted {
    for caps in Set(kept.misfits.map(\.caps)).sorted() {
      let alike = kept.misfits.filter { $0.caps == caps }
      let others = Container.allCases.filter { $0.holds(caps) }.map(\.rawValue)
      let what = alike.count == 1 ? "a stream of which is left out" : "of which \(alike.count) streams are left out"
      let list = others.dropLast(2) + [others.suffix(2).joined(separator: " and ")]
      let rest = others.isEmpty ? "" : "; \(list.joined(separator: ", ")) keep\(others.count == 1 ? "s" : "") it"
      lose("\(encoding.container.rawValue) does not hold \(alike[0].name), \(what)\(rest)")
    }
    if kept.isUntold {
      lose("which of its tracks are default or forced, and their titles, are not known, and not kept")
    }
    losses += trackLosses(kept.streams, in: encoding.container).map { "\(video.path): \($0)" }
  } else {
    if video.sounds.count > 1 {
      lose(
        mixed
          ? "of its \(video.sounds.count) sound tracks the first is mixed in, the others are left out; --keep keeps them"
          : "its \(video.sounds.count) sound tracks are all left out; --keep keeps them")
    }
    if video.subtitles > 0 { lose("its subtitles are left out; --keep keeps them") }
  }
  if video.hasChapters, kept.chapters == nil { lose("its chapters are left out") }
  if video.hasTimecode, !encoding.container.hasTimecode || video.timecode == nil {
    lose("its timecode is left out\(video.timecode == nil ? "" : "; mov keeps it")")
  }
  for stream in video.unknown where !kept.isWanted {
    lose("a stream that GStreamer cannot decode is left out: \(stream)")
  }

  losses += pictureLosses(picture, in: encoding, deinterlaced: deinterlaced, compares: compares).map {
    "\(video.path): \($0)"
  }
  if video.hasDolbyVision { lose("Dolby Vision is left out, what it is based on stays") }
  let tags = video.tags.filter { !encoding.container.holds(tag: $0) }.union(video.unreadTags).sorted()
  if !tags.isEmpty { lose("its metadata is left out: \(tags.joined(separator: ", "))") }
  if let made = video.made, encoding.container == .ts { lose("its time of creation, \(made), is left out") }
  if picture.orientation == nil {
    lose("it asks to be turned by an angle that is no quarter of a turn; it stays as stored")
  }
  return losses
}

/// What tracks that are kept lose beside their streams.
private func trackLosses(_ streams: [Kept.Stream], in container: Container) -> [String] {
  var losses: [String] = []
  let tracks = streams.compactMap(\.track)
  let isMatroska = [.mkv, .webm].contains(container)
  let titles = tracks.compactMap(\.title)
  if !titles.isEmpty, !isMatroska {
    losses.append("the titles of its tracks are left out: \(titles.joined(separator: ", "))")
  }
  if tracks.contains(where: { $0.isForced && !$0.isSound }), !isMatroska {
    losses.append("some of its subtitles are forced, which only mkv can say")
  }
  let marks = Set(tracks.flatMap(\.marks)).sorted()
  if !marks.isEmpty { losses.append("that some of its tracks are \(marks.joined(separator: ", ")) is left out") }
  // GStreamer 1.26 passes them on as they are.
  if streams.contains(where: { $0.isText && $0.track?.isStyled ?? false }) {
    losses.append("fonts, colours and places of its ASS subtitles are left out, their text stays")
  }
  return losses
}

private func pictureLosses(
  _ picture: Picture, in encoding: Encoding, deinterlaced: Bool, compares: Bool
) -> [String] {
  var losses: [String] = []
  let (from, to) = (picture.layout, encoding.layout)
  if picture.hasCaptions, encoding.video != .h264 {
    losses.append("its closed captions are left out; --video-codec h264 keeps them")
  }
  if let views = picture.views, compares || !encoding.keepsViews {
    let remedy = compares ? "" : "; --video-codec h264 in mp4, mov and ts does"
    losses.append("it is stereoscopic (\(views)), which the result does not say\(remedy)")
  }
  if picture.hasAlpha { losses.append("transparency is left out") }
  if picture.isRGB {
    losses.append("RGB becomes \(to.text)")
  } else if from.depth > to.depth || from.chroma > to.chroma {
    losses.append("\(from.text) becomes \(to.text)")
  }
  if !encoding.keepsSite {
    losses.append("where its chroma samples lie is left out; --video-codec h264 and hevc keep it")
  }
  if encoding.colours.isFullRange != picture.colours.isFullRange, !picture.isRGB {
    losses.append("its full range becomes limited range, the only one of \(encoding.video.rawValue)")
  }
  if deinterlaced, picture.isInterlaced {
    let depth = from.depth > 8 ? ", in 8 bits" : ""
    losses.append("deinterlaced: of every two fields the upper one is kept\(depth)")
  }
  return losses
}

extension Container {
  /// Whether GStreamer 1.22 writes metadata of this name. The file's comment is the tool's own.
  func holds(tag: String) -> Bool { tags.contains(tag) }

  private var tags: Set<String> {
    let common: Set = [
      GST_TAG_TITLE, GST_TAG_ARTIST, GST_TAG_ALBUM, GST_TAG_COMPOSER, GST_TAG_GENRE, GST_TAG_COPYRIGHT, GST_TAG_DATE,
      GST_TAG_BEATS_PER_MINUTE,
    ]
    return switch self {
    case .mp4, .mov:
      common.union([
        GST_TAG_TITLE_SORTNAME, GST_TAG_ARTIST_SORTNAME, GST_TAG_ALBUM_SORTNAME, GST_TAG_ALBUM_ARTIST,
        GST_TAG_DESCRIPTION, GST_TAG_KEYWORDS, GST_TAG_GROUPING, GST_TAG_LYRICS, GST_TAG_SHOW_NAME,
        GST_TAG_SHOW_SORTNAME, GST_TAG_TRACK_NUMBER, GST_TAG_TRACK_COUNT, GST_TAG_ALBUM_VOLUME_NUMBER,
        GST_TAG_ALBUM_VOLUME_COUNT, GST_TAG_DEVICE_MANUFACTURER, GST_TAG_DEVICE_MODEL, GST_TAG_IMAGE,
      ])
    case .mkv, .webm: common.union([GST_TAG_ISRC, GST_TAG_LICENSE, GST_TAG_PERFORMER])
    case .ts: []
    }
  }
}
