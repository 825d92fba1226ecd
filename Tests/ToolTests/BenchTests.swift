// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What `syncdiff bench` prints, never how fast it is.

import Foundation
import TestSupport
import Testing

extension ToolTests {
  @Test("The help of each benchmark says what its JSON holds", arguments: ["layers", "denoiser", "frame"])
  func benchHelp(name: String) throws {
    let help = try syncdiff("bench", name, "--help").out
    for word in ["--precision", "--threads", "--seconds", "--json", "median_ms", "\"bench\": \"\(name)\""] {
      #expect(help.contains(word))
    }
    #expect(try syncdiff("bench", "--help").out.contains(name))
  }

  @Test(
    "Usage errors of the benchmarks end with 64",
    arguments: [
      ["layers", "--seconds", "0"], ["layers", "--repeats", "0"], ["denoiser", "--threads", "257"],
      ["denoiser", "--steps", "0"], ["denoiser", "--measure", "all"],
      ["denoiser", "--outputs", "f", "--precision", "f32", "bf16"], ["frame", "--size", "12x12"],
      ["frame", "--size", "1280"], ["frame", "--format", "nv12"], ["frame", "--format", "GRAY8"],
    ])
  func benchUsage(arguments: [String]) throws {
    let outcome = try run(tool, ["bench"] + arguments)
    #expect(outcome.status == 64 && outcome.out.isEmpty, "\(outcome.err)")
  }

