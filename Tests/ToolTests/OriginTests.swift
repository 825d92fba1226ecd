// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a file says of its origin, beside the mark: tags, a signature, a label.

import Foundation
import FoundationXML
import Testing

/// C2PA's library, if there is one here: .ci/run installs it.
private let library = ProcessInfo.processInfo.environment["SYNCDIFF_C2PA"]

@Suite(.serialized) struct OriginTests {
  private let folder: Folder
  private let sound: String

  init() throws {
    folder = try Folder()
    sound = try folder.sound()
  }

  /// Without a library.
  private func dub(_ video: String, _ name: String, _ options: String...) throws -> Outcome {
    let words = ["dub", "--once", "--video", video, "--audio", sound, "-o", folder.file(name)] + options
    return try run(URL(fileURLWithPath: "/usr/bin/env"), ["SYNCDIFF_C2PA=/none", tool.path] + words)
  }

  @Test(
    "MP4 and QuickTime files tell IPTC's digital source type in their one XMP packet, beside what else that says",
    arguments: [["-o", "out.mp4"], ["-o", "web.mp4", "--profile", "web"], ["-o", "out.mov"]])
  func xmp(options: [String]) throws {
    let picture = try folder.make("titled.mp4", by: "-i \(try folder.picture()) -c copy -metadata title=Fjällräven")
    let out = folder.file(options[1])
    let words = ["dub", "--once", "--no-sign", "--video", picture, "--audio", sound, "-o", out] + options.dropFirst(2)
    let outcome = try run(tool, words)
    #expect(outcome.status == 3, "\(outcome.err)")
    var parts = try #require(boxes(try Data(contentsOf: URL(fileURLWithPath: out))))
    if options[1] == "out.mov" {
      for type in ["moov", "udta"] {
        let part = try #require(parts.first { $0.type == type })
        parts = try #require(boxes(part.body))
      }
    }
    let packets = parts.filter { ["XMP_", "uuid"].contains($0.type) }.map { String(decoding: $0.body, as: UTF8.self) }
    #expect(packets.count == 1)
    let uri = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    #expect(packets[0].contains("<Iptc4xmpExt:DigitalSourceType>\(uri)</Iptc4xmpExt:DigitalSourceType>"))
    #expect(packets[0].contains("Fjällräven") && packets[0].contains("xmlns:dc="), "\(packets)")
    let xml = try #require(packets[0].range(of: "<?xpacket"))
    #expect(XMLParser(data: Data(packets[0][xml.lowerBound...].utf8)).parse(), "\(packets)")
    #expect(try decodedFrames(out) == 30)
  }

