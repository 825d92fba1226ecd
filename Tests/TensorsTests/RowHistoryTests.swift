// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import Testing

@Suite struct RowHistoryTests {
  /// Rows of two values that encode their index.
  private func rows(_ range: Range<Int>) -> [Float] { range.flatMap { [Float($0), -Float($0)] } }

  @Test func rowsAreFoundByTheirIndex() {
    var history = RowHistory(width: 2)
    history.restart(at: -3)
    history.append(rows(-3..<5))
    history.append(rows(5..<6))
    #expect(history.first == -3 && history.end == 6)
    #expect(history.rows(-1..<6) == Tensor([7, 2], rows(-1..<6)))
    history.forget(before: 1)
    history.forget(before: -2)
    #expect(history.first == 1 && history.rows(1..<6) == Tensor([5, 2], rows(1..<6)))
    history.cut(to: 4)
    history.cut(to: 7)
    #expect(history.end == 4)
    history.append(rows(4..<8))
    #expect(history.rows(2..<8) == Tensor([6, 2], rows(2..<8)))
  }

  @Test func nothingIsLeftBeyondTheEnds() {
    var history = RowHistory(width: 2)
    history.append(rows(0..<4))
    history.cut(to: -5)
    #expect(history.first == 0 && history.end == 0)
    history.append(rows(0..<4))
    history.forget(before: 10)
    #expect(history.first == 4 && history.end == 4)
  }
}
