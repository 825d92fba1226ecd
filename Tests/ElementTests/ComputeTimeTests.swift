// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import SyncDiffElement
import Testing

@Suite struct ComputeTimeTests {
  @Test("Until there are enough frames the warm-up counts, with its twentieth")
  func warmUp() {
    var time = ComputeTime(warmUp: 100)
    let changed = (0..<50).map { _ in time.add(1000) }
    #expect(changed == [Bool](repeating: false, count: 49) + [true])
    #expect(ComputeTime(warmUp: 100).estimate == 105 && time.estimate == 1050)
  }

  @Test("The 95th percentile counts: one slow frame in 25 is not seen, two are")
  func percentile() {
    func estimate(slow: Int) -> UInt64 {
      var time = ComputeTime(warmUp: 1000)
      for i in 0..<1000 { _ = time.add(i % 25 < slow ? 2000 : 1000) }
      return time.estimate
    }
    #expect(estimate(slow: 1) == 1050)
    #expect(estimate(slow: 2) == 2100)
  }

  @Test(
    "It changes when it has grown, or is more than a quarter too high",
    arguments: [(1000, 0), (1049, 0), (1060, 1), (800, 0), (740, 1)] as [(UInt64, Int)])
  func hysteresis(measured: UInt64, changes: Int) {
    var time = ComputeTime(warmUp: 1000)
    var count = 0
    for _ in 0..<1000 where time.add(measured) { count += 1 }
    #expect(count == changes)
  }
}
