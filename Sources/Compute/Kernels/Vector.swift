// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// This folder is compiled once for every instruction set (Package.swift); this file holds what differs between them.
//
// Everything must be inlined or specific to this module: if a generic function of the standard library were compiled
// here, in wide instructions, the linker could use it for other modules too. meta/scripts/test-processors checks for
// that.

import KernelInterface

#if AVX512
  typealias Vector = SIMD16<Float>
  typealias Bits = SIMD16<UInt32>
#elseif AVX2
  typealias Vector = SIMD8<Float>
  typealias Bits = SIMD8<UInt32>
#else
  typealias Vector = SIMD4<Float>
  typealias Bits = SIMD4<UInt32>
#endif

/// The kernels of this instruction set.
public enum Kernels: KernelSet {
  #if BF16
    public static let name = "avx512-bf16"
    public static let hasPairs = true
  #elseif AVX512
    public static let name = "avx512"
    public static let hasPairs = false
  #elseif AVX2
    public static let name = "x86-64-v3"
    public static let hasPairs = false
  #else
    public static let name = "generic"
    public static let hasPairs = false
  #endif

  #if AVX2
    public static let hasHalves = true
  #else
    public static let hasHalves = false
  #endif

  @inline(__always) public static var lanes: Int { Vector.scalarCount }
}

#if !hasFeature(Embedded)
  // The symbols by which Sources/Compute/Tensors/Processor.swift finds these kernels.
  #if BF16
    @_silgen_name("kernels_avx512_bf16")
  #elseif AVX512
    @_silgen_name("kernels_avx512")
  #elseif AVX2
    @_silgen_name("kernels_x86_64_v3")
  #else
    @_silgen_name("kernels_generic")
  #endif
  public func kernelSet() -> any KernelSet.Type { Kernels.self }
#endif

/// Element types for `InlineArray`. They belong to this module, so that any code which the compiler specialises for
/// such an array does too, and is not shared with another instruction set.
struct Sum {
  var value: Vector
  @inline(__always) init(_ value: Vector) { self.value = value }
}

struct Place<Value> {
  var pointer: UnsafePointer<Value>
  @inline(__always) init(_ pointer: UnsafePointer<Value>) { self.pointer = pointer }
}

let lanes = Vector.scalarCount
let vectorSize = MemoryLayout<Vector>.size

/// a + x * y, fused where there is an instruction for it (elsewhere `addingProduct` would be a call for every lane).
@inline(__always)
func madd(_ a: Vector, _ x: Vector, _ y: Vector) -> Vector {
  #if arch(x86_64) && !AVX2
    a + x * y
  #else
    a.addingProduct(x, y)
  #endif
}

@inline(__always)
func load(_ from: UnsafePointer<Float>) -> Vector { UnsafeRawPointer(from).loadUnaligned(as: Vector.self) }

@inline(__always)
func put(_ values: Vector, _ to: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(to).storeBytes(of: values, as: Vector.self)
}

@inline(__always)
func sum(_ values: Vector) -> Float {
  var total: Float = 0
  for i in 0..<lanes { total += values[i] }
  return total
}

/// The lanes beyond `count` are zero.
@inline(__always)
func load(_ from: UnsafePointer<Float>, _ count: Int) -> Vector {
  if count >= lanes { return load(from) }
  var values = Vector()
  for i in 0..<count { values[i] = from[i] }
  return values
}

@inline(__always)
func store(_ values: Vector, _ to: UnsafeMutablePointer<Float>, _ count: Int) {
  if count >= lanes {
    put(values, to)
  } else {
    for i in 0..<count { to[i] = values[i] }
  }
}

/// Calls `body` for vectors that cover `0..<count`. The last one may overlap the one before, so `body` must not modify
/// its input. Only if `count` is less than a vector is `valid` smaller. (A single call in the source, so that the
/// compiler inlines it; `valid` is constant, so that it is hoisted out of the loop.)
@inline(__always)
func forEachVector(_ count: Int, _ body: (_ first: Int, _ valid: Int) -> Void) {
  let valid = min(lanes, count)
  var first = 0
  while first < count {
    body(min(first, count - valid), valid)
    first += lanes
  }
}

/// An activation as a type, so that it is compiled into the loops that use it.
protocol ActivationFunction {
  static func of(_ x: Vector) -> Vector
}

enum Identity: ActivationFunction {
  @inline(__always) static func of(_ x: Vector) -> Vector { x }
}

enum ReLU: ActivationFunction {
  @inline(__always) static func of(_ x: Vector) -> Vector { x.replacing(with: 0, where: x .< 0) }
}

enum SiLU: ActivationFunction {
  @inline(__always) static func of(_ x: Vector) -> Vector { x / (1 + exponential(-x)) }
}

/// 0.5 (1 + tanh(u)) = 1 / (1 + e^-2u).
enum GELU: ActivationFunction {
  @inline(__always)
  static func of(_ x: Vector) -> Vector {
    let u = x * (0.7978845608 + 0.0356774081 * (x * x))
    return x / (1 + exponential(-2 * u))
  }
}

/// With the polynomial 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions", for erf; the error is at
/// most 1.5e-7.
enum ErfGELU: ActivationFunction {
  @inline(__always)
  static func of(_ x: Vector) -> Vector {
    let magnitude = x.replacing(with: -x, where: x .< 0)
    let t = 1 / madd(Vector(repeating: 1), magnitude, Vector(repeating: 0.3275911 * 0.70710678))
    var p = Vector(repeating: 1.061405429)
    p = madd(Vector(repeating: -1.453152027), p, t)
    p = madd(Vector(repeating: 1.421413741), p, t)
    p = madd(Vector(repeating: -0.284496736), p, t)
    p = madd(Vector(repeating: 0.254829592), p, t)
    let tail = 0.5 * t * p * exponential(-0.5 * x * x)  // the normal CDF at -|x|
    return x * (1 - tail).replacing(with: tail, where: x .< 0)
  }
}

extension Activation {
  @inline(__always)
  func callAsFunction(_ x: Vector) -> Vector {
    switch self {
    case .none: Identity.of(x)
    case .relu: ReLU.of(x)
    case .silu: SiLU.of(x)
    case .gelu: GELU.of(x)
    case .erfGELU: ErfGELU.of(x)
    }
  }
}

/// e^x with a relative error below 2e-7: x = n ln 2 + r, then Cephes' polynomial (`expf`) in r. The argument is clamped
/// to -87 ... 88, so that the result is finite and normal.
@inline(__always)
func exponential(_ x: Vector) -> Vector {
  var x = x.replacing(with: -87, where: x .< -87)
  x.replace(with: 88, where: x .> 88)
  let round = Vector(repeating: 0x1.8p23)  // after this addition the low bits hold n
  let shifted = madd(round, x, Vector(repeating: 1.44269504))
  let n = shifted - round
  let r = madd(madd(x, n, Vector(repeating: -0.693359375)), n, Vector(repeating: 2.12194440e-4))
  var p = Vector(repeating: 1.9875691500e-4)
  p = madd(Vector(repeating: 1.3981999507e-3), p, r)
  p = madd(Vector(repeating: 8.3334519073e-3), p, r)
  p = madd(Vector(repeating: 4.1665795894e-2), p, r)
  p = madd(Vector(repeating: 1.6666665459e-1), p, r)
  p = madd(Vector(repeating: 5.0000001201e-1), p, r)
  let y = madd(r + 1, p, r * r)
  let bits = unsafeBitCast(shifted, to: Bits.self)
  return y * unsafeBitCast((bits &<< 23) &+ 0x3F80_0000, to: Vector.self)
}
