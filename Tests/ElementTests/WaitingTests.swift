// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import SyncDiffElement
import Testing

/// Milliseconds of running time.
private func ms(_ time: UInt64) -> RunningTime { RunningTime(nanoseconds: time * 1_000_000) }

/// One frame that waits, and the time that passes meanwhile: everything in milliseconds.
private struct Timeline {
  var waiting = Waiting()
  private(set) var now: Int64 = 10_000
  private var wait: Waiting.FrameWait
  var timeout: Int64? = 5000
  var isResting = false
  /// Until the frame's deadline.
  var left: Int64?

  /// Sound is linked and held up to `sound`; the frame needs 250 ms more than its time.
  init(frame: UInt64, sound: UInt64? = nil, live: UInt64? = nil) {
    wait = Waiting.FrameWait(frame: ms(frame), now: 10_000_000)
    waiting.sync.linked = true
    waiting.sync.lookahead = 250_000_000
    waiting.liveLatency = live.map { $0 * 1_000_000 }
    waiting.sync.live = live != nil
    waiting.audioCame = 10_000_000
    if let sound { waiting.sync.audioArrived(ms(0)..<ms(sound)) }
  }

  var around: Waiting.Surroundings {
    let isResting = isResting
    return Waiting.Surroundings(now: now * 1000, timeout: timeout.map { $0 * 1000 }) { isResting }
  }

  /// What the frame does when so much time has passed, with times of a wait counted from the present.
  mutating func after(_ milliseconds: Int64) -> Waiting.FrameStep {
    now += milliseconds
    left = left.map { $0 - milliseconds }
    let step = waiting.next(&wait, left: left.map { $0 * 1_000_000 }, around)
    guard case .wait(let until?) = step else { return step }
    return .wait(until: until / 1000 - now)
  }

  /// Sound up to this time has come now.
  mutating func hear(_ time: UInt64) {
    waiting.sync.audioArrived(ms(0)..<ms(time))
    waiting.audioCame = now * 1000
  }

  mutating func end() { waiting.ended(wait, last: nil) }

  var account: String {
    waiting.account(of: wait, left: left.map { $0 * 1_000_000 }, until: nil, around)
  }
}

@Suite struct WaitingTests {
  // MARK: A frame waits for its sound

  @Test("A frame goes when its sound has come")
  func comes() {
    var timeline = Timeline(frame: 1000, sound: 1100)
    #expect(timeline.after(0) == .wait(until: 200))  // then sound lags
    timeline.hear(1250)
    #expect(timeline.after(100) == .paint)
  }

  @Test("When none comes for 200 ms more frames are let in, then it waits for the rest of the timeout, then warns once")
  func stalls() {
    var timeline = Timeline(frame: 1000, sound: 900)
    #expect(timeline.after(199) == .wait(until: 1))
    #expect(timeline.after(1) == .makeRoom)
    #expect(timeline.after(0) == .wait(until: 4800))
    #expect(timeline.after(4799) == .wait(until: 1))
    #expect(timeline.after(1) == .warn(ahead: nil))
    #expect(timeline.after(0) == .pass)
  }

  @Test("Each time that sound comes the timeout begins anew")
  func dribbles() {
    var timeline = Timeline(frame: 9000)
    for second in 1..<8 as Range<UInt64> {
      #expect(timeline.after(1) != .warn(ahead: nil))
      timeline.hear(second * 1000)
      #expect([.makeRoom, .wait(until: 1001)].contains(timeline.after(3999)))
    }
  }

  @Test("Without a timeout it waits for ever")
  func forEver() {
    var timeline = Timeline(frame: 1000)
    timeline.timeout = nil
    #expect(timeline.after(200) == .makeRoom)
    #expect(timeline.after(1_000_000) == .wait(until: nil))
  }

  @Test("Time in PAUSED is neither a stall nor a lag: the whole timeout begins when it is over")
  func paused() {
    var timeline = Timeline(frame: 1000)
    timeline.isResting = true
    #expect(timeline.after(0) == .wait(until: nil))
    #expect(timeline.after(60_000) == .wait(until: nil))
    timeline.isResting = false
    timeline.waiting.resumed(timeline.now * 1000)
    #expect(timeline.after(0) == .wait(until: 200))
    #expect(timeline.after(200) == .makeRoom)
    #expect(timeline.after(4800) == .warn(ahead: nil))
  }

