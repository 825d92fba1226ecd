// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Which kernels this processor runs: the best that it has all instructions of, or the one that SYNCDIFF_ISA names.

import CTensors
import Glibc
package import KernelInterface
import KernelsGeneric

#if arch(x86_64)
  import KernelsAVX512
  import KernelsBF16
  import KernelsV3
#endif

/// What every layer is computed with.
package let kernels: any KernelSet.Type = choice.kernels

/// The name of the instruction set in use: generic, x86-64-v3, avx512 or avx512-bf16.
public var instructionSet: String { kernels.name }

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

private let choice: (kernels: any KernelSet.Type, problem: String?) = {
  #if arch(x86_64)
    let all: [(set: any KernelSet.Type, level: Int32)] = [
      (KernelsBF16.Kernels.self, 3), (KernelsAVX512.Kernels.self, 2), (KernelsV3.Kernels.self, 1),
      (KernelsGeneric.Kernels.self, 0),
    ]
  #else
    let all: [(set: any KernelSet.Type, level: Int32)] = [(KernelsGeneric.Kernels.self, 0)]
  #endif
  let here = all.filter { $0.level <= ctensors_processor_level() }.map(\.set)
  let best = here.first ?? KernelsGeneric.Kernels.self
  guard let wish = getenv("SYNCDIFF_ISA").map({ String(cString: $0) }), !wish.isEmpty else { return (best, nil) }
  if let wanted = here.first(where: { $0.name == wish }) { return (wanted, nil) }
  let names = here.map { $0.name }.joined(separator: ", ")
  return (best, "SYNCDIFF_ISA is \"\(wish)\", this processor runs \(names); unset it to have the first of them")
}()
