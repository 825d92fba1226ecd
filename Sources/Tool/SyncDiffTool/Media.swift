// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a file contains, from its decoders with corrections from its headers; Discovery.swift collects it.

import CGStreamer
import Glibc

/// A file that GStreamer can decode.
struct Media {
  let path: String
  let uri: String
  /// Whether it is a local file.
  let isFile: Bool
  /// The file of a URL.
  private let copy: Download?
  /// It, or its copy; nil for playlists and what has no length.
  var file: String? { isFile ? path : copy?.path }
  /// GStreamer's name of the container, such as "video/quicktime".
  var container = ""
  /// Seconds; nil if the file does not say.
  var duration: Double?
  /// FLAC only: the same to the sample.
  var exactDuration: Double?
  var pictures: [Picture] = []
  var sounds: [Sound] = []
  /// Subtitle streams that could be decoded.
  var subtitles = 0
  /// GStreamer's names of streams that have no decoder.
  var unknown: [String] = []
  /// Nil if GStreamer does not report them, even if there are some.
  var chapters: Chapters?
  var hasChapters = false
  var timecode: Timecode?
  /// Names of its metadata: GStreamer's, and of what GStreamer does not read.
  var tags: Set<String> = []
  var unreadTags: Set<String> = []
  /// When the file says that it was made, for people.
  var made: String?
  /// What the headers of Matroska and MP4 say of its audio and subtitle tracks, in their order; empty for other files.
  var tracks: [Track] = []
  /// The earliest timestamp of a stream, nanoseconds.
  var begin: GstClockTime = .max
  /// True even if it cannot be read.
  var hasTimecode = false
  var hasDolbyVision = false
  /// Whether the file is truncated.
  var isCutOff = false
  /// MP4 and QuickTime only: frames of the first video track by the file's index.
  var indexedFrames = 0
  /// MP4 and QuickTime only: how long one of them lasts at most, seconds.
  var longestFrame = 0.0

  /// Throws if there is nothing to decode. The path may be a URL, file: or http(s):.
  init(path: String) throws {
    let local = try Self.local(path)
    (self.path, isFile) = (local ?? path, local != nil)
    copy = local == nil ? try Download(of: path) : nil
    let file = local ?? copy?.path
    guard let uri = file.map({ gst_filename_to_uri($0, nil) }) ?? g_strdup(path) else {
      throw Failure("cannot read \(path)")
    }
    defer { g_free(uri) }
    self.uri = String(cString: uri)
    let headers = try file.flatMap { try MovieHeaders(path: $0, called: path) }
    try Discovery(of: self.uri).look(into: &self)
    hasTimecode = timecode != nil
    if let file { readHeaders(file, headers) }
    isCutOff = isCutOff || !(copy?.isComplete ?? true)
  }

  /// The path of a local file; nil for anything else.
  private static func local(_ path: String) throws -> String? {
    var file = path
    if gst_uri_is_valid(path) != 0, path.contains("://") {
      guard path.hasPrefix("file:") else { return nil }
      guard let name = g_filename_from_uri(path, nil, nil) else {
        throw Failure("cannot read \(path): not a file's URL")
      }
      defer { g_free(name) }
      file = String(cString: name)
    }
    var status = stat()
    guard stat(file, &status) == 0, access(file, R_OK) == 0 else {
      throw Failure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Failure("cannot read \(path): not a file") }
    return file
  }

  /// Takes from the headers what GStreamer gets wrong.
  private mutating func readHeaders(_ file: String, _ headers: MovieHeaders?) {
    isCutOff = endsEarly(chunks: file) || endsEarly(ogg: file)
    if ["audio/x-flac", "application/x-id3"].contains(container) { exactDuration = flacDuration(of: file) }
    if container == "audio/x-aiff" { duration = duration.map { $0 * shareThere(ofAIFF: file) } }
    if pictures.isEmpty, !sounds.isEmpty, let frame = firstFrame(ofMP3: file) {
      sounds[0].delay = frame.delay ?? 0
      isCutOff = frame.isCutOff
    }
    if ["video/x-matroska", "video/webm"].contains(container) { tracks = matroskaTracks(of: file) }
    guard let headers else { return }
    tracks = headers.tracks
    hasChapters = hasChapters || headers.hasChapters
    hasTimecode = hasTimecode || headers.hasTimecode
    timecode = timecode ?? headers.timecode
    unreadTags = Set(headers.tags).subtracting(tags)
    duration = headers.duration ?? duration
    (hasDolbyVision, isCutOff, indexedFrames) = (headers.hasDolbyVision, headers.isCutOff, headers.frames)
    longestFrame = headers.longestFrame
    guard !pictures.isEmpty else { return }
    // GStreamer ignores the box for some codecs, such as DNxHD.
    if let aspect = headers.aspect, pictures[0].aspect == Ratio(1, 1) { pictures[0].correct(aspect) }
    if headers.orientation != .upright { pictures[0].orientation = headers.orientation }
    pictures[0].colours.fillUnknown(headers.colours)
    if !pictures[0].colours.saysRange, let isFull = headers.isFullRange { pictures[0].colours.isFullRange = isFull }
  }