  @Test("Sound that stalls again gets a quarter of the patience, and no second warning")
  func stallsAgain() {
    var timeline = Timeline(frame: 1000)
    #expect(timeline.after(200) == .makeRoom)
    #expect(timeline.after(4800) == .warn(ahead: nil))
    timeline.hear(1260)  // the frame finds it, so frames wait again
    #expect(timeline.after(0) == .paint)
    var next = Timeline(frame: 1280)
    next.waiting = timeline.waiting
    next.waiting.audioCame = 10_000_000
    #expect(next.after(0) == .wait(until: 1250))
    #expect(next.after(1250) == .pass)
  }

  @Test("Sound lags until it is there for every frame that is held")
  func lags() {
    var timeline = Timeline(frame: 1000)
    #expect(timeline.after(200) == .makeRoom)
    #expect(timeline.waiting.audioLags)
    timeline.end()
    #expect(timeline.waiting.audioLags)
    timeline.hear(1250)
    timeline.end()
    #expect(!timeline.waiting.audioLags)
  }

  @Test("A live frame waits until its deadline, and goes without a word")
  func deadline() {
    var timeline = Timeline(frame: 1000, live: 100)
    timeline.left = 80
    #expect(timeline.after(0) == .wait(until: 5100))  // the latency and the timeout
    #expect(timeline.after(79) == .wait(until: 5021))
    #expect(timeline.after(1) == .pass)
  }

  @Test("Live, no sound for the timeout is told of at a deadline")
  func liveStall() {
    var timeline = Timeline(frame: 1000, live: 100)
    timeline.left = 6000
    #expect(timeline.after(5099) == .wait(until: 1))
    #expect(timeline.after(1) == .warn(ahead: 900_000_000))
    #expect(timeline.after(0) == .pass)
  }

  @Test("A live frame that is further ahead of the clock than latency and timeout does not wait at all")
  func farAhead() {
    var timeline = Timeline(frame: 1000, live: 100)
    timeline.left = 3_600_000
    #expect(timeline.after(0) == .warn(ahead: 3_600_000_000_000))
  }

  @Test("Live and not playing there are no deadlines, and no stall")
  func livePaused() {
    var timeline = Timeline(frame: 1000, live: 100)
    #expect(timeline.after(60_000) == .wait(until: nil))
  }

  @Test("A frame that passes for want of time tells once that there is no sound")
  func overlooked() {
    var timeline = Timeline(frame: 1000)
    func news(_ now: Int64) -> Bool { timeline.waiting.overlooks(ms(1000), now: now * 1000, timeout: 5_000_000) }
    #expect([14_999, 15_000, 15_001].map(news) == [false, true, false])
    var heard = Timeline(frame: 1000, sound: 1250)
    let isNews = heard.waiting.overlooks(ms(1000), now: 1_000_000_000, timeout: 5_000_000)
    #expect(!isNews)
  }

