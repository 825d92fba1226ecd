// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The sizes of the networks, read from the metadata of a model file (twin of `Config` in
// Sources/Training/networks/config.py). A field that is missing, unknown, of the wrong type or out of range is rejected,
// so networks built from a `Configuration` always have valid shapes.

import Tensors

public struct Configuration: Equatable, Sendable {
  public let window: Int  // side of the face window, px
  public let latentChannels: Int
  public let autoencoderChannels: [Int]  // three, finest first
  public let unetChannels: [Int]  // three, finest first
  public let groups: Int  // of every GroupNorm
  public let head: Int  // channels of one attention head
  public let embedding: Int  // width of the conditioning vector
  public let prior: Int  // width of the previous-frame bottleneck
  public let audioWidth: Int
  public let audioLayers: Int
  public let avHuBERT: Int  // width of AV-HuBERT if it is the audio encoder; 0: our own encoder
  public let audioPast: Int  // 40 ms stacks before the frame's own
  public let audioFuture: Int  // 40 ms stacks after it
  public let coefficients: Int  // mouth-shape coefficients
  public let steps: Int

  /// Stacks of audio around one frame.
  public var tokens: Int { audioPast + 1 + audioFuture }
  /// Side of a latent.
  public var latentSide: Int { window / 4 }

  /// Parses the metadata entry `config`: a JSON object with exactly the fields of `Config`; only `av_hubert` is
  /// optional.
  public init(json: String) throws(ConfigurationError) {
    var fields = try Fields(json: json)
    window = try fields.integer("window", in: 32...512, multipleOf: 16)
    latentChannels = try fields.integer("latent_channels", in: 1...64)
    autoencoderChannels = try fields.integers("ae_channels", count: 3, in: 1...256)
    groups = try fields.integer("groups", in: 1...1024)
    head = try fields.integer("head", in: 1...1024)
    unetChannels = try fields.integers("unet_channels", count: 3, in: 1...512, multipleOf: groups)
    for width in unetChannels.dropFirst() where !width.isMultiple(of: head) {
      throw .notMultiple(field: "unet_channels", value: width, of: head)
    }
    embedding = try fields.integer("embedding", in: 4...1024, multipleOf: 4)
    prior = try fields.integer("prior", in: 1...64)
    audioWidth = try fields.integer("audio_width", in: 1...1024, multipleOf: head)
    audioLayers = try fields.integer("audio_layers", in: 0...24)
    avHuBERT = try fields.has("av_hubert") ? fields.integer("av_hubert", in: 128...1024, multipleOf: 64) : 0
    audioPast = try fields.integer("audio_past", in: 0...25)
    audioFuture = try fields.integer("audio_future", in: 0...25)
    coefficients = try fields.integer("coefficients", in: 1...64)
    steps = try fields.integer("steps", in: 1...1000)
    try fields.finish()
  }
}

/// What is wrong with the configuration of a model file.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  case notJSON(offset: Int)
  case notAnObject
  case duplicate(field: String)
  case missing(field: String)
  case unknown(fields: [String])
  case wrongType(field: String, expected: String)
  case outOfRange(field: String, value: Int, range: ClosedRange<Int>)
  case notMultiple(field: String, value: Int, of: Int)

  public var description: String {
    switch self {
    case .notJSON(let offset): "the configuration is not JSON at its byte \(offset); export the model again"
    case .notAnObject: "the configuration is not a JSON object; export the model again"
    case .duplicate(let field): "the configuration has \"\(field)\" twice; export the model again"
    case .missing(let field): "the configuration lacks \"\(field)\"; export the model again"
    case .unknown(let fields):
      "the configuration has unknown fields (\(fields.joined(separator: ", "))); the model needs a newer syncdiff"
    case .wrongType(let field, let expected): "\"\(field)\" of the configuration is not \(expected)"
    case .outOfRange(let field, let value, let range):
      "\"\(field)\" of the configuration is \(value), not within \(range.lowerBound) to \(range.upperBound)"
    case .notMultiple(let field, let value, let of):
      "\"\(field)\" of the configuration is \(value), not a multiple of \(of)"
    }
  }
}

/// The object's fields. Taking one removes it, so what is left at the end is unknown.
private struct Fields {
  var values: [String: JSON]

  func has(_ field: String) -> Bool { values[field] != nil }

  init(json: String) throws(ConfigurationError) {
    do {
      guard case .object(let values) = try JSON(parsing: json.utf8) else { throw ConfigurationError.notAnObject }
      self.values = values
    } catch JSON.Problem.syntax(let offset) {
      throw .notJSON(offset: offset)
    } catch JSON.Problem.duplicateKey(let field) {
      throw .duplicate(field: field)
    } catch {
      throw .notAnObject
    }
  }

  mutating func take(_ field: String) throws(ConfigurationError) -> JSON {
    guard let value = values.removeValue(forKey: field) else { throw .missing(field: field) }
    return value
  }

  mutating func integer(
    _ field: String, in range: ClosedRange<Int>, multipleOf unit: Int = 1
  ) throws(ConfigurationError) -> Int {
    guard case .integer(let value) = try take(field) else { throw .wrongType(field: field, expected: "an integer") }
    return try checked(value, field, range, unit)
  }

  mutating func integers(
    _ field: String, count: Int, in range: ClosedRange<Int>, multipleOf unit: Int = 1
  ) throws(ConfigurationError) -> [Int] {
    let wrong = ConfigurationError.wrongType(field: field, expected: "a list of \(count) integers")
    guard case .array(let elements) = try take(field), elements.count == count else { throw wrong }
    var integers: [Int] = []
    for element in elements {
      guard case .integer(let value) = element else { throw wrong }
      integers.append(try checked(value, field, range, unit))
    }
    return integers
  }

  func finish() throws(ConfigurationError) {
    if !values.isEmpty { throw .unknown(fields: values.keys.sorted()) }
  }

  private func checked(
    _ value: Int, _ field: String, _ range: ClosedRange<Int>, _ unit: Int
  ) throws(ConfigurationError) -> Int {
    guard range.contains(value) else { throw .outOfRange(field: field, value: value, range: range) }
    guard value.isMultiple(of: unit) else { throw .notMultiple(field: field, value: value, of: unit) }
    return value
  }
}
