// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One random sequence: the element's life, and whether what came out is what went in.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import Synchronization
import TestSupport
import Testing

/// An element, from its making to its end.
final class Trial: @unchecked Sendable {
  private var dice: Dice
  let kind: Kind
  let element: UnsafeMutablePointer<GstElement>
  private let bus: UnsafeMutablePointer<GstBus>
  private let sink: UnsafeMutablePointer<GstPad>
  let downstream: Downstream
  let picture: Upstream
  let sound: Upstream
  let census = Census()
  let portraits: [Portrait]
  let isThreaded: Bool
  private let isLive: Bool

  var clock: UnsafeMutablePointer<GstClock>?
  var audio: UnsafeMutablePointer<GstPad>?
  var info = GstVideoInfo()
  var portrait: Portrait?
  var capsRefused = false
  var frames: UInt64 = 0
  var soundInfo = GstAudioInfo()
  private let stopping = Atomic(false)
  private let finished = Atomic(0)
  private let firstProblem = Mutex<String?>(nil)
  private var moves: [Move] = []
  private var errors: [String] = []
  /// Errors that must not be.
  private var surprises: [String] = []

  struct Portrait: Sendable {
    let format: String
    let side: Int
    let bytes: [UInt8]
  }

  init(_ seed: UInt64, model: String, portraits: [Portrait]) throws {
    var dice = Dice(seed)
    self.portraits = portraits
    kind = dice.one(in: 25) ? .faces : dice.one(in: 12) ? .faceless : .passing
    (isThreaded, isLive) = dice.pick([(false, false), (false, false), (false, false), (true, false), (true, true)])
    self.dice = dice
    element = try #require(gst_element_factory_make("syncdiff", nil))
    gst_object_ref_sink(element)
    bus = gst_bus_new()
    gst_element_set_bus(element, bus)
    downstream = Downstream(untouched: kind != .faces)
    picture = Upstream("picture", live: isLive)
    sound = Upstream("sound", live: isLive)
    sink = newPad("after", GST_PAD_SINK)
    set("preload", "false")
    set("model", model)
    set("stall-timeout", "2000000")
    set("steps", "1")
    set("passthrough", kind == .passing ? "true" : "false")

    gst_pad_set_element_private(sink, Unmanaged.passUnretained(downstream).toOpaque())
    gst_pad_set_chain_function_full(
      sink,
      { pad, _, buffer in
        let downstream = Unmanaged<Downstream>.fromOpaque(gst_pad_get_element_private(pad)).takeUnretainedValue()
        return buffer.map { downstream.chain($0) } ?? GST_FLOW_ERROR
      }, nil, nil)
    gst_pad_set_event_function_full(
      sink,
      { pad, _, event in
        let downstream = Unmanaged<Downstream>.fromOpaque(gst_pad_get_element_private(pad)).takeUnretainedValue()
        return event.map { downstream.receive($0) } == true ? 1 : 0
      }, nil, nil)
    gst_pad_set_query_function_full(
      sink,
      { pad, parent, query in
        guard let query, query.pointee.type == GST_QUERY_ACCEPT_CAPS else {
          return gst_pad_query_default(pad, parent, query)
        }
        gst_query_set_accept_caps_result(query, 1)
        return 1
      }, nil, nil)
    withPad("src") { _ = gst_pad_link($0, sink) }
    withPad("sink") { _ = gst_pad_link(picture.pad, $0) }
  }

  /// Plays the sequence, and says what is wrong with it.
  func play() -> String? {
    var problem: String?
    for _ in 0..<dice.pick([1, 1, 1, 2, 3]) where problem == nil { problem = live() }
    return problem ?? leave()
  }

  var script: String { "\(kind)\(isThreaded ? ", threads" : "")\(isLive ? ", live" : ""): \(moves)" }

  func withPad(_ name: String, _ body: (UnsafeMutablePointer<GstPad>) -> Void) {
    guard let pad = gst_element_get_static_pad(element, name) else { return }
    body(pad)
    gst_object_unref(pad)
  }

