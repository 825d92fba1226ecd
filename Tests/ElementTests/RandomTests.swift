// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whatever comes, in whatever order: frames, sound, holes, events, flushes, caps, queries, pads, properties and states, drawn
// from a seed, on one thread or on three. After each sequence: every frame has come out once, in its place and as it was,
// nothing hangs, nothing is held, nothing leaks, and there is one error at most.
//
// SYNCDIFF_SEQUENCES=100000 runs more of them; SYNCDIFF_SEED=N SYNCDIFF_SEQUENCES=1 repeats the one that failed.

import CGStreamer
import Foundation
import SyncDiff
import Synchronization
import TestSupport
import Testing

@Suite struct RandomTests {
  @Test("Frames out are frames in, in their places, whatever happens between them")
  func sequences() throws {
    #expect(gstreamer)
    let environment = ProcessInfo.processInfo.environment
    let count = environment["SYNCDIFF_SEQUENCES"].flatMap { UInt64($0) } ?? 10_000
    let first = environment["SYNCDIFF_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0..<1 << 48)
    let file = try untrainedModelFile(window: 32)
    defer { try? FileManager.default.removeItem(at: file) }
    let model = try Model.load(path: file.path)  // stays loaded
    let portraits = try ["I420", "NV12", "UYVY", "BGRx", "I422_10LE"].map { format in
      Trial.Portrait(format: format, side: 208, bytes: try portrait(format, side: 208))
    }
    let watchdog = Watchdog(first)
    defer { watchdog.stop() }
    let began = g_get_monotonic_time()
    for seed in first..<first + count {
      watchdog.seed.store(seed, ordering: .relaxed)
      let sequence = try Trial(seed, model: file.path, portraits: portraits)
      if let problem = sequence.play() {
        Issue.record("SYNCDIFF_SEED=\(seed): \(problem)\n\(sequence.script)")
        break
      }
    }
    print("random sequences from \(first) on: \((g_get_monotonic_time() - began) / 1_000_000) s")
    withExtendedLifetime(model) {}
  }
}

/// Ends the process when one sequence takes a minute: a hang would otherwise say nothing.
private final class Watchdog: Sendable {
  let seed: Atomic<UInt64>
  private let running = Atomic(true)

  init(_ first: UInt64) {
    seed = Atomic(first)
    Thread.detachNewThread { [self] in
      var (last, since) = (first, g_get_monotonic_time())
      while running.load(ordering: .relaxed) {
        g_usleep(100_000)
        let present = seed.load(ordering: .relaxed)
        if present != last { (last, since) = (present, g_get_monotonic_time()) }
        if g_get_monotonic_time() - since > 60_000_000 { fatalError("SYNCDIFF_SEED=\(present) hangs") }
      }
    }
  }

  func stop() { running.store(false, ordering: .relaxed) }
}
