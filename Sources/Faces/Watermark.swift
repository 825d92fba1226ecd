// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// An invisible mark in the painted pixels that says who painted them: spread spectrum (Cox, Kilian, Leighton and Shamoon, IEEE
// Trans. Image Processing 6, 1997) in the face's own coordinates, so that crop, scale and head motion do not matter. It is a sum of
// cosines over the window, with wavelengths of 4 to 10 px of the template and equal amplitudes; the key and the payload determine
// their signs. Each half of the payload, 16 bits, uses every second cosine: each of its two bytes selects one of 256 rows of signs,
// and the two rows are multiplied. Twin of Sources/Training/data/mark.py; reasons: meta/decisions/0030-mark.md.

import Glibc
import Tensors

/// What a mark tells, 32 bits.
public struct MarkPayload: Hashable, Sendable {
  /// The version that painted: major and minor, four bits each.
  public var version: UInt8
  /// The last byte of the model's checksum.
  public var model: UInt8
  /// Whatever the user chose; 0 of nobody.
  public var user: UInt16

  public init(version: UInt8, model: UInt8, user: UInt16) {
    (self.version, self.model, self.user) = (version, model, user)
  }

  /// `version` as it is written: 0.2.
  public var release: String { "\(version >> 4).\(version & 15)" }

  /// Rows of signs, two for each half.
  var rows: [(Int, Int)] { [(Int(version), Int(model)), (Int(user >> 8), Int(user & 255))] }
}

/// The signs that belong to a key.
struct MarkSigns: Sendable {
  /// Half waves across and down the template of each cosine, all those with 16^2 < u^2 + v^2 <= 40^2.
  static let waves: [(u: Int, v: Int)] = (0...high).flatMap { v in
    (0...high).compactMap { u in (low * low + 1...high * high).contains(u * u + v * v) ? (u, v) : nil }
  }
  static let low = 16
  static let high = 40
  /// Values of one byte.
  static let values = 256
  private static let words = (waves.count / 2 + 64) / 64  // of a row
  private let seed: UInt64

