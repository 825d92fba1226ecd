// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The format of the result: container, codecs, and the profile for encodebin.

import ArgumentParser
import CGStreamer
import CGStreamerTools

enum Container: String, ExpressibleByArgument, CaseIterable {
  case mp4, mov, mkv, webm, ts

  /// From a file name's extension; nil if that is not known.
  init?(of name: String) {
    guard let container = Ending.of(name).flatMap({ Ending.containers[$0] }) else { return nil }
    self = container
  }

  var caps: String {
    switch self {
    case .mp4: "video/quicktime,variant=(string)iso"
    case .mov: "video/quicktime,variant=(string)apple"
    case .mkv: "video/x-matroska"
    case .webm: "video/webm"
    case .ts: "video/mpegts,systemstream=(boolean)true,packetsize=(int)188"
    }
  }

  /// Whether it can say that sound begins after its first packet.
  var hasEditLists: Bool { [.mp4, .mov].contains(self) }

  /// Whether it can be written without seeking back.
  var canStream: Bool { [.mkv, .webm, .ts].contains(self) }

  /// Sample rates of PCM that it can say, Hz; nil if all. qtmux writes the rate with 16 bits before the point.
  var pcmRates: ClosedRange<Int>? { self == .mov ? 0...65535 : nil }

  /// The first codec is the default.
  var videoCodecs: [VideoCodec] {
    switch self {
    case .mp4: [.h264, .hevc, .av1]
    case .mov: [.h264, .hevc, .prores]
    case .mkv: [.h264, .hevc, .vp9, .av1, .prores, .ffv1]
    case .webm: [.vp9, .av1]
    case .ts: [.h264, .hevc]
    }
  }

  var audioCodecs: [AudioCodec] {
    switch self {
    case .mp4: [.aac, .opus]
    case .mov: [.aac, .pcm]
    case .mkv: [.aac, .opus, .flac, .pcm]
    case .webm: [.opus]
    case .ts: [.aac, .opus]
    }
  }
}

enum VideoCodec: String, ExpressibleByArgument, CaseIterable {
  case h264, hevc, prores, vp9, av1, ffv1

  var caps: String {
    switch self {
    case .h264: "video/x-h264"
    case .hevc: "video/x-h265"
    case .prores: "video/x-prores"
    case .vp9: "video/x-vp9"
    case .av1: "video/x-av1"
    case .ffv1: "video/x-ffv,ffvversion=(int)1,ffversion=(int)1"  // the encoder's field, and matroskamux's
    }
  }

  var encoder: (element: String, package: String) {
    switch self {
    case .h264: ("x264enc", "gstreamer1.0-plugins-ugly")
    case .hevc: ("x265enc", "gstreamer1.0-plugins-bad")
    case .prores: ("avenc_prores_ks", "gstreamer1.0-libav")
    case .vp9: ("vp9enc", "gstreamer1.0-plugins-good")
    case .av1: ("av1enc", "gstreamer1.0-plugins-bad")
    case .ffv1: ("avenc_ffv1", "gstreamer1.0-libav")
    }
  }

  /// The layouts that both the element `syncdiff` and the encoder accept, the poorest first.
  var layouts: [Layout] {
    let eight = [Layout.Chroma.quarter, .half, .full].map { Layout(depth: 8, chroma: $0) }
    let ten = [Layout.Chroma.quarter, .half].map { Layout(depth: 10, chroma: $0) }
    return switch self {
    case .h264, .hevc, .ffv1: eight + ten
    case .prores: [ten[1]]
    case .vp9: [eight[0], eight[2]] + ten
    case .av1: eight
    }
  }

  /// Whether its streams can say that they have full range.
  var hasFullRange: Bool { self != .prores }

  /// Whether its streams can say where chroma samples lie, by H.264's numbers. 0 is the usual place, and need not be said.
  func says(site: Int) -> Bool { site == 0 || [.h264, .hevc].contains(self) || self == .av1 && site == 2 }

  /// Whether HDR is kept.
  var carriesHDR: Bool { self == .hevc || self == .prores }

  /// Range and default of --crf; nil where the quality is fixed.
  var quality: (range: ClosedRange<Int>, usual: Int)? {
    switch self {
    case .h264, .hevc: (0...51, 16)
    case .vp9, .av1: (0...63, 20)
    case .prores, .ffv1: nil
    }
  }

