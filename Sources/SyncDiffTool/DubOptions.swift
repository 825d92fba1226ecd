// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The options of `syncdiff dub` by purpose: what is written, the element's properties, by the same names, and what tells that AI made
// it.

import ArgumentParser
import SyncDiff

struct FormatOptions: ParsableArguments {
  @Option(help: "Instead of the one that the name's ending says.")
  var container: Container?

  @Option(
    help: """
      What is usual for a purpose: web (small, mp4 that begins at once, or webm), master (mov with ProRes and PCM, mkv with FFV1 and \
      FLAC). Other options overrule it.
      """)
  var profile: Profile?

  @Option(
    help: "Without it: h264, in webm vp9; hevc for HDR. ffv1 loses nothing.")
  var videoCodec: VideoCodec?

  @Option(help: "Without it: aac, in webm opus. flac and pcm lose nothing.")
  var audioCodec: AudioCodec?

  @Option(help: "Quality of the picture, 0 is the best: to 51 with h264 and hevc (16), to 63 with vp9 and av1 (20).")
  var crf: Int?

  @Option(help: "Of h264 and hevc: how long the encoder looks for a smaller file. Without it: fast.")
  var encoderPreset: EncoderPreset?

  @Option(help: ArgumentHelp("Of h264, hevc and vp9, instead of a quality.", valueName: "kbit/s"))
  var bitrate: Int?

  @Option(help: "Where of the picture to begin, seconds; the sound begins there.")
  var from = 0.0

  @Option(help: "Where of the picture to end, seconds.")
  var to: Double?

  @Flag(help: "Deinterlace an interlaced picture, one frame for every two fields.")
  var deinterlace = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Keep the video's own sound under the new one, so many decibels louder or, below 0, softer than it was.",
      valueName: "dB"))
  var mixOriginal: Double?

  @Flag(help: "Show the original on the left and the dub on the right. For videos of a constant frame rate.")
  var compare = false

  @Option(
    help: """
      Where the sound is longer than the picture: cut the sound, let the last frame stand (freeze), or play the picture again \
      from its beginning (loop) or there and back (pingpong).
      """)
  var extend = Extend.cut

  @Option(help: ArgumentHelp("Language of the new sound, as de or en-GB.", valueName: "code"))
  var language: String?

  @Flag(
    help: """
      Carry over the video's own sound tracks, behind the new one, its subtitles and its chapters, as they are, where the container \
      holds them.
      """)
  var keep = false

  @Flag(inversion: .prefixedNo, help: "Replace a file that is there already.")
  var overwrite = true

  var part: Part { Part(from: from, to: to) }

  func encoding(of output: String, for media: Media) throws -> Encoding {
    guard let picture = media.pictures.first else { throw Failure("\(media.path) has no video stream") }
    return try Encoding(container ?? Container(of: output) ?? profile?.container ?? .mp4, self, for: picture)
  }

  func kept(of media: Media, in encoding: Encoding) throws -> Kept {
    try Kept(of: media, in: encoding.container, part: part, isWanted: keep)
  }

  func validate() throws {
    guard from >= 0, from.isFinite else { throw ValidationError("--from is 0 or more.") }
    guard to.map({ $0 > from && $0.isFinite }) ?? true else { throw ValidationError("--to is more than --from.") }
    guard mixOriginal.map({ (-60...20).contains($0) }) ?? true else {
      throw ValidationError("--mix-original is -60 to 20.")
    }
    guard crf.map({ (0...63).contains($0) }) ?? true else { throw ValidationError("--crf is 0 to 63.") }
    guard crf == nil || bitrate == nil else { throw ValidationError("--crf and --bitrate exclude each other.") }
    guard bitrate.map({ (10...1_000_000).contains($0) }) ?? true else {
      throw ValidationError("--bitrate is 10 to 1000000 kbit/s.")
    }
    guard language.map({ $0.wholeMatch(of: /[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*/) != nil }) ?? true else {
      throw ValidationError("--language is a code such as de or en-GB.")
    }
    guard extend == .cut || !compare else { throw ValidationError("--compare shows no picture that is extended.") }
  }
}

struct ElementOptions: ParsableArguments {
  @Option(help: "Model file. Without it: $SYNCDIFF_MODEL, else the one that came with syncdiff.")
  var model: String?

  @Option(
    help: ArgumentHelp("What syncdiff learn wrote of the person in the picture.", valueName: "name.presenter"))
  var presenter: String?

  @Option(help: "Settings by name, as draft (a quick look) or archive (files to keep). Other options overrule them.")
  var preset: String?

  @Option(help: "Denoising steps a frame, 1 to 1000. Without it: the model's own.")
  var steps: UInt32?

  @Option(help: "How far the sound moves the lips, up to 10: more opens them wider. Without it: 1.")
  var guidanceScale: Double?

  @Option(help: "Blend of the new mouth over the original, 0 to 1. Without it: 1.")
  var strength: Double?

  @Option(help: "Seed of the noise that the mouths are made from. Without it: 0.")
  var seed: UInt64?

  @Option(help: "Which face. Without it: largest.")
  var faceSelect: FaceSelect?

  @Option(help: "How many faces at most, 1 to 16, with --face-select all. Without it: 4.")
  var maxFaces: UInt32?