  /// FNV-1a (Fowler, Noll and Vo) of the key's UTF-8.
  init(key: String) {
    seed = key.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// The signs -1 and 1 of the `value`th row of a byte, for every second cosine.
  func row(half: Int, byte: Int, value: Int) -> [Float] {
    let first = ((2 * half + byte) * Self.values + value) * Self.words
    return (0..<Self.count(half)).map { k in
      word(first + k / 64) >> UInt64(k % 64) & 1 == 0 ? -1 : 1
    }
  }

  /// Cosines of a half.
  static func count(_ half: Int) -> Int { (waves.count + 1 - half) / 2 }

  /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), its `n`th word.
  private func word(_ n: Int) -> UInt64 {
    var z = seed &+ (UInt64(n) &+ 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// `cos(pi (x + 1/2) u / 80)`, `[41, side]` for u of 0 ... 40, where x is the place of a window's pixel in the template.
  static func cosines(side: Int) -> [Float] {
    let step = Double(FaceWindow.templateSide) / Double(side)
    return (0...high).flatMap { u in
      (0..<side).map { x in
        Float(cos(.pi * (step * Double(x) + 0.5) * Double(u) / Double(FaceWindow.templateSide)))
      }
    }
  }
}

/// A mark for windows of one size.
package struct Watermark: Sendable {
  /// Of the key that is used unless there is another: whoever has this program can read such marks.
  package static let publicKey = "syncdiff"
  private static let rms: Float = 1.5  // levels of 8 bits, in the box around the mouth
  private static let box = (columns: 15..<65, rows: 12..<60)  // px of the template
  private static let texture: (least: Float, slope: Float, most: Float) = (0.6, 0.25, 2.5)
  private static let reach = 4  // px of the template: the texture around a place
  private static let fine = 2  // px of the template: around which a mean is what is too coarse to give way
  private static let most: Float = 0.5  // of the fine detail that may give way

  private let window: FaceWindow
  /// `[side, side]`, faded out towards the window's edges.
  package let pattern: [Float]

  package init(key: String, _ payload: MarkPayload, _ window: FaceWindow) {
    let (signs, rows) = (MarkSigns(key: key), payload.rows)
    let halves = (0..<2).map { half in
      zip(
        signs.row(half: half, byte: 0, value: rows[half].0), signs.row(half: half, byte: 1, value: rows[half].1)
      ).map { $0 * $1 }
    }
    let (side, waves) = (window.side, MarkSigns.waves)
    let cosines = MarkSigns.cosines(side: side)
    var across = [Float](repeating: 0, count: (MarkSigns.high + 1) * side)
    for (i, wave) in waves.enumerated() {
      let sign = halves[i % 2][i / 2]
      for x in 0..<side { across[wave.v * side + x] += sign * cosines[wave.u * side + x] }
    }
    var pattern = [Float](repeating: 0, count: side * side)
    for v in 0...MarkSigns.high {
      for y in 0..<side {
        let share = cosines[v * side + y]
        for x in 0..<side { pattern[y * side + x] += share * across[v * side + x] }
      }
    }
    self.window = window
    self.pattern = zip(pattern, window.fade).map { $0 * $1 }
  }

  /// A difference with the mark, for a picture that the difference is to be added to; both `[side, side, 3]`, RGB in -1 ... 1. The
  /// mark is grey, stronger where there is texture, 1.5 levels of 8 bits (rms) in the box around the mouth. As much of the
  /// picture's own fine detail gives way to it, at most half, that the box is as sharp as before: the sum of its squared
  /// Laplacians stays (improved spread spectrum: Malvar and Florencio, IEEE Trans. Signal Processing 51, 2003).
  package func added(to difference: Tensor, over picture: Tensor) -> Tensor {
    let side = window.side
    precondition(difference.shape == [side, side, 3] && picture.shape == difference.shape, "two windows")
    var luma = [Float](repeating: 0, count: side * side)
    difference.values.withUnsafeBufferPointer { a in
      picture.values.withUnsafeBufferPointer { b in
        for i in luma.indices {
          luma[i] =
            127.5
            * (0.299 * (a[3 * i] + b[3 * i]) + 0.587 * (a[3 * i + 1] + b[3 * i + 1])
              + 0.114 * (a[3 * i + 2] + b[3 * i + 2]))
        }
      }
    }
    let change = softened(luma, under: strengthened(luma)).map { $0 / 127.5 }
    return difference.map { i, value in value + change[i / 3] }
  }

  /// The mark for a picture's luma; both `[side, side]`, levels of 8 bits.
  private func strengthened(_ luma: [Float]) -> [Float] {
    let reach = scaled(Self.reach)
    var texture = boxMean(luma, side: window.side, reach: reach)
    for i in luma.indices { texture[i] = abs(luma[i] - texture[i]) }
    var mark = boxMean(texture, side: window.side, reach: reach)
    let (least, slope, most) = Self.texture
    for i in mark.indices { mark[i] = pattern[i] * min(least + slope * mark[i], most) }
    var (power, count): (Float, Float) = (0, 0)
    forBox { i in
      power += mark[i] * mark[i]
      count += 1
    }
    let scale = Self.rms * (count / max(power, .leastNormalMagnitude)).squareRoot()
    return mark.map { scale * $0 }
  }

  /// `mark` less the share of the picture's fine detail with which |Laplacian(luma + mark - share fine)|^2, summed over the box, is
  /// |Laplacian(luma)|^2. All `[side, side]`, levels of 8 bits.
  private func softened(_ luma: [Float], under mark: [Float]) -> [Float] {
    var fine = boxMean(luma, side: window.side, reach: scaled(Self.fine))
    for i in fine.indices { fine[i] = window.fade[i] * (luma[i] - fine[i]) }
    var (gain, power, shared): (Float, Float, Float) = (0, 0, 0)
    func laplacian(_ values: [Float], _ i: Int) -> Float {
      values[i - 1] + values[i + 1] + values[i - window.side] + values[i + window.side] - 4 * values[i]
    }
    forBox { i in
      let (own, added, less) = (laplacian(luma, i), laplacian(mark, i), laplacian(fine, i))
      gain += added * (2 * own + added)
      power += less * less
      shared += (own + added) * less
    }
    let root = max(shared * shared - power * gain, 0).squareRoot()
    let share = min(max((shared - root) / max(power, 1e-6), 0), Self.most)
    return zip(mark, fine).map { $0 - share * $1 }
  }

  /// A distance in the template, px of the window.
  private func scaled(_ distance: Int) -> Int { distance * window.side / FaceWindow.templateSide }

  /// The places in the box around the mouth.
  private func forBox(_ body: (Int) -> Void) {
    for y in scaled(Self.box.rows.lowerBound)..<scaled(Self.box.rows.upperBound) {
      for x in scaled(Self.box.columns.lowerBound)..<scaled(Self.box.columns.upperBound) { body(y * window.side + x) }
    }
  }
}

/// The mean over the places within `reach` in both directions of a square of `side`, whose edges go on. `[side, side]`.
func boxMean(_ values: [Float], side: Int, reach: Int) -> [Float] {
  let share = 1 / Float((2 * reach + 1) * (2 * reach + 1))
  // Sums down the columns, of whole rows at a time; then along each row.
  var (down, result) = ([Float](repeating: 0, count: side), [Float](repeating: 0, count: side * side))
  func row(_ y: Int) -> Int { min(max(y, 0), side - 1) * side }
  values.withUnsafeBufferPointer { values in
    result.withUnsafeMutableBufferPointer { result in
      for y in 0..<side {
        if y % 16 == 0 {  // anew, so that no rounding adds up
          for x in 0..<side { down[x] = 0 }
          for k in -reach...reach { for x in 0..<side { down[x] += values[row(y + k) + x] } }
        } else {
          let (new, old) = (row(y + reach), row(y - reach - 1))
          for x in 0..<side { down[x] += values[new + x] - values[old + x] }
        }
        var sum: Float = 0
        for k in -reach...reach { sum += down[min(max(k, 0), side - 1)] }
        for x in 0..<side {
          result[y * side + x] = share * sum
          sum += down[min(x + reach + 1, side - 1)] - down[max(x - reach, 0)]
        }
      }
    }
  }
  return result
}