  /// Whether it accepts a bitrate. av1enc 1.22 does not keep to one, and ends the process at some.
  var hasBitrate: Bool { [.h264, .hevc, .vp9].contains(self) }

  var hasPreset: Bool { self == .h264 || self == .hevc }

  /// Properties of the encoder; bitrate in kbit/s. GstStructure accepts enums only as numbers. vp9enc 1.22 loses at the end
  /// what it holds back.
  ///
  /// `site`: where the chroma samples lie, as H.264 and HEVC number it.
  /// `isVariable`: whether the frame rate varies; x265 4 does not begin without one.
  func properties(crf: Int?, bitrate: Int?, _ preset: EncoderPreset, site: Int, isVariable: Bool) -> String {
    let speed = "speed-preset=(int)\(preset.number)"
    let rate = self == .hevc && isVariable ? ":fps=25:vui-timing-info=0" : ""
    let chroma = "chromaloc=\(site)\(rate)"
    let plain = "option-string=(string)\"\(chroma)\""
    let crf = crf ?? quality?.usual ?? 0
    if let bitrate {
      return switch self {
      case .h264: "pass=(int)0,bitrate=(uint)\(bitrate),\(speed),\(plain)"
      case .hevc: "bitrate=(uint)\(bitrate),\(speed),\(plain)"
      case .vp9:
        "end-usage=(int)1,target-bitrate=(int)\(bitrate * 1000),deadline=(gint64)1,cpu-used=(int)4,lag-in-frames=(int)0,row-mt=(boolean)true,"
          + "threads=(int)16"
      case .prores, .av1, .ffv1: ""
      }
    }
    return switch self {
    case .h264: "pass=(int)5,quantizer=(uint)\(crf),\(speed),\(plain)"  // constant quality
    case .hevc: "option-string=(string)\"crf=\(crf):\(chroma)\",\(speed)"
    case .prores: "profile=(int)3"  // 422 HQ
    case .vp9:
      "min-quantizer=(int)\(crf),max-quantizer=(int)\(crf),target-bitrate=(int)100000000,deadline=(gint64)1,cpu-used=(int)4,lag-in-frames=(int)0,"
        + "row-mt=(boolean)true,threads=(int)16"
    case .av1:
      "end-usage=(int)3,cpu-used=(int)6,row-mt=(boolean)true,min-quantizer=(uint)\(crf),max-quantizer=(uint)\(crf)"
    case .ffv1: ""
    }
  }
}

/// The speed of x264 and x265, by their names.
enum EncoderPreset: String, ExpressibleByArgument, CaseIterable {
  case ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow

  /// GStreamer's number.
  var number: Int { (Self.allCases.firstIndex(of: self) ?? 0) + 1 }
}

/// Common choices for a purpose.
enum Profile: String, ExpressibleByArgument, CaseIterable {
  case web, master

  /// The default if the file's name does not say.
  var container: Container {
    switch self {
    case .web: .mp4
    case .master: .mov
    }
  }

  /// Nil if the profile cannot be combined with the container.
  func codecs(in container: Container) -> (video: VideoCodec, audio: AudioCodec, crf: Int?)? {
    switch (self, container) {
    case (.web, .mp4): (.h264, .aac, 23)
    case (.web, .webm): (.vp9, .opus, 31)
    case (.master, .mov): (.prores, .pcm, nil)
    case (.master, .mkv): (.ffv1, .flac, nil)
    default: nil
    }
  }

  fileprivate var containers: String {
    Container.allCases.filter { codecs(in: $0) != nil }.map(\.rawValue).joined(separator: " or ")
  }
}

enum AudioCodec: String, ExpressibleByArgument, CaseIterable {
  case aac, opus, flac, pcm

  var caps: String {
    switch self {
    case .aac: "audio/mpeg,mpegversion=(int)4"
    case .opus: "audio/x-opus"
    case .flac: "audio/x-flac"
    case .pcm: "audio/x-raw,format=(string)S24LE,layout=(string)interleaved"
    }
  }

