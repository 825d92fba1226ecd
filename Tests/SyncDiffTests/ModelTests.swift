// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import SyncDiff
import Tensors
import TestSupport
import Testing

/// The shipped model.
let modelPath = URL(filePath: #filePath).deletingLastPathComponent()
  .appending(path: "../../meta/models/syncdiff.safetensors").standardized.path

/// Invalid model files: each gives a specific error.
@Suite struct ModelTests {
  @Test func loadsTheModelThatShips() throws {
    let model = try Model.load(path: modelPath)
    #expect(model.configuration.window == 80)
    #expect(model.lookahead.nanoseconds == 250_000_000)
  }

  /// Users of the same file in the same precision share one copy of the weights, for as long as any of them holds it.
  @Test func loadsOfOneFileShareOneModel() async throws {
    let file = try copy()
    defer { try? FileManager.default.removeItem(at: file) }
    let models = try await withThrowingTaskGroup(of: Model.self) { group in
      for _ in 0..<4 { group.addTask { try Model.load(path: file.path) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(models.allSatisfy { $0 === models[0] })
    let half = try Model.load(path: file.path, precision: .bf16)
    #expect((half === models[0]) == !multipliesBF16, "where bf16 is computed as f32 it is the same model")
    #expect(try Model.load(path: modelPath) !== models[0])
    try Data(contentsOf: file).write(to: file)
    #expect(try Model.load(path: file.path) !== models[0])
  }

  @Test func aModelGoesWithTheLastWhoHoldsIt() throws {
    let file = try copy()
    defer { try? FileManager.default.removeItem(at: file) }
    weak var model: Model?
    do {
      let first = try Model.load(path: file.path)
      model = first
      #expect(try Model.load(path: file.path) === first)
    }
    #expect(model == nil)
  }

  /// A file that failed once may have been repaired.
  @Test func aFileThatWasRefusedIsReadAgain() throws {
    let file = try copy()
    defer { try? FileManager.default.removeItem(at: file) }
    let whole = try Data(contentsOf: file)
    try whole.dropLast().write(to: file)
    #expect(throws: LoadError.self) { try Model.load(path: file.path) }
    try whole.write(to: file)
    _ = try Model.load(path: file.path)
  }

  @Test func noSuchFile() {
    #expect(throws: LoadError.notFound(.model, path: "/no/such/model")) { try Model.load(path: "/no/such/model") }
  }

  @Test func aFolder() {
    #expect { try Model.load(path: "/") } throws: { error in
      if case .unreadable(.model, "/", _) = error as? LoadError { true } else { false }
    }
  }

  @Test func anEmptyFile() throws {
    try expectMalformed([], "empty")
  }

  @Test func aPicture() throws {
    let jpeg: [UInt8] = [0xFF, 0xD8, 0xFF, 0xE0, 0, 16] + Array("JFIF".utf8) + [UInt8](repeating: 7, count: 5000)
    try expectMalformed(jpeg, "header")
  }

  @Test func aModelCutOff() throws {
    let whole = [UInt8](try Data(contentsOf: URL(filePath: modelPath)))
    try expectMalformed(Array(whole[..<(whole.count / 2)]), "cut off")
  }

  @Test func aFileOfOtherWeights() throws {
    try expectMalformed(changed { $0["__metadata__"] = nil }, "does not say that it is a syncdiff model")
  }

  @Test(arguments: ["1", "2", "4"]) func anotherVersion(version: String) throws {
    try expectMalformed(
      changed { $0.metadata["version"] = version }, "it is of version \(version), this syncdiff reads version 3")
  }

  @Test func aLicenceIsHandedOn() throws {
    #expect(try Model.load(path: modelPath).licence == nil)
    let path = try licensedModel("Not for \"sale\".")
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try Model.load(path: path).licence == "Not for \"sale\".")
  }

  /// A model of AV-HuBERT lacks our encoder, and the other way round.
  @Test func anotherAudioEncoder() throws {
    let config = try #require(try SafeTensors.load(path: modelPath).metadata["config"])
    let other = config.replacing("\"window\": 80", with: "\"window\": 80, \"av_hubert\": 768")
    let bytes = try changed { $0.metadata["config"] = other }
    try expectMalformed(bytes, "audio_encoder.input.weight is [192, 768], expected [768, 104]")
    try expectMalformed(bytes, "missing audio_encoder.fusion.weight [768, 1536]")
  }

  /// The shape of `near` determines how many features a layer attends to, within limits.
  @Test func anotherReach() throws {
    func reason(_ shape: [Int]) throws -> String {
      let file = try untrainedModelFile(window: 32) {
        $0["audio_encoder.front.layers.0.near"] = Tensor(zeros: shape)
      }
      defer { try? FileManager.default.removeItem(at: file) }
      return try #require(#expect(throws: LoadError.self) { try Model.load(path: file.path) }).description
    }
    let near = "audio_encoder.front.layers.0.near"
    #expect(try reason([1, 50, 8]).contains("\(near) is [1, 50, 8], expected [1, 51, 8]"))
    #expect(try reason([1, 51]).contains("\(near) is [1, 51], expected [1, 51, 8]"))
    #expect(try reason([1, 52, 8]).contains("audio_encoder.front.layers.0.carry is [1, 51, 8], expected [1, 52, 8]"))
  }

  @Test func noConfiguration() throws {
    try expectMalformed(changed { $0.metadata["config"] = nil }, "does not say")
    try expectMalformed(changed { $0.metadata["config"] = "{}" }, "\"window\"")
  }

  @Test func anotherWindow() throws {
    let config = try #require(try SafeTensors.load(path: modelPath).metadata["config"])
    let other = config.replacing("\"window\": 80", with: "\"window\": 48")
    try expectMalformed(
      changed { $0.metadata["config"] = other }, "bottleneck.out.weight is [6, 1600], expected [6, 576]")
  }

  @Test func weightsThatAreNotFinite() throws {
    var bytes = try changed { $0.metadata["crc32"] = nil }
    bytes[bytes.count - 2..<bytes.count] = [0x00, 0x7C]  // the last float16: infinity
    try expectMalformed(bytes, "not finite")
  }

  @Test func weightsThatAreNotThoseThatWereWritten() throws {
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: modelPath)))
    bytes[bytes.count / 2] ^= 1
    try expectMalformed(bytes, "damaged")
  }

  @Test func geometryThatIsNone() throws {
    let file = try untrainedModelFile(window: 32) { $0["geometry.low"]?.values[2] = 9000 }
    defer { try? FileManager.default.removeItem(at: file) }
    let error = #expect(throws: LoadError.self) { try Model.load(path: file.path) }
    #expect(error?.description.contains("geometry.low holds 9000.0, which is no point") == true)
  }

  @Test func missingUnknownAndMisshapenTensorsAreAllNamed() throws {
    let bytes = try changed {
      $0["decoder.input.weigth"] = $0["decoder.input.weight"]
      $0["decoder.input.weight"] = nil
      var bias = $0["encoder.output.bias"] as? [String: Any]
      bias?["shape"] = [2, 2]
      $0["encoder.output.bias"] = bias
    }
    try expectMalformed(bytes, "missing decoder.input.weight")
    try expectMalformed(bytes, "encoder.output.bias is [2, 2], expected [4]")
    try expectMalformed(bytes, "unknown decoder.input.weigth")
  }

  /// A copy of the shipped model that no other test loads.
  private func copy() throws -> URL {
    let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
    try FileManager.default.copyItem(at: URL(filePath: modelPath), to: file)
    return file
  }

  /// The shipped model with its header changed.
  private func changed(_ change: (inout [String: Any]) -> Void) throws -> [UInt8] {
    let whole = try Data(contentsOf: URL(filePath: modelPath))
    let length = whole.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    var header = try #require(try JSONSerialization.jsonObject(with: whole[8..<8 + length]) as? [String: Any])
    change(&header)
    let text = try JSONSerialization.data(withJSONObject: header)
    let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return prefix + [UInt8](text) + [UInt8](whole[(8 + length)...])
  }

  private func expectMalformed(
    _ bytes: [UInt8], _ words: String, at location: SourceLocation = #_sourceLocation
  ) throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
    try Data(bytes).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let error = #expect(throws: LoadError.self, sourceLocation: location) { try Model.load(path: file.path) }
    guard case .malformed(.model, file.path, let why)? = error else {
      Issue.record("not malformed: \(String(describing: error))", sourceLocation: location)
      return
    }
    #expect(why.contains(words), sourceLocation: location)
  }
}

extension [String: Any] {
  fileprivate var metadata: [String: String] {
    get { self["__metadata__"] as? [String: String] ?? [:] }
    set { self["__metadata__"] = newValue }
  }
}
