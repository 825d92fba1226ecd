// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import KernelInterface
import Synchronization
import Tensors
import TestSupport
import Testing

/// meta/scripts/test-processors runs ParityTests with and without OpenBLAS, and checks that it may be missing.
@Suite(.enabled(if: OpenBLAS.isAvailable, "libopenblas0 is not installed, or this processor has no AVX"))
struct OpenBLASTests {
  private func noise(_ count: Int, _ seed: UInt64) -> [Float] {
    var noise = GaussianNoise(seed: seed)
    return Array(noise.fill(count))
  }

  /// `[outputs, length]` in blocks of twice the lanes, the last one half as wide if that suffices.
  private func packed(_ weight: [Float], outputs: Int, length: Int, lanes: Int) -> [Float] {
    var result: [Float] = []
    for first in stride(from: 0, to: outputs, by: 2 * lanes) {
      let width = outputs - first <= lanes ? lanes : 2 * lanes
      for k in 0..<length {
        for c in first..<first + width { result.append(c < outputs ? weight[c * length + k] : 0) }
      }
    }
    return result
  }

  struct Shape: CustomTestStringConvertible {
    var (height, width, cin, cout) = (1, 1, 1, 1)  // of the padded picture
    var kernel = 3
    var stride = 1

    var testDescription: String { "\(height)x\(width) \(cin)->\(cout) kernel \(kernel) stride \(stride)" }
  }

  static let shapes = [
    Shape(height: 1, width: 1, cin: 256, cout: 384, kernel: 1),
    Shape(height: 1, width: 14, cin: 104, cout: 768, kernel: 1),
    Shape(height: 9, width: 11, cin: 13, cout: 4), Shape(height: 26, width: 26, cin: 64, cout: 72, stride: 2),
    Shape(height: 60, width: 50, cin: 24, cout: 33), Shape(height: 7, width: 8, cin: 3, cout: 31, kernel: 5, stride: 2),
    Shape(height: 12, width: 9, cin: 40, cout: 100, kernel: 1),
    Shape(height: 12, width: 9, cin: 40, cout: 65, kernel: 1, stride: 2),
  ]

  private func compute(_ products: any Products.Type, _ s: Shape, _ activation: Activation) -> [Float] {
    let length = s.kernel * s.kernel * s.cin
    let (h, w) = ((s.height - s.kernel) / s.stride + 1, (s.width - s.kernel) / s.stride + 1)
    let weights = noise(s.cout * length, 2).map { $0 * 0.1 }
    func memory(_ values: [Float]) -> UnsafeMutablePointer<Float> {
      let memory = UnsafeMutablePointer<Float>.allocate(capacity: values.count + 64)
      memory.initialize(repeating: 0, count: values.count + 64)
      memory.update(from: values, count: values.count)
      return memory
    }
    let x = memory(noise(s.height * s.width * s.cin, 1))
    let weight = memory(packed(weights, outputs: s.cout, length: length, lanes: products.lanes))
    let (bias, residual) = (memory(noise(s.cout, 3)), memory(noise(h * w * s.cout, 4)))
    let output = memory([Float](repeating: .nan, count: h * w * s.cout))
    defer { for memory in [x, weight, bias, residual, output] { memory.deallocate() } }

    let convolution = Convolution(
      input: x, kernelRows: s.kernel, rowLength: s.kernel * s.cin, inputRow: s.width * s.cin,
      pixelStep: s.stride * s.cin, rowStep: s.stride * s.width * s.cin, outputWidth: w, weights: weight,
      format: .single)
    let to = Destination(
      output: output, channels: s.cout, bias: bias, residual: residual, activation: activation)
    for block in 0..<(s.cout + 2 * products.lanes - 1) / (2 * products.lanes) {
      for piece in [0..<h * w / 2, h * w / 2..<h * w] where !piece.isEmpty {
        products.convolve(convolution, pixels: piece, block: block, to: to)
      }
    }
    return Array(UnsafeBufferPointer(start: output, count: h * w * s.cout))
  }

  @Test(arguments: shapes) func agreesWithOurs(_ shape: Shape) {
    for activation in [Activation.none, .relu, .silu, .gelu, .erfGELU] {
      let (theirs, ours) = (compute(OpenBLAS.self, shape, activation), compute(kernels, shape, activation))
      expectClose(Tensor([theirs.count], theirs), Tensor([ours.count], ours), 5e-5, "\(activation)")
    }
  }

  /// Concurrent calls give the same bytes every time: a build without locks would give wrong sums.
  @Test func manyMayCall() {
    let shape = Shape(height: 14, width: 14, cin: 64, cout: 64)
    let right = compute(OpenBLAS.self, shape, .silu)
    let wrong = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: 400) { _ in
      if compute(OpenBLAS.self, shape, .silu) != right { wrong.add(1, ordering: .relaxed) }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  /// The copy is private: a host's own OpenBLAS keeps its 8 threads, and the environment is unchanged.
  @Test func hostIsUndisturbed() throws {
    let host = try #require(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL))
    func function<F>(_ name: String, _: F.Type) throws -> F {
      unsafeBitCast(try #require(dlsym(host, name)), to: F.self)
    }
    typealias Multiply =
      @convention(c) (
        Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32, UnsafePointer<Float>, Int32,
        Float,
        UnsafeMutablePointer<Float>, Int32
      ) -> Void
    let setThreads = try function("openblas_set_num_threads", (@convention(c) (Int32) -> Void).self)
    let threads = try function("openblas_get_num_threads", (@convention(c) () -> Int32).self)
    let multiply = try function("cblas_sgemm", Multiply.self)
    setThreads(8)
    let (before, n) = (threads(), 256)
    let (a, b) = (noise(n * n, 1), noise(n * n, 2))
    @Sendable func product() -> [Float] {
      var c = [Float](repeating: 0, count: n * n)
      multiply(101, 111, 111, Int32(n), Int32(n), Int32(n), 1, a, Int32(n), b, Int32(n), 0, &c, Int32(n))
      return c
    }
    let alone = product()
    let shape = Shape(height: 14, width: 14, cin: 64, cout: 64)
    let ours = compute(OpenBLAS.self, shape, .none)
    let wrong = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: 64) { i in
      let isRight = i % 8 == 0 ? product() == alone : compute(OpenBLAS.self, shape, .none) == ours
      if !isRight { wrong.add(1, ordering: .relaxed) }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
    #expect(before == 8 && threads() == 8)
    for name in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"] { #expect(getenv(name) == nil) }
  }
}
