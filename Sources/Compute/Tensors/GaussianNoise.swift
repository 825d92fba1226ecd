// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Seeded standard normal values, identical to `torch.manual_seed(seed); torch.randn(n)` on the CPU for n >= 16:
/// Mersenne Twister (Matsumoto and Nishimura 1998) seeded with the low 32 bits, 24-bit uniforms, Box-Muller on blocks
/// of 16 (PyTorch's `normal_fill`, aten/src/ATen/native/cpu/DistributionTemplates.h).
public struct GaussianNoise: Sendable {
  private var state: [UInt32]
  private var index = 624

  public init(seed: UInt64) {
    state = [UInt32(truncatingIfNeeded: seed)]
    for i in 1..<624 { state.append(1_812_433_253 &* (state[i - 1] ^ state[i - 1] >> 30) &+ UInt32(i)) }
  }

  /// The next `count` values, as one call of `torch.randn` would give them. Below 16, the first ones of a block of 16.
  public mutating func fill(_ count: Int) -> [Float] {
    let size = max(count, 16)
    var values = (0..<size).map { _ in uniform() }
    for first in stride(from: 0, through: size - 16, by: 16) { boxMuller(&values, first) }
    if size % 16 != 0 {  // as in PyTorch, the last 16 are drawn again
      for i in size - 16..<size { values[i] = uniform() }
      boxMuller(&values, size - 16)
    }
    return Array(values.prefix(count))
  }

  private func boxMuller(_ values: inout [Float], _ first: Int) {
    for i in first..<first + 8 {
      let radius = (-2 * logf(1 - values[i])).squareRoot()
      let angle = 2 * Float.pi * values[i + 8]
      (values[i], values[i + 8]) = (radius * cosf(angle), radius * sinf(angle))
    }
  }

  /// In 0 ..< 1.
  private mutating func uniform() -> Float { Float(word() & 0xFF_FFFF) * 0x1p-24 }

  private mutating func word() -> UInt32 {
    if index == 624 {
      for i in 0..<624 {
        let mixed = state[i] & 0x8000_0000 | state[(i + 1) % 624] & 0x7FFF_FFFF
        state[i] = state[(i + 397) % 624] ^ mixed >> 1 ^ (mixed & 1 == 0 ? 0 : 0x9908_B0DF)
      }
      index = 0
    }
    var word = state[index]
    index += 1
    word ^= word >> 11
    word ^= word << 7 & 0x9D2C_5680
    word ^= word << 15 & 0xEFC6_0000
    return word ^ word >> 18
  }
}