  /// Whether a file of its kind says in headers of which tracks it is made.
  var hasTrackHeaders: Bool { ["video/x-matroska", "video/webm", "video/quicktime"].contains(container) }

  /// What to say of a truncated file.
  var cutOff: String { "\(path) is cut off: its end is missing" }
  var missingEnd: String? { isCutOff ? cutOff : nil }

  /// A photo.
  var isStill: Bool { container.hasPrefix("image/") && container != "image/gif" }

  func requirePicture(deinterlaced: Bool = false) throws {
    guard let picture = pictures.first else { throw Failure("\(path) has no video stream") }
    guard container != "image/gif" else {
      // Its timestamps do not advance, and it never reaches EOS.
      throw Failure("\(path) is a GIF, which GStreamer does not play as a video; convert it to MP4 first")
    }
    guard !picture.isInterlaced || deinterlaced else {
      throw Failure("\(path) is interlaced; add --deinterlace, or deinterlace it first")
    }
    guard picture.width >= 64, picture.height >= 64 else {
      throw Failure("\(path) is \(picture.width) x \(picture.height); the minimum is 64 x 64")
    }
  }

  func requireSound() throws {
    guard !sounds.isEmpty else { throw Failure("\(path) has no audio stream") }
  }
}

struct Picture {
  /// Stored size in pixels.
  var width = 0
  var height = 0
  /// Pixel aspect ratio, width by height.
  var aspect = Ratio(1, 1)
  /// Whether decoded frames state another one than `aspect`, which GStreamer gets wrong.
  var isAspectCorrected = false
  /// Frames per second; 0/1 if variable or not stated.
  var rate = Ratio(0, 1)
  var isInterlaced = false
  var layout = Layout(depth: 8, chroma: .quarter)
  var isRGB = false
  var hasAlpha = false
  var colours = Colours()
  /// Where the chroma samples lie, by GStreamer's names.
  var chromaSite: String?
  /// Whether its first frame carries closed captions (CEA-608 or 708).
  var hasCaptions = false
  /// GStreamer's name of how a stereoscopic picture holds its two views; nil if there is one view.
  var views: String?
  /// HDR10 metadata in GStreamer's caps format.
  var masteringDisplay: String?
  var contentLight: String?
  /// The rotation needed for display; nil if it is not a multiple of 90 degrees.
  var orientation: Orientation? = .upright

  /// Display width and height in pixels.
  var shownSize: (width: Int, height: Int) { isOnItsSide ? (height, width) : (width, height) }
  var shownAspect: Ratio { isOnItsSide ? Ratio(aspect.denominator, aspect.numerator) : aspect }
  private var isOnItsSide: Bool { orientation?.swapsSides ?? false }

  mutating func correct(_ aspect: Ratio) {
    isAspectCorrected = isAspectCorrected || aspect != self.aspect
    self.aspect = aspect
  }
}

/// An audio or subtitle track by its file's header.
struct Track {
  var isSound = true
  var title: String?
  /// Whether a player plays it unless told otherwise.
  var isDefault = true
  var isForced = false
  /// Whether its text has styles.
  var isStyled = false
  /// Whom or what it is for, beside that, for people.
  var marks: [String] = []
}

struct Ratio: Equatable {
  let numerator, denominator: Int32
  init(_ numerator: Int32, _ denominator: Int32) { (self.numerator, self.denominator) = (numerator, denominator) }
  var text: String { "\(numerator)/\(denominator)" }
  var value: Double { Double(numerator) / Double(max(denominator, 1)) }
}

/// The precision with which colours are stored.
struct Layout: Equatable {
  /// Bits.
  var depth: Int
  var chroma: Chroma

  /// Chroma subsampling: 4:2:0, 4:2:2, 4:4:4.
  enum Chroma: Int, Comparable {
    case quarter, half, full
    static func < (a: Chroma, b: Chroma) -> Bool { a.rawValue < b.rawValue }
  }

  var text: String {
    let chroma = [Chroma.quarter: "4:2:0", .half: "4:2:2", .full: "4:4:4"][chroma] ?? ""
    return "\(chroma) with \(depth) bits"
  }

  func holds(_ other: Layout) -> Bool { depth >= other.depth && chroma >= other.chroma }
}

enum Orientation: Int32 {
  // In the order of GstVideoOrientationMethod.
  case upright, right, upsideDown, left, mirrored, flipped, transposed, transversed
  var swapsSides: Bool { [.right, .left, .transposed, .transversed].contains(self) }
}

/// Range, matrix, transfer, primaries: GStreamer's numbers, 0 if unknown.
struct Colours: Equatable {
  var range: UInt32 = 0
  var matrix: UInt32 = 0
  var transfer: UInt32 = 0
  var primaries: UInt32 = 0