  /// Nil if the audio is not encoded.
  var encoder: (element: String, package: String)? {
    switch self {
    case .aac: ("avenc_aac", "gstreamer1.0-libav")
    case .opus: ("opusenc", "gstreamer1.0-plugins-base")
    case .flac: ("flacenc", "gstreamer1.0-plugins-good")
    case .pcm: nil
    }
  }

  /// Most channels that the encoder accepts.
  var channels: Int {
    switch self {
    case .aac: 6
    case .opus, .flac: 8
    case .pcm: 64
    }
  }

  func properties(channels: Int) -> String {
    let bitrate = "bitrate=(int)\(max(192_000, 64_000 * min(channels, self.channels)))"
    return self == .aac || self == .opus ? bitrate : ""
  }
}

/// The complete format of one result.
struct Encoding {
  let container: Container
  let video: VideoCodec
  let audio: AudioCodec
  private let crf, bitrate: Int?
  private let preset: EncoderPreset
  private let profile: Profile?
  private let isVariable: Bool
  /// Where the chroma samples lie, as H.264 numbers it; nil if unknown.
  let site: Int?
  /// Range and colorimetry of the result.
  let colours: Colours
  /// Pixel layout in which the video is dubbed and encoded.
  let layout: Layout

  /// Throws if the container cannot hold it, or an encoder is missing. What the options leave open is chosen to suit the
  /// profile or the video.
  init(_ container: Container, _ options: FormatOptions, for picture: Picture) throws {
    let usual = picture.colours.isHDR && container.videoCodecs.contains(.hevc) ? .hevc : container.videoCodecs[0]
    let chosen = options.profile?.codecs(in: container)
    if let profile = options.profile, chosen == nil {
      throw Failure(
        "--profile \(profile.rawValue) goes into \(profile.containers), not \(container.rawValue)", .usage)
    }
    (self.container, bitrate, profile) = (container, options.bitrate, options.profile)
    video = options.videoCodec ?? chosen?.video ?? usual
    audio = options.audioCodec ?? chosen?.audio ?? container.audioCodecs[0]
    crf = options.crf ?? (video == chosen?.video ? chosen?.crf : nil)
    try Self.require(self.video, in: container.videoCodecs, container)
    try Self.require(self.audio, in: container.audioCodecs, container)
    preset = options.encoderPreset ?? .fast
    guard options.encoderPreset == nil || self.video.hasPreset else {
      throw Failure("--encoder-preset: \(self.video.rawValue) has no presets; h264 and hevc do", .usage)
    }
    guard bitrate == nil || self.video.hasBitrate else {
      throw Failure("--bitrate: \(self.video.rawValue) does not take one", .usage)
    }
    if let crf {
      guard let quality = self.video.quality else {
        throw Failure("--crf: the quality of \(self.video.rawValue) is fixed", .usage)
      }
      guard quality.range.contains(crf) else {
        throw Failure(
          "--crf of \(self.video.rawValue) must be \(quality.range.lowerBound) to \(quality.range.upperBound)",
          .usage)
      }
    }
    guard !picture.colours.isHDR || self.video.carriesHDR else {
      throw Failure(
        "\(self.video.rawValue) in \(container.rawValue) does not keep HDR (PQ or HLG); use --video-codec hevc in mp4, "
          + "mov, mkv or ts", .badOutput)
    }
    for encoder in [self.video.encoder, self.audio.encoder].compactMap({ $0 }) {
      guard let factory = gst_element_factory_find(encoder.element) else {
        throw Failure("GStreamer's \(encoder.element) is missing; install \(encoder.package)", .badOutput)
      }
      // encodebin overlooks some of FFmpeg's encoders.
      gst_plugin_feature_set_rank(factory, GST_RANK_PRIMARY.rawValue)
      gst_object_unref(UnsafeMutableRawPointer(factory))
    }
    layout = try picture.layout(among: self.video.layouts)
    var colours = picture.colours.resolved(height: picture.height, rate: picture.rate)
    if !self.video.hasFullRange { colours.isFullRange = false }
    self.colours = colours
    // Elsewhere than in 4:2:0 there is one place only.
    let isKept = layout.chroma == .quarter && picture.layout.chroma == .quarter && !picture.isRGB
    isVariable = picture.rate.value == 0
    site =
      isKept ? picture.chromaSite.flatMap { ["mpeg2": 0, "jpeg": 1, "cosited": 2, "dv": 2, "v-cosited": 3][$0] } : nil
  }

