// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import Faces
import Foundation
import Speech
import SyncDiff
import Tensors
import TestSupport
import Testing

/// The whole pipeline with the shipped model, on the portrait of Tests/FacesTests, enlarged twice.
@Suite struct FramePipelineTests {
  static let side = 320
  let model: Model
  let portrait: [UInt8]

  init() throws {
    model = try Model.load(path: modelPath)
    let faces = #filePath.replacing("SyncDiffTests", with: "FacesTests")
    let picture = try #require(try golden("picture.safetensors", beside: faces)["picture"])
    #expect(picture.shape == [Self.side / 2, Self.side / 2, 3])
    portrait = (0..<Self.side * Self.side * 3).map { i in
      let (y, x) = (i / 3 / Self.side / 2, i / 3 % Self.side / 2)
      return UInt8(picture.values[3 * (y * Self.side / 2 + x) + i % 3])
    }
  }

  /// Alone or next to other streams, on any number of threads.
  @Test func theSameInputGivesTheSameBytes() async throws {
    func run(threads: Int) throws -> [[UInt8]] {
      var pipeline = FramePipeline(model: model, threads: threads)
      return try [1, -1, 1].map { try dubbed(&pipeline, sound($0)) }
    }
    let alone = try run(threads: 1)
    #expect(try run(threads: 0) == alone)
    try await withThrowingTaskGroup(of: [[UInt8]].self) { group in
      for threads in 0..<5 { group.addTask { try run(threads: threads) } }
      for try await together in group { #expect(together == alone) }
    }
  }

  /// A thread that flushes denormals to zero, as GStreamer's audio conversion leaves its own; some weights are
  /// denormal.
  @Test func aModelIsTheSameOnWhateverThreadItIsLoaded() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).safetensors")
    try FileManager.default.copyItem(at: URL(filePath: modelPath), to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let before = ctensors_arithmetic_standard()
    ctensors_arithmetic_restore(0x9FC0)
    let loaded = Result { try Model.load(path: file.path) }
    ctensors_arithmetic_restore(before)
    var (here, there) = (FramePipeline(model: model), FramePipeline(model: try loaded.get()))
    #expect(try dubbed(&there, sound(1)) == dubbed(&here, sound(1)))
  }

  /// The eyes, and everything above them, stay unchanged.
  @Test func onlyTheLowerFaceChanges() throws {
    var pipeline = FramePipeline(model: model)
    let new = try dubbed(&pipeline, sound(1))
    let rows = Set(new.indices.filter { new[$0] != portrait[$0] }.map { $0 / 3 / Self.side })
    let face = try #require(try find(&pipeline, portrait))
    #expect(rows.count > 30)
    let eyes = [33, 133, 362, 263].map { face.points[$0].y }
    #expect(rows.allSatisfy { row in eyes.allSatisfy { Float(row) > $0 } })
  }

  @Test func otherSoundOtherMouth() throws {
    var (a, b) = (FramePipeline(model: model), FramePipeline(model: model))
    #expect(try dubbed(&a, sound(1)) != dubbed(&b, sound(-1)))
  }

  @Test func anotherSeedAnotherMouth() throws {
    var (a, b) = (FramePipeline(model: model), FramePipeline(model: model))
    #expect(try dubbed(&a, sound(1)) != dubbed(&b, sound(1), seed: 1))
  }

  @Test func strengthZeroLeavesTheFrame() throws {
    var pipeline = FramePipeline(model: model)
    #expect(try dubbed(&pipeline, sound(1), strength: 0) == portrait)
  }

  /// What was painted in the previous frame affects the next one, if only by a few levels in a few pixels, unless a frame
  /// was skipped between.
  @Test func aSkippedFrameEndsTheMemory() throws {
    func second(afterSeed seed: UInt64, skipping: Bool) throws -> [UInt8] {
      var pipeline = FramePipeline(model: model)
      _ = try dubbed(&pipeline, sound(4), seed: seed)
      if skipping { pipeline.skip() }
      return try dubbed(&pipeline, sound(-8))
    }
    #expect(Set(try (1...6).map { try second(afterSeed: $0, skipping: false) }).count > 1)
    #expect(Set(try (1...6).map { try second(afterSeed: $0, skipping: true) }).count == 1)
  }

  /// Nothing of the darker face remains after the reset, nor in a newly found face.
  @Test func aResetForgetsTheFace() throws {
    var (fresh, reset, lost) = (FramePipeline(model: model), FramePipeline(model: model), FramePipeline(model: model))
    let first = try dubbed(&fresh, sound(1))
    let dark = portrait.map { $0 / 2 }
    _ = try dubbed(&reset, sound(1), on: dark)
    reset.reset()
    #expect(try dubbed(&reset, sound(1)) == first)
    _ = try dubbed(&lost, sound(1), on: dark)
    #expect(try find(&lost, [UInt8](repeating: 90, count: portrait.count)) == nil)
    #expect(try dubbed(&lost, sound(1)) == first)
  }

