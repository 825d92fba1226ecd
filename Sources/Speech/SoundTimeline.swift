// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

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

/// A piece of a timeline.
struct Excerpt: Sendable {
  private let samples: [Float]
  /// The samples that it has.
  let range: Range<Int64>

  init(_ samples: [Float] = [], from start: Int64 = 0) {
    (self.samples, range) = (samples, start..<start + Int64(samples.count))
  }

  /// Samples, zeros where it has none.
  subscript(wanted: Range<Int64>) -> [Float] {
    wanted.map { range.contains($0) ? samples[Int($0 - range.lowerBound)] : 0 }
  }

  /// The samples of a row; nil where it has none of them.
  func row(_ row: Int) -> [Float]? {
    let first = Int64(row * Filterbank.step)
    let window = first..<first + Int64(Filterbank.window)
    return window.overlaps(range) ? self[window] : nil
  }
}

/// The sound of the last minute, addressed by running time. Memory is constant.
///
/// Samples are 16 kHz mono, -1 ... 1, and have absolute indices of running time (`RunningTime.sample`). What is not
/// held is digital silence: gaps, the time before the first and after the last sample, samples that are no numbers. A chunk
/// that overlaps what is held replaces it. What pictures hear of it, a `Listener` tells.
public struct SoundTimeline: Sendable {
  /// Samples held at most, 65.5 s in 4 MB.
  static let capacity = 1 << 20
  static let rowsCached = capacity / Filterbank.step

  /// A ring: sample i lives at i mod capacity. Only indices in `held` count.
  private var samples = [Float](repeating: 0, count: capacity)
  private var held: Range<Int64> = 0..<0
  /// From here on the sound is not what it was when the listener asked last.
  private var changed = Int64.min

  /// Mean squares of rows of which every sample was held, computed once: row r lives at r mod `rowsCached`.
  private var powers = [Float](repeating: 0, count: rowsCached)
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
      (held, changed) = (start..<start, .min)
      for i in rowAt.indices { rowAt[i] = .min }
    }
    write(from: held.upperBound, to: start) { _ in 0 }
    write(from: max(start, held.lowerBound, end - capacity), to: end) { sound[Int($0 - start)] }
  }

  /// From which sample on the sound is not what it was at the last call. For one listener.
  mutating func takeChange() -> Int64 {
    defer { changed = .max }
    return changed
  }

  /// What is held of these samples.
  func excerpt(_ first: Int64, to end: Int64) -> Excerpt {
    let part = (first..<max(first, end)).clamped(to: held)
    let (from, count) = (Self.place(part.lowerBound), part.count)
    let whole = min(count, Self.capacity - from)
    return Excerpt(Array(samples[from..<from + whole] + samples[..<(count - whole)]), from: part.lowerBound)
  }

  /// Which of some rows belong to a run of quiet ones that is long enough. Rows that look at sound from `limit` on are not
  /// known: they are what the last known one is.
  mutating func silent(_ shown: Range<Int>, until limit: Int64, _ silence: Silence) -> [Bool] {
    let end = min(shown.upperBound, Filterbank.rows(endingBy: limit))
    let first = min(shown.lowerBound, end - 1)
    let quiet = (first - silence.rows..<end).map { power($0) < silence.power }
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
    return shown.map { silent[silence.rows + min($0, end - 1) - first] }
  }

  /// Writes `sound(i)` to every index i of a range that touches what is held; nothing if the range is empty.
  private mutating func write(from first: Int64, to end: Int64, _ sound: (Int64) -> Float) {
    guard first < end else { return }
    changed = min(changed, first)
    let step = Int64(Filterbank.step)
    for row in (first - Int64(Filterbank.window)) / step - 1...end / step { rowAt[Self.slot(Int(row))] = .min }
    for i in first..<end {
      let value = sound(i)
      samples[Self.place(i)] = value.isFinite ? value : 0
    }
    let upper = max(held.upperBound, end)
    held = max(held.lowerBound, upper - Int64(Self.capacity))..<upper
  }

  /// Mean square of a row, remembered if no later sound can change it. One that begins before all sound is silent.
  private mutating func power(_ row: Int) -> Float {
    let slot = Self.slot(row)
    if rowAt[slot] == row { return powers[slot] }
    let window = Int64(row * Filterbank.step)..<Int64(row * Filterbank.step + Filterbank.window)
    guard held.contains(window.lowerBound) else { return 0 }
    let power = window.clamped(to: held).reduce(0) { $0 + samples[Self.place($1)] * samples[Self.place($1)] }
    let mean = power / Float(Filterbank.window)
    if window.upperBound <= held.upperBound { (rowAt[slot], powers[slot]) = (row, mean) }
    return mean
  }

  /// Indices beyond this are no times of any stream (2,200 years); within it no arithmetic on them overflows.
  private static let farthest: UInt64 = 1 << 50
  static func clamped(_ row: Int) -> Int { min(max(row, -Int(farthest)), Int(farthest)) }

  private static func place(_ sample: Int64) -> Int { Int(sample & Int64(capacity - 1)) }
  private static func slot(_ row: Int) -> Int { ((row % rowsCached) + rowsCached) % rowsCached }
}
