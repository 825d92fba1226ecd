// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Which sound, what stays beside it, and what is seen while it lasts.
@Suite(.serialized) struct PartsTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

  private func dub(_ video: String, _ audio: String, _ name: String, _ options: String...) throws -> Outcome {
    try run(tool, ["dub", "--once", "--video", video, "--audio", audio, "-o", folder.file(name)] + options)
  }

  /// Of each frame, as FFmpeg decodes it.
  private func frames(_ path: String) throws -> [String] {
    let decoded = try run(ffmpeg, ["-nostdin", "-v", "error", "-i", path, "-map", "0:v:0", "-f", "framemd5", "-"])
    try #require(decoded.status == 0, "\(decoded.err)")
    return decoded.out.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap {
      $0.split(separator: ",").last.map(String.init)
    }
  }

  /// Of the packets of a stream, as they are stored, a word each.
  private func packets(_ path: String, _ stream: String) throws -> [String] {
    let words = ["-nostdin", "-v", "error", "-i", path, "-map", "0:\(stream)", "-c", "copy", "-f", "framemd5", "-"]
    return try run(ffmpeg, words).out.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap {
      // What belongs to a packet may follow.
      $0.split(separator: ",").dropFirst(5).first.map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }

  /// Decibels of what is between two times of a sound, seconds, around a frequency.
  private func loudness(_ path: String, _ part: ClosedRange<Double>, _ frequency: Int) throws -> Double {
    let heard = try run(
      ffmpeg,
      [
        "-nostdin", "-ss", "\(part.lowerBound)", "-t", "\(part.upperBound - part.lowerBound)", "-i", path, "-map",
        "0:a:0",
        "-af", "bandpass=f=\(frequency):width_type=h:w=100,volumedetect", "-f", "null", "-",
      ])
    let told = try #require(heard.err.firstMatch(of: /mean_volume: (-?[\d.]+|-inf) dB/)?.1)
    return Double(told) ?? -200
  }

  private func write(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: folder.file(name), atomically: true, encoding: .utf8)
    return folder.file(name)
  }

  @Test("The sound track that is asked for is used, in the file's order", arguments: ["mka", "mp4", "ts"])
  func audioTrack(ending: String) throws {
    let tones = [0.2, 0.4, 0.6].map { "-f lavfi -i aevalsrc='if(gte(t,\($0)),0.8*sin(3000*t),0)':s=48000:d=1" }
    let sounds = try folder.make(
      "a.\(ending)", by: "\(tones.joined(separator: " ")) -map 0 -map 1 -map 2 -c:a \(ending == "mka" ? "flac" : "aac")"
    )
    let picture = try folder.picture()
    for track in 1...3 {
      let outcome = try dub(picture, sounds, "out.mp4", "--audio-track", "\(track)")
      #expect(outcome.status == 3, "\(outcome.err)")
      let time = try onset(folder.file("out.mp4"))
      #expect(abs(time - 0.2 * Double(track)) < 0.05, "\(ending), track \(track): \(time)")
      #expect(outcome.err.contains("the first is used") == (track == 1))
    }
    let none = try dub(picture, sounds, "none.mp4", "--audio-track", "4")
    #expect(none.status == 66 && none.err.contains("--audio-track must be 1 to 3"), "\(none.err)")
  }

  @Test("The new sound is in the language that is said", arguments: ["mp4", "mkv", "ts"])
  func language(ending: String) throws {
    #expect(try dub(try folder.picture(), try folder.tone(), "out.\(ending)", "--language", "de").status == 3)
    let told = try run(
      ffprobe, ["-v", "error", "-show_streams", "-select_streams", "a:0", folder.file("out.\(ending)")])
    #expect(told.out.contains("TAG:language=ger") || told.out.contains("TAG:language=deu"), "\(told.out)")
  }

  /// A second of picture with two sounds, subtitles, chapters and a title.
  private func film(_ name: String, sound: String = "aac", subtitles: String) throws -> String {
    _ = try write(
      "s.srt", "1\n00:00:00,100 --> 00:00:00,300\nHello <i>you</i> & me\n\n2\n00:00:00,600 --> 00:00:00,900\nBye\n")
    _ = try write("m.txt", ";FFMETADATA1\ntitle=Film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n")
    return try folder.make(
      name,
      by:
        "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=f=300:d=1 -f lavfi -i sine=f=900:d=1 -i @s.srt -i @m.txt "
        + "-map 0:v -map 1:a -map 2:a -map 3:s -map_chapters 4 -map_metadata 4 -metadata:s:a:0 language=eng "
        + "-metadata:s:a:1 language=fre -metadata:s:s:0 language=ita -c:v libx264 -c:a \(sound) -c:s \(subtitles)")
  }

  @Test("Chapters do not come along with a part, and a part behind the end is refused")
  func behindTheEnd() throws {
    let (video, sound) = (try film("v.mkv", subtitles: "srt"), try folder.tone())
    let outcome = try dub(video, sound, "out.mkv", "--keep", "--from", "0.2")
    #expect(outcome.status == 3 && outcome.err.contains("its chapters are left out"), "\(outcome.err)")
    let told = try run(ffmpeg, ["-v", "error", "-i", folder.file("out.mkv"), "-f", "ffmetadata", "-"]).out.lowercased()
    #expect(told.contains("title=film") && !told.contains("[chapter]"), "\(told)")
    // A text that begins before the part and ends in it is shown until then.
    let texts = try run(ffmpeg, ["-v", "error", "-i", folder.file("out.mkv"), "-map", "0:s", "-f", "srt", "-"]).out
    #expect(texts.contains(/00:00:00,000 --> 00:00:00,1\d\d\nHello/), "\(texts)")
    for from in ["1", "5"] {
      for look in [[], ["--once"]] {
        let words = ["dub", "--video", video, "--audio", sound, "-o", folder.file("none.mkv"), "--from", from]
        let refused = try run(tool, words + look)
        #expect(refused.status == 66 && refused.err.contains("has no frame after \(from).0 s"), "\(refused.err)")
      }
    }
    #expect(!folder.has("none.mkv") && folder.litter.isEmpty)
    let list = try write("cues.csv", "start,end,sound\n0,0.5,\(sound)\n8,9,\(sound)\n")
    let late = try syncdiff("dub", "--video", video, "--cues", list, "-o", folder.file("cues.mkv"))
    #expect(late.status == 3 && late.err.contains("is to begin at 8.0 s, after the picture's end"), "\(late.err)")
  }

  @Test("WebM, where texts are only WebVTT, does not get others, and that is named")
  func noTextInWebM() throws {
    let outcome = try dub(try film("v.mkv", subtitles: "srt"), try folder.tone(), "out.webm", "--keep")
    #expect(outcome.status == 3, "\(outcome.err)")
    #expect(
      outcome.err.contains(
        "webm does not hold subtitles as text, a stream of which is left out; mp4, mov and mkv keep it"))
    #expect(try probe(folder.file("out.webm"), "s:0", "codec_name") == [""])
  }

  @Test(
    "What is kept is stored as it was, with its language",
    arguments: [
      ("v.mkv", "srt", "out.mkv"), ("v.mkv", "srt", "out.mp4"), ("v.mp4", "mov_text", "out.mp4"),
      ("v.mp4", "mov_text", "out.mkv"), ("v.mp4", "mov_text", "out.mov"),
    ])
  func keep(name: String, subtitles: String, out: String) throws {
    let video = try film(name, subtitles: subtitles)
    let outcome = try dub(video, try folder.tone(), out, "--keep", "--language", "de")
    #expect(outcome.status == 3, "\(outcome.err)")
    let isNamed = outcome.err.contains("italics and the like of its subtitles are left out")
    #expect(isNamed == (out != "out.mkv") || name == "v.mp4", "\(outcome.err)")
    if (name, out) == ("v.mkv", "out.mkv") {
      let texts = try run(ffmpeg, ["-v", "error", "-i", folder.file(out), "-map", "0:s", "-f", "srt", "-"]).out
      #expect(texts.contains("Hello <i>you</i> & me"), "\(texts)")
    }
    let made = folder.file(out)
    let streams = try run(
      ffprobe,
      ["-v", "error", "-show_entries", "stream=codec_type:stream_tags=language", "-of", "csv=p=0", made])
    let lines = streams.out.split(separator: "\n").map(String.init)
    #expect(lines.count == 5 && lines[0].hasPrefix("video"), "\(lines)")
    let languages = ["audio,ger", "audio,eng", "audio,fre", "subtitle,ita"]
    let named = lines.dropFirst().map { $0.replacing("fra", with: "fre").replacing("deu", with: "ger") }
    #expect(named == languages, "\(lines)")
    for track in 0...1 {
      let (kept, stored) = (try packets(made, "a:\(track + 1)"), try packets(video, "a:\(track)"))
      // One before the beginning and one behind the end may be left out.
      #expect(kept.count > 40 && kept.count >= stored.count - 2, "track \(track): \(kept.count) of \(stored.count)")
      #expect((0...2).contains { stored.dropFirst($0).starts(with: kept) }, "track \(track)")
    }
    func said(in path: String) throws -> String {
      try run(ffmpeg, ["-nostdin", "-v", "error", "-copyts", "-i", path, "-map", "0:s", "-f", "srt", "-"]).out
    }
    /// Milliseconds from the first frame to where each text begins and ends.
    func bounds(in path: String) throws -> [Int] {
      let first = try #require(try frameTimes(path).first)
      return try said(in: path).matches(of: /(\d\d),(\d\d\d)/).map {
        (Int($0.1) ?? 0) * 1000 + (Int($0.2) ?? 0) - Int((first * 1000).rounded())
      }
    }
    let text = try said(in: made)
    let times = try [video, made].map(bounds)
    #expect(times[0].count == 4 && times[0] == times[1], "\(times)")
    #expect(text.contains("you") && text.contains("& me") && text.contains("Bye"), "\(text)")
    if out.hasSuffix("mp4") { #expect(!text.contains("<i>"), "\(text)") }
    let told = try run(ffmpeg, ["-v", "error", "-i", made, "-f", "ffmetadata", "-"]).out.lowercased()
    #expect(told.contains("title=film"), "\(told)")
    let hasChapters = name.hasSuffix("mkv") && out.hasSuffix("mkv")
    #expect(
      told.contains("title=one") == hasChapters && outcome.err.contains("its chapters are left out") == !hasChapters)
    #expect(
      outcome.err.split(separator: "\n").filter { $0.contains("left out") }.count == (hasChapters ? 0 : 1)
        + (isNamed ? 1 : 0),
      "\(outcome.err)")
  }

  @Test("The text of ASS subtitles is kept, that its looks are not is named", arguments: ["mkv", "mp4"])
  func styled(ending: String) throws {
    _ = try write(
      "s.srt", "1\n00:00:00,100 --> 00:00:00,300\n<i>Hello</i> you\n\n2\n00:00:00,600 --> 00:00:00,900\nBye\n")
    let video = try folder.make(
      "v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -i @s.srt -map 0 -map 1 -c:v libx264 -c:s ass")
    let outcome = try dub(video, try folder.tone(), "out.\(ending)", "--keep")
    // GStreamer 1.26 passes them on as they are.
    let isPlain = outcome.err.contains("fonts, colours and places of its ASS subtitles are left out")
    if !isPlain, ending == "mp4" {
      #expect(outcome.err.contains("mp4 does not hold ASS subtitles, a stream of which is left out"), "\(outcome.err)")
      return
    }
    let text = try run(
      ffmpeg, ["-nostdin", "-v", "error", "-i", folder.file("out.\(ending)"), "-map", "0:s", "-f", "srt", "-"])
    #expect(text.out.contains(isPlain ? "Hello you" : "<i>Hello</i> you") && text.out.contains("Bye"), "\(text.out)")
  }

  @Test("A kept packet that begins before the picture is kept too", arguments: ["mp4", "ts"])
  func early(ending: String) throws {
    let video = try folder.make(
      "v.\(ending)", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=d=1:r=48000 -c:v libx264 -c:a ac3")
    #expect(try dub(video, try folder.tone(), "out.mkv", "--keep").status == 3)
    #expect(try packets(folder.file("out.mkv"), "a:1") == packets(video, "a:0"))
  }

  @Test("Sounds that end at once are kept", arguments: ["mkv", "mp4"])
  func short(ending: String) throws {
    _ = try write("s.srt", "1\n00:00:00,100 --> 00:00:00,450\nHello\n")
    let video = try folder.make(
      "v.\(ending)",
      by:
        "-f lavfi -i testsrc2=s=128x96:r=25:d=0.48 -f lavfi -i sine=f=300:d=0.04 -f lavfi -i sine=f=900:d=0.04 -i @s.srt -map 0 -map 1 "
        + "-map 2 -map 3 -c:v libx264 -c:a aac -c:s \(ending == "mkv" ? "srt" : "mov_text")")
    let outcome = try dub(video, try folder.tone(), "out.mkv", "--keep")
    #expect(outcome.status == 3, "\(outcome.err)")
    let kinds = try run(
      ffprobe, ["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", folder.file("out.mkv")])
    #expect(kinds.out.split(separator: "\n") == ["video", "audio", "audio", "audio", "subtitle"])
  }

  @Test("What a container does not hold is named, a line each, and a part has its part of what is kept")
  func misfits() throws {
    let video = try film("v.mkv", sound: "pcm_s16le", subtitles: "srt")
    let outcome = try dub(video, try folder.tone(), "out.mp4", "--keep")
    #expect(
      outcome.err.split(separator: "\n").filter {
        $0.contains("mp4 does not hold PCM sound, of which 2 streams are left out; mov and mkv keep it")
      }.count == 1,
      "\(outcome.err)")
    #expect(try probe(folder.file("out.mp4"), "s:0", "codec_name") == ["mov_text"])
    let part = try dub(video, try folder.tone(), "part.mkv", "--keep", "--from", "0.5", "--to", "0.96")
    #expect(part.status == 3, "\(part.err)")
    let text = try run(
      ffmpeg, ["-nostdin", "-v", "error", "-i", folder.file("part.mkv"), "-map", "0:s", "-f", "srt", "-"])
    #expect(text.out.contains("00:00:00,100 -->") && !text.out.contains("Hello"), "\(text.out)")
    let length = try #require(Double(try probe(folder.file("part.mkv"), "", "duration")[0]))
    #expect((0.4...0.6).contains(length), "\(length)")
  }

  @Test(
    "Where the sound is longer, the picture goes on as asked, frame by frame",
    arguments: ["freeze", "loop", "pingpong"])
  func extend(way: String) throws {
    let video = try folder.make("v.mkv", by: "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -c:v ffv1 -pix_fmt yuv420p")
    let sound = try folder.tone(seconds: 1.2)
    let shown = try frames(video)
    try #require(shown.count == 10 && Set(shown).count == 10)
    for (options, first, count) in [([], 0, 30), (["--from", "0.2"], 5, 30), (["--to", "0.04"], 0, 30)] {
      let outcome = try run(
        tool,
        [
          "dub", "--once", "--video", video, "--audio", sound, "-o", folder.file("out.mkv"), "--video-codec", "ffv1",
          "--extend",
          way,
        ] + options)
      #expect(outcome.status == 3, "\(outcome.err)")
      let part = Array(shown[first..<(options.first == "--to" ? 1 : 10)])
      let there = part + part.dropFirst().dropLast().reversed()
      let expected = (0..<count).map { i in
        switch way {
        case "freeze": part[min(i, part.count - 1)]
        case "loop": part[i % part.count]
        default: there[i % there.count]
        }
      }
      #expect(try frames(folder.file("out.mkv")) == expected, "\(options)")
      let times = try frameTimes(folder.file("out.mkv"))
      #expect(zip(times, times.dropFirst()).allSatisfy { abs($1 - $0 - 0.04) < 2e-3 }, "\(times)")
    }
    #expect(try dub(video, try folder.tone("short.wav", seconds: 0.2), "out.mkv", "--extend", way).status == 3)
    #expect(try decodedFrames(folder.file("out.mkv")) == 10)
  }

  @Test("A photo is shown for as long as the sound lasts, and speaks")
  func photo() throws {
    let outcome = try dub(portrait, try folder.tone(), "out.mp4", "--steps", "1")
    #expect(outcome.status == 0 && outcome.err.contains("25 frames, 25 with a new mouth"), "\(outcome.err)")
    #expect(try decodedFrames(folder.file("out.mp4")) == 25)
    let png = try folder.make("p.png", by: "-f lavfi -i testsrc=s=131x97 -frames:v 1")
    #expect(try dub(png, try folder.tone(seconds: 0.5), "png.mp4").status == 3)
    #expect(try probe(folder.file("png.mp4"), "v:0", "width,height,nb_frames") == ["131", "97", "13"])
  }

  @Test("Cues are spoken in their places alone; all other frames are what they were, bit by bit")
  func cues() throws {
    let silent = try folder.face(frames: 50, side: 256)
    let video = try folder.make(
      "v.mp4", by: "-i @face.mp4 -f lavfi -i sine=f=3000:d=2 -map 0 -map 1 -c:v copy -c:a aac")
    let voice = try folder.tone("voice.wav", seconds: 3)
    let short = try folder.tone("short.mp3", seconds: 0.2, by: "-c:a libmp3lame")
    let list = try write(
      "cues.csv", "start,end,sound,face\n0:01.6,0:00:01.8,\(short),\"60,60,140,140\"\n0.4,1.0,\(voice),\n")
    let words = [
      "dub", "--once", "--steps", "1", "--cues", list, "--video-codec", "ffv1", "-o", folder.file("out.mkv"),
    ]
    for (name, extra, own) in [(video, [], -100.0), (video, ["--mix-original", "-12"], -33), (silent, [], -200)] {
      let outcome = try run(tool, words + ["--video", name] + extra)
      #expect(outcome.status == 0 && outcome.err.contains("50 frames, 20 with a new mouth"), "\(outcome.err)")
      #expect(!outcome.err.contains("CRITICAL"))
      let cuts = outcome.err.split(separator: "\n").filter { $0.contains("are cut") }
      #expect(cuts == ["Warning: the last 2.4 s of \(voice) are cut, as its cue ends before"], "\(outcome.err)")
      let (before, after) = (try frames(name), try frames(folder.file("out.mkv")))
      try #require(before.count == 50 && after.count == 50)
      let changed = (0..<50).filter { before[$0] != after[$0] }
      #expect(changed == Array(10..<25) + Array(40..<45), "\(changed)")
      #expect(try loudness(folder.file("out.mkv"), 0.45...0.95, 440) > -25)
      #expect(try loudness(folder.file("out.mkv"), 1.05...1.55, 440) < -45)
      if own > -200 {
        #expect(try loudness(folder.file("out.mkv"), 1.05...1.55, 3000) > -25)
        #expect(try abs(max(loudness(folder.file("out.mkv"), 0.45...0.95, 3000), -50) - max(own, -50)) < 4)
      }
    }
  }

  @Test("Each cue is spoken by its face alone")
  func faces() throws {
    _ = try folder.face(frames: 15, side: 256)
    let video = try folder.make(
      "two.mkv", by: "-i @face.mp4 -filter_complex [0:v]split[a][b];[a][b]hstack -c:v ffv1 -pix_fmt yuv420p")
    let voice = try folder.tone()
    let entries = [(0.0, 0.2, "left"), (0.4, 0.6, "300,40,180,180")].map {
      #"{"start": \#($0.0), "end": \#($0.1), "sound": "\#(voice)", "face": "\#($0.2)"}"#
    }
    let list = try write("cues.json", "[\(entries.joined(separator: ","))]")
    let out = folder.file("out.mkv")
    let outcome = try syncdiff(
      "dub", "--once", "--steps", "1", "--video", video, "--cues", list, "--video-codec", "ffv1", "-o", out)
    #expect(outcome.status == 0 && !outcome.err.contains("CRITICAL"), "\(outcome.err)")
    func changed(_ crop: String) throws -> [Int] {
      let sides = try [video, out].map {
        try frames(folder.make("side.mkv", by: "-i \($0) -vf crop=\(crop) -c:v ffv1"))
      }
      return (0..<15).filter { sides[0][$0] != sides[1][$0] }
    }
    let (left, right) = (try changed("256:256:0:0"), try changed("256:256:256:0"))
    #expect(right == Array(10..<15), "\(right)")
    // Who spoke before fades out in the next cue's first frames.
    #expect(left.starts(with: 0..<5) && Set(left.dropFirst(5)).isSubset(of: [10, 11]), "\(left)")
  }

  @Test(
    "A cue list may have decimal commas, where they part no cells",
    arguments: ["start;end;sound\n0:08,5;00:00:09,000;@\n", "start,end,sound\n\"8,5\",\"00:00:09,000\",@\n"])
  func decimalCommas(text: String) throws {
    let (video, sound) = (try folder.picture(), try folder.tone())
    let list = try write("cues.csv", text.replacing("@", with: sound))
    let outcome = try syncdiff("dub", "--once", "--video", video, "--cues", list, "-o", folder.file("out.mp4"))
    #expect(outcome.status == 0 && outcome.err.contains("is to begin at 8.5 s"), "\(outcome.err)")
  }

  @Test(
    "A cue list that is wrong is refused with what is wrong",
    arguments: [
      ("start,end,sound\n1,0.5,a.wav\n", "end is not after start"),
      ("start,end,sound\n0,1,a.wav\n0.5,2,a.wav\n", "begins before"),
      ("start,end,sound\nx,1,a.wav\n", "start must be a number of seconds"), ("start,end\n0,1\n", "has no sound"),
      ("start,end,sound,face\n0,1,a.wav,upper\n", "face must be largest"),
      ("start,end,sound,voice\n0,1,a.wav,b\n", "there is no voice"),
      ("start,end,sound\n0,5,1,a.wav\n", "has 4 cells, not 3; put quotes around a cell with a comma"),
      ("start;end;sound\n0,5,1;2;a.wav\n", "start must be a number of seconds"),
      ("start,end,sound\n", "has no entries"), ("start,end,sound,sound\n0,1,a.wav,b.wav\n", "two columns sound"),
    ])
  func badCues(text: String, message: String) throws {
    let list = try write("cues.csv", text)
    let outcome = try syncdiff("dub", "--video", try folder.picture(), "--cues", list, "-o", folder.file("out.mp4"))
    #expect(outcome.status == 64 && outcome.err.contains(message), "\(outcome.err)")
    #expect(outcome.err.hasPrefix("Error: ") && outcome.err.split(separator: "\n").count == 1, "\(outcome.err)")
    let missing = try write("cues.csv", "start,end,sound\n0,1,\(folder.file("none.wav"))\n")
    #expect(
      try syncdiff("dub", "--video", try folder.picture(), "--cues", missing, "-o", folder.file("out.mp4")).status == 66
    )
    #expect(!folder.has("out.mp4") && folder.litter.isEmpty)
  }

  @Test(
    "A box without any of the picture is refused, as an option and in a list",
    arguments: [("5000,0,10,10", "outside of the picture"), ("0,0,0,0", "more than 0")])
  func boxes(box: String, why: String) throws {
    let (video, sound) = (try folder.colours("v.mp4", by: "-c:v libx264 -pix_fmt yuv420p"), try folder.tone())
    let list = try write("cues.csv", "start,end,sound,face\n0.1,0.3,\(sound),\"\(box)\"\n")
    for words in [["--audio", sound, "--roi", box], ["--cues", list]] {
      let outcome = try run(tool, ["dub", "--once", "--video", video, "-o", folder.file("out.mp4")] + words)
      #expect(outcome.status == 64 && outcome.err.contains(box) && outcome.err.contains(why), "\(outcome.err)")
      #expect(!folder.has("out.mp4") && folder.litter.isEmpty)
    }
  }
}