  private static func require<Codec: RawRepresentable<String> & Equatable>(
    _ codec: Codec, in codecs: [Codec], _ container: Container
  ) throws {
    guard codecs.contains(codec) else {
      let list = codecs.map(\.rawValue).joined(separator: ", ")
      throw Failure("\(container.rawValue) does not hold \(codec.rawValue) here; it holds \(list)", .usage)
    }
  }

  /// Whether the result says where its chroma samples lie, or need not.
  var keepsSite: Bool {
    var (major, minor, micro, nano): (guint, guint, guint, guint) = (0, 0, 0, 0)
    gst_version(&major, &minor, &micro, &nano)
    // matroskamux 1.26 writes it, that of 1.22 does not.
    let isInFile = [.mkv, .webm].contains(container) && (major, minor) >= (1, 26)
    return isInFile || site.map(video.says) ?? true
  }

  /// Most audio channels.
  var channels: Int { (container, audio) == (.mov, .pcm) ? 2 : audio.channels }

  /// How long the samples last that the encoder inserts before the audio without telling the muxer, nanoseconds. For Opus they
  /// are in its header, but of the muxers only Matroska's heeds that.
  func priming(rate: Int) -> Int {
    switch audio {
    case .aac: 1024 * 1_000_000_000 / rate
    case .opus where ![.mkv, .webm].contains(container): 6_500_000
    default: 0
    }
  }

  /// Sample rates that the result can say, Hz; nil if all.
  var rates: ClosedRange<Int>? { audio == .pcm ? container.pcmRates : nil }

  /// Whether the result says that a picture is stereoscopic. What GStreamer writes into Matroska, others read differently.
  var keepsViews: Bool { video == .h264 && [.mp4, .mov, .ts].contains(container) }

  /// Whether web players can start before the whole file is loaded.
  var beginsFast: Bool { profile == .web && container == .mp4 }

  /// The profile for encodebin. The caller owns it.
  func profile(channels: Int) throws -> OpaquePointer? {
    let whole = Self.withCaps(container.caps) { gst_encoding_container_profile_new(nil, nil, $0, nil) }
    guard let whole else { return nil }
    if let pictures = try pictures { gst_encoding_container_profile_add_profile(whole, pictures) }
    if let sound = Self.withCaps(audio.caps, { gst_encoding_audio_profile_new($0, nil, nil, 0) }) {
      if let encoder = audio.encoder {
        try Self.choose(sound, encoder.element, audio.properties(channels: channels))
      }
      gst_encoding_container_profile_add_profile(whole, sound)
    }
    return whole
  }

  /// The profile for encodebin for the video alone, without a container. The caller owns it.
  var pictures: OpaquePointer? {
    get throws {
      guard let profile = Self.withCaps(video.caps, { gst_encoding_video_profile_new($0, nil, nil, 0) }) else {
        return nil
      }
      gst_encoding_video_profile_set_variableframerate(profile, 1)  // no frame is duplicated or dropped
      try Self.choose(
        profile, video.encoder.element,
        video.properties(crf: crf, bitrate: bitrate, preset, site: site ?? 0, isVariable: isVariable))
      return profile
    }
  }

  /// In MP4 and QuickTime H.264's and HEVC's parameters come before all frames, as Apple's players want: avc1 and hvc1, not avc3
  /// and hev1. Nil elsewhere.
  var streamFormat: String? {
    [.mp4, .mov].contains(container) ? [.h264: "avc", .hevc: "hvc1"][video] : nil
  }

  private static func withCaps(
    _ text: String, _ body: (UnsafeMutablePointer<GstCaps>) -> OpaquePointer?
  ) -> OpaquePointer? {
    guard let caps = gst_caps_from_string(text) else { return nil }
    defer { gst_caps_unref(caps) }
    return body(caps)
  }

  private static func choose(_ profile: OpaquePointer, _ element: String, _ properties: String) throws {
    gst_encoding_profile_set_preset_name(profile, element)
    guard !properties.isEmpty else { return }
    guard let structure = gst_structure_from_string("element-properties,\(properties)", nil) else {
      throw Failure("GStreamer does not understand \(properties)", .internalFault)
    }
    gst_encoding_profile_set_element_properties(profile, structure)
  }
}
