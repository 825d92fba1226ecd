// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import KernelInterface
import Tensors
import Testing

/// Every instruction set that this processor runs, including those slower than another.
package let everySet: [InstructionSet] =
  instructionSets
  + instructionSets.filter { $0.kernels.hasPairs && !$0.hasTiles && !$0.hasFastPairs }.map {
    InstructionSet(name: "\($0.name) with pairs", kernels: $0.kernels, hasFastPairs: true)
  }

/// A way to compute a network.
package struct Way: CustomTestStringConvertible, Sendable {
  package let set: InstructionSet
  package let precision: Weights.Precision

  package static let all: [Way] = everySet.flatMap { set in [.f32, .bf16].map { Way(set: set, precision: $0) } }

  package var testDescription: String { "\(precision) on \(set.name)" }
}

extension InstructionSet: CustomTestStringConvertible {
  package var testDescription: String { name }
}
