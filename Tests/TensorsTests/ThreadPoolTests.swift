// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import Foundation
import Synchronization
import Tensors
import Testing

@Suite struct ThreadPoolTests {
  @Test func callsEveryIndexOnce() {
    for threads in 0...3 {
      for count in [0, 1, 2, 7, 1000] {
        let calls = (0..<count).map { _ in Counter() }
        ThreadPool.shared.limited(to: threads) {
          ThreadPool.shared.parallel(count: count) { calls[$0].value.add(1, ordering: .relaxed) }
        }
        #expect(calls.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
      }
    }
  }

  /// A piece may itself split work, all of which it then does itself.
  @Test func nests() {
    let total = Counter()
    ThreadPool.shared.parallel(count: 8) { _ in
      ThreadPool.shared.parallel(count: 8) { _ in total.value.add(1, ordering: .relaxed) }
    }
    #expect(total.value.load(ordering: .relaxed) == 64)
  }

  /// Both closures may split work, without exceeding the limit.
  @Test func computesBoth() {
    for pool in [ThreadPool.shared, Self.four] {
      for threads in 0...5 {
        for _ in 0..<100 {
          let busy = Busy()
          let (one, two) = pool.limited(to: threads) {
            pool.both {
              busy.work(64, on: pool)
            } and: {
              "\(busy.work(8, on: pool))"
            }
          }
          #expect(one == 64 * 63 / 2 && two == "28")
          let limit = threads == 0 ? pool.processors : min(threads, pool.processors)
          #expect(busy.most.load(ordering: .relaxed) <= limit)
        }
      }
    }
  }

  /// When one closure has ended, the other may use its thread.
  @Test func bothShareALimit() {
    let pool = Self.four
    let most = pool.limited(to: 2) {
      let ended = Counter()
      return pool.both {
        var most = 0
        for _ in 0..<2000 where most < 2 {
          let busy = Busy()
          _ = busy.work(8, on: pool, microseconds: 500)
          if ended.value.load(ordering: .relaxed) > 0 { most = max(most, busy.most.load(ordering: .relaxed)) }
        }
        return most
      } and: {
        usleep(20_000)
        ended.value.add(1, ordering: .relaxed)
      }.0
    }
    #expect(most == 2)
  }

  /// The maximum number of streams, each with its own work.
  @Test func callersDoNotMeet() async {
    await withTaskGroup(of: Int.self) { group in
      for caller in 1...8 {
        group.addTask {
          let total = Counter()
          for _ in 0..<200 {
            ThreadPool.shared.parallel(count: 16) { total.value.add(caller * $0, ordering: .relaxed) }
          }
          return total.value.load(ordering: .relaxed) - caller * 200 * 120
        }
      }
      for await rest in group { #expect(rest == 0) }
    }
  }

  /// The pool moves its workers between processors, but afterwards their affinity is as before.
  @Test func bindsNobody() throws {
    let total = Counter()
    for _ in 0..<2000 {
      ThreadPool.shared.parallel(count: 8) { piece in
        for i in 0..<2000 { total.value.add(piece ^ i, ordering: .relaxed) }
      }
    }
    let folder = "/proc/self/task"
    func allowed(_ task: String) -> Substring? {
      let status = try? String(contentsOfFile: "\(folder)/\(task)/status", encoding: .utf8)
      return status?.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list") }
    }
    let mine = try #require(allowed("\(getpid())"))
    // Another test may be moving a worker at this moment.
    let isFree = (0..<1000).contains { _ in
      usleep(1000)
      let tasks = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return tasks.allSatisfy { (allowed($0) ?? mine) == mine }
    }
    #expect(isFree)
  }

  /// Even after concurrent moves, a thread's affinity is as before.
  @Test func moversDoNotMeet() {
    let usual = ctensors_processors_allowed()
    let count = ctensors_processor_count(usual)
    let (me, home) = (ctensors_thread(), UInt(bitPattern: usual))
    DispatchQueue.concurrentPerform(iterations: 8) { i in
      for j in 0..<500 {
        ctensors_move(me, Int32(i + j) % count, false, OpaquePointer(bitPattern: home))
      }
    }
    #expect(ctensors_processor_count(ctensors_processors_allowed()) == count)
  }

  private static let four = ThreadPool(processors: 4)

  private final class Counter: Sendable { let value = Atomic(0) }

  /// The number of threads working at the same time.
  private final class Busy: Sendable {
    private let now = Atomic(0)
    let most = Atomic(0)

    /// The sum of the pieces' indices.
    func work(_ pieces: Int, on pool: ThreadPool, microseconds: UInt32 = 0) -> Int {
      let total = Atomic(0)
      pool.parallel(count: pieces) { piece in
        most.max(now.add(1, ordering: .relaxed).newValue, ordering: .relaxed)
        if microseconds > 0 { usleep(microseconds) }
        total.add(piece, ordering: .relaxed)
        now.subtract(1, ordering: .relaxed)
      }
      return total.load(ordering: .relaxed)
    }
  }
}
