// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Selects the instruction set: the best that this processor has, or the one that SYNCDIFF_ISA names.

import CTensors
import Glibc
public import KernelInterface

// Kernels are looked up by symbol name instead of imported: SwiftPM would not rebuild what another module has inlined
// of them when a kernel changes.
@_silgen_name("kernels_generic") func genericKernels() -> any KernelSet.Type
#if arch(x86_64)
  import CTiles

  @_silgen_name("kernels_x86_64_v3") private func v3Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512") private func avx512Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512_bf16") private func bf16Kernels() -> any KernelSet.Type
#endif

/// An instruction set to compute layers with. With the same set, a layer gives the same bytes on every processor.
package struct InstructionSet: Sendable {
  /// Its name in `SYNCDIFF_ISA`.
  package let name: String
  package let kernels: any KernelSet.Type
  /// Whether Intel's tile unit (AMX) computes products where that is faster.
  package let hasTiles: Bool
  /// Whether `kernels` multiply pairs of bf16 faster than floats.
  package let hasFastPairs: Bool

  /// Whether to use OpenBLAS for products, if it is installed.
  private let prefersOpenBLAS: Bool

  package init(
    name: String, kernels: any KernelSet.Type, hasTiles: Bool = false, hasFastPairs: Bool = false,
    prefersOpenBLAS: Bool = false
  ) {
    (self.name, self.kernels, self.prefersOpenBLAS) = (name, kernels, prefersOpenBLAS)
    (self.hasTiles, self.hasFastPairs) = (hasTiles, hasFastPairs)
  }

  /// What layers multiply with. Streamed layers use the kernels instead, because OpenBLAS's sum for a row depends on
  /// the number of rows.
  package var products: any Products.Type { prefersOpenBLAS && OpenBLAS.isAvailable ? OpenBLAS.self : kernels }

  /// Whether bf16 is faster than `f32`.
  var multipliesBF16: Bool { hasTiles || hasFastPairs }
}

/// The kernels in use.
public var kernels: any KernelSet.Type { instructions.kernels }

/// The instruction set in use.
package let instructions = choice.set

/// The name of the instruction set in use: generic, plain, x86-64-v3, avx512, avx512-bf16 or amx, with ", OpenBLAS"
/// appended if that computes the products.
public var instructionSet: String {
  instructions.products is OpenBLAS.Type ? "\(instructions.name), OpenBLAS" : instructions.name
}

/// Whether products of bf16 are computed natively. Where they would be slower than floats or are impossible,
/// `Weights.Precision.bf16` computes as `f32`.
public var multipliesBF16: Bool { instructions.multipliesBF16 }

/// All instruction sets that this processor runs, best first.
package let instructionSets: [InstructionSet] = {
  // The kernel grants or refuses a process the tile unit permanently. So it is asked only when kernels are needed, that
  // is, when a model is loaded, and a refusal is not an error.
  #if arch(x86_64)
    plainSets.contains { $0.hasTiles } && !ctiles_permitted() ? plainSets.filter { !$0.hasTiles } : plainSets
  #else
    plainSets
  #endif
}()

/// Why the networks cannot run as requested, or nil. Check it before building the first layer.
public var processorProblem: String? { choice.problem }

/// Runs `body` with IEEE 754 arithmetic including denormals, whatever the thread's mode, and restores that mode
/// afterwards. GStreamer's audio conversion (ORC 0.4.33) leaves its thread with denormals flushed to zero, and threads
/// inherit the mode from their creator, but the same input must give the same bytes on every thread.
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

/// The instruction sets of this processor, best first, whether or not the system permits them.
private let plainSets: [InstructionSet] = {
  let generic = genericKernels()
  let others = [
    InstructionSet(name: generic.name, kernels: generic, prefersOpenBLAS: true),
    InstructionSet(name: "plain", kernels: generic),
  ]
  #if arch(x86_64)
    // On Intel processors (up to Granite Rapids) the bf16 dot product issues only every second cycle, and using it
    // means giving up Winograd.
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
