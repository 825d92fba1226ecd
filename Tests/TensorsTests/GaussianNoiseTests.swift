// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import TestSupport
import Testing

@Suite struct GaussianNoiseTests {
  /// Golden/golden.py. PyTorch's vectorised logarithm and cosine differ from libm's in the last bits.
  @Test(arguments: [0, 7, (1 << 40) + 5] as [UInt64])
  func isTorchsNoise(seed: UInt64) throws {
    let expected = try golden("noise.safetensors")
    var noise = GaussianNoise(seed: seed)
    expectClose(Tensor([2304], noise.fill(2304)), expected["seed\(seed)"], 2e-6)
    expectClose(Tensor([37], noise.fill(37)), expected["seed\(seed).second"], 2e-6)
  }

  @Test func givesAnyCount() {
    for count in [0, 1, 15, 16, 17] {
      var noise = GaussianNoise(seed: 3)
      #expect(noise.fill(count).count == count)
    }
  }
}
