// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors

/// Why this processor cannot run the networks, or nil. To be asked before the first layer is built: the kernels hold
/// instructions that end the process where they do not exist.
public var processorProblem: String? {
  ctensors_processor_suffices()
    ? nil
    : "this processor lacks AVX2 and FMA (x86-64-v3); use one from 2015 or later, in a virtual machine CPU type \"host\""
}