  @Test("A label stands in its corner in every format, and nowhere else; not brighter than paper in HDR")
  func label() throws {
    let formats = [
      ("yuv420p", "libx264"), ("yuv444p", "libx264"), ("yuv422p10le", "libx264"), ("rgb24", "qtrle"),
    ]
    let corners = ["top-left", "top-right", "bottom-left", "bottom-right"]
    for (index, (format, codec)) in formats.enumerated() {
      let black = "-f lavfi -i color=black:s=320x240:r=25:d=0.4 -pix_fmt \(format) -c:v \(codec)"
      let video = try folder.make("black.mov", by: black)
      let outcome = try dub(video, "out.mkv", "--label", "AI <b> & \"x\"", "--label-corner", corners[index])
      #expect(outcome.status == 3, "\(outcome.err)")
      let light = try averages(folder.file("out.mkv"))
      for corner in 0..<4 { #expect(corner == index ? light[corner] > 1 : light[corner] < 0.5, "\(format) \(light)") }
    }
    let hdr = try folder.make(
      "hdr.mp4",
      by: "-f lavfi -i color=black:s=320x240:r=25:d=0.4 -pix_fmt yuv420p10le -c:v libx265 "
        + "-x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc")
    #expect(try dub(hdr, "hdr.mp4.mkv", "--label", "AAAA").status == 3)
    let brightest = try brightest(folder.file("hdr.mp4.mkv"))
    #expect((450...700).contains(brightest), "\(brightest)")
  }

  @Test("A label stands in every stretch")
  func labelInStretches() throws {
    let scenes = "-f lavfi -i color=black:s=320x240:r=25:d=3 -f lavfi -i smptebars=s=320x240:r=25:d=3"
    let video = try folder.make(
      "scenes.mp4", by: "\(scenes) -filter_complex [0][1]concat=n=2:v=1[v] -map [v] -c:v libx264")
    let sound = try folder.tone("long.wav", seconds: 6)
    let words = ["dub", "--once", "--video", video, "--audio", sound, "--jobs", "2", "-o"]
    for (name, label) in [("plain.mkv", []), ("labelled.mkv", ["--label", "HELLO"])] {
      let outcome = try run(tool, words + [folder.file(name)] + label)
      #expect(outcome.status == 3 && outcome.err.contains("is dubbed in 2 stretches"), "\(outcome.err)")
    }
    for frame in [20, 130] {
      let light = try ["plain.mkv", "labelled.mkv"].map { try averages(folder.file($0), frame: frame) }
      let changes = zip(light[0], light[1]).map { abs($0 - $1) }
      #expect(changes[0] > 0.5 && changes[1...].allSatisfy { $0 < 0.2 }, "\(frame): \(light)")
    }
  }

  /// Mean brightness of the quarters of a frame: upper left, upper right, lower left, lower right.
  private func averages(_ path: String, frame: Int = 0) throws -> [Double] {
    try ["0:0", "160:0", "0:120", "160:120"].map { place in
      let values = try pixels(path, "trim=start_frame=\(frame),crop=160:120:\(place),format=gray")
      return values.map(Double.init).reduce(0, +) / Double(values.count)
    }
  }

  /// Of the first frame's 10 bits.
  private func brightest(_ path: String) throws -> Int {
    let bytes = try pixels(path, "format=gray10le")
    return stride(from: 0, to: bytes.count - 1, by: 2).map { Int(bytes[$0]) | Int(bytes[$0 + 1]) << 8 }.max() ?? 0
  }

  private func pixels(_ path: String, _ filter: String) throws -> [UInt8] {
    _ = try run(
      ffmpeg,
      [
        "-nostdin", "-v", "error", "-y", "-i", path, "-frames:v", "1", "-vf", filter, "-f", "rawvideo",
        folder.file("raw"),
      ]
    )
    return [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.file("raw"))))
  }

  @Test("What is not signed says so in a line; with a certificate it is refused before anything is dubbed")
  func unsigned() throws {
    let picture = try folder.picture()
    for (name, why) in [("out.mp4", "SYNCDIFF_C2PA"), ("out.mkv", "C2PA has no place in mkv")] {
      let outcome = try dub(picture, name)
      let lines = outcome.err.split(separator: "\n").filter { $0.contains("is not signed: ") }
      #expect(outcome.status == 3 && lines.count == 1 && lines[0].contains(why), "\(outcome.err)")
      let keys = try keys()
      let refused = try dub(picture, "no-\(name)", "--certificate", keys.chain, "--private-key", keys.key)
      #expect(refused.status == 66 && refused.err.contains("cannot sign with \(keys.chain): "), "\(refused.err)")
      #expect(!folder.has("no-\(name)") && folder.litter.isEmpty)
    }
    #expect(try !dub(picture, "out.mp4", "--no-sign").err.contains("signed"))
    for words in [
      ["--certificate", "c"], ["--private-key", "k"], ["--no-sign", "--certificate", "c", "--private-key", "k"],
      ["--label-corner", "top-left"], ["--label", ""], ["--consent", ""], ["--label", "x", "--label-corner", "middle"],
    ] {
      let arguments = ["dub", "--video", picture, "--audio", sound, "-o", folder.file("x.mp4")] + words
      #expect(try run(tool, arguments).status == 64, "\(words)")
    }
  }

  // MARK: With the library

  private static let noLibrary: Comment = "SYNCDIFF_C2PA does not name C2PA's library, libc2pa_c.so"

  /// The test certificate, as files.
  private func keys() throws -> (chain: String, key: String) {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources/Tool/SyncDiffTool/TestCertificate.swift").standardizedFileURL
    let parts = try String(contentsOf: source, encoding: .utf8).components(separatedBy: "let testKey")
    for (name, part) in zip(["chain.pem", "key.pem"], parts) {
      let lines = part.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      let pem = lines.filter { $0.hasPrefix("-----") || ($0.count > 8 && !$0.contains(" ")) }
      try (pem.joined(separator: "\n") + "\n").write(toFile: folder.file(name), atomically: true, encoding: .utf8)
    }
    return (folder.file("chain.pem"), folder.file("key.pem"))
  }

  private func sha256(_ path: String) throws -> String {
    String(try run(URL(fileURLWithPath: "/usr/bin/sha256sum"), [path]).out.prefix(64))
  }

  /// What the library's reader tells of a file.
  private func manifests(_ path: String) throws -> [String: Any] {
    let told = try syncdiff("inspect", "--no-faces", "--json", path)
    let record = try JSONSerialization.jsonObject(with: Data(told.out.utf8)) as? [String: Any]
    return try #require(record?["credentials"] as? [String: Any], "\(told.out) \(told.err)")
  }

  private func newest(_ manifests: [String: Any]) throws -> [String: Any] {
    let all = try #require(manifests["manifests"] as? [String: [String: Any]])
    return try #require(all[manifests["active_manifest"] as? String ?? ""])
  }

  private func actions(_ manifest: [String: Any]) throws -> [String: [String: Any]] {
    let assertions = try #require(manifest["assertions"] as? [[String: Any]])
    let data = assertions.first { $0["label"] as? String == "c2pa.actions.v2" }?["data"] as? [String: Any]
    let actions = try #require(data?["actions"] as? [[String: Any]])
    return Dictionary(actions.map { ($0["action"] as? String ?? "", $0) }) { $1 }
  }

  @Test(
    "A signed file holds, and says what it was made from, by whom, with what, and who consented; one changed byte breaks it",
    .enabled(if: library != nil, noLibrary), arguments: ["mp4", "web.mp4", "mov"])
  func signs(container: String) throws {
    let (video, out) = (try folder.face(frames: 10), folder.file("out.\(container)"))
    // For the web the index lies before the pictures, and has to move on.
    let words =
      ["dub", "--once", "--steps", "1", "--video", video, "--audio", sound, "-o", out, "--json"]
      + (container == "web.mp4" ? ["--profile", "web"] : [])
    let outcome = try run(tool, words + ["--consent", "Anna Example, by letter"])
    #expect(outcome.status == 0 && folder.litter.isEmpty, "\(outcome.err)")
    #expect(outcome.out.contains(#""signed":"test""#) && outcome.out.contains("Anna Example, by letter"))
    let told = try manifests(out)
    #expect(told["validation_state"] as? String == "Valid")
    let manifest = try newest(told)
    let signer = try #require(manifest["signature_info"] as? [String: Any])
    #expect(signer["issuer"] as? String == "syncdiff test, proves nothing")
    let actions = try actions(manifest)
    func parameters(_ action: String) -> [String: Any]? { actions[action]?["parameters"] as? [String: Any] }
    #expect(try parameters("c2pa.opened")?["sha256"] as? String == sha256(video))
    #expect(try parameters("c2pa.dubbed")?["sha256"] as? String == sha256(sound))
    let edit = try #require(actions["c2pa.edited"])
    #expect((edit["digitalSourceType"] as? String)?.hasSuffix("/compositeWithTrainedAlgorithmicMedia") == true)
    #expect((edit["softwareAgent"] as? [String: Any])?["name"] as? String == "syncdiff")
    let model = try #require(parameters("c2pa.edited")?["model"] as? [String: Any])
    let version = try syncdiff("--version").out
    let path = try #require(version.firstMatch(of: /model: (.*)/)).1
    #expect(try model["sha256"] as? String == sha256(String(path)))
    #expect(parameters("c2pa.edited")?["consent"] as? String == "Anna Example, by letter")
    let ingredients = try #require(manifest["ingredients"] as? [[String: Any]])
    #expect(ingredients.map { $0["relationship"] as? String } == ["parentOf", "componentOf"])
    #expect(ingredients.map { $0["title"] as? String } == ["face.mp4", "sound.wav"])
    #expect(try decodedFrames(out) == 10)

    var bytes = try Data(contentsOf: URL(fileURLWithPath: out))
    let samples = try #require(bytes.firstRange(of: Data("mdat".utf8))).upperBound
    bytes[samples + 5000] ^= 1
    try bytes.write(to: URL(fileURLWithPath: folder.file("changed.\(container)")))
    #expect(try manifests(folder.file("changed.\(container)"))["validation_state"] as? String == "Invalid")
    #expect(
      try syncdiff("inspect", "--no-faces", out).out.contains("signed (C2PA): Valid, syncdiff test, proves nothing"))
  }

  @Test(
    "The manifest of an input stays with it; a certificate of one's own signs", .enabled(if: library != nil, noLibrary))
  func chains() throws {
    let (picture, first, second) = (try folder.picture(), folder.file("first.mp4"), folder.file("second.mp4"))
    let sign = ["dub", "--once", "--audio", sound]
    #expect(try run(tool, sign + ["--video", picture, "-o", first]).status == 3)
    let earlier = try #require(manifests(first)["active_manifest"] as? String)
    // Nothing was painted, so it does not say so.
    #expect(try actions(newest(manifests(first)))["c2pa.edited"]?["digitalSourceType"] == nil)
    let keys = try keys()
    let own = ["--certificate", keys.chain, "--private-key", keys.key]
    let again = try run(tool, sign + ["--video", first, "-o", second, "--json"] + own)
    #expect(again.status == 3 && again.out.contains(#""signed":"own""#), "\(again.err)")
    let told = try manifests(second)
    let ingredients = try #require(newest(told)["ingredients"] as? [[String: Any]])
    #expect(told["validation_state"] as? String == "Valid")
    #expect(ingredients.first?["active_manifest"] as? String == earlier)

    try "-----BEGIN PRIVATE KEY-----\n".write(toFile: folder.file("bad"), atomically: true, encoding: .utf8)
    try otherKey.write(toFile: folder.file("other"), atomically: true, encoding: .utf8)
    for key in ["bad", "other", "none"] {
      let options = ["--certificate", keys.chain, "--private-key", folder.file(key)]
      let refused = try run(tool, sign + ["--video", picture, "-o", folder.file("x.mp4")] + options)
      #expect(refused.status == 66 && !folder.has("x.mp4") && refused.err.hasPrefix("Error: cannot "), "\(refused.err)")
    }
    // Its container is one that the library cannot read.
    let matroska = try folder.make("in.mkv", by: "-i \(picture) -c copy")
    #expect(try run(tool, sign + ["--video", matroska, "-o", second]).status == 3)
    #expect(try manifests(second)["validation_state"] as? String == "Valid")
  }

  @Test("A batch of signed files reads the model for its manifests once", .enabled(if: library != nil, noLibrary))
  func hashesOnce() throws {
    let picture = try folder.picture(frames: 2)
    let path = try #require(try syncdiff("--version").out.firstMatch(of: /model: (.*)/)).1
    let size = try #require(FileManager.default.attributesOfItem(atPath: String(path))[.size] as? Int)
    /// Bytes that a batch of so many files reads.
    func read(_ count: Int) throws -> Int {
      let rows = (0..<count).map { "\(picture),\(sound),\(folder.file("\(count)-\($0).mp4")),true\n" }
      let list = folder.file("list.csv")
      try ("video,audio,output,once\n" + rows.joined()).write(toFile: list, atomically: true, encoding: .utf8)
      let told = try run(
        URL(fileURLWithPath: "/bin/bash"),
        [
          "-c", "\"$@\"; cat /proc/$$/io", "bash", tool.path, "batch", list, "--quiet", "--report",
          folder.file("r.csv"),
        ])
      let signed = try String(contentsOfFile: folder.file("r.csv"), encoding: .utf8).matches(of: /,test,/)
      #expect(signed.count == count, "\(told.err)")
      let bytes = try #require(told.out.firstMatch(of: /rchar: (\d+)/))
      return try #require(Int(bytes.1))
    }
    #expect(try read(3) - read(1) < size)
  }

  @Test("A file that cannot be signed is kept, and the status tells", .enabled(if: library != nil, noLibrary))
  func keepsUnsigned() throws {
    let (picture, out) = (try folder.picture(size: (640, 480)), folder.file("out.mp4"))
    let words = ["dub", "--once", "--crf", "0", "--video", picture, "--audio", sound, "-o", out]
    #expect(try run(tool, words + ["--no-sign"]).status == 3)
    let size = try #require(FileManager.default.attributesOfItem(atPath: out)[.size] as? Int)
    // No file may become larger than the dub without its signature.
    let shell = "trap '' XFSZ; ulimit -f \(size / 1024 + 2); exec \"$@\""
    let failed = try run(URL(fileURLWithPath: "/bin/bash"), ["-c", shell, "bash", tool.path] + words)
    #expect(failed.status == 70 && failed.err.contains("it is not signed: "), "\(failed.err)")
    #expect(try decodedFrames(out) == 30 && folder.litter.isEmpty)
  }
}

/// No certificate has it.
private let otherKey = """
  -----BEGIN PRIVATE KEY-----
  MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+ELusoEU2islb1wX
  PQybVFc6AnYABHh5GJTZJS9c3p+hRANCAAQ7BIXF9DtKITiyC9cmxFnYTtnqdqsL
  3CCcfOty5P+/KuZaashoXHufzZz74hMP2gTVILAPI0xRVB3yaH6xGbzR
  -----END PRIVATE KEY-----
  """
