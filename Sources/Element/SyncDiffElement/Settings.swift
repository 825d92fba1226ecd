// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import GstSyncDiff

typealias Element = UnsafeMutablePointer<GstSyncDiff>

/// A snapshot of the element's properties. Nil stands for the model's own value or the default path.
struct Settings {
  var model: String?
  var presenter: String?
  var precision: GstSyncDiffPrecision
  var threads: Int
  var preload: Bool
  /// Nanoseconds.
  var lookahead: Int64?
  var steps: Int?
  var guidance: Float
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
  var missingAudio: AVSync.Missing
  var sceneThreshold: Float
  var overload: GstSyncDiffOverload
  /// Nanoseconds.
  var processingLatency: UInt64?
  /// Microseconds, on the clock of `g_get_monotonic_time`.
  var stallTimeout: Int64?
  var qos: Bool
  var postMessages: GstSyncDiffMessages
  /// Nanoseconds.
  var statsInterval: UInt64?
  var disclosure: Bool
  var watermark: Bool
  var watermarkKey: String?
  var watermarkID: UInt16

  init(of element: Element) {
    var raw = GstSyncDiffSettings()
    gst_sync_diff_get_settings(element, &raw)
    defer { gst_sync_diff_settings_clear(&raw) }
    model = raw.model.map { String(cString: $0) }
    presenter = raw.presenter.map { String(cString: $0) }
    precision = raw.precision
    threads = Int(raw.threads)
    preload = raw.preload != 0
    lookahead = raw.lookahead < 0 ? nil : Int64(raw.lookahead)
    steps = raw.steps == 0 ? nil : Int(raw.steps)
    guidance = raw.guidance_scale == 0 ? 1 : Float(raw.guidance_scale)
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
    missingAudio =
      switch raw.missing_audio {
      case GST_SYNC_DIFF_MISSING_AUDIO_SILENCE: .silence
      case GST_SYNC_DIFF_MISSING_AUDIO_ERROR: .error
      default: .pass
      }
    sceneThreshold = Float(raw.scene_threshold)
    overload = raw.overload
    processingLatency = raw.processing_latency == 0 ? nil : UInt64(raw.processing_latency)
    stallTimeout = raw.stall_timeout == 0 ? nil : Int64(clamping: raw.stall_timeout / 1000)
    qos = raw.qos != 0
    postMessages = raw.post_messages
    statsInterval = raw.stats_interval == 0 ? nil : UInt64(raw.stats_interval)
    disclosure = raw.disclosure != 0
    watermark = raw.watermark != 0
    watermarkKey = raw.watermark_key.map { String(cString: $0) }
    watermarkID = UInt16(clamping: raw.watermark_id)
  }

  /// Whether messages of this kind are enabled.
  func posts(_ kind: GstSyncDiffMessages) -> Bool { postMessages.rawValue & kind.rawValue != 0 }

  /// Whether the work is reduced when time is short.
  func degrades(live: Bool) -> Bool {
    switch overload {
    case GST_SYNC_DIFF_OVERLOAD_BLOCK: false
    case GST_SYNC_DIFF_OVERLOAD_DEGRADE: true
    default: live
    }
  }
}
