// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What counts as silence: audio that stays below a level for some time, longer than the pauses between words.
public struct Silence: Equatable, Sendable {
  let power: Float  // mean square of samples in -1 ... 1
  let rows: Int

  /// `threshold`: dBFS, where 0 is the RMS of a full-scale square wave. `hold`: nanoseconds, at most 60 s.
  public init(threshold: Double, hold: UInt64) {
    power = Float(pow(10, threshold / 10))
    rows = RunningTime(nanoseconds: min(hold, 60_000_000_000)).row
  }
}

/// A copied piece of a timeline.
struct Excerpt: Sendable {
  private let samples: [Float]
  /// The indices of its samples.
  let range: Range<Int64>

  init(_ samples: [Float] = [], from start: Int64 = 0) {
    (self.samples, range) = (samples, start..<start + Int64(samples.count))
  }

  /// The samples `wanted`, with zeros where it has none.
  subscript(wanted: Range<Int64>) -> [Float] {
    wanted.map { range.contains($0) ? samples[Int($0 - range.lowerBound)] : 0 }
  }

  /// The samples of a row; nil if it has none of them.
  func row(_ row: Int) -> [Float]? {
    let first = Int64(row * Filterbank.step)
    let window = first..<first + Int64(Filterbank.window)
    return window.overlaps(range) ? self[window] : nil
  }
}

/// The last minute of audio, indexed by running time, in constant memory.
///
/// Samples are 16 kHz mono, -1 ... 1, with absolute indices (`RunningTime.sample`). Whatever is not held reads as
/// digital silence: gaps, the time before the first and after the last sample, and samples that are not finite. A chunk
/// that overlaps held samples replaces them. A `AudioFeatureExtractor` reads what a frame needs.
public struct AudioTimeline: Sendable {
  /// Samples held at most, 65.5 s in 4 MB.
  static let capacity = 1 << 20
  static let rowsCached = capacity / Filterbank.step

  /// A ring buffer: sample i is at i mod capacity. Only indices in `held` are valid.
  private var samples = [Float](repeating: 0, count: capacity)
  private var held: Range<Int64> = 0..<0
  /// The first sample that changed since the extractor last asked.
  private var changed = Int64.min

  /// Cached mean squares of complete rows: row r is at r mod `rowsCached`.
  private var powers = [Float](repeating: 0, count: rowsCached)
  private var rowAt = [Int](repeating: .min, count: rowsCached)

  public init() {}

  /// One past the last sample held; nil if there is none.
  public var end: Int64? { held.isEmpty ? nil : held.upperBound }

  /// Writes samples at index `start`. Those before the oldest sample held are late and ignored. A gap of more than the
  /// capacity in either direction is a jump, after which the timeline starts over.
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

  /// The first sample that changed since the last call, for the one extractor.
  mutating func takeChange() -> Int64 {
    defer { changed = .max }
    return changed
  }

  /// The held samples in this range.
  func excerpt(_ first: Int64, to end: Int64) -> Excerpt {
    let part = (first..<max(first, end)).clamped(to: held)
    let (from, count) = (Self.place(part.lowerBound), part.count)
    let whole = min(count, Self.capacity - from)
    return Excerpt(Array(samples[from..<from + whole] + samples[..<(count - whole)]), from: part.lowerBound)
  }

  /// Which of the rows `shown` lie in a run of quiet rows that is long enough. Rows that depend on samples from `limit`
  /// on are unknown and take the value of the last known row.
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

  /// Writes `sound(i)` to every index i of a range that adjoins or overlaps the held samples; nothing if the range is
  /// empty.
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

  /// Mean square of a row, cached once later audio cannot change it. A row that begins before the first sample is
  /// silent.
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

  /// Indices beyond this (2,200 years) are not valid times; within it, index arithmetic cannot overflow.
  private static let farthest: UInt64 = 1 << 50
  static func clamped(_ row: Int) -> Int { min(max(row, -Int(farthest)), Int(farthest)) }

  private static func place(_ sample: Int64) -> Int { Int(sample & Int64(capacity - 1)) }
  private static func slot(_ row: Int) -> Int { ((row % rowsCached) + rowsCached) % rowsCached }
}
