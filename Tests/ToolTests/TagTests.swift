// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What a file says of its picture and its tracks is said in the result, or named as lost, by `dub` and `inspect` alike.
@Suite(.serialized) struct TagTests {
  private let folder: Folder
  private let sound: String

  init() throws {
    folder = try Folder()
    sound = try folder.tone()
  }

  private func dub(_ video: String, _ name: String, _ options: String...) throws -> Outcome {
    try run(tool, ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name)] + options)
  }

  /// What `dub` warns of, without the missing face and the sound behind the picture.
  private func warnings(_ outcome: Outcome) -> [String] {
    outcome.err.split(separator: "\n").compactMap { line in
      line.hasPrefix("Warning: ") && !line.contains("no face") && !line.contains("are cut, as")
        ? String(line.dropFirst(9)) : nil
    }
  }

  private func language(_ path: String, _ stream: String) throws -> String {
    let words = [
      "-v", "error", "-select_streams", stream, "-show_entries", "stream_tags=language", "-of", "csv=p=0", path,
    ]
    return try run(ffprobe, words).out.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  static let formats = [
    "mp4": ["h264", "hevc", "av1"], "mov": ["h264", "hevc", "prores"],
    "mkv": ["h264", "hevc", "vp9", "av1", "prores", "ffv1"], "webm": ["vp9", "av1"], "ts": ["h264", "hevc"],
  ]

  @Test(
    "Range, matrix, transfer and primaries stay in every format, in file and stream",
    arguments: formats.keys.sorted(),
    [
      ["tv", "bt2020nc", "bt2020-10", "bt2020"], ["pc", "bt709", "iec61966-2-1", "smpte432"],
      ["tv", "smpte170m", "bt709", "bt470bg"],
    ])
  func colours(container: String, said: [String]) throws {
    let tags = "-color_range \(said[0]) -colorspace \(said[1]) -color_trc \(said[2]) -color_primaries \(said[3])"
    let named = "setparams=colorspace=\(said[1]):color_trc=\(said[2]):color_primaries=\(said[3])"
    let filter = (said[0] == "pc" ? "\(PictureTests.full)," : "") + named
    let video = try folder.colours(
      "v.mp4", filter: filter, by: "\(tags) -c:v libx264 -pix_fmt \(said[0] == "pc" ? "yuvj420p" : "yuv420p")")
    let shown = try quarters(video)
    for codec in Self.formats[container] ?? [] {
      let outcome = try dub(video, "out.\(container)", "--video-codec", codec)
      #expect(outcome.status == 3, "\(outcome.err)")
      let isLimited = said[0] == "pc" && codec == "prores"
      #expect(
        warnings(outcome)
          == (isLimited ? ["\(video): its full range becomes limited range, the only one of prores"] : []))
      let wanted = [isLimited ? "tv" : said[0]] + said[1...]
      let out = folder.file("out.\(container)")
      var made = try probe(out, "v:0", "color_range,color_space,color_transfer,color_primaries")
      // ProRes has no other range, so FFmpeg 7 does not say it.
      if codec == "prores", made[0] == "unknown" { made[0] = "tv" }
      #expect(made == wanted, "\(codec) in \(container)")
      // The stream alone, without the file around it, which FFmpeg does not believe for ProRes either; FFV1 has no place.
      if let raw = ["h264": "h264", "hevc": "hevc", "av1": "obu", "vp9": "ivf"][codec] {
        let alone = try folder.make("alone.\(raw)", by: "-i @out.\(container) -map 0:v -c copy")
        let told = try probe(alone, "v:0", "color_range,color_space,color_transfer,color_primaries")
        #expect(codec == "vp9" ? told[...1] == wanted[...1] : told[...] == wanted[...], "\(codec) alone")
      }
      #expect(try areNear(quarters(out), shown, 8), "\(codec) in \(container)")
    }
  }

  @Test(
    "The places of chroma samples stay, or are named",
    arguments: [(0, "left"), (1, "center"), (2, "topleft"), (3, "top")], ["libx264", "libx265"])
  func chromaPlaces(place: (number: Int, name: String), encoder: String) throws {
    let params = "-\(encoder.dropFirst(3))-params chromaloc=\(place.number)"
    let video = try folder.colours("v.mp4", by: "-c:v \(encoder) -pix_fmt yuv420p \(params)")
    try #require(try probe(video, "v:0", "chroma_location") == [place.name])
    // GStreamer 1.26 writes it into the file, where 1.22 does not.
    let isInMatroska = try run(tool, ["--version", "--verbose"]).out.contains(/GStreamer 1\.(2[6-9]|[3-9])/)
    for codec in ["h264", "hevc", "av1", "vp9", "ffv1"] {
      for quality in ["h264", "hevc"].contains(codec) ? [["--crf", "20"], ["--bitrate", "500"]] : [[]] {
        let words = ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file("out.mkv")]
        let outcome = try run(tool, words + ["--video-codec", codec] + quality)
        #expect(outcome.status == 3, "\(outcome.err)")
        let isKept =
          isInMatroska || ["h264", "hevc"].contains(codec) || codec == "av1" && [0, 2].contains(place.number)
        let isNamed = warnings(outcome).contains { $0.contains("chroma samples") }
        #expect(isNamed == (!isKept && place.number != 0), "\(codec)")
        let made = try probe(folder.file("out.mkv"), "v:0", "chroma_location")
        #expect(made == [isKept ? place.name : "unspecified"], "\(codec)")
      }
    }
  }

  @Test("In Matroska, a track without a language has none, and one that has one keeps it")
  func languages() throws {
    let video = try folder.make(
      "v.mp4",
      by:
        "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -i @tone.wav -i @tone.wav -map 0 -map 1 -map 2 -metadata:s:a:1 language=swe -t 0.4 -pix_fmt yuv420p -c:a aac"
    )
    for (options, wanted) in [
      ([], "|||swe"), (["--language", "de"], "||ger|swe"), (["--language", "en"], "||eng|swe"),
    ] {
      let words = ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file("out.mkv"), "--keep"]
      #expect(try run(tool, words + options).status == 3)
      let languages = try ["v:0", "a:1", "a:0", "a:2"].map { try language(folder.file("out.mkv"), $0) }
      #expect(languages.joined(separator: "|") == wanted)
    }
  }

  @Test("Pixel aspect ratio and colours that only QuickTime's boxes state are kept")
  func boxed() throws {
    let colours = "setparams=colorspace=bt709:color_trc=bt709:color_primaries=bt709"
    let video = try folder.make(
      "v.mov",
      by: "-f lavfi -i testsrc2=s=1440x1080:r=25:d=0.12 -vf setsar=4/3,\(colours) -c:v dnxhd -b:v 84M -pix_fmt yuv422p "
        + "-colorspace bt709 -color_trc bt709 -color_primaries bt709")
    let fields = "sample_aspect_ratio,color_space,color_transfer,color_primaries"
    let said = ["4:3", "bt709", "bt709", "bt709"]
    try #require(try probe(video, "v:0", fields) == said)
    for name in ["out.mp4", "out.mov", "out.mkv"] {
      #expect(try dub(video, name).status == 3)
      #expect(try probe(folder.file(name), "v:0", fields) == said, "\(name)")
    }
  }

  @Test(
    "A stereoscopic picture keeps its pixel aspect ratio, and says what it is or is named",
    arguments: [("2/1", 3), ("1/1", 3), ("1/2", 4), ("1/1", 4)])
  func stereo(aspect: String, packing: Int) throws {
    for input in ["v.mp4", "v.ts"] {
      let video = try folder.colours(
        input, filter: "setsar=\(aspect)", by: "-c:v libx264 -pix_fmt yuv420p -x264-params frame-packing=\(packing)")
      for (name, codec) in [
        ("out.mp4", "h264"), ("out.ts", "h264"), ("out.mkv", "h264"), ("out.webm", "vp9"), ("out.mp4", "hevc"),
      ] {
        let outcome = try dub(video, name, "--video-codec", codec)
        #expect(outcome.status == 3, "\(outcome.err)")
        let made = try probe(folder.file(name), "v:0", "sample_aspect_ratio")
        #expect(made == [aspect.replacing("/", with: ":")], "\(input) to \(codec) in \(name)")
        let frame = [
          "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-select_streams", "v", folder.file(name),
        ]
        let saysSo = try run(ffprobe, frame).out.contains("Stereo 3D")
        #expect(
          saysSo != warnings(outcome).contains { $0.contains("it is stereoscopic") }, "\(input) to \(codec) in \(name)")
      }
    }
  }

  @Test("Beside the dub a stereoscopic picture no longer says that it is one, and that is named")
  func stereoBeside() throws {
    let video = try folder.colours("v.mp4", by: "-c:v libx264 -pix_fmt yuv420p -x264-params frame-packing=3")
    #expect(try warnings(dub(video, "out.mp4", "--compare")).contains { $0.contains("it is stereoscopic") })
    #expect(try !warnings(dub(video, "out.mp4")).contains { $0.contains("it is stereoscopic") })
  }

  @Test(
    "Colours that are not said, and a time of creation that is replaced, are no loss",
    arguments: ["out.mp4", "out.mkv", "out.ts"])
  func quietly(name: String) throws {
    let said = "-colorspace bt709 -color_trc bt709 -color_primaries bt709"
    let filter = "setparams=colorspace=bt709:color_trc=bt709:color_primaries=bt709"
    let isLost = name.hasSuffix("ts")
    let creation = "its time of creation, 2020-01-02T03:04:05Z, "
    for input in ["v.mp4", "v.mkv"] {
      for (filter, options, loss) in [
        (filter, said, []), ("null", "", []),
        (
          filter, "\(said) -metadata creation_time=2020-01-02T03:04:05Z",
          isLost ? ["\(creation)is left out"] : []
        ),
      ] {
        let video = try folder.colours(input, filter: filter, by: "-c:v libx264 -pix_fmt yuv420p \(options)")
        let outcome = try dub(video, name)
        #expect(warnings(outcome) == loss.map { "\(video): \($0)" }, "\(outcome.err)")
        let isReplaced = options.contains("creation_time") && !isLost
        #expect(
          outcome.err.contains("\(video): \(creation)becomes that of the result.") == isReplaced, "\(outcome.err)")
        let note = "\(video) does not say its colours; the result says the usual ones, limited range, matrix bt601"
        #expect(outcome.err.contains(note) == options.isEmpty, "\(outcome.err)")
      }
    }
  }

  @Test("Texts with spaces and accents are stored as they are", arguments: ["out.mkv", "out.webm", "out.mp4"])
  func texts(name: String) throws {
    let plain = try folder.colours("plain.mp4", by: "-c:v libx264 -pix_fmt yuv420p")
    let (video, title) = (folder.file("v.mp4"), "A \"größer\" film, part 1")
    _ = try run(ffmpeg, ["-v", "error", "-i", plain, "-c", "copy", "-metadata", "title=\(title)", video])
    #expect(try dub(video, name).status == 3)
    let told = try run(
      ffprobe, ["-v", "error", "-show_entries", "format_tags", "-of", "default=nw=1", folder.file(name)])
    #expect(told.out.contains(/(?i:TAG:title=)A "größer" film, part 1\n/), "\(told.out)")
    #expect(told.out.contains(/(?i:TAG:comments?=)digital-source-type=http/), "\(told.out)")
  }

  @Test(
    "A picture is shown as the stream itself asks for, which is all that a camera may say",
    arguments: [
      // Flips, degrees to the left, and which quarter is shown in each place.
      ("", 90, [1, 3, 0, 2]), ("", 180, [3, 2, 1, 0]), ("", 270, [2, 0, 3, 1]), ("horizontal", 0, [1, 0, 3, 2]),
      ("vertical", 0, [2, 3, 0, 1]), ("horizontal", 90, [0, 2, 1, 3]), ("vertical", 90, [3, 1, 2, 0]),
      ("horizontal+vertical", 0, [3, 2, 1, 0]), ("horizontal", 270, [3, 1, 2, 0]),
    ])
  func displayOrientation(flips: String, turn: Int, places: [Int]) throws {
    let plain = try folder.colours("plain.mp4", by: "-c:v libx264 -pix_fmt yuv420p")
    let stored = try quarters(plain)
    let options = (flips.isEmpty ? [] : ["flip=\(flips)"]) + (turn == 0 ? [] : ["rotate=\(turn)"])
    for name in ["v.mp4", "v.ts"] {
      let bits = "-bsf:v h264_metadata=display_orientation=insert:\(options.joined(separator: ":"))"
      let video = try folder.make(name, by: "-i @plain.mp4 -c copy \(bits)")
      let outcome = try dub(video, "out.mp4")
      #expect(outcome.status == 3, "\(outcome.err)")
      #expect(try areNear(quarters(folder.file("out.mp4")), places.map { stored[$0] }, 12), "\(name)")
      #expect(try run(tool, ["inspect", "--no-faces", video]).out.contains("stored turned"))
    }
  }

  /// A file of H.264 alone as FFmpeg writes it, with two bytes for the length of a unit instead of four.
  private func withShortLengths(_ path: String, _ name: String) throws -> String {
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    func place(_ type: String) throws -> Int { try #require(Data(bytes).range(of: Data(type.utf8))).lowerBound }
    func number(_ place: Int) -> Int { bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
    func put(_ number: Int, _ place: Int) { for i in 0..<4 { bytes[place + i] = UInt8(number >> (24 - 8 * i) & 0xff) } }
    let (data, sizes, parameters) = (try place("mdat"), try place("stsz"), try place("avcC"))
    var (old, new) = (data + 4, [UInt8]())
    for sample in 0..<number(sizes + 12) {
      let (size, before) = (sizes + 16 + 4 * sample, new.count)
      let end = old + number(size)
      while old < end {
        new += bytes[old + 2..<old + 4 + number(old)]
        old += 4 + number(old)
      }
      put(new.count - before, size)
    }
    bytes[parameters + 8] = 0xfd
    put(8 + new.count, data - 4)
    bytes.replaceSubrange(data + 4..<old, with: new)
    try Data(bytes).write(to: URL(fileURLWithPath: folder.file(name)))
    return folder.file(name)
  }

  @Test("It is followed, too, where the lengths of units have two bytes")
  func displayOrientationAfterShortLengths() throws {
    _ = try folder.colours("plain.mp4", by: "-c:v libx264 -pix_fmt yuv420p")
    let turned = try folder.make(
      "turned.mp4", by: "-i @plain.mp4 -c copy -bsf:v h264_metadata=display_orientation=insert:rotate=90")
    let video = try withShortLengths(turned, "v.mp4")
    try #require(try decodedFrames(video) == decodedFrames(turned))
    #expect(try run(tool, ["inspect", "--no-faces", video]).out.contains("stored turned"))
  }

  @Test("HEVC, too, asks to be mirrored; an odd angle is named")
  func displayOrientationOfHEVC() throws {
    let plain = try folder.colours(
      "plain.hevc", by: "-c:v libx265 -pix_fmt yuv420p -x265-params log-level=none:bframes=0")
    let stored = try quarters(plain)
    // A message of type 47: not cancelled, flipped or not, turned, repeated for every frame.
    for (message, places, isNamed) in [
      ([0x40, 0x00, 0x18], [1, 0, 3, 2], false), ([0x02, 0x00, 0x18], [0, 1, 2, 3], true),
    ] as [([UInt8], [Int], Bool)] {
      var bytes = try Data(contentsOf: URL(fileURLWithPath: plain))
      let slice = try #require([0x26, 0x28].lazy.compactMap { bytes.range(of: Data([0, 0, 1, $0, 1])) }.first)
        .lowerBound
      bytes.insert(contentsOf: [0, 0, 1, 0x4e, 1, 47, 3] + message + [0x80], at: slice)
      try bytes.write(to: URL(fileURLWithPath: folder.file("asks.hevc")))
      let video = try folder.make("v.mp4", by: "-i @asks.hevc -c copy")
      let outcome = try dub(video, "out.mp4")
      #expect(outcome.status == 3, "\(outcome.err)")
      #expect(try areNear(quarters(folder.file("out.mp4")), places.map { stored[$0] }, 12), "\(message)")
      #expect(outcome.err.contains("no quarter of a turn") == isNamed)
    }
  }

  @Test(
    "inspect names the same losses as dub",
    arguments: [
      (
        "v.mp4",
        "-metadata title=A -metadata artist=B -metadata comment=C -metadata location=+1-2/ -metadata album_artist=D", ""
      ),
      ("v.mkv", "-metadata title=A -metadata isrc=B -metadata encoded_by=C -metadata comment=D -metadata lyrics=E", ""),
      ("v.mov", "-metadata title=A -metadata make=B -metadata description=C -timecode 10:00:00:00", ""),
      ("v.mov", "-metadata location=+1-2/ -metadata date=2026 -metadata keywords=D", ""),
      ("v.mp4", "-color_range pc -x264-params chromaloc=2:frame-packing=3", "--video-codec=prores"),
      ("v.mp4", "-color_range pc -x264-params chromaloc=2:frame-packing=3", "--video-codec=vp9"),
      ("v.mkv", "-map 0 -map 1 -map 1 -i @tone.wav", ""),
      ("v.mkv", "-map 0 -map 1 -map 1 -i @tone.wav", "--mix-original=-6"),
      ("v.mkv", "-map 0 -map 1 -map 1 -i @tone.wav", "--keep"), ("v.mkv", "-pix_fmt yuv444p10", ""),
      ("v.mov", "-c:v qtrle -pix_fmt argb", ""),
    ])
  func prediction(name: String, options: String, choice: String) throws {
    let words = options.split(separator: " ")
    let input = words.firstIndex(of: "-i").map { words[$0...].joined(separator: " ") } ?? ""
    let rest = options.replacing(input, with: "")
    let layout = rest.contains("-pix_fmt") ? "" : "-pix_fmt yuv420p"
    let video = try folder.colours(
      name, by: "\(input) \(rest.contains("-c:v") ? "" : "-c:v libx264") \(layout) -t 0.4 \(rest)")
    for container in ["mp4", "mov", "mkv", "webm", "ts"] {
      let words = choice.isEmpty ? [] : [choice]
      let codec = choice.split(separator: "=").last.map(String.init) ?? ""
      guard !choice.hasPrefix("--video-codec") || Self.formats[container]?.contains(codec) ?? false else { continue }
      let out = folder.file("out.\(container)")
      let outcome = try run(tool, ["dub", "--once", "--video", video, "--audio", sound, "-o", out] + words)
      #expect(outcome.status == 3, "\(outcome.err)")
      let told = try run(tool, ["inspect", "--no-faces", video, "--container", container] + words)
      let lost = told.out.split(separator: "\n").filter { $0.hasPrefix("would be lost: ") }.map {
        String($0.dropFirst(15))
      }
      #expect(lost == warnings(outcome), "\(container)")
    }
  }
}
