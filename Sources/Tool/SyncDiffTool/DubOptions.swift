// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The options of `syncdiff dub` by purpose: the output, the element's properties (by the same names), and how the output is
// labelled as made by AI.

import ArgumentParser
import Glibc
import SyncDiff

struct FormatOptions: ParsableArguments {
  @Option(help: "Container, if not the one of the output's extension.")
  var container: Container?

  @Option(
    help: """
      A set of defaults: web (small, starts playing at once; mp4 or webm) or master (mov with ProRes and PCM, or mkv with FFV1 and \
      FLAC). Other options override it.
      """)
  var profile: Profile?

  @Option(
    help: "Default: h264; vp9 in webm; hevc for HDR. ffv1 is lossless.")
  var videoCodec: VideoCodec?

  @Option(help: "Default: aac; opus in webm. flac and pcm are lossless.")
  var audioCodec: AudioCodec?

  @Option(help: "Picture quality, 0 is best: to 51 for h264 and hevc (default 16), to 63 for vp9 and av1 (default 20).")
  var crf: Int?

  @Option(help: "Speed against file size for h264 and hevc. Default: fast.")
  var encoderPreset: EncoderPreset?

  @Option(help: ArgumentHelp("Bitrate for h264, hevc and vp9, instead of --crf.", valueName: "kbit/s"))
  var bitrate: Int?

  @Option(
    help: "Start of the part to dub, in seconds of VIDEO or as h:mm:ss; AUDIO starts there.", transform: seconds(from:))
  var from = 0.0

  @Option(help: "End of the part to dub, in seconds of VIDEO or as h:mm:ss.", transform: seconds(from:))
  var to: Double?

  @Flag(help: "Deinterlace to one frame for every two fields. Without it, interlaced video is refused.")
  var deinterlace = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Mix VIDEO's own sound under the new one with this gain; negative is softer.",
      valueName: "dB"))
  var mixOriginal: Double?

  @Flag(help: "Show the original on the left and the dub on the right. Uneven frames are shown at an even rate.")
  var compare = false

  @Option(
    help: """
      If the sound is longer than the picture: cut the sound, hold the last frame (freeze), or repeat the picture from the start (loop) \
      or back and forth (pingpong).
      """)
  var extend = Extend.cut

  @Option(help: ArgumentHelp("Language of the new sound, such as de or en-GB.", valueName: "code"))
  var language: String?

  @Flag(
    help: """
      Carry over VIDEO's own sound tracks (after the new one), subtitles and chapters without re-encoding, if the container can hold \
      them.
      """)
  var keep = false

  @Flag(inversion: .prefixedNo, help: "Replace an existing file.")
  var overwrite = true

  var part: Part { Part(from: from, to: to) }

  private func encoding(of output: String, for media: Media) throws -> Encoding {
    guard let picture = media.pictures.first else { throw Failure("\(media.path) has no video stream") }
    var status = stat()
    let isFolder = output.hasSuffix("/") || stat(output, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    guard !isFolder else { throw Output.isFolder(output) }
    let named = Container(of: output)
    if container == nil, named == nil, let ending = Ending.of(output) {
      throw Failure(
        "the container of a file called .\(ending) is not known: mp4, mov, mkv, webm or ts, or name one with --container",
        .usage)
    }
    return try Encoding(container ?? named ?? profile?.container ?? .mp4, self, for: picture)
  }

  /// What becomes of a video: how it is written, what is carried over, and what is lost, one line each. Throws if it cannot be
  /// dubbed. `hasCues`: whether its own sound is heard before, between and after cues.
  func plan(for media: Media, output: String, hasCues: Bool = false) throws -> (Encoding, Kept, losses: [String]) {
    try media.requirePicture(deinterlaced: deinterlace)
    if mixOriginal != nil { try media.requireSound() }
    let encoding = try encoding(of: output, for: media)
    let kept = try Kept(of: media, in: encoding.container, part: part, isWanted: keep)
    let isMixed = mixOriginal != nil || hasCues && !media.sounds.isEmpty
    let losses = losses(
      of: media, in: encoding, kept, deinterlaced: deinterlace, compares: compare, mixed: isMixed)
    return (encoding, kept, losses)
  }

  func validate() throws {
    guard to.map({ $0 > from }) ?? true else { throw ValidationError("--to must be more than --from.") }
    guard mixOriginal.map({ (-60...20).contains($0) }) ?? true else {
      throw ValidationError("--mix-original must be -60 to 20.")
    }
    guard crf.map({ (0...63).contains($0) }) ?? true else {
      throw ValidationError("--crf must be 0 to 51 for h264 and hevc, to 63 for vp9 and av1.")
    }
    guard crf == nil || bitrate == nil else { throw ValidationError("--crf and --bitrate cannot be combined.") }
    guard bitrate.map({ (10...1_000_000).contains($0) }) ?? true else {
      throw ValidationError("--bitrate must be 10 to 1000000 kbit/s.")
    }
    guard language.map({ $0.wholeMatch(of: /[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*/) != nil }) ?? true else {
      throw ValidationError("--language must be a code such as de or en-GB.")
    }
    guard extend == .cut || !compare else { throw ValidationError("--compare cannot be combined with --extend.") }
  }
}

/// A time such as 90.5, 1:30.5 or 0:01:30.5 in seconds; a comma instead of the point will do.
func seconds(from text: String) throws -> Double {
  let point = text.contains(".") ? text : text.replacing(",", with: ".")
  let fields = point.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) ?? .nan }
  let time = fields.reduce(0) { $0 * 60 + $1 }
  // Longer ones do not fit in GStreamer's nanoseconds.
  guard fields.count <= 3, time < 1e9, fields.allSatisfy({ $0.sign == .plus }),
    fields.dropLast().allSatisfy({ $0 == $0.rounded() }), fields.dropFirst().allSatisfy({ $0 < 60 })
  else { throw ValidationError("A time is a number of seconds from 0 on, such as 90.5, or 1:30.5 or 0:01:30.5.") }
  return time
}

