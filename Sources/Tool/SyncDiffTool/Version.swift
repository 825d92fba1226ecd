// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import GstSyncDiff
import SyncDiffElement
import Tensors

/// What `syncdiff --version` prints: the versions of tool and plugin, the model, and the instruction set in use; with
/// `--verbose`, for bug reports, also the platform.
var version: String {
  let lines = [
    "syncdiff \(GST_SYNC_DIFF_VERSION)", "model: \(defaultModel())", "instruction set: \(instructionSet)",
    "bf16: \(multipliesBF16 ? "faster than f32" : "computed as f32, which is faster on this processor")",
  ]
  guard CommandLine.arguments.contains("--verbose") else { return lines.joined(separator: "\n") }
  let (machine, gstreamer) = (Machine(), gst_version_string())
  defer { g_free(gstreamer) }
  let more = [
    "GStreamer: \(gstreamer.map { String(cString: $0) } ?? "")",
    "processor: \(machine.processor), \(machine.cores) cores",
  ]
  return (lines + more).joined(separator: "\n")
}
