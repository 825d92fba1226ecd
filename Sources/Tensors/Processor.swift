// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Which kernels this processor runs: the best that it has all instructions of, or the one that SYNCDIFF_ISA names.

import CTensors
import Glibc
package import KernelInterface

// The kernels are found by name, not imported: what another module has inlined of them, SwiftPM would leave as it was when a
// kernel is changed and built again.
@_silgen_name("kernels_generic") private func genericKernels() -> any KernelSet.Type
#if arch(x86_64)
  @_silgen_name("kernels_x86_64_v3") private func v3Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512") private func avx512Kernels() -> any KernelSet.Type
  @_silgen_name("kernels_avx512_bf16") private func bf16Kernels() -> any KernelSet.Type
#endif

/// What every layer is computed with.
package let kernels: any KernelSet.Type = choice.kernels

/// What layers multiply with: the kernels, but OpenBLAS in place of the generic ones. Its sums of a row depend on how many rows
/// there are, so layers of streams take the kernels all the same.
package let products: any Products.Type = choice.products

/// The name of the instruction set in use: generic, x86-64-v3, avx512 or avx512-bf16; and of what multiplies besides.
public var instructionSet: String { products is OpenBLAS.Type ? "\(kernels.name), OpenBLAS" : kernels.name }

/// Whether bf16 is multiplied as such; elsewhere `Weights.Precision.bf16` is computed as `f32`.
public var multipliesBF16: Bool { kernels.hasPairs }

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

private struct InstructionSet {
  let name: String  // as SYNCDIFF_ISA has it
  let level: Int32  // what it needs, as ctensors_processor_level() counts
  let kernels: any KernelSet.Type
  var asksOpenBLAS = false

  init(_ kernels: any KernelSet.Type, level: Int32) {
    (name, self.level, self.kernels) = (kernels.name, level, kernels)
  }

  init(_ name: String, asksOpenBLAS: Bool) {
    (self.name, level, kernels, self.asksOpenBLAS) = (name, 0, genericKernels(), asksOpenBLAS)
  }
}

private let choice: (kernels: any KernelSet.Type, products: any Products.Type, problem: String?) = {
  var all = [InstructionSet("generic", asksOpenBLAS: true), InstructionSet("plain", asksOpenBLAS: false)]
  #if arch(x86_64)
    all =
      [
        InstructionSet(bf16Kernels(), level: 3), InstructionSet(avx512Kernels(), level: 2),
        InstructionSet(v3Kernels(), level: 1),
      ] + all
  #endif
  let here = all.filter { $0.level <= ctensors_processor_level() }
  let wish = getenv("SYNCDIFF_ISA").map { String(cString: $0) } ?? ""
  let wanted = here.first { $0.name == wish }
  let chosen = wanted ?? here[0]
  let products: any Products.Type = chosen.asksOpenBLAS && OpenBLAS.isHere ? OpenBLAS.self : chosen.kernels
  guard wanted == nil, !wish.isEmpty else { return (chosen.kernels, products, nil) }
  let names = here.map(\.name).joined(separator: ", ")
  return (
    chosen.kernels, products,
    "SYNCDIFF_ISA is \"\(wish)\", this processor runs \(names); unset it to have the first of them"
  )
}()
