// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import Testing

@Suite struct TrackTests {
  /// Rows of two values, which say their index.
  private func rows(_ range: Range<Int>) -> [Float] { range.flatMap { [Float($0), -Float($0)] } }

  @Test func rowsAreFoundByTheirIndex() {
    var track = Track(width: 2)
    track.restart(at: -3)
    track.append(rows(-3..<5))
    track.append(rows(5..<6))
    #expect(track.first == -3 && track.end == 6)
    #expect(track.rows(-1..<6) == Tensor([7, 2], rows(-1..<6)))
    track.forget(before: 1)
    track.forget(before: -2)
    #expect(track.first == 1 && track.rows(1..<6) == Tensor([5, 2], rows(1..<6)))
    track.cut(to: 4)
    track.cut(to: 7)
    #expect(track.end == 4)
    track.append(rows(4..<8))
    #expect(track.rows(2..<8) == Tensor([6, 2], rows(2..<8)))
  }

  @Test func nothingIsLeftBeyondTheEnds() {
    var track = Track(width: 2)
    track.append(rows(0..<4))
    track.cut(to: -5)
    #expect(track.first == 0 && track.end == 0)
    track.append(rows(0..<4))
    track.forget(before: 10)
    #expect(track.first == 4 && track.end == 4)
  }
}
