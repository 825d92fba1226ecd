// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What is done value by value, eight at a time.

/// Calls `body` for pieces of eight that cover `0..<count`; the last one overlaps the one before if need be, so `body`
/// must not change what it reads. Only a count below eight is one shorter piece.
/// (One call in the text, so that the compiler inlines it; `lanes` never changes, so that it leaves the loop.)
@inline(__always)
func forEachVector(_ count: Int, _ body: (_ first: Int, _ lanes: Int) -> Void) {
  let lanes = min(8, count)
  var first = 0
  while first < count {
    body(min(first, count - lanes), lanes)
    first += 8
  }
}

/// The lanes beyond `lanes` are zero.
@inline(__always)
func load(_ from: UnsafePointer<Float>, _ lanes: Int) -> SIMD8<Float> {
  if lanes == 8 { return UnsafeRawPointer(from).loadUnaligned(as: SIMD8<Float>.self) }
  var values = SIMD8<Float>()
  for i in 0..<lanes { values[i] = from[i] }
  return values
}

@inline(__always)
func store(_ values: SIMD8<Float>, _ to: UnsafeMutablePointer<Float>, _ lanes: Int) {
  if lanes == 8 {
    UnsafeMutableRawPointer(to).storeBytes(of: values, as: SIMD8<Float>.self)
  } else {
    for i in 0..<lanes { to[i] = values[i] }
  }
}

package func activate(
  _ x: UnsafePointer<Float>, _ activation: Activation, count: Int, _ output: UnsafeMutablePointer<Float>
) {
  forEachVector(count) { first, lanes in store(activation(load(x + first, lanes)), output + first, lanes) }
}

package func add(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int, _ output: UnsafeMutablePointer<Float>
) {
  forEachVector(count) { first, lanes in
    store(load(a + first, lanes) + load(b + first, lanes), output + first, lanes)
  }
}

/// `[rows, channels]`, slope `[channels]`.
package func prelu(
  _ x: UnsafePointer<Float>, slope: UnsafePointer<Float>, rows: Int, channels: Int,
  _ output: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    forEachVector(channels) { first, lanes in
      let at = row * channels + first
      let values = load(x + at, lanes)
      store(values.replacing(with: values * load(slope + first, lanes), where: values .< 0), output + at, lanes)
    }
  }
}