  func set(_ name: String, _ value: String) {
    gst_util_set_object_arg(UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self), name, value)
  }

  func report(_ problem: String) { firstProblem.withLock { if $0 == nil { $0 = problem } } }

  // MARK: From READY to READY

  private func live() -> String? {
    clock = gst_test_clock_new()
    gst_element_set_clock(element, clock)
    gst_element_set_base_time(element, 0)
    for upstream in [picture, sound] { upstream.reset() }
    gst_pad_set_active(sink, 1)
    (capsRefused, portrait) = (false, nil)
    stopping.store(false, ordering: .relaxed)
    finished.store(0, ordering: .relaxed)
    if audio == nil, !dice.one(in: 8) { request() }
    gst_element_set_state(element, GST_STATE_PLAYING)
    for upstream in [picture, sound] { upstream.push(gst_event_new_stream_start("random")) }
    pictureCaps(&dice)
    soundCaps(&dice)

    let moves = (0..<dice.pick([3, 10, 20, 40])).map { _ in Move(step: dice.pick(Step.table), seed: dice.next()) }
    self.moves += moves
    let isDrained = !dice.one(in: 3)
    if isThreaded { playOnThreads(moves, thenStop: !isDrained) } else { for move in moves { take(move) } }
    downstream.open()
    if isDrained { drain() }
    return stop(isDrained)
  }

  private func playOnThreads(_ moves: [Move], thenStop: Bool) {
    let threads = [Step.Thread.picture, .sound].map { thread in
      let box = Unmanaged.passRetained(Script(self, moves.filter { $0.step.thread == thread }))
      return g_thread_new(
        "random",
        { box in
          if let box { Unmanaged<Script>.fromOpaque(box).takeRetainedValue().play() }
          return nil
        }, box.toOpaque())
    }
    for move in moves where move.step.thread == .application {
      take(move)
      if dice.one(in: 4) { g_usleep(gulong(dice.pick([0, 50, 200, 1000]))) }
    }
    downstream.open()
    if thenStop {
      stopping.store(true, ordering: .relaxed)
      if dice.one(in: 2) { gst_pad_set_active(sink, 0) }
      gst_element_set_state(element, GST_STATE_READY)
    } else {
      gst_element_set_state(element, GST_STATE_PLAYING)
      while finished.load(ordering: .relaxed) < 2 {
        advance(to: .max / 4 * 3)
        g_usleep(100)
      }
    }
    for thread in threads { g_thread_join(thread) }
  }

  /// What one thread does.
  private final class Script {
    let sequence: Trial
    let moves: [Move]

    init(_ sequence: Trial, _ moves: [Move]) { (self.sequence, self.moves) = (sequence, moves) }

    func play() {
      for move in moves where !sequence.stopping.load(ordering: .relaxed) { sequence.take(move) }
      sequence.finished.add(1, ordering: .relaxed)
    }
  }

  /// EOS, and everything before it.
  private func drain() {
    gst_element_set_state(element, GST_STATE_PLAYING)
    if capsRefused { plainCaps() }
    if picture.ended, dice.one(in: 2) { streamStart(picture) }
    if !picture.ended { end(picture) }
    guard let eos = picture.taken.last else { return }
    let limit = g_get_monotonic_time() + 30_000_000
    while !downstream.has(eos) {
      advance(to: .max / 4 * 3)
      if g_get_monotonic_time() > limit { return report("EOS does not come") }
    }
    if stats["frames-held"] != "0" { report("frames are held after EOS: \(stats)") }
    if census.alive.load(ordering: .relaxed) != 0 { report("buffers are alive after EOS") }
  }

  private func stop(_ isDrained: Bool) -> String? {
    if dice.one(in: 2) { gst_pad_set_active(sink, 0) }
    gst_element_set_state(element, dice.one(in: 2) ? GST_STATE_NULL : GST_STATE_READY)
    gst_pad_set_active(sink, 0)
    endEpoch(isWhole: isDrained)
    let alive = census.alive.load(ordering: .relaxed)
    if alive != 0 { report("\(alive) buffers are alive in READY") }
    if picture.heardOfQoS.load(ordering: .relaxed) { report("QoS went upstream") }
    gst_element_set_clock(element, nil)
    gst_object_unref(clock)
    clock = nil
    if !surprises.isEmpty { report("\(surprises)") }
    return firstProblem.withLock { $0 }
  }

  /// The end of the element.
  private func leave() -> String? {
    gst_element_set_state(element, GST_STATE_NULL)
    if dice.one(in: 2) { release() }
    gst_pad_set_active(picture.pad, 0)
    gst_pad_set_active(sound.pad, 0)
    withPad("src") { _ = gst_pad_unlink($0, sink) }
    withPad("sink") { _ = gst_pad_unlink(picture.pad, $0) }
    if let audio {
      gst_pad_unlink(sound.pad, audio)
      gst_object_unref(audio)
    }
    gst_object_unref(sink)
    gst_element_set_bus(element, nil)
    gst_object_unref(bus)
    let isGone = Flag()
    g_object_weak_ref(
      UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self),
      { flag, _ in
        if let flag { Unmanaged<Flag>.fromOpaque(flag).takeUnretainedValue().value.store(true, ordering: .relaxed) }
      }, Unmanaged.passUnretained(isGone).toOpaque())
    gst_object_unref(element)
    return wait { isGone.value.load(ordering: .relaxed) } ? nil : "the element does not go"
  }

  private final class Flag: Sendable { let value = Atomic(false) }

  /// Between two flushes: what came out is what went in, or, if it was cut short, a beginning of it.
  func endEpoch(isWhole: Bool) {
    let (came, hasRefused) = downstream.take()
    let sent = Set(picture.taken.filter(\.isEvent).map(\.description))
    let seen = came.filter { !$0.isEvent || sent.contains($0.description) }
    let taken = picture.taken
    picture.taken = []
    let complaints = errors(since: hasRefused)
    let isLoose = complaints > 0 || hasRefused
    if complaints > 1 { report("\(complaints) errors: \(errors.suffix(complaints))") }
    if capsRefused { return }  // sticky events are sent again in GStreamer's order
    if isLoose || !isWhole {
      var rest = taken[...]
      for mark in seen {
        guard let place = rest.firstIndex(of: mark), isLoose || place == rest.startIndex else {
          return report("\(mark) is out of place: taken \(taken), seen \(seen)")
        }
        rest = rest[(place + 1)...]
      }
    } else if seen != taken {
      report("taken \(taken), seen \(seen)")
    }
  }

  /// Errors since the last time.
  private func errors(since hasRefused: Bool) -> Int {
    var count = 0
    while let message = gst_bus_pop(bus) {
      let post = Post(message)
      gst_message_unref(message)
      guard post.name == "error", let complaint = post.complaint else { continue }
      count += 1
      errors.append(complaint)
      let allowed = [
        "no face to paint", "audio pad is not linked", "No audio arrives", "audio has ended", "interlaced",
      ]
      let isAsked = allowed.contains { complaint.contains($0) } || hasRefused && complaint.contains("data stream error")
      if !isAsked { surprises.append(complaint) }
    }
    return count
  }
}