  init() {}

  /// Parses GStreamer's text, such as "bt709" or "2:4:16:3".
  init(_ text: String) {
    var parsed = GstVideoColorimetry()
    guard gst_video_colorimetry_from_string(&parsed, text) != 0 else { return }
    (range, matrix) = (parsed.range.rawValue, parsed.matrix.rawValue)
    (transfer, primaries) = (parsed.transfer.rawValue, parsed.primaries.rawValue)
  }

  /// In GStreamer's numbers.
  var text: String { "\(range):\(matrix):\(transfer):\(primaries)" }

  /// For people, such as "limited range, matrix bt709, transfer bt709, primaries bt709".
  var name: String {
    guard self != Colours() else { return "not said" }
    let range = saysRange ? isFullRange ? "full range" : "limited range" : "unknown range"
    return "\(range), matrix \(Self.name(\.matrix, matrix)), transfer \(Self.name(\.transfer, transfer)), "
      + "primaries \(Self.name(\.primaries, primaries))"
  }

  /// GStreamer's name of a matrix, transfer or primaries.
  static func name(_ field: KeyPath<Colours, UInt32>, _ number: UInt32) -> String {
    let type =
      switch field {
      case \.matrix: gst_video_color_matrix_get_type()
      case \.transfer: gst_video_transfer_function_get_type()
      default: gst_video_color_primaries_get_type()
      }
    guard let values = g_type_class_ref(type) else { return "\(number)" }
    defer { g_type_class_unref(values) }
    let value = g_enum_get_value(values.assumingMemoryBound(to: GEnumClass.self), gint(number))
    return value.map { String(cString: $0.pointee.value_nick) } ?? "\(number)"
  }
  var saysRange: Bool { range != 0 }
  var isFullRange: Bool {
    get { range == GST_VIDEO_COLOR_RANGE_0_255.rawValue }
    set { range = (newValue ? GST_VIDEO_COLOR_RANGE_0_255 : GST_VIDEO_COLOR_RANGE_16_235).rawValue }
  }
  var isPQ: Bool { transfer == GST_VIDEO_TRANSFER_SMPTE2084.rawValue }
  var isHDR: Bool { isPQ || transfer == GST_VIDEO_TRANSFER_ARIB_STD_B67.rawValue }

  /// Fills unknown fields from numbers of ISO/IEC 23091-2: primaries, transfer, matrix.
  mutating func fillUnknown(_ numbers: [Int]) {
    guard numbers.count == 3 else { return }
    let numbers = numbers.map { guint(clamping: $0) }
    if primaries == 0 { primaries = gst_video_color_primaries_from_iso(numbers[0]).rawValue }
    if transfer == 0 { transfer = gst_video_transfer_function_from_iso(numbers[1]).rawValue }
    if matrix == 0, numbers[2] > 0 { matrix = gst_video_color_matrix_from_iso(numbers[2]).rawValue }
  }

  /// Fills unknown fields with the usual defaults: BT.601 for PAL or NTSC up to 576 lines, BT.709 above; limited range.
  func resolved(height: Int, rate: Ratio) -> Colours {
    var result = self
    if !saysRange { result.isFullRange = false }
    guard matrix == 0 || matrix == GST_VIDEO_COLOR_MATRIX_RGB.rawValue else { return result }
    let isPAL = [576, 288].contains(height) || [25, 50].contains(rate.value)
    let (primaries, transfer, matrix) =
      height > 576
      ? (GST_VIDEO_COLOR_PRIMARIES_BT709, GST_VIDEO_TRANSFER_BT709, GST_VIDEO_COLOR_MATRIX_BT709)
      : (
        isPAL ? GST_VIDEO_COLOR_PRIMARIES_BT470BG : GST_VIDEO_COLOR_PRIMARIES_SMPTE170M, GST_VIDEO_TRANSFER_BT601,
        GST_VIDEO_COLOR_MATRIX_BT601
      )
    if result.matrix != 0 { result.isFullRange = false }  // RGB is converted to the usual range of video
    result.matrix = matrix.rawValue
    if result.transfer == 0, result.primaries == 0 {
      (result.transfer, result.primaries) = (transfer.rawValue, primaries.rawValue)
    }
    return result
  }
}

struct Sound {
  var rate = 0
  var channels = 0
  /// Channel positions, as the bits of GstAudioChannelPosition; 0 if unknown. Mono and stereo need none.
  var mask: UInt64 = 0
  var hasPositions: Bool { channels <= 2 || mask != 0 }
  /// Seconds at the beginning that were not in the original audio (encoder delay).
  var delay = 0.0
  /// ISO 639; nil if the file does not say.
  var language: String?
  /// GStreamer's name of its codec, such as "MPEG-4 AAC"; nil if unknown.
  var codec: String?
}
