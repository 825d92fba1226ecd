// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What is shown is what was shown; what cannot be is named.
@Suite(.serialized) struct PictureTests {
  private let folder: Folder
  private let sound: String

  init() throws {
    folder = try Folder()
    sound = try folder.tone()
  }

  private func dub(_ video: String, _ name: String, _ options: String...) throws -> Outcome {
    try run(tool, ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name)] + options)
  }

  static let full = "scale=in_range=tv:out_range=pc,format=yuvj420p"

  @Test(
    "Full range stays full range, wherever the file says it",
    arguments: [
      ("a.mp4", "-color_range pc -c:v libx264"), ("b.mov", "-color_range pc -c:v libx264"),
      ("c.mp4", "-color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:v libx264"),
      ("d.mkv", "-color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:v libx264"),
      (
        "e.mp4",
        "-color_range pc -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:v libx265 -x265-params log-level=0"
      ),
      ("f.mp4", "-color_range pc -c:v libvpx-vp9 -deadline realtime"), ("g.mov", "-c:v mjpeg"),
      ("h.webm", "-color_range pc -c:v libvpx-vp9 -deadline realtime"),
    ])
  func fullRange(name: String, encoding: String) throws {
    let video = try folder.colours(name, filter: Self.full, by: encoding)
    for out in ["out.mp4", "out.mkv", "out.ts", "hevc.mp4"] {
      let outcome = try dub(video, out, "--video-codec", out.hasPrefix("hevc") ? "hevc" : "h264")
      #expect(outcome.status == 3, "\(outcome.err)")
      #expect(try probe(folder.file(out), "v:0", "color_range") == ["pc"], "\(name) -> \(out)")
      #expect(try areNear(quarters(video), quarters(folder.file(out)), 6), "\(name) -> \(out)")
    }
  }

  @Test("Limited range stays limited, with the colours it is tagged with or those of PAL, NTSC and HD")
  func colorimetry() throws {
    let cases = [
      ("pal.mp4", "128x96", "", ["tv", "smpte170m", "smpte170m", "bt470bg"]),
      ("ntsc.mp4", "128x96", "-r 30000/1001", ["tv", "smpte170m", "smpte170m", "smpte170m"]),
      ("hd.mp4", "1280x720", "", ["tv", "bt709", "bt709", "bt709"]),
      (
        "tagged.mp4", "128x96", "-x264-params colorprim=bt2020:transfer=bt709:colormatrix=bt2020nc -color_range tv",
        ["tv", "bt2020nc", "bt709", "bt2020"]
      ),
    ]
    for (name, size, tags, expected) in cases {
      let video = try folder.colours(name, size: size, by: "\(tags) -c:v libx264 -pix_fmt yuv420p")
      let outcome = try dub(video, "out.mp4")
      #expect(outcome.status == 3, "\(outcome.err)")
      let made = try probe(folder.file("out.mp4"), "v:0", "color_range,color_space,color_transfer,color_primaries")
      #expect(made == expected, "\(name)")
    }
  }

  @Test(
    "A picture is shown turned and mirrored as its display matrix says",
    arguments: [
      // The matrix's a, b, c, d, and which quarter is shown in each place.
      ([1, 0, 0, 1], [0, 1, 2, 3]), ([0, 1, -1, 0], [2, 0, 3, 1]), ([-1, 0, 0, -1], [3, 2, 1, 0]),
      ([0, -1, 1, 0], [1, 3, 0, 2]), ([-1, 0, 0, 1], [1, 0, 3, 2]), ([1, 0, 0, -1], [2, 3, 0, 1]),
      ([0, 1, 1, 0], [0, 2, 1, 3]), ([0, -1, -1, 0], [3, 1, 2, 0]),
    ] as [([Int32], [Int])])
  func orientation(matrix: [Int32], places: [Int]) throws {
    for (layout, codec) in [("yuv420p", "libx264"), ("yuv422p10le", "libx264")] {
      let video = try folder.colours("v.mp4", by: "-c:v \(codec) -pix_fmt \(layout)")
      let stored = try quarters(video)
      var bytes = try Data(contentsOf: URL(fileURLWithPath: video))
      let header = try #require(bytes.range(of: Data("tkhd".utf8))).upperBound
      for (offset, value) in zip([0, 4, 12, 16], matrix) {
        let entry = header + 40 + offset
        bytes.replaceSubrange(entry..<entry + 4, with: withUnsafeBytes(of: (value << 16).bigEndian) { Data($0) })
      }
      try bytes.write(to: URL(fileURLWithPath: video))
      let outcome = try dub(video, "out.mp4")
      #expect(outcome.status == 3, "\(outcome.err)")
      let size = try probe(folder.file("out.mp4"), "v:0", "width,height,pix_fmt")
      #expect(size == (matrix[0] == 0 ? ["96", "128"] : ["128", "96"]) + [layout])
      #expect(try areNear(quarters(folder.file("out.mp4")), places.map { stored[$0] }, 12), "\(matrix)")
    }
  }

  @Test("A turn that is no quarter is named")
  func crooked() throws {
    let video = try folder.colours("v.mp4", by: "-c:v libx264 -pix_fmt yuv420p")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: video))
    let header = try #require(bytes.range(of: Data("tkhd".utf8))).upperBound
    bytes.replaceSubrange(header + 44..<header + 48, with: [0, 0, 0x80, 0])
    try bytes.write(to: URL(fileURLWithPath: video))
    #expect(try dub(video, "out.mp4").err.contains("no quarter of a turn"))
  }

  @Test("Pixels that are not square stay so, turned or not")
  func aspect() throws {
    let video = try folder.colours("v.mp4", filter: "setsar=16/11", by: "-c:v libx264 -pix_fmt yuv420p")
    for out in ["out.mp4", "out.mkv", "out.ts"] {
      #expect(try dub(video, out).status == 3)
      // Matroska stores how wide the picture is shown, in whole pixels.
      let expected = out == "out.mkv" ? "93:64" : "16:11"
      #expect(try probe(folder.file(out), "v:0", "sample_aspect_ratio") == [expected], "\(out)")
    }
  }

  @Test("HDR stays in 10 bits with all its metadata, or is refused", arguments: ["smpte2084", "arib-std-b67"])
  func hdr(transfer: String) throws {
    let light =
      transfer == "smpte2084"
      ? ":hdr-opt=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
      : ""
    let video = try folder.colours(
      "v.mp4",
      by: "-pix_fmt yuv420p10le -c:v libx265 -tag:v hvc1 -x265-params "
        + "log-level=0:colorprim=bt2020:transfer=\(transfer):colormatrix=bt2020nc:repeat-headers=1\(light)")
    for out in ["out.mp4", "out.mkv", "out.mov", "out.ts"] {
      let outcome = try dub(video, out)
      #expect(outcome.status == 3, "\(outcome.err)")
      let made = try probe(folder.file(out), "v:0", "codec_name,pix_fmt,color_transfer,color_space,color_primaries")
      #expect(made == ["hevc", "yuv420p10le", transfer, "bt2020nc", "bt2020"], "\(out)")
      guard transfer == "smpte2084" else { continue }
      let frame = try run(
        ffprobe,
        ["-v", "error", "-show_frames", "-read_intervals", "%+#1", "-select_streams", "v", folder.file(out)])
      for line in ["red_x=34000/50000", "max_luminance=10000000/10000", "min_luminance=50/10000", "max_content=1000"] {
        #expect(frame.out.contains(line), "\(out) lacks \(line)")
      }
    }
    for (out, codec) in [("no.mp4", "h264"), ("no.webm", "vp9")] {
      let refused = try dub(video, out, "--video-codec", codec)
      #expect(refused.status == 73 && refused.err.contains("HDR") && !folder.has(out), "\(refused.err)")
    }
  }

  @Test(
    "Depth and chroma stay where the codec can, and are named where not",
    arguments: [
      ("yuv420p", "h264", "yuv420p", ""), ("yuv422p", "h264", "yuv422p", ""), ("yuv444p", "h264", "yuv444p", ""),
      ("yuv420p10le", "h264", "yuv420p10le", ""), ("yuv422p10le", "hevc", "yuv422p10le", ""),
      ("yuv444p10le", "h264", "yuv422p10le", "4:4:4 with 10 bits becomes 4:2:2 with 10 bits"),
      ("yuv420p12le", "hevc", "yuv420p10le", "4:2:0 with 12 bits becomes 4:2:0 with 10 bits"),
      ("yuv422p10le", "av1", "yuv422p", "4:2:2 with 10 bits becomes 4:2:2 with 8 bits"),
      ("gbrp", "h264", "yuv420p", "RGB becomes 4:2:0 with 8 bits"), ("yuva420p", "h264", "yuv420p", "transparency"),
      ("yuv422p10le", "prores", "yuv422p10le", ""), ("yuv420p", "ffv1", "yuv420p", ""),
    ])
  func layouts(stored: String, codec: String, made: String, loss: String) throws {
    let video = try folder.colours("v.mkv", by: "-pix_fmt \(stored) -c:v ffv1")
    let outcome = try dub(video, "out.mkv", "--video-codec", codec)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try probe(folder.file("out.mkv"), "v:0", "pix_fmt") == [made])
    let others = ["no face", "are cut, as"]
    let warnings = outcome.err.split(separator: "\n").filter { line in
      line.hasPrefix("Warning") && !others.contains { line.contains($0) }
    }
    #expect(loss.isEmpty ? warnings.isEmpty : warnings.count == 1 && warnings[0].contains(loss), "\(outcome.err)")
  }

  @Test("Motion JPEG keeps its chroma and its range", arguments: ["yuvj420p", "yuvj422p", "yuvj444p"])
  func motionJPEG(stored: String) throws {
    let video = try folder.colours("v.avi", by: "-pix_fmt \(stored) -c:v mjpeg -q:v 2")
    let outcome = try dub(video, "out.mkv")
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try probe(folder.file("out.mkv"), "v:0", "pix_fmt") == [stored])
    #expect(areNear(try quarters(video), try quarters(folder.file("out.mkv")), 12))
  }

  @Test("Odd sizes work in 8 bits, and what that costs is told", arguments: ["129x97", "129x96", "128x97"])
  func oddSizes(size: String) throws {
    let sides = size.split(separator: "x")
    let video = try folder.colours(
      "v.mkv", size: "192x160", filter: "crop=\(sides[0]):\(sides[1]):0:0:exact=1,format=gbrp", by: "-c:v ffv1")
    let outcome = try dub(video, "out.mp4")
    #expect(outcome.status == 3 && outcome.err.contains("is odd, so h264 stores 4:"), "\(outcome.err)")
    #expect(try probe(folder.file("out.mp4"), "v:0", "width,height") == sides.map(String.init))
  }

  @Test("An odd height costs nothing where even ones are 4:2:2 too")
  func oddHeight() throws {
    let video = try folder.colours(
      "v.mkv", size: "192x160", filter: "crop=128:97:0:0:exact=1,format=gbrp", by: "-c:v ffv1")
    let outcome = try dub(video, "out.mov", "--profile", "master")
    #expect(outcome.status == 3 && !outcome.err.contains("is odd"), "\(outcome.err)")
  }

  @Test(
    "Interlaced video is refused with a word of --deinterlace, which halves fields and names it",
    arguments: [
      ("v.mp4", "-flags +ilme+ildct -c:v libx264 -x264-params tff=1"),
      ("v.mov", "-flags +ildct -c:v prores_ks -pix_fmt yuv422p10"),
    ])
  func interlaced(name: String, codec: String) throws {
    let video = try folder.make(name, by: "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -vf setfield=tff \(codec)")
    let refused = try dub(video, "out.mp4")
    #expect(refused.status == 66 && refused.err.contains("--deinterlace"), "\(refused.err)")
    let outcome = try dub(video, "out.mp4", "--deinterlace")
    #expect(outcome.status == 3 && outcome.err.contains("deinterlaced"), "\(outcome.err)")
    #expect(try probe(folder.file("out.mp4"), "v:0", "field_order") == ["progressive"])
    #expect(try decodedFrames(folder.file("out.mp4")) == 10)
  }

  @Test(
    "Timecode goes on in mov, counted from where the picture begins, and is named as lost elsewhere",
    arguments: [
      ("v.mov", "-r 25 -c:v libx264 -timecode 10:00:00:20", "0", "10:00:00:20"),
      ("v.mov", "-r 25 -c:v libx264 -timecode 10:00:00:20", "0.3", "10:00:01:03"),
      ("v.mov", "-r 30000/1001 -c:v libx264 -timecode 00:00:59;28", "0.1", "00:01:00;03"),
      ("v.mxf", "-r 25 -c:v mpeg2video -timecode 10:00:00:20", "0.3", "10:00:01:03"),
    ])
  func timecode(name: String, options: String, from: String, wanted: String) throws {
    let video = try folder.make(name, by: "-f lavfi -i testsrc2=s=128x96:d=0.6 -pix_fmt yuv420p \(options)")
    for codec in ["h264", "prores"] {
      let outcome = try dub(video, "out.mov", "--from", from, "--video-codec", codec)
      #expect(outcome.status == 3 && !outcome.err.contains("timecode"), "\(outcome.err)")
      #expect(try startTimecode(folder.file("out.mov")) == wanted)
    }
    let lost = try dub(video, "out.mp4", "--from", from)
    #expect(lost.err.contains("its timecode is left out; mov keeps it"), "\(lost.err)")
  }

  @Test(
    "A picture that begins after its sound in Matroska keeps the time of every frame",
    arguments: ["out.mp4", "out.mkv"])
  func late(name: String) throws {
    let video = try folder.make(
      "v.mkv",
      by: "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -f lavfi -i sine=d=0.4 -vf setpts=PTS+1 -c:v libx264 "
        + "-c:a flac")
    let wanted = try frameTimes(video)
    #expect(try wanted.count == 10 && #require(wanted.first) > 0.02)
    #expect(try dub(video, name).status == 3)
    let times = try frameTimes(folder.file(name))
    #expect(times.count == 10)
    for (time, wanted) in zip(times, wanted) { #expect(abs(time - wanted) < 0.0015, "\(times)") }
  }

  @Test(
    "Metadata goes over, or what is lost is named",
    arguments: [
      ("v.mp4", "-metadata title=A -metadata artist=B", "out.mp4", ""),
      ("v.mp4", "-metadata title=A -metadata artist=B", "out.ts", "artist, title"),
      // What a sound's decoder tells of it is no metadata.
      ("v.avi", "-i @tone.wav -c:a libmp3lame -metadata title=A -metadata artist=B", "out.mp4", ""),
      ("v.mp4", "-metadata comment=A", "out.mp4", "comment"),
      ("v.mp4", "-metadata location=+1-2/", "out.mp4", "location"),
      (
        "v.mov", "-movflags use_metadata_tags -metadata com.apple.quicktime.make=A", "out.mov",
        "com.apple.quicktime.make"
      ),
      ("v.mkv", "-attach @s.ttf -metadata:s:1 mimetype=application/x-truetype-font", "out.mkv", "attachment"),
    ])
  func metadata(video: String, options: String, result: String, lost: String) throws {
    try "A font.".write(toFile: folder.file("s.ttf"), atomically: true, encoding: .utf8)
    let video = try folder.colours(video, by: "\(options) -c:v libx264 -pix_fmt yuv420p")
    let outcome = try dub(video, result)
    #expect(outcome.status == 3)
    if lost.isEmpty {
      #expect(!outcome.err.contains("metadata"), "\(outcome.err)")
      let words = ["-v", "error", "-show_entries", "format_tags=title,artist", "-of", "csv=p=0", folder.file(result)]
      #expect(try Set(run(ffprobe, words).out.split { ",\n".contains($0) }) == ["A", "B"])
    } else {
      #expect(outcome.err.contains("Warning: \(video): its metadata is left out: \(lost)\n"), "\(outcome.err)")
    }
    // What the tool itself says of a file is no loss.
    let again = try dub(folder.file(result), "again.mp4")
    #expect(!again.err.contains("metadata"), "\(again.err)")
  }

  @Test(
    "Closed captions stay in H.264, and are named as lost elsewhere",
    arguments: ["out.mp4", "out.ts", "out.mkv", "out.webm"])
  func captions(name: String) throws {
    let video = folder.file("v.ts")
    let made = try run(
      URL(fileURLWithPath: "/bin/sh"),
      [
        "-c",
        """
        gst-launch-1.0 -q mpegtsmux name=mux ! filesink location=$0 \
          videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=128,height=96,framerate=25/1 ! cccombiner name=c \
          ! x264enc ! mux. \
          fakesrc num-buffers=10 format=time datarate=50 sizetype=fixed sizemax=2 filltype=pattern-span \
          ! closedcaption/x-cea-608,format=raw,field=0,framerate=25/1 ! ccconverter ! closedcaption/x-cea-708,format=cc_data \
          ! queue ! c.caption
        """, video,
      ])
    try #require(made.status == 0, "\(made.err)")
    let captions = { (path: String) in
      let words = ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame_side_data=side_data_type", path]
      return try run(ffprobe, words).out.matches(of: /Closed Captions/).count
    }
    try #require(captions(video) == 10)
    let outcome = try dub(video, name)
    #expect(outcome.status == 3, "\(outcome.err)")
    let isNamed = outcome.err.contains(
      "Warning: \(video): its closed captions are left out; --video-codec h264 keeps them")
    #expect(try (captions(folder.file(name)), isNamed) == (name == "out.webm" ? (0, true) : (10, false)))
  }

  @Test("All else that gets lost is named")
  func losses() throws {
    try "1\n00:00:00,100 --> 00:00:00,300\nHello\n".write(
      toFile: folder.file("s.srt"), atomically: true, encoding: .utf8)
    try ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n".write(
      toFile: folder.file("m.txt"), atomically: true, encoding: .utf8)
    let picture = "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4"
    let inputs =
      "\(picture) -i @tone.wav -i @tone.wav -i @s.srt -i @m.txt -map 0:v -map 1:a -map 2:a -map 3:s -map_chapters 4 -t 0.4"
    let mov = try folder.make("v.mov", by: "\(inputs) -c:s mov_text -timecode 10:00:00:00")
    let mkv = try folder.make("v.mkv", by: "\(inputs) -c:s srt")
    for (video, words) in [
      (mov, ["2 sound tracks", "subtitles", "chapters", "timecode"]),
      (mkv, ["2 sound tracks", "subtitles", "chapters"]),
    ] {
      let outcome = try dub(video, "out.mp4")
      for word in words { #expect(outcome.err.contains("Warning: \(video): its \(word)"), "\(word): \(outcome.err)") }
      let lines = try syncdiff("inspect", "--no-faces", video).out.split(separator: "\n").filter {
        $0.hasPrefix("would be lost")
      }
      #expect(lines.count == words.count, "\(lines)")
    }
    let two = try folder.make("two.mkv", by: "\(picture) \(picture) -map 0 -map 1")
    #expect(try dub(two, "out.mp4").err.contains("of 2 pictures the first is dubbed"))
    let tracks = try folder.make("two.mka", by: "-i @tone.wav -i @tone.wav -map 0 -map 1 -c:a flac")
    let outcome = try run(tool, ["dub", "--once", "--video", mkv, "--audio", tracks, "-o", folder.file("out.mp4")])
    #expect(outcome.err.contains("of 2 sound tracks the first is used"), "\(outcome.err)")
  }
}