  /// While a face fades out where it was last, nothing is learned there.
  @Test func aLostFaceIsNotLearnedFrom() throws {
    var pipeline = FramePipeline(model: model)
    var settings = FindSettings()
    settings.sceneThreshold = 0
    for i in 0..<6 { _ = try find(&pipeline, portrait, at: 0.04 * Double(i), settings) }
    let face = try #require(try find(&pipeline, portrait, at: 0.24, settings))
    func known() throws -> [UInt8] { try #require(pipeline.presenter(of: face)).written(for: model) }
    let before = try known()
    for i in 0..<2 {
      let grey = [UInt8](repeating: 90, count: portrait.count)
      let lost = try #require(try find(&pipeline, grey, at: 0.28 + 0.04 * Double(i), settings))
      #expect(lost.id == face.id && lost.isLost && lost.opacity < 1)
      #expect(try known() == before)
    }
    let again = try #require(try find(&pipeline, portrait, at: 0.36, settings))
    #expect(again.id == face.id && !again.isLost)
    #expect(try known() != before)
  }

  /// No mouth is shown on what covers it, from the first frame on. What has covered it for four seconds is its new look:
  /// mouths of the old look are not shown any more.
  @Test func aNewLookHasNoOldMouths() throws {
    var pipeline = FramePipeline(model: model)
    var settings = FindSettings()
    settings.sceneThreshold = 0
    let face = try #require(try find(&pipeline, portrait, at: 0, settings))
    for i in 1..<20 { _ = try find(&pipeline, portrait, at: 0.1 * Double(i), settings) }
    // Stripes over the lower face: its mesh is still found.
    let masked: [UInt8] = portrait.indices.map { i in
      let (y, x) = (i / 3 / Self.side, i / 3 % Self.side)
      let isUnder = Float(y) > face.points[2].y && abs(Float(x) - face.points[13].x) < 60
      return isUnder ? UInt8(Int(portrait[i]) / 3 + (y / 6 % 2 == 0 ? 150 : 0)) : portrait[i]
    }
    func means() throws -> [Float] {
      let file = try SafeTensors(try #require(pipeline.presenter(of: face)).written(for: model))
      let mouths = file.names.sorted().filter { $0.hasPrefix("mouths.") }.compactMap { file[$0] }
      return mouths.map { $0.values.reduce(0, +) / Float($0.values.count) }
    }
    let old = try means()
    var hidden = 0
    for i in 0..<50 {
      let seen = try find(&pipeline, masked, at: 2 + 0.1 * Double(i), settings)
      hidden += seen == nil ? 1 : 0
      #expect(i > 0 || seen == nil)
      if seen == nil || i < 4 { #expect(try means() == old) }
    }
    #expect((30..<45).contains(hidden))
    #expect(try means().allSatisfy { new in old.allSatisfy { abs($0 - new) > 10 } })
  }

  /// Guidance extrapolates away from silence: in silence it changes nothing, and 1 means none.
  @Test func guidanceLeadsAwayFromSilence() throws {
    let silence = model.featureExtractor.silence
    func first(_ sound: Tensor, guidance: Float) throws -> [UInt8] {
      var pipeline = FramePipeline(model: model)
      return try dubbed(&pipeline, sound, guidance: guidance)
    }
    #expect(try first(silence, guidance: 3) == first(silence, guidance: 1))
    let (plain, guided) = (try first(sound(1), guidance: 1), try first(sound(1), guidance: 2))
    #expect(plain != guided)
    // Roughly twice as far from silence: the mouth of silence lies on the other side.
    let quiet = try first(silence, guidance: 1)
    let product = plain.indices.reduce(0) { sum, i in
      sum + (Int(guided[i]) - Int(plain[i])) * (Int(plain[i]) - Int(quiet[i]))
    }
    #expect(product > 0)
  }

  /// Two faces side by side, each with its own audio: what one said does not affect the other.
  @Test func everyFaceHasItsOwnMemory() throws {
    func second(_ left: Float, _ right: Float) throws -> [UInt8] {
      var pipeline = FramePipeline(model: model)
      _ = try dubbedPair(&pipeline, left, right)
      return try dubbedPair(&pipeline, 1, 1)
    }
    let (a, b) = (try second(1, 1), try second(1, -1))
    let changed = Set(a.indices.filter { a[$0] != b[$0] }.map { $0 / 3 % (2 * Self.side) })
    #expect(!changed.isEmpty && changed.allSatisfy { $0 >= Self.side })
  }

  /// After a cut the darker face of the previous shot is forgotten, and the new one does not fade in.
  @Test func aCutForgetsTheFace() throws {
    var (fresh, cut) = (FramePipeline(model: model), FramePipeline(model: model))
    let mirrored: [UInt8] = portrait.indices.map { i in
      let (y, x, c) = (i / 3 / Self.side, i / 3 % Self.side, i % 3)
      return portrait[(y * Self.side + Self.side - 1 - x) * 3 + c]
    }
    _ = try dubbed(&cut, sound(1), on: mirrored.map { $0 / 2 })
    #expect(try dubbed(&cut, sound(1)) == dubbed(&fresh, sound(1)))
  }

  /// The portrait twice, side by side.
  private func dubbedPair(_ pipeline: inout FramePipeline, _ left: Float, _ right: Float) throws -> [UInt8] {
    let row = 3 * Self.side
    var picture: [UInt8] = []
    for y in 0..<Self.side { for _ in 0..<2 { picture += portrait[y * row..<(y + 1) * row] } }
    try picture.withUnsafeMutableBytes { bytes in
      let frame = try view(bytes, width: 2 * Self.side)
      var settings = FindSettings()
      settings.selection = .largest(2)
      let faces = pipeline.find(frame.view, at: RunningTime(nanoseconds: 0), settings).faces
      #expect(faces.count == 2 && Set(faces.map { $0.id }).count == 2)
      for face in faces {
        let level = face.alignment.inverse(40, 29).x < Double(Self.side) ? left : right
        pipeline.paint(frame, face: face, features: sound(level), settings: PaintSettings(steps: 2))
      }
    }
    return picture
  }

  /// Tiny networks with random weights, except those that predict a closed mouth: they paint noise, but where the
  /// shipped model paints.
  @Test func aLargerWindowIsPaintedInTheSamePlace() throws {
    let file = try untrainedModelFile(window: 256) { tensors in
      for name in ["lips.fc2.weight", "lips.fc2.bias"] { tensors[name] = tensors[name].map { Tensor(zeros: $0.shape) } }
    }
    defer { try? FileManager.default.removeItem(at: file) }
    let large = try Model.load(path: file.path)
    func rows(_ model: Model) throws -> (first: Int, last: Int) {
      var (pipeline, again) = (FramePipeline(model: model), FramePipeline(model: model))
      let silence = model.featureExtractor.silence
      let new = try dubbed(&pipeline, silence)
      #expect(try dubbed(&again, silence) == new)
      let rows = new.indices.filter { new[$0] != portrait[$0] }.map { $0 / 3 / Self.side }
      return (try #require(rows.min()), try #require(rows.max()))
    }
    let (a, b) = (try rows(model), try rows(large))
    #expect(abs(a.first - b.first) <= 2 && abs(a.last - b.last) <= 2 && b.last - b.first > 30)
  }

  /// Random weights again: all that can be checked is that a mouth is painted, the same one each time.
  @Test func hearsWithAVHuBERT() throws {
    let model = try untrainedModel(window: 96, avHuBERT: 128)
    #expect(model.configuration.avHuBERT == 128 && model.licence == nil)
    var (once, again) = (FramePipeline(model: model), FramePipeline(model: model))
    let new = try dubbed(&once, sound(1, for: model))
    #expect(new != portrait)
    #expect(try dubbed(&again, sound(1, for: model)) == new)
  }

  /// The features of one audio signal and of another.
  private func sound(_ level: Float, for other: Model? = nil) -> Tensor {
    let silence = (other ?? model).featureExtractor.silence
    let width = silence.shape[1]
    return silence.map { i, _ in level * (Float(i % 26) / 13 - 1) + Float(i / width % 3) / 4 }
  }

  private func find(
    _ pipeline: inout FramePipeline, _ picture: [UInt8], at seconds: Double = 0,
    _ settings: FindSettings = FindSettings()
  ) throws -> Face? {
    var picture = picture
    return try picture.withUnsafeMutableBytes { bytes in
      let time = RunningTime(nanoseconds: UInt64(seconds * 1e9))
      return pipeline.find(try view(bytes).view, at: time, settings).faces.first
    }
  }

  private func dubbed(
    _ pipeline: inout FramePipeline, _ sound: Tensor, on picture: [UInt8]? = nil, strength: Float = 1, seed: UInt64 = 0,
    guidance: Float = 1
  ) throws -> [UInt8] {
    var picture = picture ?? portrait
    try picture.withUnsafeMutableBytes { bytes in
      let frame = try view(bytes)
      let found = pipeline.find(frame.view, at: RunningTime(nanoseconds: 0)).faces.first
      let face = try #require(found)
      let settings = PaintSettings(steps: 2, strength: strength, seed: seed, guidance: guidance)
      pipeline.paint(frame, face: face, features: sound, settings: settings)
    }
    return picture
  }

  private func view(_ bytes: UnsafeMutableRawBufferPointer, width: Int = side) throws -> MutableFrameView {
    let base = try #require(bytes.baseAddress)
    return try #require(
      MutableFrameView(
        format: .rgb, width: width, height: Self.side, planes: [(base: base, stride: 3 * width)],
        colorimetry: Colorimetry(.bt709, .full)))
  }
}
