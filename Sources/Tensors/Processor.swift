// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Which instructions this processor runs: the best that it has, or those that SYNCDIFF_ISA names.

import CTensors
import Glibc
public import KernelInterface
import KernelsGeneric

#if arch(x86_64)
  import CTiles
  import KernelsAVX512
  import KernelsBF16
  import KernelsV3
#endif

/// What layers are computed with. The same layer gives the same bytes with one set on every processor.
package struct InstructionSet: Sendable {
  /// As `SYNCDIFF_ISA` names it.
  package let name: String
  package let kernels: any KernelSet.Type
  /// Whether products are left to Intel's tile unit (AMX) where that is faster.
  package let hasTiles: Bool
  /// Whether `kernels` multiply pairs of bf16 faster than floats.
  package let hasFastPairs: Bool

  package init(name: String, kernels: any KernelSet.Type, hasTiles: Bool = false, hasFastPairs: Bool = false) {
    (self.name, self.kernels, self.hasTiles, self.hasFastPairs) = (name, kernels, hasTiles, hasFastPairs)
  }

  /// Whether bf16 is faster than `f32`.
  var multipliesBF16: Bool { hasTiles || hasFastPairs }
}

/// The kernels that every layer is computed with.
public var kernels: any KernelSet.Type { instructions.kernels }

/// The instruction set in use.
package let instructions = choice.set

/// Its name: generic, x86-64-v3, avx512, avx512-bf16 or amx.
public var instructionSet: String { instructions.name }

/// Whether bf16 is multiplied as such; elsewhere, where that would be slower than floats or is impossible,
/// `Weights.Precision.bf16` is computed as `f32`.
public var multipliesBF16: Bool { instructions.multipliesBF16 }

/// Every instruction set that this processor runs, the best first.
package let instructionSets: [InstructionSet] = {
  // The system lets a process have the tile unit, or not, for good. So it is asked only when kernels are needed, which is when
  // a model is loaded, and nothing is made of a refusal.
  #if arch(x86_64)
    plainSets.contains { $0.hasTiles } && !ctiles_permitted() ? plainSets.filter { !$0.hasTiles } : plainSets
  #else
    plainSets
  #endif
}()

/// Why the networks cannot run as asked, or nil. To be asked before the first layer is built.
public var processorProblem: String? { choice.problem }

/// Computes `body` as IEEE 754 says, denormals included, whatever the thread has been left with; and leaves the thread as it
/// was afterwards. GStreamer's sound conversion (ORC 0.4.33) makes its thread take denormals for zero for good, threads
/// inherit that from whoever starts them, and the same input must give the same bytes on each.
public func withStandardArithmetic<Result, Failure: Error>(
  _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
  let before = ctensors_arithmetic_standard()
  defer { ctensors_arithmetic_restore(before) }
  return try body()
}

private let choice: (set: InstructionSet, problem: String?) = {
  let wish = getenv("SYNCDIFF_ISA").map { String(cString: $0) } ?? ""
  if wish.isEmpty { return (instructionSets[0], nil) }
  guard let wanted = plainSets.first(where: { $0.name == wish }) else {
    let names = plainSets.map(\.name).joined(separator: ", ")
    let problem = "SYNCDIFF_ISA is \"\(wish)\", this processor runs \(names); unset it to have the first of them"
    return (instructionSets[0], problem)
  }
  return (wanted.hasTiles ? instructionSets[0] : wanted, nil)
}()

/// What the processor has, the best first, whether or not the system lets us.
private let plainSets: [InstructionSet] = {
  let generic = InstructionSet(name: KernelsGeneric.Kernels.name, kernels: KernelsGeneric.Kernels.self)
  #if arch(x86_64)
    // Elsewhere the instruction for pairs issues every second cycle (Intel up to Granite Rapids), and Winograd is given up for it.
    let hasFastPairs = ctensors_processor_is_amd()
    let all: [(set: any KernelSet.Type, level: Int32)] = [
      (KernelsBF16.Kernels.self, 3), (KernelsAVX512.Kernels.self, 2), (KernelsV3.Kernels.self, 1),
    ]
    let level = ctensors_processor_level()
    let here = all.filter { $0.level <= level }.map { set, _ in
      InstructionSet(name: set.name, kernels: set, hasFastPairs: set.hasPairs && hasFastPairs)
    }
    let tiles =
      level >= 3 && ctiles_supported() ? [InstructionSet(name: "amx", kernels: here[0].kernels, hasTiles: true)] : []
    return tiles + here + [generic]
  #else
    return [generic]
  #endif
}()
