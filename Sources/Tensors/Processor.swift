// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Which instructions this processor runs: the best that it has, or those that SYNCDIFF_ISA names.

import CTensors
import Glibc
public import KernelInterface

// The kernels are found by name, not imported: what another module has inlined of them, SwiftPM would leave as it was when a
// kernel is changed and built again.
@_silgen_name("kernels_generic") func genericKernels() -> any KernelSet.Type
#if arch(x86_64)
  import CTiles

  @_silgen_name("kernels_x86_64_v3") private func v3Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512") private func avx512Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512_bf16") private func bf16Kernels() -> any KernelSet.Type
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

  /// Whether OpenBLAS multiplies in place of the kernels, if it is there.
  private let asksOpenBLAS: Bool

  package init(
    name: String, kernels: any KernelSet.Type, hasTiles: Bool = false, hasFastPairs: Bool = false,
    asksOpenBLAS: Bool = false
  ) {
    (self.name, self.kernels, self.asksOpenBLAS) = (name, kernels, asksOpenBLAS)
    (self.hasTiles, self.hasFastPairs) = (hasTiles, hasFastPairs)
  }

  /// What layers multiply with. OpenBLAS's sums of a row depend on how many rows there are, so layers of streams take the
  /// kernels all the same.
  package var products: any Products.Type { asksOpenBLAS && OpenBLAS.isHere ? OpenBLAS.self : kernels }

  /// Whether bf16 is faster than `f32`.
  var multipliesBF16: Bool { hasTiles || hasFastPairs }
}

/// The kernels that every layer is computed with.
public var kernels: any KernelSet.Type { instructions.kernels }

/// The instruction set in use.
package let instructions = choice.set

/// Its name: generic, plain, x86-64-v3, avx512, avx512-bf16 or amx; and of what multiplies besides.
public var instructionSet: String {
  instructions.products is OpenBLAS.Type ? "\(instructions.name), OpenBLAS" : instructions.name
}

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
  let generic = genericKernels()
  let others = [
    InstructionSet(name: generic.name, kernels: generic, asksOpenBLAS: true),
    InstructionSet(name: "plain", kernels: generic),
  ]
  #if arch(x86_64)
    // Elsewhere the instruction for pairs issues every second cycle (Intel up to Granite Rapids), and Winograd is given up for it.
    let hasFastPairs = ctensors_processor_is_amd()
    let all: [(set: any KernelSet.Type, level: Int32)] = [(bf16Kernels(), 3), (avx512Kernels(), 2), (v3Kernels(), 1)]
    let level = ctensors_processor_level()
    let here = all.filter { $0.level <= level }.map { set, _ in
      InstructionSet(name: set.name, kernels: set, hasFastPairs: set.hasPairs && hasFastPairs)
    }
    let tiles =
      level >= 3 && ctiles_supported() ? [InstructionSet(name: "amx", kernels: here[0].kernels, hasTiles: true)] : []
    return tiles + here + others
  #else
    return others
  #endif
}()
