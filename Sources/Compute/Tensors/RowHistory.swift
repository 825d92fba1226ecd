// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The most recent rows of a stream, `[T, width]` in contiguous memory, addressed by their index in the stream.
public struct RowHistory: Sendable {
  public let width: Int
  /// The index of the oldest row.
  public private(set) var first = 0
  private var values: [Float] = []

  public init(width: Int) { self.width = width }

  /// One past the index of the newest row.
  public var end: Int { first + values.count / width }

  /// Appends rows.
  public mutating func append(_ rows: some Collection<Float>) {
    precondition(rows.count % width == 0, "rows of \(width) values")
    values += rows
  }

  /// The rows `range`, `[range.count, width]`; they must be held.
  public func rows(_ range: Range<Int>) -> Tensor {
    precondition(first <= range.lowerBound && range.upperBound <= end, "rows that are held")
    let (from, to) = ((range.lowerBound - first) * width, (range.upperBound - first) * width)
    return Tensor([range.count, width], values[from..<to])
  }

  /// Discards the rows from `index` on.
  public mutating func cut(to index: Int) {
    if index < end { values.removeLast((end - max(index, first)) * width) }
  }

  /// Discards the rows before `index`.
  public mutating func forget(before index: Int) {
    guard index > first else { return }
    let count = min(index, end) - first
    values.removeFirst(count * width)
    first += count
  }

  /// Discards all rows; the next one has index `index`.
  public mutating func restart(at index: Int) {
    values.removeAll(keepingCapacity: true)
    first = index
  }

  /// The memory from row `index` on, for kernels; valid during `body`.
  func with<Result>(from index: Int, _ body: (UnsafePointer<Float>) -> Result) -> Result? {
    values.withUnsafeBufferPointer { values in
      values.baseAddress.map { body($0 + (index - first) * width) }
    }
  }
}