  /// The numbers of operations are those that PyTorch counts in the Python twins:
  /// `torch.utils.flop_counter.FlopCounterMode` around the networks of `model.SyncDiff(Config())`; of the audio encoder's front
  /// only the linear layers, for two features.
  @Test("Layers: all of the networks' operations are there")
  func benchLayers() throws {
    let results = try bench("layers", "--repeats", "1", "--threads", "1", "2")
    var flop: [String: Double] = [:]
    for layer in results where layer["threads"] as? Int == 2 {
      let (network, gflop) = (try #require(layer["network"] as? String), try #require(layer["gflop"] as? Double))
      flop[network, default: 0] += gflop * 1e9 * Double(try #require(layer["layers"] as? Int))
      #expect(try #require(layer["median_ms"] as? Double) > 0)
    }
    let expected: [String: Double] = [
      "denoiser": 765_723_392, "encoder": 608_256_000, "decoder": 1_006_387_200, "audio_encoder": 49_701_888,
      "bottleneck": 1_171_200, "lips": 1_036_800,
    ]
    #expect(flop.mapValues { $0.rounded() } == expected)
    #expect(results.count { $0["threads"] as? Int == 1 } == results.count / 2)
  }

  @Test("Layers: every way to compute a convolution, and one that the network uses")
  func benchMethods() throws {
    let results = try bench("layers", "--repeats", "1", "--precision", "f32", "--all-methods")
    let layer = results.filter {
      $0["network"] as? String == "denoiser" && $0["shape"] as? String == "20 x 20, 64 -> 64, 3/1"
    }
    #expect(Set(layer.compactMap { $0["method"] as? String }).isSuperset(of: ["direct", "f2", "f4"]))
    #expect(layer.count { $0["own"] as? Bool == true } == 1)
    let strided = results.filter { ($0["shape"] as? String)?.hasSuffix("3/2") ?? false }
    let methods: Set<String?> = ["direct", "pairs", "tiles", "split"]
    #expect(!strided.isEmpty && strided.allSatisfy { methods.contains($0["method"] as? String) })
  }

  @Test("SYNCDIFF_ISA chooses the instruction set that a report names")
  func benchInstructionSet() throws {
    let line = "SYNCDIFF_ISA=generic exec \"\(tool.path)\" bench denoiser --measure network --repeats 1"
    let outcome = try run(URL(fileURLWithPath: "/bin/sh"), ["-c", line])
    #expect(outcome.status == 0 && outcome.out.contains(" cores, generic"), "\(outcome.err)")
  }

  @Test("Denoiser: a result for each combination, with every round")
  func benchDenoiser() throws {
    let results = try bench("denoiser", "--repeats", "2", "--steps", "1", "2", "--precision", "f32", "bf16")
    #expect(
      results.map { $0["measure"] as? String } == [
        "network", "step", "frame", "frame", "network", "step", "frame", "frame",
      ])
    #expect(results.map { $0["steps"] as? Int } == [nil, nil, 1, 2, nil, nil, 1, 2])
    #expect(
      results.map { $0["precision"] as? String } == Array(repeating: "f32", count: 4)
        + Array(repeating: "bf16", count: 4))
    for result in results {
      let times = try #require(result["ms"] as? [Double])
      #expect(
        times.count == 2 && times.min() == result["min_ms"] as? Double && times.max() == result["p95_ms"] as? Double)
    }
  }

  @Test("Denoiser: what the network makes of a file does not depend on threads, but on the numbers")
  func benchFiles() throws {
    let folder = try Folder()
    func output(of inputs: String, threads: Int) throws -> Data {
      let outcome = try syncdiff(
        "bench", "denoiser", "--repeats", "1", "--measure", "network", "--threads", "\(threads)", "--inputs", inputs,
        "--outputs", folder.file("f"))
      #expect(outcome.status == 0, "\(outcome.err)")
      return try Data(contentsOf: URL(fileURLWithPath: folder.file("f")))
    }
    let quiet = try inputs(folder, "quiet", t: 0.25)
    let (one, two) = (try output(of: quiet, threads: 1), try output(of: quiet, threads: 2))
    let header = #"{"f":{"data_offsets":[0,6400],"dtype":"F32","shape":[20,20,4]}}"#
    #expect(one == two && one.count == 8 + header.utf8.count + 20 * 20 * 4 * 4)
    #expect(one.dropFirst(8).starts(with: Data(header.utf8)))
    let values = one.suffix(6400).withUnsafeBytes { bytes in
      (0..<1600).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    #expect(values.allSatisfy(\.isFinite) && values.contains { abs($0) > 0.001 })
    #expect(try output(of: inputs(folder, "later", t: 0.75), threads: 2) != one)
  }

  @Test("Denoiser: files that will not do are one clear line each")
  func benchBadFiles() throws {
    let folder = try Folder()
    try "no tensors".write(toFile: folder.file("text"), atomically: true, encoding: .utf8)
    let good = try inputs(folder, "good")
    let cases = [
      (folder.file("none"), "f", "there is no file \(folder.file("none"))"),
      (folder.file("text"), "f", "cannot use \(folder.file("text"))"),
      (try inputs(folder, "few", leaving: "tokens"), "f", "has no tensor tokens [14, 192]"),
      (try inputs(folder, "narrow", prior: [1, 5]), "f", "is [1, 5], this model needs [1, 6]"),
      (try inputs(folder, "more", adding: "y"), "f", "has a tensor y"),
      (good, "nowhere/f", "cannot write \(folder.file("nowhere/f")): No such file"),
    ]
    for (inputs, output, message) in cases {
      let outcome = try syncdiff(
        "bench", "denoiser", "--repeats", "1", "--inputs", inputs, "--outputs", folder.file(output))
      #expect(outcome.status == 66 && outcome.out.isEmpty && outcome.err.contains(message), "\(outcome.err)")
      #expect(outcome.err.split(separator: "\n").count == 1, "\(outcome.err)")
    }
  }

  @Test("Frame: the stages of a frame add up to it, in any format", arguments: ["NV12", "BGRx"])
  func benchFrame(format: String) throws {
    let results = try bench("frame", "--repeats", "1", "--steps", "1", "--size", "480x320", "--format", format)
    let result = try #require(results.first)
    let stages = try #require(result["stages"] as? [String: [String: Double]])
    #expect(Set(stages.keys) == ["find", "hear", "warp", "encode", "denoise", "decode", "blend"])
    let sum = stages.values.compactMap { $0["median_ms"] }.reduce(0, +)
    let frame = try #require(result["median_ms"] as? Double)
    #expect(stages.values.allSatisfy { $0["median_ms"] ?? 0 > 0 } && abs(sum - frame) < 1e-6 * frame)
    #expect(result["first_ms"] as? Double ?? 0 > 0 && abs(1000 / frame - (result["fps"] as? Double ?? 0)) < 1e-6)
    #expect(result["format"] as? String == format && result["width"] as? Int == 480)
  }

  @Test("Frame: a picture without a face, and no picture at all")
  func benchNoFace() throws {
    let folder = try Folder()
    let (picture, sound) = (try folder.picture(frames: 2), try folder.sound())
    for (path, message) in [(picture, "no face is found in \(picture) at 1280x720"), (sound, "has no video stream")] {
      let outcome = try syncdiff("bench", "frame", "--repeats", "1", "--picture", path)
      #expect(outcome.status == 66 && outcome.out.isEmpty && outcome.err.contains(message), "\(outcome.err)")
    }
  }

  @Test("What a model's licence says is printed, by bench and by dub")
  func licence() throws {
    let path = try licensedModel("For research only.")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let folder = try Folder()
    let (picture, sound, out) = (try folder.picture(frames: 5), try folder.sound(), folder.file("out.mp4"))
    let dubbed = try syncdiff("dub", "--video", picture, "--audio", sound, "-o", out, "--model", path)
    #expect(dubbed.status == 3 && dubbed.err.contains("Warning: The model \(path): For research only.\n"))
    let outcome = try syncdiff("bench", "denoiser", "--repeats", "1", "--model", path)
    #expect(outcome.status == 0 && outcome.err == "Warning: \(path): For research only.\n")
  }

  @Test("Without --json there is a table under the machine's name", arguments: ["layers", "denoiser", "frame"])
  func benchTable(name: String) throws {
    let outcome = try syncdiff("bench", name, "--repeats", "1", "--threads", "1")
    let lines = outcome.out.split(separator: "\n")
    #expect(outcome.status == 0 && outcome.err.isEmpty)
    #expect(lines.count > 3 && lines[0].contains(" cores, ") && lines[1].contains("precision"))
  }
}

