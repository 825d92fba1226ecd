// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc
import Tensors

/// What counts as silence: sound that stays below a level for long enough. Pauses between words are shorter.
public struct Silence: Equatable, Sendable {
  let power: Float  // mean square of samples in -1 ... 1
  let rows: Int

  /// `threshold` dBFS (0: the RMS of a full-scale square wave), `hold` nanoseconds, 60 s at most.
  public init(threshold: Double, hold: UInt64) {
    power = Float(pow(10, threshold / 10))
    rows = RunningTime(nanoseconds: min(hold, 60_000_000_000)).row
  }
}

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
  /// Mean square of the samples in the row's window.
  private var powers = [Float](repeating: 0, count: rowsCached)

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
  /// A row that begins before the oldest sample held is silence as a whole, as it is in training. With a `gate` rows that
  /// are part of silence, as far as the stacks show it, become digital silence: the noise gate of training.
  public mutating func stacks(atRow row: Int, past: Int, future: Int, gate: Silence? = nil) -> Tensor {
    let row = Self.clamped(row)
    let shown = row - Filterbank.stack * past..<row + Filterbank.stack * (future + 1)
    let silent = gate.map { self.silent(shown, $0) }
    var values: [Float] = []
    values.reserveCapacity(shown.count * Filterbank.bands)
    for (i, row) in shown.enumerated() {
      let computed = compute(row)
      values += silent?[i] == true ? Self.silentRow[...] : bands(computed)
    }
    return Tensor([past + 1 + future, Filterbank.stack * Filterbank.bands], values)
  }

  /// Whether the sound at `row` is part of silence, as far as `stacks` with the same `future` shows it.
  public mutating func isSilent(atRow row: Int, future: Int, _ silence: Silence) -> Bool {
    let row = Self.clamped(row)
    let end = row + Filterbank.stack * (future + 1)
    return silent(min(row, end - 1)..<end, silence).first ?? false
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

  /// Which of the rows belong to a run of quiet ones that is long enough. What comes after the last one is not known.
  private mutating func silent(_ shown: Range<Int>, _ silence: Silence) -> [Bool] {
    let first = shown.lowerBound - silence.rows
    let quiet = (first..<shown.upperBound).map { compute($0).power < silence.power }
    var (silent, start) = ([Bool](repeating: false, count: quiet.count), 0)
    for i in quiet.indices {
      guard quiet[i] else {
        start = i + 1
        continue
      }
      let length = i + 1 - start
      if length == silence.rows { for j in start...i { silent[j] = true } }
      if length > silence.rows { silent[i] = true }
    }
    return Array(silent[silence.rows...])
  }

  private enum Row {
    case cached(slot: Int, power: Float)
    case computed([Float], power: Float)

    var power: Float {
      switch self {
      case .cached(_, let power), .computed(_, let power): power
      }
    }
  }

  private func bands(_ row: Row) -> ArraySlice<Float> {
    switch row {
    case .cached(let slot, _): rows[slot * Filterbank.bands..<(slot + 1) * Filterbank.bands]
    case .computed(let bands, _): bands[...]
    }
  }

  /// One row, remembered if no later sound can change it.
  private mutating func compute(_ row: Int) -> Row {
    let slot = Self.slot(row)
    if rowAt[slot] == row { return .cached(slot: slot, power: powers[slot]) }
    let window = Int64(row * Filterbank.step)..<Int64(row * Filterbank.step + Filterbank.window)
    guard held.contains(window.lowerBound) else { return .computed(Self.silentRow, power: 0) }
    let sound = (window.lowerBound - 1..<window.upperBound).map { held.contains($0) ? samples[Self.place($0)] : 0 }
    let bands = Filterbank.row(sound)
    let power = sound.dropFirst().reduce(0) { $0 + $1 * $1 } / Float(Filterbank.window)
    guard window.upperBound <= held.upperBound else { return .computed(bands, power: power) }
    rows.replaceSubrange(slot * Filterbank.bands..<(slot + 1) * Filterbank.bands, with: bands)
    (rowAt[slot], powers[slot]) = (row, power)
    return .cached(slot: slot, power: power)
  }

  private static let silentRow = [Float](repeating: Filterbank.silence, count: Filterbank.bands)

  /// Indices beyond this are no times of any stream (2,200 years); within it no arithmetic on them overflows.
  private static let farthest: UInt64 = 1 << 50
  private static func clamped(_ row: Int) -> Int { min(max(row, -Int(farthest)), Int(farthest)) }

  private static func place(_ sample: Int64) -> Int { Int(sample & Int64(capacity - 1)) }
  private static func slot(_ row: Int) -> Int { ((row % rowsCached) + rowsCached) % rowsCached }
}
