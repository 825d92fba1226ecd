// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Foundation
import Speech
import SyncDiff
import Tensors
import TestSupport
import Testing

/// Random networks that paint nothing over the warp, the golden portrait enlarged twice, and its mouth in red as the
/// presenter's.
@Suite struct PresenterTests {
  static let side = 320
  let model: Model
  let portrait: [UInt8]
  let whole: [UInt8]  // a presenter's file

  init() throws {
    // Random networks would spread a difference in the last bit over the whole image.
    let file = try untrainedModelFile(window: 32) { tensors in
      for (name, tensor) in tensors where name.hasPrefix("decoder.") { tensors[name] = Tensor(zeros: tensor.shape) }
    }
    defer { try? FileManager.default.removeItem(at: file) }
    model = try Model.load(path: file.path)
    let faces = #filePath.replacing("SyncDiffTests", with: "FacesTests")
    let picture = try #require(try golden("picture.safetensors", beside: faces)["picture"])
    portrait = (0..<Self.side * Self.side * 3).map { i in
      let (y, x) = (i / 3 / Self.side / 2, i / 3 % Self.side / 2)
      return UInt8(picture.values[3 * (y * Self.side / 2 + x) + i % 3])
    }
    var (learner, pixels) = (Learner(model: model), portrait)
    try pixels.withUnsafeMutableBytes { learner.observe(try Self.view($0).view, at: RunningTime(nanoseconds: 0)) }
    let presenter = learner.presenter
    whole = try #require(presenter).written(for: model)
  }

  // MARK: The file

  @Test func comesBackAsItWasWritten() throws {
    let presenter = try load(whole)
    #expect(presenter.count == 1 && presenter.widest > 0 && presenter.widest < 0.5)
    #expect(presenter.written(for: model) == whole)
    let file = try SafeTensors(whole)
    #expect(file.metadata["format"] == "syncdiff-presenter" && file.metadata["version"] == "2")
    #expect(Set(file.names) == ["neutral.points", "neutral.total", "neutral.weight", "keys", "meshes", "mouths.0"])
    let shape = try #require(file["mouths.0"]).shape
    #expect(shape.count == 3 && shape[0] > 10 && shape[1] > 20 && shape[2] == 3)
  }