/// The results of a benchmark that prints JSON.
private func bench(_ arguments: String...) throws -> [[String: Any]] {
  let outcome = try run(tool, ["bench"] + arguments + ["--json"])
  #expect(outcome.status == 0 && outcome.err.isEmpty, "\(outcome.err)")
  let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.out.utf8)) as? [String: Any])
  #expect(report["bench"] as? String == arguments[0] && report["cores"] as? Int ?? 0 > 0)
  #expect(report["isa"] is String && report["processor"] is String)
  return try #require(report["results"] as? [[String: Any]])
}

/// Writes a file of inputs for the denoiser, all 0 but t.
private func inputs(
  _ folder: Folder, _ name: String, t: Float = 0.5, prior: [Int] = [1, 6], leaving: String? = nil, adding: String? = nil
) throws -> String {
  var shapes = ["x": [20, 20, 14], "t": [1], "tokens": [14, 192], "prior": prior]
  if let leaving { shapes[leaving] = nil }
  if let adding { shapes[adding] = [1] }
  var (header, values): ([String: Any], Data) = ([:], Data())
  for (name, shape) in shapes {
    let begin = values.count
    if name == "t" {
      withUnsafeBytes(of: t.bitPattern.littleEndian) { values.append(contentsOf: $0) }
    } else {
      values.append(Data(count: 4 * shape.reduce(1, *)))
    }
    header[name] = ["dtype": "F32", "shape": shape, "data_offsets": [begin, values.count]]
  }
  let text = try JSONSerialization.data(withJSONObject: header)
  let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
  try (length + text + values).write(to: URL(fileURLWithPath: folder.file(name)))
  return folder.file(name)
}
