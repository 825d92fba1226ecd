// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

public enum Activation: Sendable {
  case none, relu, silu
  case gelu  // the tanh approximation

  @inline(__always)
  func callAsFunction(_ x: SIMD8<Float>) -> SIMD8<Float> {
    switch self {
    case .none: return x
    case .relu: return x.replacing(with: 0, where: x .< 0)
    case .silu: return x / (1 + exponential(-x))
    case .gelu:  // 0.5 (1 + tanh(u)) = 1 / (1 + e^-2u)
      let u = x * (0.7978845608 + 0.0356774081 * (x * x))
      return x / (1 + exponential(-2 * u))
    }
  }
}

/// e^x with an error below 2e-7 of the value: x = n ln 2 + r, then Cephes' polynomial (`expf`) in r.
/// Below -87 and above 88 the argument is cut off, so that the result stays finite and normal.
@inline(__always)
func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
  typealias V = SIMD8<Float>
  var x = x.replacing(with: -87, where: x .< -87)
  x.replace(with: 88, where: x .> 88)
  let round = V(repeating: 0x1.8p23)  // after this addition the low bits hold n
  let shifted = round.addingProduct(x, V(repeating: 1.44269504))
  let n = shifted - round
  let r = x.addingProduct(n, V(repeating: -0.693359375)).addingProduct(n, V(repeating: 2.12194440e-4))
  var p = V(repeating: 1.9875691500e-4)
  p = V(repeating: 1.3981999507e-3).addingProduct(p, r)
  p = V(repeating: 8.3334519073e-3).addingProduct(p, r)
  p = V(repeating: 4.1665795894e-2).addingProduct(p, r)
  p = V(repeating: 1.6666665459e-1).addingProduct(p, r)
  p = V(repeating: 5.0000001201e-1).addingProduct(p, r)
  let y = (r + 1).addingProduct(p, r * r)
  let bits = unsafeBitCast(shifted, to: SIMD8<UInt32>.self)
  return y * unsafeBitCast((bits &<< 23) &+ 0x3F80_0000, to: V.self)
}