  @Test("What a frame waits for, and how long, in words")
  func account() {
    var timeline = Timeline(frame: 1040, sound: 1100)
    _ = timeline.after(150)
    #expect(
      timeline.account
        == "the frame at 1.040 s waits for audio up to 1.290 s: it has arrived up to 1.100 s, the last 0.150 s ago; "
        + "it waits at most 4.850 s more")
    timeline.isResting = true
    _ = timeline.after(0)
    let rest = "it waits for as long as the pipeline rests in PAUSED, or downstream blocks earlier frames"
    #expect(timeline.account.hasSuffix(rest))
    var live = Timeline(frame: 0, live: 100)
    live.left = 80
    live.timeout = nil
    _ = live.after(0)
    #expect(
      live.account
        == "the frame at 0.000 s waits for audio up to 0.250 s: none has arrived, the last 0.000 s ago; "
        + "it waits for as long as it takes, or until its deadline in 0.080 s")
  }

  // MARK: The picture waits for room

  /// As after a LATENCY query: look-ahead and one frame of 40 ms, 30 ms for painting.
  private func waiting(live: UInt64? = nil) -> Waiting {
    var waiting = Waiting()
    waiting.sync.linked = true
    (waiting.latencyReported, waiting.paintingTime) = (320_000_000, 30_000_000)
    waiting.frameDuration = 40_000_000
    waiting.liveLatency = live.map { $0 * 1_000_000 }
    return waiting
  }

  /// The last frame that is let in behind one at 0, and how many that makes.
  private func room(_ waiting: Waiting, bytes: Int = 1000, apart: UInt64 = 40) -> Int {
    (0..<10_000).first { held in
      !waiting.hasRoom(forFrameAt: ms(UInt64(held) * apart), bytes: bytes, held: held, first: ms(0))
    } ?? .max
  }

  @Test("Frames are held for the latency and 100 ms more; without a link two")
  func room() {
    #expect(room(waiting()) == 10)  // 390 ms: without what painting takes
    #expect(room(waiting(live: 100)) == 14)  // 520 ms
    #expect(room(waiting(), apart: 10) == 40)
    var unlinked = waiting()
    unlinked.sync.linked = false
    #expect(room(unlinked) == 2)
  }

  @Test("While sound lags 3.5 s are held, unless the frames are large")
  func wideRoom() {
    var timeline = Timeline(frame: 0)
    (timeline.waiting.latencyReported, timeline.waiting.paintingTime) = (320_000_000, 30_000_000)
    #expect(timeline.after(200) == .makeRoom)
    #expect(room(timeline.waiting) == 95)
    #expect(room(timeline.waiting, bytes: Waiting.mostBytes / 20) == 20)
  }

  @Test("Frames without a place in time are counted by the caps")
  func untimedRoom() {
    let waiting = waiting()
    #expect(waiting.hasRoom(forFrameAt: nil, bytes: 1, held: 10, first: nil))
    #expect(!waiting.hasRoom(forFrameAt: nil, bytes: 1, held: 11, first: nil))
  }

  // MARK: The sound waits for room

  /// Sound up to this many seconds after a minute of it.
  private func sound(
    _ waiting: inout Waiting, at now: Int64, live: Bool = false, resting: Bool = false
  ) -> Waiting.AudioStep {
    waiting.next(
      audioUpTo: ms(60_500), isLive: live, Waiting.Surroundings(now: now * 1000, timeout: 5_000_000) { resting })
  }

  private func fullMinute() -> Waiting {
    var waiting = waiting()
    waiting.sync.audioArrived(ms(0)..<ms(60_000))
    return waiting
  }

  @Test("Sound a minute ahead waits for the picture; when that starves, for the timeout, and then old sound goes")
  func full() {
    var waiting = fullMinute()
    #expect(sound(&waiting, at: 1000) == .wait(until: nil))
    waiting.starvingSince = 2_000_000
    #expect(sound(&waiting, at: 3000) == .wait(until: 7_000_000))
    #expect(sound(&waiting, at: 7000, resting: true) == .wait(until: nil))
    #expect(sound(&waiting, at: 7000) == .giveWay)
    waiting.sync.passed(ms(10_000))
    #expect(sound(&waiting, at: 7001) == .append)
    waiting.sync.audioFlushed()
    waiting.sync.audioArrived(ms(0)..<ms(60_000))
    #expect(sound(&waiting, at: 8000) == .wait(until: 13_000_000))  // the full timeout again
  }

  @Test("Live sound never waits")
  func liveSound() {
    var waiting = fullMinute()
    #expect(sound(&waiting, at: 0, live: true) == .giveWay)
  }

  @Test("A loop's sound waits for its picture, a second at most")
  func loop() {
    var waiting = waiting()
    waiting.loopFrom = 1_000_000
    #expect(sound(&waiting, at: 1999) == .wait(until: 2_000_000))
    #expect(sound(&waiting, at: 2000) == .append)
    #expect(sound(&waiting, at: 1500) == .append)  // that is over
  }
}
