// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipelines of `syncdiff dub` as text.

import Glibc

extension Job {
  /// The whole pipeline. The queue of audio to the muxer has no limit: the video arrives later, by the video encoder's delay,
  /// and meanwhile audio must keep flowing to the element. The audio never gets more than the element's limit of one minute
  /// ahead of the video.
  var description: String {
    """
    \(painted) name=painted \
    \(heard) ! tee name=twice  twice. ! queue ! dub.audio \
    twice. ! \(unlimited) ! \(written) \
    fdsink name=file  \(kept.description)
    """
  }

  /// One stretch of the video, encoded, with timestamps, but without a container.
  var stretch: String {
    "\(painted) name=painted  \(heard) ! queue ! dub.audio  gdppay name=pay ! fdsink name=file sync=false async=false"
  }

  /// The whole pipeline, with the video's stretches read from files.
  func joined(_ files: [String]) -> String {
    let own = own == nil ? "" : "uridecodebin name=picture  "
    let stretches = files.map { "filesrc location=\($0) ! gdpdepay ! queue ! joined." }.joined(separator: "  ")
    return """
      \(own)\(stretches)  concat name=joined adjust-base=false ! \(few) name=painted \
      \(heard) ! \(unlimited) ! \(written) \
      fdsink name=file  \(kept.description)
      """
  }

  /// The video up to the encoder's queue, whose name follows. The video waits for the audio as long as it takes, and vice
  /// versa: nothing is live.
  private var painted: String {
    let frames = shown.conversion(
      to: encoding.layout, encoding.colours, keepsViews: encoding.keepsViews, deinterlaced: deinterlaced,
      still: picture.isStill ? max(Int((spoken * 25).rounded(.up)), 1) : nil)
    let dub = "syncdiff name=dub stall-timeout=0" + (label == nil ? "" : " ! \(Label.element)")
    var painted = dub
    if compares {
      let (width, height) = shown.shownSize
      painted = """
        tee name=both  both. ! \(unlimited) ! sides.sink_0  both. ! \(dub) ! \(few) ! sides.sink_1 \
        compositor name=sides start-time-selection=first sink_1::xpos=\(width) \
        ! video/x-raw,format=\(encoding.layout.format),width=\(2 * width),height=\(height),\
        pixel-aspect-ratio=\(shown.shownAspect.text)
        """
    }
    return "uridecodebin name=picture  \(frames) ! identity name=shown ! \(painted) ! \(few)"
  }

  /// The audio to be spoken, each piece at its time.
  private var heard: String {
    guard hasCues else { return "uridecodebin name=sound0  \(beginning(of: voices[0].sound, "hearing0"))" }
    return voices.enumerated().map { index, voice in
      "uridecodebin name=sound\(index)  \(paired(voice.sound, "hearing\(index)")) ! \(stereo) ! queue ! voices."
    }.joined(separator: "  ") + "  audiomixer name=voices"
  }

  /// The audio that is written to the file, with the video's own audio if wanted.
  private var written: String {
    let mixing = hasCues ? "audioconvert" : voices[0].sound.mixing(for: encoding)
    let slower = isResampled ? " ! audioresample ! audio/x-raw,rate=48000" : ""
    var mixed = mixing
    if let own {
      mixed = """
        \(mixing) ! \(stereo) ! mixer. \
        \(paired(own, "under")) ! \(stereo) ! volume name=own volume=\(hasCues ? 1 : share) ! \(unlimited) ! mixer. \
        audiomixer name=mixer ! audioconvert
        """
    }
    return "\(mixed)\(slower) \(language.map { "! taginject tags=language-code=\($0)" } ?? "") ! queue name=spoken"
  }

  /// Volume of the video's own audio under a voice.
  var share: Double { original.map { pow(10, $0 / 20) } ?? 0 }
}

private let unlimited = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
private let few = "queue max-size-buffers=4 max-size-bytes=0 max-size-time=0"
private let stereo = "audioresample ! audio/x-raw,format=F32LE,rate=48000,channels=2,channel-mask=(bitmask)0x3"

private func paired(_ sound: Sound, _ name: String) -> String {
  "\(beginning(of: sound, name)) \(sound.hasPositions ? "" : sound.pairs)"
}

/// The start of an audio branch, with a name. AIFF demuxers do not say that channels have no positions.
private func beginning(of sound: Sound, _ name: String) -> String {
  sound.hasPositions
    ? "audioconvert name=\(name)"
    : "capssetter name=\(name) caps=\"audio/x-raw,channel-mask=(bitmask)0x0\" ! audioconvert"
}