  @Option(help: ArgumentHelp("Only the face in this box, pixels.", valueName: "x,y,w,h"))
  var roi: String?

  @Option(help: "In silence close the mouth, or with passthrough leave frames as they are. Without it: close.")
  var silence: Silence?

  @Option(help: "Seconds of future sound that a frame waits for. Without it: the model's own.")
  var lookahead: Double?

  @Option(parsing: .unconditional, help: "Seconds by which the sound is late against the lips.")
  var audioOffset: Double?

  @Flag(inversion: .prefixedNo, help: "Mark the new mouths, invisibly, as made by AI (syncdiff detect).")
  var watermark = true

  @Option(help: ArgumentHelp("Only who has this text can read the mark. Without it: everybody.", valueName: "text"))
  var watermarkKey: String?

  @Option(help: "A number of your own that the mark tells, 0 to 65535. Without it: 0.")
  var watermarkID: UInt16?

  @Option(help: "Threads that compute one frame, 0 = one per core.")
  var threads: UInt32 = 0

  @Option(help: "Number format of the networks.")
  var precision = NumberFormat.auto

  enum FaceSelect: String, ExpressibleByArgument, CaseIterable { case largest, center, left, right, all }
  enum Silence: String, ExpressibleByArgument, CaseIterable { case close, passthrough }

  /// The element's, in their text form.
  var properties: [(name: String, value: String)] {
    let some: [(String, String?)] = [
      ("model", model), ("presenter", presenter), ("steps", steps.map { "\($0)" }),
      ("guidance-scale", guidanceScale.map { "\($0)" }), ("strength", strength.map { "\($0)" }),
      ("seed", seed.map { "\($0)" }), ("face-select", faceSelect?.rawValue), ("max-faces", maxFaces.map { "\($0)" }),
      ("roi", roi), ("silence", silence?.rawValue), ("lookahead", lookahead.map { "\(Int64($0 * 1e9))" }),
      ("audio-offset", audioOffset.map { "\(Int64($0 * 1e9))" }), ("threads", "\(threads)"),
      ("watermark", watermark ? nil : "false"), ("watermark-key", watermarkKey),
      ("watermark-id", watermarkID.map { "\($0)" }),
      ("precision", precision.rawValue),
    ]
    return some.compactMap { name, value in value.map { (name, $0) } }
  }

  func validate() throws {
    func check(_ isGood: Bool, _ message: String) throws { if !isGood { throw ValidationError(message) } }
    try check(strength.map { (0...1).contains($0) } ?? true, "--strength is a number from 0 to 1.")
    try check(steps.map { (1...1000).contains($0) } ?? true, "--steps is 1 to 1000.")
    try check(threads <= 256, "--threads is 0 to 256.")
    try check(guidanceScale.map { (0...10).contains($0) } ?? true, "--guidance-scale is 0 to 10.")
    try check(maxFaces.map { (1...16).contains($0) } ?? true, "--max-faces is 1 to 16.")
    try check(lookahead.map { (0...25).contains($0) } ?? true, "--lookahead is 0 to 25 seconds.")
    try check(audioOffset.map { (-25...25).contains($0) } ?? true, "--audio-offset is -25 to 25 seconds.")
    try check(roi.map { Self.box($0) != nil } ?? true, "--roi is x,y,w,h: four numbers of pixels.")
  }

  /// Of "x,y,w,h"; nil if the text is none.
  static func box(_ text: String) -> [UInt32]? {
    let numbers = text.split(separator: ",", omittingEmptySubsequences: false).compactMap { UInt32($0) }
    return numbers.count == 4 && numbers.map(String.init).joined(separator: ",") == text ? numbers : nil
  }
}

struct OriginOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Sign mp4 and mov with a C2PA manifest, if the C2PA library is there. See above.")
  var sign = true

  @Option(
    help: ArgumentHelp(
      "Certificates to sign with, yours first, as PEM. Without it: a test certificate, which proves nothing.",
      valueName: "chain.pem"))
  var certificate: String?

  @Option(help: ArgumentHelp("Its key, as PEM (PKCS #8).", valueName: "key.pem"))
  var privateKey: String?

  @Option(
    help: ArgumentHelp(
      "Who has confirmed that those who are shown and heard consent. Stands in the manifest and in what --json and --report tell.",
      valueName: "text"))
  var consent: String?

  @Option(help: ArgumentHelp("Write this in the picture.", valueName: "text"))
  var label: String?

  @Option(help: "Where. Without it: top-left.")
  var labelCorner: Label.Corner?

  func validate() throws {
    guard (certificate == nil) == (privateKey == nil) else {
      throw ValidationError("--certificate and --private-key go together.")
    }
    guard sign || certificate == nil else { throw ValidationError("--certificate does not go with --no-sign.") }
    guard label != nil || labelCorner == nil else { throw ValidationError("--label-corner needs --label.") }
    for (name, text) in [("--label", label), ("--consent", consent)] where text?.isEmpty ?? false {
      throw ValidationError("\(name) is empty.")
    }
  }
}

/// Of the networks.
enum NumberFormat: String, ExpressibleByArgument, CaseIterable {
  case auto, f32, bf16

  var format: SyncDiff.Precision {
    switch self {
    case .auto: .auto
    case .f32: .f32
    case .bf16: .bf16
    }
  }
}