  @Test func noSuchFile() {
    #expect(throws: LoadError.notFound(.presenter, path: "/no/such")) {
      try Presenter.load(path: "/no/such", for: model)
    }
    #expect { try Presenter.load(path: "/", for: model) } throws: { error in
      if case .unreadable(.presenter, "/", _) = error as? LoadError { true } else { false }
    }
  }

  @Test func whatIsTooLargeIsNotRead() throws {
    let file = try write([UInt8](repeating: 0, count: 16 << 20 | 1))
    defer { try? FileManager.default.removeItem(at: file) }
    #expect(throws: LoadError.unreadable(.presenter, path: file.path, why: "it is larger than 16 MiB")) {
      try Presenter.load(path: file.path, for: model)
    }
  }

  @Test func filesThatAreNone() throws {
    try expectMalformed([], "empty")
    try expectMalformed(Array(whole[..<(whole.count / 2)]), "cut off")
    try expectMalformed(changed { $1["format"] = "syncdiff" }, "does not say that it is a syncdiff presenter")
    try expectMalformed(changed { $1["version"] = "1" }, "version 1")
    try expectMalformed(changed { $1["version"] = nil }, "version none")
    var bytes = whole
    bytes[bytes.count - 5] ^= 1
    try expectMalformed(bytes, "damaged")
  }

  @Test func tensorsThatAreWrong() throws {
    typealias Tensors = [String: Tensor]
    let count = try #require(try SafeTensors(whole)["neutral.points"]).values.count
    let cases: [((inout Tensors) -> Void, String)] = [
      ({ $0["keys"] = nil }, "missing keys [1, 44]"),
      ({ $0["keys"] = Tensor(zeros: [33, 44]) }, "keys is [33, 44], expected [32, 44]"),
      ({ $0["keys"] = Tensor(zeros: [0, 44]) }, "keys is [0, 44], expected [1, 44]"),
      ({ $0["keys"] = Tensor(zeros: []) }, "keys is [], expected [1, 44]"),
      ({ $0["keys"]?.values[3] = .nan }, "keys holds values that are not finite"),
      ({ $0["keys"]?.values[3] = 11 }, "keys holds values beyond 10"),
      ({ $0["meshes"] = Tensor(zeros: [1, 468, 2]) }, "meshes is [1, 468, 2], expected [1, 540, 2]"),
      ({ $0["meshes"]?.values[1079] = -1e6 }, "meshes holds values beyond 65536"),
      ({ $0["meshes"]?.values[0] = .infinity }, "meshes holds values that are not finite"),
      ({ $0["neutral.points"]?.values[2] = 9000 }, "neutral.points are not the model's"),
      ({ $0["neutral.points"] = Tensor(zeros: [1]) }, "neutral.points is [1], expected [\(count)]"),
      ({ $0["neutral.weight"]?.values[0] = 0 }, "neutral.weight is not above 0"),
      ({ $0["neutral.weight"]?.values[0] = .nan }, "neutral.weight holds values that are not finite"),
      ({ $0["neutral.weight"]?.values[0] = 22 }, "neutral.weight holds values beyond 21"),
      ({ $0["neutral.total"]?.values[0] = 1000 }, "neutral.total holds values beyond"),
      ({ $0["mouths.0"] = nil }, "missing mouths.0 [1, 1, 3]"),
      ({ $0["mouths.0"] = Tensor(zeros: [8, 8, 4]) }, "mouths.0 is [8, 8, 4], expected [8, 8, 3]"),
      ({ $0["mouths.0"] = Tensor(zeros: [0, 8, 3]) }, "mouths.0 is [0, 8, 3], expected [1, 8, 3]"),
      ({ $0["mouths.0"] = Tensor(zeros: [4097, 1, 3]) }, "mouths.0 is [4097, 1, 3], expected [4096, 1, 3]"),
      ({ $0["mouths.1"] = $0["mouths.0"] }, "unknown mouths.1"),
      ({ $0["picture"] = Tensor([1], [-1]) }, "unknown picture"),
    ]
    for (change, words) in cases { try expectMalformed(changed { tensors, _ in change(&tensors) }, words) }
    // All problems are reported at once.
    let bytes = try changed { tensors, _ in
      (tensors["keys"], tensors["mouths.0"], tensors["more"]) = (nil, nil, Tensor(zeros: [1]))
    }
    for words in ["missing keys", "missing mouths.0", "unknown more"] { try expectMalformed(bytes, words) }
  }

  @Test func picturesAreBytes() throws {
    var tensors = try SafeTensors(whole).tensors
    tensors["mouths.0"]?.values[0] = 256
    let bytes = SafeTensors.written(
      tensors.map { WrittenTensor($0.key, $0.value.shape, Array($0.value.values)) },
      metadata: try SafeTensors(whole).metadata)
    try expectMalformed(bytes, "mouths.0 holds values that are no bytes")
  }

  /// A damaged file is refused, or can be used for painting: a trap would end the process.
  @Test func aDamagedPresenterIsLoadedOrRefused() throws {
    let seed = UInt64.random(in: 0..<1 << 48)
    print("damaged presenters from seed \(seed)")
    var (dice, painted) = (Dice(seed), 0)
    let plain = try SafeTensors(whole)
    for _ in 0..<200 {
      var bytes = whole
      switch Int.random(in: 0..<3, using: &dice) {
      case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &dice))
      case 1:
        for _ in 0..<3 { bytes[Int.random(in: 0..<600, using: &dice)] = UInt8.random(in: 32...126, using: &dice) }
      default:  // values, with a checksum that fits
        var tensors = plain.tensors
        for _ in 0..<20 {
          let (name, value): (String, Float) = dice.pick([
            ("keys", 0), ("keys", -9), ("meshes", 12.5), ("meshes", 300), ("meshes", -65536), ("neutral.total", 0),
          ])
          let i = Int.random(in: 0..<(tensors[name]?.values.count ?? 1), using: &dice)
          tensors[name]?.values[i] = value
        }
        bytes = written(tensors, plain.metadata)
      }
      do throws(LoadError) {
        _ = try dubbed(load(bytes))
        painted += 1
      } catch {
        #expect(!error.description.isEmpty)
      }
    }
    #expect(painted > 10)
  }

  // MARK: The pipeline

  @Test func theFirstFrameShowsThePresentersMouth() throws {
    let red = try load(redden(whole))
    let (plain, known) = (try dubbed(nil), try dubbed(red))
    #expect(try dubbed(red) == known)
    /// The excess of red over green between the outer corners of the mouth and the lips' edges.
    func redness(_ picture: [UInt8]) throws -> Int {
      var (pipeline, pixels) = (FramePipeline(model: model), portrait)
      let face = try pixels.withUnsafeMutableBytes {
        pipeline.find(try Self.view($0).view, at: RunningTime(nanoseconds: 0)).faces.first
      }
      let points = try #require(face).points
      let (columns, rows) = (Int(points[61].x)...Int(points[291].x), Int(points[0].y)...Int(points[17].y))
      let differences = rows.flatMap { y in
        columns.map { x in
          Int(picture[3 * (y * Self.side + x)]) - Int(picture[3 * (y * Self.side + x) + 1])
        }
      }
      return differences.reduce(0, +) / differences.count
    }
    let (before, after) = (try redness(plain), try redness(known))
    #expect(after > before + 20, "\(before) \(after)")
    // The stored mouths equal the seen ones except for rounding.
    let own = try dubbed(try load(whole))
    #expect(zip(plain, own).allSatisfy { abs(Int($0) - Int($1)) <= 2 })
  }

  @Test func itIsThereAgainAfterACutAndASeek() throws {
    let red = try load(redden(whole))
    let first = try dubbed(red)
    var pipeline = FramePipeline(model: model, presenter: red)
    _ = try dub(&pipeline, mirrored)
    #expect(try dub(&pipeline, portrait) == first)
    pipeline.reset()
    #expect(try dub(&pipeline, portrait) == first)
  }

  /// Two faces side by side.
  @Test func itIsOneFaces() throws {
    let red = try load(redden(whole))
    func pair(_ presenter: Presenter?) throws -> [UInt8] {
      var pipeline = FramePipeline(model: model, presenter: presenter)
      let row = 3 * Self.side
      var picture: [UInt8] = []
      for y in 0..<Self.side { for _ in 0..<2 { picture += portrait[y * row..<(y + 1) * row] } }
      return try dub(&pipeline, picture, width: 2 * Self.side, faces: 2)
    }
    let (plain, known) = (try pair(nil), try pair(red))
    let columns = Set(plain.indices.filter { plain[$0] != known[$0] }.map { $0 / 3 % (2 * Self.side) })
    #expect(columns.count > 30)
    #expect(columns.allSatisfy { $0 < Self.side } || columns.allSatisfy { $0 >= Self.side })
  }

  /// 32 mouths of 382 x 381 px, which just fit into a file, but with their edges not into the memory.
  @Test func theBudgetHolds() throws {
    let bytes = try changed { tensors, _ in
      guard let key = tensors["keys"], let mesh = tensors["meshes"] else { return }
      let keys = (0..<32).flatMap { i in key.values.enumerated().map { $1 + ($0 == 1 ? 0.05 * Float(i) : 0) } }
      tensors["keys"] = Tensor([32, 44], keys)
      tensors["meshes"] = Tensor([32, 540, 2], (0..<32).flatMap { _ in Array(mesh.values) })
      for i in 0..<32 { tensors["mouths.\(i)"] = Tensor(zeros: [381, 382, 3]) }
    }
    #expect(bytes.count < 16_000_000)
    let presenter = try load(bytes)
    #expect(presenter.count == 32 && presenter.written(for: model) == bytes)
    var pipeline = FramePipeline(model: model, presenter: presenter)
    var pixels = portrait
    try pixels.withUnsafeMutableBytes { bytes in
      let frame = try Self.view(bytes)
      let face = try #require(pipeline.find(frame.view, at: RunningTime(nanoseconds: 0)).faces.first)
      #expect((10_000_000..<16_000_000).contains(pipeline.bytesRemembered(of: face)))
    }
  }

  /// The presenter is converted to a stream's format once, not after every cut and seek; frames of another kind convert
  /// it again.
  @Test func itIsConvertedOnce() throws {
    var pipeline = FramePipeline(model: model, presenter: try load(whole))
    func patch(_ picture: [UInt8], _ range: Colorimetry.Range = .full) throws -> ObjectIdentifier? {
      var pixels = picture
      try pixels.withUnsafeMutableBytes { bytes in
        _ = pipeline.find(try Self.view(bytes, range: range).view, at: RunningTime(nanoseconds: 0))
      }
      return pipeline.presenterMouths?.mouths.mouths.first.map { ObjectIdentifier($0.mouth.patch) }
    }
    // Before a face is found.
    let first = try patch([UInt8](repeating: 90, count: portrait.count))
    #expect(first != nil)
    for picture in [portrait, mirrored, portrait] { #expect(try patch(picture) == first) }
    pipeline.reset()
    #expect(try patch(portrait) == first)
    #expect(try patch(portrait, .limited) != first)
  }

  // MARK: The learner

  /// The portrait for a second, then half a second of another one: the former wins.
  @Test func theFaceThatIsFollowedLongestIsLearned() throws {
    var learner = Learner(model: model)
    func look(_ picture: [UInt8], _ frames: Range<Int>) throws {
      var pixels = picture
      try pixels.withUnsafeMutableBytes { bytes in
        let frame = try Self.view(bytes)
        for i in frames { learner.observe(frame.view, at: RunningTime(nanoseconds: UInt64(i) * 40_000_000)) }
      }
    }
    try look([UInt8](repeating: 90, count: portrait.count), 0..<3)
    let nobody = learner.presenter == nil
    #expect(learner.faces == 0 && nobody && learner.secondsOfFace == 0)
    try look(portrait, 3..<29)
    #expect(learner.faces == 1 && abs(learner.secondsOfFace - 1) < 1e-6)
    let before = learner.presenter?.written(for: model)
    try look(mirrored, 29..<42)
    #expect(learner.faces == 2 && abs(learner.secondsOfFace - 1) < 1e-6)
    let after = learner.presenter?.written(for: model)
    #expect(before != nil && after == before)
  }

  // MARK: Helpers

  /// Darker: another shot.
  private var mirrored: [UInt8] {
    portrait.indices.map { i in
      let (y, x, c) = (i / 3 / Self.side, i / 3 % Self.side, i % 3)
      return portrait[(y * Self.side + Self.side - 1 - x) * 3 + c] / 2
    }
  }

  private func redden(_ bytes: [UInt8]) throws -> [UInt8] {
    try changed { tensors, _ in
      for i in 0..<(tensors["mouths.0"]?.values.count ?? 0) { tensors["mouths.0"]?.values[i] = i % 3 == 0 ? 255 : 0 }
    }
  }

  private func changed(_ change: (inout [String: Tensor], inout [String: String]) -> Void) throws -> [UInt8] {
    let file = try SafeTensors(whole)
    var (tensors, metadata) = (file.tensors, file.metadata)
    change(&tensors, &metadata)
    return written(tensors, metadata)
  }

  /// In the order of the modified file.
  private func written(_ tensors: [String: Tensor], _ metadata: [String: String]) -> [UInt8] {
    let first = ["neutral.points", "neutral.total", "neutral.weight", "keys", "meshes"]
    let pictures = (0..<33).map { "mouths.\($0)" }
    let rest = tensors.keys.filter { !first.contains($0) && !pictures.contains($0) }.sorted()
    return SafeTensors.written(
      (first + pictures + rest).compactMap { name in
        tensors[name].map { tensor in
          pictures.contains(name)
            ? WrittenTensor(name, tensor.shape, tensor.values.map { UInt8($0) })
            : WrittenTensor(name, tensor.shape, Array(tensor.values))
        }
      }, metadata: metadata)
  }

  private func write(_ bytes: [UInt8]) throws -> URL {
    let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).presenter")
    try Data(bytes).write(to: file)
    return file
  }

  private func load(_ bytes: [UInt8]) throws(LoadError) -> Presenter {
    guard let file = try? write(bytes) else { throw .unreadable(.presenter, path: "", why: "the disk is full") }
    defer { try? FileManager.default.removeItem(at: file) }
    return try Presenter.load(path: file.path, for: model)
  }

  private func expectMalformed(
    _ bytes: [UInt8], _ words: String, at location: SourceLocation = #_sourceLocation
  ) throws {
    let error = #expect(throws: LoadError.self, sourceLocation: location) { try load(bytes) }
    guard case .malformed(_, _, let why)? = error else {
      Issue.record("not malformed: \(String(describing: error))", sourceLocation: location)
      return
    }
    #expect(why.contains(words), "\(why)", sourceLocation: location)
  }

  private func dubbed(_ presenter: Presenter?) throws(LoadError) -> [UInt8] {
    var pipeline = FramePipeline(model: model, presenter: presenter)
    return (try? dub(&pipeline, portrait)) ?? []
  }

  private func dub(
    _ pipeline: inout FramePipeline, _ picture: [UInt8], width: Int = side, faces: Int = 1
  ) throws -> [UInt8] {
    var picture = picture
    try picture.withUnsafeMutableBytes { bytes in
      let frame = try Self.view(bytes, width: width)
      var settings = FindSettings()
      settings.selection = .largest(faces)
      let found = pipeline.find(frame.view, at: RunningTime(nanoseconds: 0), settings).faces
      #expect(found.count == faces)
      let sound = model.featureExtractor.silence.map { i, _ in Float(i % 26) / 13 - 1 }
      for face in found { pipeline.paint(frame, face: face, features: sound, settings: PaintSettings(steps: 1)) }
    }
    return picture
  }

  private static func view(
    _ bytes: UnsafeMutableRawBufferPointer, width: Int = side, range: Colorimetry.Range = .full
  ) throws -> MutableFrameView {
    let base = try #require(bytes.baseAddress)
    return try #require(
      MutableFrameView(
        format: .rgb, width: width, height: side, planes: [(base: base, stride: 3 * width)],
        colorimetry: Colorimetry(.bt709, range)))
  }
}
