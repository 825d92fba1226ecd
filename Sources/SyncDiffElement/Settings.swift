// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import GstSyncDiff

typealias Element = UnsafeMutablePointer<GstSyncDiff>

/// The element's properties at one moment. Nil stands for the model's own value or the default path.
struct Settings {
  var model: String?
  var precision: GstSyncDiffPrecision
  var threads: Int
  var preload: Bool
  /// Nanoseconds.
  var lookahead: Int64?
  var steps: Int?
  var strength: Double
  var seed: UInt64
  var passthrough: Bool
  /// Nanoseconds.
  var audioOffset: Int64
  var faceSelect: GstSyncDiffFaceSelect
  var maxFaces: Int
  var roi: String?
  var noFace: GstSyncDiffNoFace
  var silence: GstSyncDiffSilence
  /// dBFS.
  var silenceThreshold: Double
  /// Nanoseconds.
  var silenceHold: UInt64
  var sceneThreshold: Float
  var postMessages: GstSyncDiffMessages
  var disclosure: Bool

  init(of element: Element) {
    var raw = GstSyncDiffSettings()
    gst_sync_diff_get_settings(element, &raw)
    defer { gst_sync_diff_settings_clear(&raw) }
    model = raw.model.map { String(cString: $0) }
    precision = raw.precision
    threads = Int(raw.threads)
    preload = raw.preload != 0
    lookahead = raw.lookahead == .max ? nil : Int64(clamping: raw.lookahead)
    steps = raw.steps == 0 ? nil : Int(raw.steps)
    strength = raw.strength
    seed = UInt64(raw.seed)
    passthrough = raw.passthrough != 0
    audioOffset = Int64(raw.audio_offset)
    faceSelect = raw.face_select
    maxFaces = Int(raw.max_faces)
    roi = raw.roi.map { String(cString: $0) }
    noFace = raw.no_face
    silence = raw.silence
    silenceThreshold = raw.silence_threshold
    silenceHold = UInt64(raw.silence_hold)
    sceneThreshold = Float(raw.scene_threshold)
    postMessages = raw.post_messages
    disclosure = raw.disclosure != 0
  }
}
