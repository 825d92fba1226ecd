// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import GstSyncDiff
import SyncDiffElement
import Tensors

/// What `syncdiff --version` prints: of tool and plugin, the model, and the instruction set that computes.
var version: String {
  """
  syncdiff \(GST_SYNC_DIFF_VERSION)
  model: \(defaultModel())
  instruction set: \(instructionSet)
  bf16: \(multipliesBF16 ? "faster than f32" : "computed as f32, which is faster on this processor")
  """
}
