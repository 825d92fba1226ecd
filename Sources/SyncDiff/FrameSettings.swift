// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How a stream's frames are searched and painted.

public import Faces

/// Which faces to look for in a frame.
public struct FindSettings: Equatable, Sendable {
  public var selection = FaceSelection.largest(1)
  /// 0 ... 1, the difference from which on a frame begins a new shot (`CutDetector`); 0: never.
  public var sceneThreshold: Float = 0.4

  public init() {}
}

/// Settings that may change between frames.
public struct PaintSettings: Equatable, Sendable {
  public var steps: Int  // denoising steps, at least 1
  public var strength: Float  // 0 ... 1, opacity of the new mouth over the old one
  public var seed: UInt64  // of the noise
  /// Scales the coefficients' distance from those of silence; 1: as in training.
  public var guidance: Float
  /// The watermark in the painted pixels; nil: none.
  public var mark: MarkSettings?

  public init(
    steps: Int, strength: Float = 1, seed: UInt64 = 0, guidance: Float = 1, mark: MarkSettings? = nil
  ) {
    (self.steps, self.strength, self.seed, self.guidance) = (steps, strength, seed, guidance)
    self.mark = mark
  }
}

/// The invisible watermark that identifies the software and the user.
public struct MarkSettings: Equatable, Sendable {
  /// Only holders of the key can read the mark; nil: everybody can.
  public var key: String?
  public var payload: MarkPayload

  public init(key: String? = nil, payload: MarkPayload) { (self.key, self.payload) = (key, payload) }
}
