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
    disclosure = raw.disclosure != 0
  }
}