struct ElementOptions: ParsableArguments {
  @Option(help: "Model file. Default: $SYNCDIFF_MODEL, then the one shipped with syncdiff.", completion: .file())
  var model: String?

  @Option(
    help: ArgumentHelp("File that syncdiff learn made of the person in the picture.", valueName: "name.presenter"),
    completion: .file())
  var presenter: String?

  @Option(help: "Named settings, such as draft (a quick look) or archive (files to keep). Other options override them.")
  var preset: String?

  @Option(help: "Denoising steps per frame, 1 to 1000. Default: the model's.")
  var steps: UInt32?

  @Option(help: "How strongly the sound moves the lips, 0 to 10; more opens them wider. Default: 1.")
  var guidanceScale: Double?

  @Option(help: "Opacity of the new mouth, 0 to 1. Default: 1.")
  var strength: Double?

  @Option(help: "Seed of the diffusion's noise. Default: 0.")
  var seed: UInt64?

  @Option(help: "Which face speaks. Default: largest.")
  var faceSelect: FaceSelect?

  @Option(help: "Most faces with --face-select all, 1 to 16. Default: 4.")
  var maxFaces: UInt32?

  @Option(help: ArgumentHelp("Only the face in this box, in pixels.", valueName: "x,y,w,h"))
  var roi: String?

  @Option(help: "In silence, close the mouth or leave frames unchanged (passthrough). Default: close.")
  var silence: Silence?

  @Option(help: "Seconds of future sound that a frame waits for. Default: the model's.")
  var lookahead: Double?

  @Option(parsing: .unconditional, help: "Seconds by which the sound lags behind the picture; negative if it leads.")
  var audioOffset: Double?

  @Flag(inversion: .prefixedNo, help: "Mark the new mouths invisibly as made by AI; syncdiff detect reads the mark.")
  var watermark = true

  @Option(help: ArgumentHelp("Only those who know this text can read the mark. Default: everyone.", valueName: "text"))
  var watermarkKey: String?

  @Option(help: "A number of your own to store in the mark, 0 to 65535. Default: 0.")
  var watermarkID: UInt16?

  @Option(help: "Threads per frame, 0 = one per core.")
  var threads: UInt32 = 0

  @Option(help: "Number format of the networks.")
  var precision = NumberFormat.auto

  enum FaceSelect: String, ExpressibleByArgument, CaseIterable { case largest, center, left, right, all }
  enum Silence: String, ExpressibleByArgument, CaseIterable { case close, passthrough }

  /// The element's properties in text form.
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
    try check(steps.map { (1...1000).contains($0) } ?? true, "--steps must be 1 to 1000.")
    try check(threads <= 256, "--threads must be 0 to 256.")
    try check(guidanceScale.map { (0...10).contains($0) } ?? true, "--guidance-scale must be 0 to 10.")
    try check(maxFaces.map { (1...16).contains($0) } ?? true, "--max-faces must be 1 to 16.")
    try check(lookahead.map { (0...25).contains($0) } ?? true, "--lookahead must be 0 to 25 seconds.")
    try check(audioOffset.map { (-25...25).contains($0) } ?? true, "--audio-offset must be -25 to 25 seconds.")
    try check(roi.map { Self.box($0) != nil } ?? true, "--roi is x,y,w,h: four numbers of pixels.")
  }

  /// Parses "x,y,w,h"; nil if the text is not a box.
  static func box(_ text: String) -> [UInt32]? {
    let numbers = text.split(separator: ",", omittingEmptySubsequences: false).compactMap { UInt32($0) }
    return numbers.count == 4 && numbers.map(String.init).joined(separator: ",") == text ? numbers : nil
  }
}

struct OriginOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Sign mp4 and mov with a C2PA manifest if the C2PA library is found. See above.")
  var sign = true

  @Option(
    help: ArgumentHelp(
      "Certificate chain to sign with, yours first, PEM. Default: a test certificate, which proves nothing.",
      valueName: "chain.pem"), completion: .file())
  var certificate: String?

  @Option(help: ArgumentHelp("The private key, PEM (PKCS #8).", valueName: "key.pem"), completion: .file())
  var privateKey: String?

  @Option(
    help: ArgumentHelp(
      "Who confirmed that the people seen and heard consent. Recorded in the manifest, in --json and in reports.",
      valueName: "text"))
  var consent: String?

  @Option(help: ArgumentHelp("Show this text in the picture.", valueName: "text"))
  var label: String?

  @Option(help: "Corner for the label. Default: top-left.")
  var labelCorner: Label.Corner?

  func validate() throws {
    guard (certificate == nil) == (privateKey == nil) else {
      throw ValidationError("--certificate and --private-key must be given together.")
    }
    guard sign || certificate == nil else { throw ValidationError("--certificate cannot be combined with --no-sign.") }
    guard label != nil || labelCorner == nil else { throw ValidationError("--label-corner needs --label.") }
    for (name, text) in [("--label", label), ("--consent", consent)] where text?.isEmpty ?? false {
      throw ValidationError("\(name) is empty.")
    }
  }
}

/// Number format of the networks.
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
