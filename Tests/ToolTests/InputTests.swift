// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Inputs that are not what they say, and sound of all kinds.
@Suite(.serialized) struct InputTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func dub(_ video: String, _ audio: String, _ name: String = "out.mp4", _ options: String...) throws -> Outcome
  {
    try run(tool, ["dub", "--once", "--video", video, "--audio", audio, "-o", folder.file(name)] + options)
  }

  private func cut(_ path: String, to share: Double, as name: String) throws -> String {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    try bytes.prefix(Int(Double(bytes.count) * share)).write(to: URL(fileURLWithPath: folder.file(name)))
    return folder.file(name)
  }

  private static let noise = "-f lavfi -i testsrc2=s=256x192:r=25:d=3 -f lavfi -i sine=d=3"

  @Test(
    "Half a file is a warning and status 4, and what is there is dubbed",
    arguments: [
      ("a.mp4", "-an -c:v libx264 -movflags +faststart"), ("b.mp4", "-c:v libx264 -c:a aac -movflags +faststart"),
      ("c.mkv", "-c:v libx264 -c:a aac"), ("d.avi", "-c:v mjpeg -c:a pcm_s16le"),
    ])
  func halfPicture(name: String, encoding: String) throws {
    let (whole, sound) = (try folder.make(name, by: "\(Self.noise) \(encoding)"), try folder.tone())
    #expect(try dub(whole, sound).status == 3)
    let outcome = try dub(try cut(whole, to: 0.5, as: "half-\(name)"), sound)
    #expect(outcome.status == 4, "\(outcome.err)")
    #expect(outcome.err.contains("end is missing") || outcome.err.contains("announces 3.0 s"), "\(outcome.err)")
    let frames = try #require(try decodedFrames(folder.file("out.mp4")))
    #expect((5...70).contains(frames))
  }

  @Test(
    "A sound without its end is a warning and status 4, however little is missing",
    arguments: [
      ("wav", 0.9), ("wav", 0.999), ("aiff", 0.5), ("aiff", 0.999), ("flac", 0.5), ("flac", 0.99), ("m4a", 0.9),
      ("mp3", 0.9), ("ogg", 0.9), ("opus", 0.5), ("opus", 0.9),
    ])
  func cutSound(ending: String, share: Double) throws {
    let picture = try folder.picture(frames: 90)
    let whole = try folder.tone("a.\(ending)", seconds: 3, by: ending == "m4a" ? "-movflags +faststart" : "")
    #expect(try dub(picture, whole).status == 3)
    let outcome = try dub(picture, try cut(whole, to: share, as: "cut.\(ending)"))
    #expect(outcome.status == 4, "\(outcome.err)")
  }

  @Test(
    "What programs leave out at the end of an AIFF, or do not know of its length, is no loss", arguments: [true, false])
  func odd(isPadded: Bool) throws {
    let path = try folder.make("odd.aiff", by: "-f lavfi -i sine=r=8000:d=1.500125 -c:a pcm_s8")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let announced = bytes[4..<8].reduce(0) { $0 << 8 | Int($1) }
    if isPadded {
      // As SoX does if it writes to a pipe.
      bytes.replaceSubrange(4..<8, with: [0x7f, 0, 0, 0x2e])
    } else {
      #expect(announced + 8 == bytes.count && announced % 2 == 0 && bytes.last == 0)
      bytes.removeLast()
    }
    try bytes.write(to: URL(fileURLWithPath: path))
    let outcome = try dub(try folder.picture(frames: 30), path)
    #expect(outcome.status == 3, "\(outcome.err)")
  }

  @Test(
    "A sound that was written to a pipe is as long as it is",
    arguments: [
      // As FFmpeg writes it, and SoX: of one channel, with a long comment, and of six channels of 24 bits.
      ("aiff", 0, 0), ("aiff", 0xffff_ffff, 0xffff_ffff), ("aiff", 0x7f00_016c, 0x7f00_0008),
      ("aiff", 0x7f00_0162, 0x7eff_fffe), ("wav", 0, 0), ("wav", 0xffff_ffff, 0xffff_ffff),
      ("wav", 0x7fff_f024, 0x7fff_f000), ("wav", 0x7fff_f03e, 0x7fff_f002),
    ] as [(String, UInt32, UInt32)])
  func piped(ending: String, whole: UInt32, data: UInt32) throws {
    let path = try folder.tone(
      "a.\(ending)", by: "-f \(ending) pipe:1 -c:a pcm_s16\(ending == "aiff" ? "be" : "le")")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let chunk = try #require(bytes.firstRange(of: Data((ending == "aiff" ? "SSND" : "data").utf8)))
    for (place, size) in [(4, whole), (chunk.upperBound, data)] {
      let stored = ending == "aiff" ? size.bigEndian : size.littleEndian
      bytes.replaceSubrange(place..<place + 4, with: withUnsafeBytes(of: stored) { Data($0) })
    }
    try bytes.write(to: URL(fileURLWithPath: path))
    let told = try run(tool, ["inspect", path]).out
    #expect(told.contains(", 1.0 s\n"), "\(told)")
    let outcome = try dub(try folder.picture(frames: 30), path)
    #expect(outcome.status == 3 && !outcome.err.contains("cut"), "\(outcome.err)")
  }

  /// What stands for noise in a file.
  private func noise(_ count: Int) -> Data {
    var state: UInt32 = 1
    return Data(
      (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(state >> 24)
      })
  }

  @Test(
    "What is no sound in a file of nothing but packets is named, with status 4",
    arguments: [
      ("mp3", "libmp3lame"), ("ac3", "ac3"), ("eac3", "eac3"), ("aac", "aac"),
      ("dts", "dca -strict -2"),
    ])
  func bare(ending: String, codec: String) throws {
    let path = try folder.make(
      "a.\(ending)", by: "-f lavfi -i anoisesrc=a=0.1:d=3:r=48000:seed=7 -c:a \(codec)")
    let picture = try folder.picture(frames: 90)
    let sound = try Data(contentsOf: URL(fileURLWithPath: path))
    func outcome(_ bytes: Data) throws -> Outcome {
      try bytes.write(to: URL(fileURLWithPath: path))
      return try dub(picture, path)
    }
    let tag = Data("ID3".utf8) + Data([4, 0, 0, 0, 0, 0x20, 0]) + Data(count: 4096)
    // Tags and a beginning within a packet are nothing to tell of, nor is a packet that ends early where two files are joined, but
    // that AAC's decoder leaves it out.
    let joined = ending == "aac" ? [] : [sound.prefix(sound.count / 2 + 13) + sound]
    let good = [sound, sound.dropFirst(1001)] + joined + (ending == "mp3" ? [tag + sound + tag + sound] : [])
    for bytes in good {
      let made = try outcome(Data(bytes))
      #expect(made.status == 3, "\(bytes.count): \(made.err)")
    }
    var bad = sound
    let hole = sound.count / 2..<sound.count / 2 + 8000
    bad.replaceSubrange(hole, with: noise(8000))
    for bytes in [bad] + (ending == "mp3" ? [tag + bad] : []) {
      let made = try outcome(bytes)
      #expect(made.status == 4, "\(made.err)")
      let count = made.err.firstMatch(
        of: /(\d+) bytes in it are not sound, first at 1\.\d+ s/)?.1
      #expect(
        count.flatMap { Int($0) }.map { (4000...12_000).contains($0) } ?? false, "\(made.err)")
    }
  }

  @Test("A file from the web is fetched once, whatever it is for")
  func once() throws {
    _ = try folder.make("v.mp4", by: "\(Self.noise) -c:v libx264 -c:a aac")
    let script = """
      import http.server, subprocess, sys, threading
      class Server(http.server.SimpleHTTPRequestHandler):
          asked = 0
          def do_GET(self):
              Server.asked += 1
              super().do_GET()
          def log_message(self, *_): pass
      server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
      threading.Thread(target=server.serve_forever, daemon=True).start()
      url = f"http://127.0.0.1:{server.server_port}/v.mp4"
      text = open("cues.csv").read().replace("URL", url)
      open("cues.csv", "w").write(text)
      words = [word.replace("URL", url) for word in sys.argv[1:]]
      print(subprocess.run(words).returncode, Server.asked)
      """
    for words in [["--audio", "URL", "--sheet", "s.png"], ["--cues", "cues.csv"]] {
      try Data("start,end,sound\n0,1,URL\n1,2,URL\n".utf8).write(
        to: URL(fileURLWithPath: folder.file("cues.csv")))
      let command =
        [tool.path, "dub", "--once", "--quiet", "--video", "URL", "-o", "out.mp4", "--overwrite"]
        + words
      let outcome = try run(
        URL(fileURLWithPath: "/bin/sh"),
        ["-c", "cd '\(folder.path)'; exec \"$@\"", "sh", "/usr/bin/env", "python3", "-c", script]
          + command)
      #expect(outcome.out == "3 1\n", "\(outcome.out) \(outcome.err)")
    }
  }

  @Test(
    "What cannot be decoded in the middle is named with its length, with status 4",
    arguments: [
      ("a.m4a", "-f lavfi -i sine=d=3 -c:a aac", "s of its sound cannot be decoded, first at 1."),
      (
        "a.mp4", "-f lavfi -i testsrc2=s=256x192:r=25:d=3 -c:v libx264 -g 25",
        "of its frames cannot be decoded, first at 1."
      ),
    ])
  func garbage(name: String, encoding: String, message: String) throws {
    let path = try folder.make(name, by: encoding)
    let (picture, sound) = (try folder.picture("v.mp4", frames: 90), try folder.tone(seconds: 3))
    let words = name == "a.mp4" ? (path, sound) : (picture, path)
    let whole = try dub(words.0, words.1)
    #expect(whole.status == 3, "\(whole.err)")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let media = try #require(boxes(bytes)?.first { $0.type == "mdat" }?.body)
    let middle = media.startIndex + media.count / 2
    bytes.replaceSubrange(middle..<middle + 3000, with: noise(3000))
    try bytes.write(to: URL(fileURLWithPath: path))
    let outcome = try dub(words.0, words.1)
    #expect(outcome.status == 4 && outcome.err.contains(message), "\(outcome.err)")
  }

  @Test(
    "An MP4 says its duration whatever it begins with", arguments: ["free", "PICT", "udta", "meta", "sidx", "moof"])
  func firstBox(type: String) throws {
    let path = try folder.make("v.mp4", by: "\(Self.noise) -c:v libx264")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes.replaceSubrange(4..<8, with: Data(type.utf8))
    try bytes.write(to: URL(fileURLWithPath: path))
    let outcome = try run(tool, ["inspect", path])
    #expect(outcome.out.hasPrefix("\(path): video/quicktime, 3.0 s\n"), "\(outcome.out)")
  }

  @Test("An MP4 whose boxes have lengths of 64 bits is read like others")
  func longBoxes() throws {
    let path = try folder.make("v.mp4", by: "\(Self.noise) -c:v libx264 -c:a aac")
    func file(_ boxes: [(type: String, body: Data)]) -> Data {
      boxes.reduce(Data()) { bytes, box in
        // The room that is left before the frames is as large as what is added.
        if box.type == "free" { return bytes }
        let isLong = ["mdat", "moov"].contains(box.type)
        let length = withUnsafeBytes(of: UInt64(box.body.count + 16).bigEndian) { Data($0) }
        let short = withUnsafeBytes(of: UInt32(box.body.count + 8).bigEndian) { Data($0) }
        return bytes + (isLong ? Data([0, 0, 0, 1]) : short) + Data(box.type.utf8) + (isLong ? length : Data())
          + box.body
      }
    }
    let all = try #require(boxes(Data(contentsOf: URL(fileURLWithPath: path))))
    try #require(all.map(\.type) == ["ftyp", "free", "mdat", "moov"])
    try file(all).write(to: URL(fileURLWithPath: folder.file("long.mp4")))
    let long = folder.file("long.mp4")
    #expect(try run(tool, ["inspect", "--no-faces", long]).out.hasPrefix("\(long): video/quicktime, 3.0 s\n"))
    for (video, sound) in [(long, try folder.tone()), (path, long)] {
      let outcome = try dub(video, sound, "out.mp4", "--keep")
      #expect(outcome.status == 3, "\(outcome.err)")
      #expect(try decodedFrames(folder.file("out.mp4")) == 75)
      #expect(try samples(folder.file("out.mp4"), "a:1").count >= 3 * 48_000)
    }
  }

  @Test("An MP3 that counts its ID3 tag among its bytes is not cut off")
  func countedTag() throws {
    let path = try folder.tone("a.mp3")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let header = try #require(bytes.firstRange(of: Data("Info".utf8)) ?? bytes.firstRange(of: Data("Xing".utf8)))
    // Flags, frames, bytes.
    #expect(bytes.starts(with: Data("ID3".utf8)) && bytes[header.upperBound + 3] & 3 == 3)
    let count = withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { Data($0) }
    bytes.replaceSubrange(header.upperBound + 8..<header.upperBound + 12, with: count)
    try bytes.write(to: URL(fileURLWithPath: path))
    let outcome = try dub(try folder.picture(), path)
    #expect(outcome.status == 3, "\(outcome.err)")
  }

  @Test("A fragmented MP4 is as long as all its fragments, whatever its header says of the first")
  func fragments() throws {
    let sound = try folder.make(
      "a.mp4", by: "\(Self.noise) -c:v libx264 -g 10 -c:a aac -movflags frag_keyframe")
    #expect(try dub(try folder.picture(), sound, "out.mp4", "--extend", "freeze").status == 3)
    let length = try #require(Double(try probe(folder.file("out.mp4"), "", "duration")[0]))
    #expect(length > 2.5, "\(length)")
  }

  @Test(
    "MP4 without its index ends with 66 at once", arguments: [("", 0.9), ("", 0.1), ("-movflags +faststart", 0.02)])
  func noIndex(options: String, share: Double) throws {
    let whole = try folder.tone("a.m4a", seconds: 3, by: options)
    let began = Date()
    let outcome = try dub(try folder.picture(), try cut(whole, to: share, as: "cut.m4a"))
    #expect(outcome.status == 66 && outcome.err.contains("its index is not complete"), "\(outcome.err)")
    #expect(Date().timeIntervalSince(began) < 20)
  }

  /// Puts edits into a file, its index behind the rest, for the tracks of a kind ("vide"): for so many seconds what begins there
  /// in what was shown; nothing before 0.
  private func edit(_ path: String, _ kind: String, _ edits: [(lasts: Double, from: Double)]) throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    func made(_ boxes: [(type: String, body: Data)]) -> Data {
      boxes.reduce(Data()) { $0 + big(UInt32($1.body.count + 8)) + Data($1.type.utf8) + $1.body }
    }
    func big(_ number: UInt32) -> Data { withUnsafeBytes(of: number.bigEndian) { Data($0) } }
    func number(_ place: Int, _ body: Data?) throws -> Double {
      Double(try #require(body).dropFirst(place).prefix(4).reduce(0) { $0 << 8 | Int($1) })
    }
    func body(_ type: String, _ all: [(type: String, body: Data)]?) -> Data? { all?.first { $0.type == type }?.body }
    let movie = boxes(try #require(body("moov", boxes(bytes))))
    let whole = try number(12, body("mvhd", movie))
    let lasts = edits.reduce(0) { $0 + $1.lasts }
    let tracks = try #require(movie).map { box in
      if box.type == "mvhd" {
        return (box.type, box.body.prefix(16) + big(UInt32(lasts * whole)) + box.body.dropFirst(20))
      }
      let media = body("mdia", boxes(box.body)).flatMap(boxes)
      guard box.type == "trak", body("hdlr", media)?.dropFirst(8).prefix(4) == Data(kind.utf8) else { return box }
      let track = try number(12, body("mdhd", media))
      let begin = try number(12, body("edts", boxes(box.body)).flatMap { body("elst", boxes($0)) })
      let list = edits.reduce(big(0) + big(UInt32(edits.count))) {
        let from = $1.from < 0 ? UInt32.max : UInt32(begin + $1.from * track)
        return $0 + big(UInt32($1.lasts * whole)) + big(from) + big(0x1_0000)
      }
      let rest = try #require(boxes(box.body)).filter { $0.type != "edts" }
      return (
        type: "trak", body: made([rest[0], (type: "edts", body: made([(type: "elst", body: list)]))] + rest[1...])
      )
    }
    let rest = try #require(boxes(bytes)).filter { $0.type != "moov" }
    try made(rest + [(type: "moov", body: made(tracks))]).write(to: URL(fileURLWithPath: path))
  }

  @Test("Kept Opus that begins with a gap is taken as it is")
  func lateOpus() throws {
    let video = try folder.make(
      "v.mp4",
      by: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i sine=d=1 -c:v libx264 -pix_fmt yuv420p -c:a libopus")
    try edit(video, "soun", [(lasts: 1.5, from: -1), (lasts: 1, from: 0)])
    for _ in 0..<4 {
      let outcome = try dub(video, try folder.tone("a.wav", seconds: 3), "out.mp4", "--keep", "--overwrite")
      #expect(outcome.status == 3, "\(outcome.err)")
      let start = try #require(Double(try probe(folder.file("out.mp4"), "a:1", "start_time")[0]))
      #expect(abs(start - 1.5) < 0.02, "\(start)")
    }
  }

  @Test("A frame that lasts long, as in recordings of a screen, is no leap of the time")
  func longFrame() throws {
    let video = try folder.make(
      "v.mp4",
      by: "-f lavfi -i testsrc2=s=128x96:r=25:d=2 -vf select='not(between(n,20,34))' -fps_mode vfr -c:v libx264")
    let times = try frameTimes(video)
    try #require(times.count == 35)
    let outcome = try dub(video, try folder.tone())
    #expect(outcome.status == 3 && !outcome.err.contains("leap"), "\(outcome.err)")
    let made = try frameTimes(folder.file("out.mp4"))
    #expect(made.count == times.count && zip(made, times).allSatisfy { abs($0 - $1) < 0.0015 }, "\(made)")
  }

  @Test(
    "Picture and sound of several edits are what the edit lists say",
    arguments: [[(1, 0), (1, 2)], [(1, 2), (0.8, 0.4)], [(0.2, -1), (0.8, 1), (1, 0.6)]], ["-bf 0", "-bf 2"])
  func edits(edits: [(lasts: Double, from: Double)], encoding: String) throws {
    let noise = try folder.make("noise.wav", by: "-f lavfi -i anoisesrc=c=pink:r=48000:d=3:seed=7")
    let plain = try folder.make(
      "v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -i \(noise) -c:v libx264 -c:a pcm_s16le -f mov \(encoding)")
    func frames(_ path: String) throws -> [Substring] {
      let made = try run(ffmpeg, ["-nostdin", "-v", "error", "-i", path, "-map", "0:v", "-f", "framemd5", "-"])
      return made.out.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap { $0.split(separator: " ").last }
    }
    let stored = try frames(plain)
    try #require(stored.count == 75)
    try edit(plain, "vide", edits)
    try edit(plain, "soun", edits)
    let outcome = try dub(plain, plain, "out.mkv", "--video-codec", "ffv1", "--audio-codec", "flac")
    #expect(outcome.status == 3, "\(outcome.err)")
    let (heard, source) = (try samples(folder.file("out.mkv")), try samples(noise))
    var (place, wanted, times) = (0.0, [Substring](), [Double]())
    let silence = edits[0].from < 0 ? edits[0].lasts : 0
    for edit in edits {
      defer { place += edit.lasts }
      guard edit.from >= 0 else { continue }
      let first = Int((edit.from * 25).rounded())
      let count = Int((edit.lasts * 25).rounded())
      wanted += stored[first..<first + count]
      times += (0..<count).map { place + Double($0) / 25 }
      let (start, from, length) = (Int((place - silence) * 48_000), Int(edit.from * 48_000), Int(edit.lasts * 48_000))
      try #require(heard.count >= start + length, "\(edit)")
      // Times are rounded to samples.
      let alike = (-1...1).filter { start + $0 >= 0 }.map { shift in
        likeness(Array(heard[(start + shift)...]), Array(source[from..<from + length]), 0..<length - 1)
      }
      #expect(alike.contains { $0 > 0.99 }, "\(edit): \(alike)")
    }
    #expect(try frames(folder.file("out.mkv")) == wanted)
    let shown = try frameTimes(folder.file("out.mkv"))
    #expect(shown.count == times.count && zip(shown, times).allSatisfy { abs($0 - $1) < 0.0015 }, "\(shown)")
  }

  @Test(
    "An edit list that lets something begin after days is refused",
    arguments: ["vide", "soun"],
    [[(4_000_000, -1), (1, 0)], [(1, 0), (4_000_000, 0), (1, 1)], [(1, 0), (4_000_000, -1)]])
  func lateEdit(kind: String, edits: [(lasts: Double, from: Double)]) throws {
    let plain = try folder.make(
      "v.mov", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i sine=d=3 -c:v libx264 -c:a pcm_s16le")
    try edit(plain, kind, edits)
    let outcome = try dub(plain, try folder.tone())
    #expect(outcome.status == 66 && outcome.err.contains("begins after 1111 hours"), "\(outcome.err)")
  }

  @Test("A rate that the element does not take is named", arguments: [1_000, 6_000, 400_000])
  func oddRate(rate: Int) throws {
    let outcome = try dub(try folder.picture(), try folder.tone(rate: rate))
    #expect(outcome.status == 66, "\(outcome.err)")
    #expect(outcome.err.contains("has \(rate) samples a second; 8000 to 384000 can be heard"), "\(outcome.err)")
  }

  @Test("A picture whose own sound is longer is not cut off")
  func longerSound() throws {
    let video = try folder.make(
      "v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=d=4 -c:v libx264 -c:a aac")
    let outcome = try dub(video, try folder.tone())
    #expect(outcome.status == 3, "\(outcome.err)")
    let film = try folder.make(
      "film.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=4 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac")
    #expect(try dub(film, film).status == 3)
  }

  @Test("A GIF is refused with what to do, and soon")
  func gif() throws {
    let gif = try folder.make("v.gif", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1")
    let outcome = try dub(gif, try folder.tone())
    #expect(outcome.status == 66 && outcome.err.contains("convert it to MP4 first"), "\(outcome.err)")
    #expect(!folder.has("out.mp4") && folder.litter.isEmpty)
  }

  @Test("AIFF is read every time")
  func aiff() throws {
    let (picture, sound) = (
      try folder.picture(frames: 2), try folder.tone("a.aiff", seconds: 0.3, by: "-c:a pcm_s16be")
    )
    for _ in 0..<10 {
      let outcome = try dub(picture, sound)
      #expect(outcome.status == 3, "\(outcome.err)")
    }
  }

  @Test("A picture that changes its size is scaled to the first one, and told of")
  func sizeChange() throws {
    let stream = "-c:v libx264 -bf 0 -f mpegts"
    let small = try folder.make("a.ts", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 \(stream)")
    let large = try folder.make("b.ts", by: "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -output_ts_offset 1 \(stream)")
    for (order, size) in [([small, large], ["128", "96"]), ([large, small], ["320", "240"])] {
      var both = Data()
      for part in order { both += try Data(contentsOf: URL(fileURLWithPath: part)) }
      try both.write(to: URL(fileURLWithPath: folder.file("v.ts")))
      let outcome = try dub(folder.file("v.ts"), try folder.tone())
      #expect(outcome.err.contains("changes its size"), "\(outcome.err)")
      #expect(try probe(folder.file("out.mp4"), "v:0", "width,height") == size)
      #expect(try decodedFrames(folder.file("out.mp4")) == 50)
    }
  }

  @Test("A picture that changes its pixel aspect ratio keeps its shape")
  func aspectChange() throws {
    var both = Data()
    for (name, aspect) in [("a.ts", "1"), ("b.ts", "2")] {
      let offset = name == "a.ts" ? "" : "-output_ts_offset 0.5"
      let part = try folder.colours(
        name, filter: "setsar=\(aspect)", by: "-c:v libx264 -bf 0 -pix_fmt yuv420p \(offset)")
      both += try Data(contentsOf: URL(fileURLWithPath: part))
    }
    try both.write(to: URL(fileURLWithPath: folder.file("v.ts")))
    let outcome = try dub(folder.file("v.ts"), try folder.tone())
    #expect(outcome.status == 3, "\(outcome.err)")
    let first = try quarters(folder.file("out.mp4"))
    let last = try quarters(folder.make("last.png", by: "-sseof -0.1 -i @out.mp4 -update 1"))
    // Twice as wide, it has a black bar above; below the middle it is as it was.
    #expect(first[0].max() ?? 0 > 200 && last[0].max() ?? 255 < 40, "\(first) \(last)")
    #expect(areNear([first[2]], [last[2]], 12), "\(first) \(last)")
  }

  @Test("Timestamps that leap in a program stream are evened out and told of")
  func leaps() throws {
    let part = "-c:v mpeg2video -bf 0 -an -f vob"
    let first = try folder.make("a.mpg", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 \(part)")
    let second = try folder.make("b.mpg", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -output_ts_offset 1.35 \(part)")
    var both = try Data(contentsOf: URL(fileURLWithPath: first))
    both += try Data(contentsOf: URL(fileURLWithPath: second))
    try both.write(to: URL(fileURLWithPath: folder.file("v.mpg")))
    let sound = try folder.tone()
    let outcome = try dub(folder.file("v.mpg"), sound)
    #expect(outcome.status == 3 && outcome.err.contains("timestamps of its frames leap"), "\(outcome.err)")
    let times = try frameTimes(folder.file("out.mp4"))
    #expect(times.count == 50 && zip(times, times.dropFirst()).allSatisfy { abs($1 - $0 - 0.04) < 1e-3 }, "\(times)")
    let even = try folder.make("even.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=30000/1001:d=1")
    #expect(try !dub(even, sound).err.contains("leap"))
  }

  @Test(
    "Sound that is long enough ends with the picture, at any rate and in any container: PCM and FLAC to the sample",
    arguments: [
      ("out.mp4", "aac", 8_000), ("out.mp4", "aac", 16_000), ("out.mov", "aac", 24_000), ("out.mkv", "aac", 22_050),
      ("out.mp4", "aac", 48_000), ("out.mov", "pcm", 44_100), ("out.mkv", "pcm", 8_000), ("out.mkv", "flac", 48_000),
      ("out.webm", "opus", 48_000),
    ])
  func tail(name: String, codec: String, rate: Int) throws {
    let video = try folder.make("v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264")
    for seconds in [1.0, 3.0] {
      // MP4 says where its sound ends, and its decoder gives one channel after the other.
      let kind = seconds == 1 ? ("sound.wav", "") : ("sound.mp4", "-c:a aac -ac 2")
      let sound = try folder.tone(kind.0, seconds: seconds, rate: rate, by: kind.1)
      // Encoders that hold no frame back.
      let words = codec == "pcm" ? ["--video-codec", name.hasSuffix("mov") ? "prores" : "ffv1"] : []
      let outcome = try run(
        tool,
        ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name), "--audio-codec", codec] + words)
      #expect(outcome.status == 3, "\(outcome.err)")
      let decoded = try folder.make("decoded-\(seconds).wav", by: "-i @\(name) -map 0:a")
      let length = try #require(Double(try probe(decoded, "", "duration")[0]))
      let most = ["aac": 1.001 + 1024 / Double(rate), "opus": 1.001][codec] ?? 1 + 1.5 / Double(rate)
      let least = ["aac", "opus"].contains(codec) ? 0.998 : 1 - 1.5 / Double(rate)
      #expect((least...most).contains(length), "\(codec), \(rate) Hz, \(seconds) s: \(length)")
    }
  }

  @Test(
    "The sound begins when it began, whatever its encoder put before it",
    arguments: [
      ("a.wav", ""), ("a.mp3", "-c:a libmp3lame -b:a 128k"), ("b.mp3", "-c:a libmp3lame -ar 22050"),
      ("a.m4a", "-c:a aac"),
      ("a.opus", "-c:a libopus"), ("a.flac", ""),
    ])
  func encoderDelay(name: String, encoding: String) throws {
    let click = "aevalsrc='if(between(t,0.5,0.52),0.8*sin(6000*t),0)':s=48000:d=1"
    let sound = try folder.make(name, by: "-f lavfi -i \(click) \(encoding)")
    let picture = try folder.picture(frames: 30)
    for out in ["out.mp4", "out.mov"] {
      let words = out == "out.mov" ? ["--audio-codec", "pcm"] : []
      let outcome = try run(
        tool, ["dub", "--once", "--video", picture, "--audio", sound, "-o", folder.file(out)] + words)
      #expect(outcome.status == 3, "\(outcome.err)")
      let time = try onset(folder.file(out))
      #expect(abs(time - 0.5) < 0.005, "\(name) -> \(out): \(time)")
    }
  }

  @Test(
    "Any number of channels is dubbed, and what is mixed is named",
    arguments: [
      (1, "", "mono", ""), (2, "", "stereo", ""), (6, "5.1", "5.1", ""), (6, "5.1(side)", "5.1", ""),
      (6, "hexagonal", "5.1", "6 channels are mixed to 5.1"), (3, "3.0", "3.0", ""),
      (8, "7.1", "5.1", "8 channels are mixed to 5.1"),
      (12, "", "5.1", "12 channels are mixed to 5.1"), (16, "", "stereo", "16 channels without positions"),
    ])
  func channels(count: Int, layout: String, made: String, loss: String) throws {
    let picture = try folder.picture(frames: 10)
    let inputs = String(repeating: "-i @tone.wav ", count: count)
    _ = try folder.tone()
    let placed = layout.isEmpty ? "amerge=inputs=\(count)" : "join=inputs=\(count):channel_layout=\(layout)"
    let sound = try folder.make("a.wav", by: "\(inputs) \(count > 1 ? "-filter_complex \(placed)" : "") -c:a pcm_s16le")
    let outcome = try dub(picture, sound)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try probe(folder.file("out.mp4"), "a:0", "channel_layout")[0].hasPrefix(made))
    #expect(loss.isEmpty ? !outcome.err.contains("mixed") : outcome.err.contains(loss), "\(outcome.err)")
    #expect(try dub(picture, sound, "out.mkv", "--audio-codec", "pcm").status == 3)
    #expect(try probe(folder.file("out.mkv"), "a:0", "channels") == ["\(count)"])
    #expect(try dub(picture, sound, "out.webm").status == 3)
    let opus = [12: 6, 16: 2][count] ?? count
    #expect(try probe(folder.file("out.webm"), "a:0", "channels") == ["\(opus)"])
    let aiff = try folder.make("a.aiff", by: "-i @a.wav -c:a pcm_s16be")
    #expect(try dub(picture, aiff).status == 3)
  }

  @Test("A voice in one of eight channels is in the result")
  func oneOfEight() throws {
    let sound = try folder.make(
      "a.wav", by: "-f lavfi -i aevalsrc=0|0|0|0|0|0.9*sin(2000*t)|0|0:s=48000:d=1:c=8c -c:a pcm_s16le")
    #expect(try dub(try folder.picture(), sound).status == 3)
    #expect(try onset(folder.file("out.mp4")) < 0.1)
  }

  @Test(
    "A part begins and ends where it is asked to, and file URLs are files",
    arguments: [("0.4", "1.2"), ("0:00.4", "00:00:01.2"), ("0,4", "00:00:01,200")])
  func part(from: String, to: String) throws {
    let video = try folder.make("v.mp4", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=2 -c:v libx264")
    let outcome = try dub("file://\(video)", "file://\(try folder.tone())", "out.mp4", "--from", from, "--to", to)
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(try decodedFrames(folder.file("out.mp4")) == 20)
    #expect(try probe(folder.file("out.mp4"), "v:0", "start_time")[0].hasPrefix("0.0"))
    let difference = try run(
      ffmpeg,
      [
        "-nostdin", "-i", folder.file("out.mp4"), "-ss", "0.4", "-i", video, "-lavfi", "psnr", "-frames:v", "1", "-f",
        "null", "-",
      ])
    let psnr = try #require(difference.err.firstMatch(of: /average:([\d.]+|inf)/)?.1)
    #expect(psnr == "inf" || (Double(psnr) ?? 0) > 35, "\(psnr)")
  }
}
