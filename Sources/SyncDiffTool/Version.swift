// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import SyncDiffElement
import Tensors

/// What `syncdiff --version` prints: of the tool, as plugin.c has it, of the model, and the instruction set that computes.
var version: String {
  """
  syncdiff 0.1.0
  model: \(defaultModel())
  instruction set: \(instructionSet)
  """
}
