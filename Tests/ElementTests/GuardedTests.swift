// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import Foundation
import SyncDiffElement
import Testing

@Suite struct GuardedTests {
  @Test("Changes of many threads are all there")
  func changes() {
    let count = Guarded(0)
    DispatchQueue.concurrentPerform(iterations: 8) { _ in for _ in 0..<10_000 { count.change { $0 += 1 } } }
    #expect(count.read { $0 } == 80_000)
  }

  @Test("Who waits looks again after each change, also one that another waiting thread has made")
  func handsOn() {
    let place = Guarded(0)
    for number in 0..<4 {
      Thread.detachNewThread {
        for round in 0..<100 {
          place.wait { (place: inout Int) -> Turn<Void> in
            guard place == 4 * round + number else { return .wait(until: nil) }
            place += 1
            return .done(())
          }
        }
      }
    }
    place.wait { (place: inout Int) -> Turn<Void> in place == 400 ? .done(()) : .wait(until: nil) }
    #expect(place.read { $0 } == 400)
  }

  @Test("A wait ends at its time, and `again` looks at once")
  func times() {
    let looks = Guarded(0)
    let limit = Int64(g_get_monotonic_time()) + 20_000
    let ended: Int64 = looks.wait { looks in
      looks += 1
      if looks < 3 { return .again }
      let now = Int64(g_get_monotonic_time())
      return now < limit ? .wait(until: limit) : .done(now)
    }
    #expect(ended >= limit && looks.read { $0 } >= 4)
  }
}
