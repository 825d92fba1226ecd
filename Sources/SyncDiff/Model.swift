// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The model file: all networks and their configuration in one safetensors file, written by
// Sources/Training/convert/export.py. The loader is strict: a file that is not complete and exactly right is rejected,
// with a list of everything that is wrong with it. Loads of the same file in one process share one copy of the weights,
// which is freed with its last user.

public import Diffusion
public import Faces
import Glibc
public import Speech
import Synchronization
import Tensors

/// The precision of the networks. `bf16` applies only where it is faster than `f32`. `auto` is the fastest that keeps
/// full quality: `f32`, which Intel's tile unit (AMX) computes as the sum of two bf16.
public enum Precision: Sendable { case auto, f32, bf16 }

/// All networks of one model file. Immutable: any number of streams can share one.
public final class Model: Sendable {
  static let format = "syncdiff"
  static let version = "3"
  /// Rows (10 ms): the mouth is that of the middle of the time for which a frame is shown, at 25 frames a second. Judged by
  /// networks that know real video, lips that are not ahead are late (meta/decisions/0036-lead.md).
  private static let lead = 2

  public let configuration: Configuration
  /// A notice that users of the model must see; nil for a model under the project's own licence.
  public let licence: String?
  /// The last byte of the file's checksum, by which watermarks identify the model.
  public let mark: UInt8
  let window: FaceWindow
  /// The initial state of a stream's audio features: every stream copies it.
  public let featureExtractor: AudioFeatureExtractor
  /// The audio encoder: a frame's features -> audio tokens `[T, C]`.
  let encodeAudio: @Sendable (Tensor) -> Tensor
  let lips: LipsHead
  let encoder: Encoder
  let decoder: Decoder
  let bottleneck: Bottleneck
  package let denoiser: Denoiser
  let geometry: Geometry
  let detector: FaceDetector
  let mesh: FaceMesh

  /// How much audio after a frame's time is needed to paint it.
  public var lookahead: RunningTime { featureExtractor.lookahead }

  /// A synthetic face in the middle of a frame of `side` x `side` px, for warming up and timing.
  public func face(side: Int) -> Face? {
    let unit = Float(side) / 3
    let points = geometry.canonical.map { unit * $0 + [1.5 * unit, 1.2 * unit, 0] }
    return FaceWindow.aligned(points).map { Face(points: points, score: 1, alignment: $0) }
  }

  /// A reader of watermarks in a stream. `key`: as in `MarkSettings`.
  public func markReader(key: String? = nil) -> MarkReader {
    MarkReader(detector: detector, mesh: mesh, key: key ?? Watermark.publicKey)
  }

  /// Loads the model at `path`: the copy already in memory if the file has not changed since, otherwise it is read,
  /// checked and packed. Concurrent loads take turns.
  public static func load(path: String, precision: Precision = .auto) throws(LoadError) -> Model {
    if let problem = processorProblem { throw .unsupportedProcessor(why: problem) }
    let isHalf = precision == .bf16 && multipliesBF16
    guard let file = FileIdentity(path: path) else { return try read(path, isHalf: isHalf) }  // `read` reports why
    return try shelf.withLock { models throws(LoadError) -> Model in
      if let model = models[Copy(file: file, isHalf: isHalf)]?.model { return model }
      let model = try read(path, isHalf: isHalf)
      models = models.filter { $0.value.model != nil }
      models[Copy(file: file, isHalf: isHalf)] = WeakModel(model: model)
      return model
    }
  }

  private struct Copy: Hashable {
    let file: FileIdentity
    let isHalf: Bool  // bf16 weights
  }

  private struct WeakModel { weak var model: Model? }

  private static let shelf = Mutex<[Copy: WeakModel]>([:])

  private static func read(_ path: String, isHalf: Bool) throws(LoadError) -> Model {
    let file = try SafeTensors.load(.model, path: path)
    return try withStandardArithmetic { () throws(LoadError) in try Model(file, path: path, isHalf: isHalf) }
  }

  private init(_ file: SafeTensors, path: String, isHalf: Bool) throws(LoadError) {
    let metadata = file.metadata
    guard metadata["format"] == Self.format, let json = metadata["config"] else {
      throw .malformed(
        .model, path: path,
        why: "its metadata does not say that it is a syncdiff model; convert.export of Sources/Training writes one")
    }
    guard metadata["version"] == Self.version else {
      let version = metadata["version"] ?? "none"
      throw .malformed(
        .model, path: path, why: "it is of version \(version), this syncdiff reads version \(Self.version)")
    }
    do {
      configuration = try Configuration(json: json)
    } catch {
      throw .malformed(.model, path: path, why: error.description)
    }
    licence = metadata["licence"]
    mark = metadata["crc32"].flatMap { UInt8($0.suffix(2), radix: 16) } ?? 0
    window = FaceWindow(side: configuration.window)
    let weights = Weights(file, precision: isHalf ? .bf16 : .f32)
    let front: Front?
    if configuration.avHuBERT > 0 {
      let encoder = AVHuBERT(
        weights, "audio_encoder", tokens: configuration.tokens, width: configuration.avHuBERT,
        layers: configuration.audioLayers, output: configuration.audioWidth)
      (front, encodeAudio) = (nil, { encoder($0) })
    } else {
      let features = Front(weights, "audio_encoder.front")
      let encoder = AudioEncoder(
        weights, "audio_encoder", inputs: 2 * features.width, tokens: configuration.tokens,
        width: configuration.audioWidth, layers: configuration.audioLayers, head: configuration.head)
      (front, encodeAudio) = (features, { encoder($0) })
    }
    featureExtractor = AudioFeatureExtractor(
      front, past: configuration.audioPast, future: configuration.audioFuture, lead: Self.lead)
    lips = LipsHead(
      weights, "lips", tokens: configuration.tokens, width: configuration.audioWidth,
      coefficients: configuration.coefficients)
    encoder = Encoder(weights, "encoder", configuration)
    decoder = Decoder(weights, "decoder", configuration)
    bottleneck = Bottleneck(weights, "bottleneck", configuration)
    denoiser = Denoiser(weights, "denoiser", configuration)
    geometry = Geometry(weights, coefficients: configuration.coefficients)
    detector = FaceDetector(weights)
    mesh = FaceMesh(weights)
    let problems = weights.finish()
    guard problems.isEmpty else {
      throw .malformed(.model, path: path, why: problems.joined(separator: "; "))
    }
  }
}

/// Identifies a file's contents: differs once the file is rewritten or replaced.
public struct FileIdentity: Hashable, Sendable {
  let device: dev_t
  let inode: ino_t
  let size: Int
  let changed: [Int]  // seconds, nanoseconds

  /// Nil if there is no file.
  public init?(path: String) {
    var information = stat()
    guard stat(path, &information) == 0 else { return nil }
    (device, inode, size) = (information.st_dev, information.st_ino, Int(information.st_size))
    changed = [information.st_mtim.tv_sec, information.st_mtim.tv_nsec]
  }
}
