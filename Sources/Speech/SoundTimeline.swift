// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// The sound of the last minute, addressed by running time: what a picture at any time asks for, whatever its frame
/// rate. Memory is constant.
///
/// Samples are 16 kHz mono, -1 ... 1, and have absolute indices of running time (`RunningTime.sample`). What is not
/// held is digital silence: gaps, dropped sound (but for rows computed before it was dropped), the time before the first
/// and after the last sample, samples that are no numbers. A chunk that overlaps what is held replaces it.
public struct SoundTimeline: Sendable {
  /// Samples held at most, 65.5 s in 4 MB.
  static let capacity = 1 << 20
  static let rowsCached = capacity / Filterbank.step

  /// A ring: sample i lives at i mod capacity. Only indices in `held` count.
  private var samples = [Float](repeating: 0, count: capacity)
  private var held: Range<Int64> = 0..<0

  /// Filterbank rows of which every sample was held, computed once: row r lives at r mod `rowsCached`.
  private var rows = [Float](repeating: 0, count: rowsCached * Filterbank.bands)
  private var rowAt = [Int](repeating: .min, count: rowsCached)

  public init() {}

  /// One past the last sample held; nil while there is none.
  public var end: Int64? { held.isEmpty ? nil : held.upperBound }

  /// Puts sound at sample index `start`. What lies before the oldest sample held is late and ignored, but sound more
  /// than the capacity away in either direction is a jump: the timeline starts anew there.
  public mutating func append(_ sound: [Float], at start: Int64) {
    sound.withUnsafeBufferPointer { append($0, at: start) }
  }

  public mutating func append(_ sound: UnsafeBufferPointer<Float>, at start: Int64) {
    guard start.magnitude < Self.farthest else { return }
    let (capacity, end) = (Int64(Self.capacity), start + Int64(sound.count))
    if held.isEmpty || start > held.upperBound + capacity || end < held.lowerBound - capacity {
      held = start..<start
      for i in rowAt.indices { rowAt[i] = .min }
    }
    write(from: held.upperBound, to: start) { _ in 0 }
    write(from: max(start, held.lowerBound, end - capacity), to: end) { sound[Int($0 - start)] }
  }

  /// Forgets samples before `index`, except the one that pre-emphasis at `index` looks back to, and always keeps the
  /// last one, so that `end` stays known.
  public mutating func drop(before index: Int64) {
    guard index > held.lowerBound, !held.isEmpty else { return }
    held = min(index, held.upperBound) - 1..<held.upperBound
  }

  /// The stacks around one picture, `[past + 1 + future, 104]`: four rows each, the picture's own beginning at `row`.
  /// A row that begins before the oldest sample held is silence as a whole, as it is in training.
  public mutating func stacks(atRow row: Int, past: Int, future: Int) -> Tensor {
    let row = Self.clamped(row)
    var values: [Float] = []
    values.reserveCapacity((past + 1 + future) * Filterbank.stack * Filterbank.bands)
    for r in row - Filterbank.stack * past..<row + Filterbank.stack * (future + 1) { appendRow(r, to: &values) }
    return Tensor([past + 1 + future, Filterbank.stack * Filterbank.bands], values)
  }

  /// The end of the last sample that `stacks(atRow:past:future:)` looks at: once `end` is there or beyond, the sound
  /// that is still to come changes nothing.
  public static func samplesNeeded(atRow row: Int, future: Int) -> Int64 {
    Int64((clamped(row) + Filterbank.stack * (future + 1) - 1) * Filterbank.step + Filterbank.window)
  }

  /// How far past a picture its sound must be known: `samplesNeeded`, and half a row since a picture's row is the
  /// nearest one.
  public static func lookahead(future: Int) -> RunningTime {
    RunningTime(sample: samplesNeeded(atRow: 0, future: future) + Int64(Filterbank.step / 2))
  }

  /// Writes `sound(i)` to every index i of a range that touches what is held; nothing if the range is empty.
  private mutating func write(from first: Int64, to end: Int64, _ sound: (Int64) -> Float) {
    guard first < end else { return }
    let step = Int64(Filterbank.step)
    for row in (first - Int64(Filterbank.window)) / step - 1...end / step { rowAt[Self.slot(Int(row))] = .min }
    for i in first..<end {
      let value = sound(i)
      samples[Self.place(i)] = value.isFinite ? value : 0
    }
    let upper = max(held.upperBound, end)
    held = max(held.lowerBound, upper - Int64(Self.capacity))..<upper
  }

  /// Appends the 26 values of one row, and remembers them if no later sound can change them.
  private mutating func appendRow(_ row: Int, to values: inout [Float]) {
    let slot = Self.slot(row)
    let cached = slot * Filterbank.bands..<(slot + 1) * Filterbank.bands
    if rowAt[slot] == row {
      values += rows[cached]
      return
    }
    let window = Int64(row * Filterbank.step)..<Int64(row * Filterbank.step + Filterbank.window)
    guard held.contains(window.lowerBound) else {
      values += repeatElement(Filterbank.silence, count: Filterbank.bands)
      return
    }
    let sound = (window.lowerBound - 1..<window.upperBound).map { held.contains($0) ? samples[Self.place($0)] : 0 }
    let row26 = Filterbank.row(sound)
    if window.upperBound <= held.upperBound {
      rows.replaceSubrange(cached, with: row26)
      rowAt[slot] = row
    }
    values += row26
  }

  /// Indices beyond this are no times of any stream (2,200 years); within it no arithmetic on them overflows.
  private static let farthest: UInt64 = 1 << 50
  private static func clamped(_ row: Int) -> Int { min(max(row, -Int(farthest)), Int(farthest)) }

  private static func place(_ sample: Int64) -> Int { Int(sample & Int64(capacity - 1)) }
  private static func slot(_ row: Int) -> Int { ((row % rowsCached) + rowsCached) % rowsCached }
}
