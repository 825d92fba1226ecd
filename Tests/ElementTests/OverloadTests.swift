// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import SyncDiffElement
import Testing

private let ms: Int64 = 1_000_000

/// A stream of 25 frames a second on a machine of a certain speed. Times in ms.
private struct Machine {
  var overload = Overload()
  var steps = 4
  /// What painting takes with all steps; half of 4 take two thirds, of 2 three quarters, the mouth of the frame before a
  /// tenth.
  var full: Int64 = 20
  /// How often there is a frame that takes half as long again: every so many.
  var hiccups = Int.max
  /// Before the next frame has to leave, when nothing is late: one frame and what painting takes.
  private var left: Int64 = 60
  private(set) var frame = 0
  /// Every change so far, as "level reason at frame".
  private(set) var changes: [String] = []
  private(set) var work: [Overload.Work] = []

  /// Runs `count` frames; late ones hold up those behind them.
  mutating func run(_ count: Int) {
    for _ in 0..<count {
      let time = RunningTime(nanoseconds: UInt64(frame) * 40_000_000)
      let (work, change) = overload.plan(time, left: left * ms, interval: 40 * ms, steps: steps)
      if let change { changes.append("\(change.level.rawValue) \(change.reason.rawValue) \(frame)") }
      self.work.append(work)
      var took: Int64 = 0
      switch work {
      case .paint(let painted): took = full * Int64(painted + 2) / Int64(steps + 2)
      case .reuse: took = full / 10
      case .pass: break
      }
      if frame % hiccups == hiccups - 1 { took += took / 2 }
      if case .paint = work { overload.took(took * ms) }
      left -= took
      overload.finished(left: left * ms)
      left = min(left + 40, 60)
      frame += 1
    }
  }
}

@Suite struct OverloadTests {
  @Test("A machine that is fast enough paints every frame in full")
  func idle() {
    var machine = Machine()
    machine.run(1000)
    #expect(machine.changes == [] && machine.work.allSatisfy { $0 == .paint(steps: 4) })
  }

  @Test(
    "Down the ladder as far as the load asks, and no further",
    arguments: [(39, 0), (45, 1), (70, 2), (400, 3)] as [(Int64, Int)])
  func down(full: Int64, level: Int) {
    var machine = Machine()
    machine.full = full
    machine.run(40)
    #expect(machine.overload.level.rawValue == level)
    #expect(machine.changes.count == level)
  }

  @Test("Each rung does less: half of the steps, then every other frame, then none")
  func rungs() {
    var machine = Machine()
    machine.run(1)
    machine.full = 500
    machine.run(5)
    #expect(
      machine.work == [
        .paint(steps: 4), .paint(steps: 4), .paint(steps: 2), .reuse, .pass, .pass,
      ])
    #expect(machine.changes == ["1 late 2", "2 late 3", "3 late 4"])
  }

  @Test("When the load is gone it climbs one rung every two seconds")
  func up() {
    var machine = Machine()
    machine.full = 500
    machine.run(10)
    machine.full = 20
    machine.run(400)
    #expect(machine.overload.level == .full)
    let climbs = machine.changes.filter { $0.contains("headroom") }.compactMap { $0.split(separator: " ").last }
    let frames = climbs.compactMap { Int($0) }
    #expect(frames.count == 3)
    #expect(zip(frames, frames.dropFirst()).allSatisfy { (50...52).contains($1 - $0) }, "\(machine.changes)")
  }

  @Test("After a moment of load all steps come back, also where they hardly fit and some frames take longer")
  func moment() {
    for (steps, full) in [(4, 30), (2, 32)] as [(Int, Int64)] {
      var machine = Machine()
      (machine.steps, machine.full, machine.hiccups) = (steps, full, 12)
      machine.run(50)
      machine.full = 90
      machine.run(3)
      #expect(machine.overload.level != .full)
      machine.full = full
      machine.run(300)
      #expect(machine.overload.level == .full, "\(machine.changes)")
    }
  }

  @Test("It does not climb to work that would not fit")
  func stays() {
    var machine = Machine()
    machine.full = 45  // 30 ms with half of the steps
    machine.run(2000)
    #expect(machine.changes == ["1 late \(machine.work.firstIndex(of: .paint(steps: 2)) ?? -1)"])
  }

  @Test("A climb that fails at once makes the next one wait longer, so an overloaded night is quiet")
  func backOff() {
    var machine = Machine()
    machine.full = 3000
    machine.run(25 * 3600)
    #expect(machine.changes.count < 150, "\(machine.changes.count) changes in an hour")
    machine.full = 20
    machine.run(25 * 200)
    #expect(machine.overload.level == .full)
  }

  @Test("A step that cannot be halved is no rung")
  func oneStep() {
    var overload = Overload()
    var levels: [Int] = []
    for i in 0..<3 {
      let (_, change) = overload.plan(frame(i), left: -1, interval: 40 * ms, steps: 1)
      if let change { levels.append(change.level.rawValue) }
    }
    #expect(levels == [2, 3])
  }

  @Test("Lateness at the sink counts for frames of the present level only, and not the scheduler's noise")
  func qos() {
    var overload = Overload()
    func next(_ i: Int) -> Overload.Change? {
      let (_, change) = overload.plan(frame(i), left: 60 * ms, interval: 40 * ms, steps: 4)
      overload.took(20 * ms)
      return change
    }
    #expect(next(10) == nil)
    overload.qos(frame(10), jitter: 19 * ms)
    #expect(next(11) == nil)
    overload.qos(frame(10), jitter: 30 * ms)
    let first = next(12)
    #expect(first?.level == .fewerSteps && first?.reason == .qos && first?.late == 30 * ms)
    overload.qos(frame(11), jitter: 70 * ms)
    #expect(next(13) == nil)
    overload.qos(frame(12), jitter: 70 * ms)
    #expect(next(14)?.level == .everyOther)
  }

  @Test("Switched off it goes back to the top at once, and says so once")
  func off() {
    var overload = Overload()
    _ = overload.plan(frame(0), left: -1, interval: 40 * ms, steps: 4)
    let (change, again) = (overload.off(), overload.off())
    #expect(change?.level == .full && change?.reason == .off && again == nil)
  }

  @Test("After a flush the level stays, and two seconds begin anew")
  func flush() {
    var overload = Overload()
    _ = overload.plan(frame(0), left: -1, interval: 40 * ms, steps: 4)
    for i in 1..<40 { _ = overload.plan(frame(i), left: 60 * ms, interval: 40 * ms, steps: 4) }
    overload.flushed()
    var climbs: [Int] = []
    for i in 0..<60 {
      let (_, change) = overload.plan(frame(i), left: 60 * ms, interval: 40 * ms, steps: 4)
      if change?.level == .full { climbs.append(i) }
    }
    #expect(climbs == [50])
  }

  @Test("Nothing traps, whatever a stream says")
  func extremes() {
    var overload = Overload()
    for value in [Int64.min, -1, 0, 1, .max] {
      for time in [UInt64.min, 1, .max] {
        _ = overload.plan(RunningTime(nanoseconds: time), left: value, interval: value, steps: 4)
        overload.took(value)
        overload.finished(left: value)
        overload.qos(RunningTime(nanoseconds: time), jitter: value)
      }
    }
  }

  private func frame(_ index: Int) -> RunningTime { RunningTime(nanoseconds: UInt64(index) * 40_000_000) }
}
