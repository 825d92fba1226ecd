// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whatever comes, in whatever order: frames, sound, holes, events, flushes, caps, queries, pads, properties and states, drawn
// from a seed, on one thread or on three. After each sequence: every frame has come out once, in its place and as it was,
// nothing hangs, nothing is held, nothing leaks, and there is one error at most.
//
// SYNCDIFF_SEQUENCES=100000 runs more of them; SYNCDIFF_SEED=N SYNCDIFF_SEQUENCES=1 repeats the one that failed.

import CGStreamer
import CGStreamerCheck
import Foundation
import GstSyncDiff
import SyncDiff
import Synchronization
import TestSupport
import Testing

// MARK: What may happen

private enum Step: CaseIterable {
  // on the picture's thread
  case frame, tag, custom, gap, caps, segment, streamStart, query, end
  // on the sound's thread
  case sound, soundGap, soundCaps, soundSegment, soundStreamStart, soundEnd
  // on the application's thread
  case flush, flushSound, flushBoth, seek, qos, latency, stats, property, pause, link, unlink, request, release, clock
  case hold, refuse

  enum Thread { case picture, sound, application }

  var thread: Thread {
    switch self {
    case .frame, .tag, .custom, .gap, .caps, .segment, .streamStart, .query, .end: .picture
    case .sound, .soundGap, .soundCaps, .soundSegment, .soundStreamStart, .soundEnd: .sound
    default: .application
    }
  }

  private var weight: Int {
    switch self {
    case .frame: 40
    case .sound: 25
    case .property, .clock: 6
    case .caps, .custom, .flush: 3
    case .tag, .gap, .segment, .query, .soundGap, .soundCaps, .soundSegment, .seek, .qos, .latency, .stats: 2
    case .end, .refuse: 1
    default: 1
    }
  }

  static let table = allCases.flatMap { [Step](repeating: $0, count: $0.weight) }
}

/// A step with its own dice, so that threads do not share any.
private struct Move: CustomStringConvertible {
  let step: Step
  let seed: UInt64

  var description: String { "\(step)" }
}

/// What painting has to do with a sequence. Looking for faces takes its time, so most do without.
private enum Kind {
  case passing  // by the property passthrough
  case faceless
  case faces
}

// MARK: What comes out

/// All that has to stay as it was.
private struct Facts: Equatable, CustomStringConvertible {
  var number: UInt64  // its offset
  var times: [UInt64]
  var flags: UInt32
  var regions: [UInt32]
  /// Of a frame that must not be painted: where it lies, and whether it is grey.
  var address: UInt?
  var isGrey = true

  private static let grey = [UInt8](repeating: 128, count: 1 << 18)

  init(_ buffer: UnsafeMutablePointer<GstBuffer>, untouched: Bool) {
    let head = buffer.pointee
    number = UInt64(head.offset)
    times = [head.pts, head.dts, head.duration, head.offset_end].map { UInt64($0) }
    flags = head.mini_object.flags & ~GST_BUFFER_FLAG_TAG_MEMORY.rawValue
    regions = []
    var state: gpointer?
    while let meta = gst_buffer_iterate_meta_filtered(buffer, &state, gst_video_region_of_interest_meta_api_get_type())
    {
      let region = UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstVideoRegionOfInterestMeta.self).pointee
      regions += [region.x, region.y, region.w, region.h]
    }
    guard untouched else { return }
    address = UInt(bitPattern: buffer)
    let size = min(gst_buffer_get_size(buffer), gsize(Self.grey.count))
    isGrey = gst_buffer_memcmp(buffer, 0, Self.grey, size) == 0
  }

  var description: String { "\(number)@\(times[0])" }
}

/// Something that has to come out in its place.
private enum Mark: Equatable, CustomStringConvertible {
  case frame(Facts)
  case event(type: UInt32, number: UInt32)

  var isEvent: Bool { if case .event = self { true } else { false } }

  var description: String {
    switch self {
    case .frame(let facts): "\(facts)"
    case .event(let type, let number):
      "\(String(cString: gst_event_type_get_name(GstEventType(rawValue: type))))#\(number)"
    }
  }
}

/// The element behind the source pad.
private final class Downstream: @unchecked Sendable {
  private let condition = NSCondition()
  private var marks: [Mark] = []
  private var isHolding = false
  private var answer = GST_FLOW_OK
  /// Whether a frame has been refused.
  private var hasRefused = false
  let untouched: Bool

  init(untouched: Bool) { self.untouched = untouched }

  private func locked<Result>(_ body: () -> Result) -> Result {
    condition.lock()
    defer {
      condition.broadcast()
      condition.unlock()
    }
    return body()
  }

  func chain(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    let facts = Facts(buffer, untouched: untouched)
    gst_buffer_unref(buffer)
    return locked {
      if answer != GST_FLOW_OK { hasRefused = true } else { marks.append(.frame(facts)) }
      while isHolding { condition.wait() }
      if answer != GST_FLOW_OK { hasRefused = true }
      return answer
    }
  }

  func receive(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    let type = event.pointee.type
    let mark = Mark.event(type: type.rawValue, number: gst_event_get_seqnum(event))
    let isSerialized = gst_event_type_get_flags(type).rawValue & GST_EVENT_TYPE_SERIALIZED.rawValue != 0
    gst_event_unref(event)
    locked {
      if type == GST_EVENT_FLUSH_START { isHolding = false }
      if isSerialized, type != GST_EVENT_FLUSH_STOP { marks.append(mark) }
    }
    return true
  }

  /// Keeps the next frame, as a sink does that is paused.
  func hold() { locked { isHolding = true } }
  func open() { locked { isHolding = false } }
  /// Returns this for every frame.
  func refuse(_ answer: GstFlowReturn) { locked { self.answer = answer } }

  /// What has come since the last time, and whether some was refused. Accepts frames again.
  func take() -> ([Mark], hasRefused: Bool) {
    locked {
      defer { (marks, hasRefused, answer) = ([], false, GST_FLOW_OK) }
      return (marks, hasRefused)
    }
  }

  /// Waits a moment for this mark.
  func has(_ mark: Mark) -> Bool {
    condition.lock()
    defer { condition.unlock() }
    if !marks.contains(mark) { _ = condition.wait(until: Date(timeIntervalSinceNow: 0.001)) }
    return marks.contains(mark)
  }
}

/// A pad that takes everything, and says so by a template. Of one without a template `gst_pad_query_caps_default` reads the
/// negotiated caps without holding them: asked while a CAPS event arrives, it crashes.
private func newPad(_ name: String, _ direction: GstPadDirection) -> UnsafeMutablePointer<GstPad> {
  let any = gst_caps_new_any()
  let template = gst_pad_template_new(name, direction, GST_PAD_ALWAYS, any)
  defer {
    gst_object_unref(template)
    gst_caps_unref(any)
  }
  return gst_pad_new_from_template(template, name)
}

/// One of the two branches in front of the element.
private final class Upstream: @unchecked Sendable {
  let pad: UnsafeMutablePointer<GstPad>
  /// Held by its thread during each step; a flush takes it to know that the thread has come back.
  let turn = NSLock()
  let isLive: Bool
  var needsSegment = false
  var ended = false
  var time: GstClockTime = 0
  /// What has been taken in since the last flush.
  var taken: [Mark] = []
  /// Events that were not; sticky ones may come out nevertheless.
  var refused: Set<UInt32> = []
  let heardOfQoS = Atomic(false)

  init(_ name: String, live: Bool) {
    pad = newPad(name, GST_PAD_SRC)
    isLive = live
    gst_pad_set_element_private(pad, Unmanaged.passUnretained(self).toOpaque())
    gst_pad_set_event_function_full(
      pad,
      { pad, _, event in
        let me = Unmanaged<Upstream>.fromOpaque(gst_pad_get_element_private(pad)).takeUnretainedValue()
        if let event {
          if event.pointee.type == GST_EVENT_QOS { me.heardOfQoS.store(true, ordering: .relaxed) }
          gst_event_unref(event)
        }
        return 1
      }, nil, nil)
    gst_pad_set_query_function_full(
      pad,
      { pad, parent, query in
        guard let query, query.pointee.type == GST_QUERY_LATENCY else {
          return gst_pad_query_default(pad, parent, query)
        }
        let me = Unmanaged<Upstream>.fromOpaque(gst_pad_get_element_private(pad)).takeUnretainedValue()
        gst_query_set_latency(query, me.isLive ? 1 : 0, 10_000_000, 10_000_000)
        return 1
      }, nil, nil)
  }

  deinit { gst_object_unref(pad) }

  /// Pushes an event, and remembers whether it is to come out.
  func push(_ event: UnsafeMutablePointer<GstEvent>?) {
    guard let event else { return }
    let (type, number) = (event.pointee.type, gst_event_get_seqnum(event))
    if gst_pad_push_event(pad, event) != 0, !ended {
      taken.append(.event(type: type.rawValue, number: number))
    } else {
      refused.insert(number)
    }
  }

  func reset() {
    gst_pad_set_active(pad, 0)
    gst_pad_set_active(pad, 1)
    (taken, refused, ended, needsSegment, time) = ([], [], false, true, 0)
  }
}

// MARK: A sequence

/// Buffers that are alive.
private final class Census: Sendable {
  let alive = Atomic(0)

  func count(_ buffer: UnsafeMutablePointer<GstBuffer>) {
    alive.add(1, ordering: .relaxed)
    gst_mini_object_weak_ref(
      UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self),
      { box, _ in
        if let box { Unmanaged<Census>.fromOpaque(box).takeRetainedValue().alive.subtract(1, ordering: .relaxed) }
      }, Unmanaged.passRetained(self).toOpaque())
  }
}

/// An element, from its making to its end.
private final class Trial: @unchecked Sendable {
  private var dice: Dice
  private let kind: Kind
  private let element: UnsafeMutablePointer<GstElement>
  private let bus: UnsafeMutablePointer<GstBus>
  private let sink: UnsafeMutablePointer<GstPad>
  private let downstream: Downstream
  private let picture: Upstream
  private let sound: Upstream
  private let census = Census()
  private let portraits: [Portrait]
  private let isThreaded: Bool
  private let isLive: Bool

  private var clock: UnsafeMutablePointer<GstClock>?
  private var audio: UnsafeMutablePointer<GstPad>?
  private var info = GstVideoInfo()
  private var portrait: Portrait?
  private var capsRefused = false
  private var frames: UInt64 = 0
  private var soundInfo = GstAudioInfo()
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

  private func withPad(_ name: String, _ body: (UnsafeMutablePointer<GstPad>) -> Void) {
    guard let pad = gst_element_get_static_pad(element, name) else { return }
    body(pad)
    gst_object_unref(pad)
  }

  private func set(_ name: String, _ value: String) {
    gst_util_set_object_arg(UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self), name, value)
  }

  private func report(_ problem: String) { firstProblem.withLock { if $0 == nil { $0 = problem } } }

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
  private func endEpoch(isWhole: Bool) {
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
      let allowed = ["no face to paint", "No sound", "sound has ended", "interlaced"]
      let isAsked = allowed.contains { complaint.contains($0) } || hasRefused && complaint.contains("data stream error")
      if !isAsked { surprises.append(complaint) }
    }
    return count
  }

  // MARK: Steps

  private func take(_ move: Move) {
    var dice = Dice(move.seed)
    switch move.step.thread {
    case .picture: picture.turn.withLock { takePicture(move.step, &dice) }
    case .sound: sound.turn.withLock { takeSound(move.step, &dice) }
    case .application: takeApplication(move.step, &dice)
    }
  }

  private func takePicture(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .frame: frame(&dice)
    case .tag:
      guard let list = gst_tag_list_new_empty() else { return }
      gst_tag_list_set_scope(list, dice.pick([GST_TAG_SCOPE_STREAM, GST_TAG_SCOPE_GLOBAL]))
      picture.push(gst_event_new_tag(list))
    case .custom:
      picture.push(gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty("random")))
    case .gap: picture.push(gst_event_new_gap(picture.time, dice.pick([.max, 0, 40_000_000])))
    case .caps: pictureCaps(&dice)
    case .segment: segment(picture, &dice)
    case .streamStart: streamStart(picture)
    case .query: query(&dice)
    case .end: end(picture)
    default: break
    }
  }

  private func takeSound(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .sound: sound(&dice)
    case .soundGap:
      sound.push(gst_event_new_gap(sound.time, dice.pick([.max, 0, 40_000_000, 3 * second])))
      sound.time += 40_000_000
    case .soundCaps: soundCaps(&dice)
    case .soundSegment: segment(sound, &dice)
    case .soundStreamStart: streamStart(sound)
    case .soundEnd: end(sound)
    default: break
    }
  }

  private func takeApplication(_ step: Step, _ dice: inout Dice) {
    switch step {
    case .flush: flush(picture, &dice)
    case .flushSound: flush(sound, &dice)
    case .flushBoth:
      let order = dice.one(in: 2) ? [picture, sound] : [sound, picture]
      for upstream in order { flush(upstream, &dice) }
    case .seek:
      send(gst_event_new_seek(1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_NONE, -1))
    case .qos:
      let time = GstClockTime(dice.pick([1, 40, 1000])) * 40_000_000
      send(gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 1, dice.pick([-1, 1, 90_000_000]), time))
    case .latency:
      let query = gst_query_new_latency()
      withPad("src") { _ = gst_pad_query($0, query) }
      gst_query_unref(query)
    case .stats: _ = stats
    case .property:
      let (name, values) = dice.pick(Self.properties)
      set(name, dice.pick(values))
      if dice.one(in: 40) { set("missing-audio", "error") }
      if dice.one(in: 40) { set("no-face", "error") }
    case .pause:
      gst_element_set_state(element, GST_STATE_PAUSED)
      if dice.one(in: 2) { gst_element_set_state(element, GST_STATE_PLAYING) }
    case .link: if let audio, gst_pad_is_linked(audio) == 0 { gst_pad_link(sound.pad, audio) }
    case .unlink: if let audio { gst_pad_unlink(sound.pad, audio) }
    case .request: request()
    case .release: release()
    case .clock: advance(to: gst_clock_get_time(clock) + GstClockTime(dice.pick([1, 40, 400, 4000])) * 1_000_000)
    case .hold: if isThreaded { downstream.hold() }
    case .refuse:
      if dice.one(in: 3) {
        downstream.refuse(dice.pick([GST_FLOW_EOS, GST_FLOW_NOT_LINKED, GST_FLOW_ERROR, GST_FLOW_CUSTOM_ERROR]))
      }
    default: break
    }
  }

  private static let properties: [(String, [String])] = [
    ("threads", ["0", "1", "2"]), ("lookahead", ["-1", "0", "40000000", "1000000000"]), ("steps", ["0", "1", "2"]),
    ("guidance-scale", ["0", "1", "2"]), ("strength", ["0", "0.5", "1"]), ("seed", ["0", "18446744073709551615"]),
    ("audio-offset", ["0", "200000000", "-200000000", "25000000000", "-25000000000"]),
    ("face-select", ["largest", "center", "left", "right", "roi-meta", "all"]), ("max-faces", ["1", "16"]),
    ("roi", ["", "0,0,64,64", "-5,10,2147483647,2147483647", "9,9,0,9", "a,b"]), ("no-face", ["passthrough"]),
    ("silence", ["close", "passthrough"]), ("silence-threshold", ["-200", "-50", "0"]),
    ("silence-hold", ["0", "300000000", "2000000000"]), ("missing-audio", ["passthrough", "silence"]),
    ("scene-threshold", ["0", "0.01", "0.4", "1"]), ("overload", ["auto", "block", "degrade"]),
    ("processing-latency", ["0", "1", "100000000", "9223372036854775807"]),
    ("stall-timeout", ["1", "1000000", "3000000"]), ("qos", ["true", "false"]),
    ("post-messages", ["", "face+degrade+scene+stats"]), ("stats-interval", ["0", "1", "1000000000"]),
  ]

  private var stats: [String: String] {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    g_object_get_property(
      UnsafeMutableRawPointer(element).assumingMemoryBound(to: GObject.self), "stats", &value)
    defer { g_value_unset(&value) }
    return gst_value_get_structure(&value).map(texts) ?? [:]
  }

  private func send(_ event: UnsafeMutablePointer<GstEvent>?) { withPad("src") { _ = gst_pad_send_event($0, event) } }

  /// The clock never goes back. Whoever waits for it is called.
  private func advance(to time: GstClockTime) {
    guard let clock else { return }
    let test = UnsafeMutableRawPointer(clock).assumingMemoryBound(to: GstTestClock.self)
    if time > gst_clock_get_time(clock) { gst_test_clock_set_time(test, time) }
    while let id = gst_test_clock_process_next_clock_id(test) { gst_clock_id_unref(id) }
  }

  private func request() {
    guard audio == nil else { return }
    audio = gst_element_request_pad_simple(element, "audio")
    if let audio { gst_pad_link(sound.pad, audio) }
  }

  private func release() {
    guard let audio else { return }
    gst_element_release_request_pad(element, audio)
    gst_object_unref(audio)
    self.audio = nil
  }

  /// Not every flush is START, STOP: START may be missing, STOP come twice. Nobody may be held up by a sink, for a START
  /// that is missing or does not arrive, the pad being unlinked, lets nobody go.
  private func flush(_ upstream: Upstream, _ dice: inout Dice) {
    downstream.open()
    if !(dice.one(in: 4) && upstream.turn.try()) {
      gst_pad_push_event(upstream.pad, gst_event_new_flush_start())
      upstream.turn.lock()
    }
    defer { upstream.turn.unlock() }
    gst_pad_push_event(upstream.pad, gst_event_new_flush_stop(1))
    if upstream === picture { endEpoch(isWhole: false) }
    if dice.one(in: 4) { gst_pad_push_event(upstream.pad, gst_event_new_flush_stop(1)) }
    (upstream.needsSegment, upstream.ended, upstream.time) = (true, false, 0)
  }

  private func streamStart(_ upstream: Upstream) {
    upstream.ended = false
    upstream.push(gst_event_new_stream_start("random"))
    upstream.needsSegment = true
  }

  private func end(_ upstream: Upstream) {
    if upstream.needsSegment { plainSegment(upstream) }
    upstream.push(gst_event_new_eos())
    upstream.ended = true
  }

  private func plainSegment(_ upstream: Upstream) {
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    upstream.push(gst_event_new_segment(&segment))
    upstream.needsSegment = false
  }

  private func segment(_ upstream: Upstream, _ dice: inout Dice) {
    var segment = GstSegment()
    gst_segment_init(&segment, dice.one(in: 20) ? GST_FORMAT_BYTES : GST_FORMAT_TIME)
    if dice.one(in: 8) { segment.rate = dice.pick([2, 0.5, -1]) }
    if dice.one(in: 8) { segment.applied_rate = 2 }
    if dice.one(in: 8) { segment.base = second }
    if dice.one(in: 8) { segment.start = 100_000_000 }
    if segment.rate < 0 || dice.one(in: 8) { segment.stop = dice.pick([200_000_000, 3600 * second]) }
    if dice.one(in: 8) { segment.offset = 40_000_000 }
    upstream.push(gst_event_new_segment(&segment))
    upstream.needsSegment = false
  }

  // MARK: Pictures

  private func pictureCaps(_ dice: inout Dice) {
    portrait = kind == .faces && !dice.one(in: 4) ? dice.pick(portraits) : nil
    let side = portrait?.side ?? dice.pick([64, 64, 65, 80])
    let format = portrait?.format ?? dice.pick(Self.formats)
    let rate = dice.pick(["25/1", "25/1", "50/1", "30000/1001", "0/1", "1/10", "2147483647/1"])
    let interlaced = dice.one(in: 100) ? ",interlace-mode=interleaved" : ""
    let text =
      "video/x-raw,format=\(format),width=\(side),height=\(portrait == nil ? dice.pick([64, 71]) : side),"
      + "framerate=\(rate)\(interlaced)"
    guard let caps = gst_caps_from_string(text) else { return }
    gst_video_info_from_caps(&info, caps)
    if !interlaced.isEmpty { capsRefused = true }
    picture.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  private func plainCaps() {
    guard let caps = gst_caps_from_string("video/x-raw,format=I420,width=64,height=64,framerate=25/1") else { return }
    gst_video_info_from_caps(&info, caps)
    portrait = nil
    picture.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  private static let formats = [
    "I420", "YV12", "NV12", "NV21", "Y42B", "Y444", "YUY2", "UYVY", "RGB", "BGR", "RGBx", "BGRx", "xRGB", "xBGR",
    "RGBA", "BGRA", "ARGB", "ABGR", "I420_10LE", "P010_10LE", "I422_10LE", "v210",
  ]

  private func frame(_ dice: inout Dice) {
    if picture.needsSegment { plainSegment(picture) }
    let size = dice.one(in: 50) ? dice.pick([0, 1, 1000]) : info.size
    guard let buffer = gst_buffer_new_allocate(nil, size, nil) else { return }
    if let portrait, size == info.size, !dice.one(in: 8) {
      gst_buffer_fill(buffer, 0, portrait.bytes, size)
    } else {
      gst_buffer_memset(buffer, 0, 128, size)
    }
    frames += 1
    buffer.pointee.offset = guint64(frames)
    buffer.pointee.offset_end = dice.pick([.max, 7])
    buffer.pointee.pts = dice.one(in: 20) ? .max : picture.time
    buffer.pointee.dts = dice.pick([.max, picture.time])
    buffer.pointee.duration = dice.pick([.max, 0, 40_000_000, 40_000_000, 40_000_000, .max - 1])
    for flag in [GST_BUFFER_FLAG_DISCONT, GST_BUFFER_FLAG_GAP, GST_BUFFER_FLAG_MARKER, GST_BUFFER_FLAG_DELTA_UNIT] {
      if dice.one(in: 20) { buffer.pointee.mini_object.flags |= flag.rawValue }
    }
    if dice.one(in: 20) {
      gst_buffer_add_video_region_of_interest_meta(
        buffer, dice.pick(["face", "car"]), dice.pick([0, 9, .max]), 0, 60, 60)
    }
    picture.time += GstClockTime(dice.pick([40, 40, 40, 40, 40, 20, 0, 500, 3_000])) * 1_000_000
    if dice.one(in: 30) { picture.time = dice.pick([0, 1, second, 3600 * second, .max / 2]) }
    let mark = Mark.frame(Facts(buffer, untouched: downstream.untouched))
    census.count(buffer)
    if gst_pad_push(picture.pad, buffer) == GST_FLOW_OK {
      if picture.ended { report("a frame was taken after EOS") }
      picture.taken.append(mark)
    }
  }

  /// Queries that a source asks.
  private func query(_ dice: inout Dice) {
    let caps = gst_video_info_to_caps(&info)
    let query = dice.pick([
      { gst_query_new_allocation(caps, 1) }, { gst_query_new_drain() }, { gst_query_new_accept_caps(caps) },
      { gst_query_new_caps(nil) }, { gst_query_new_allocation(nil, 0) }, { gst_query_new_duration(GST_FORMAT_TIME) },
    ])()
    gst_pad_peer_query(picture.pad, query)
    gst_query_unref(query)
    if let caps { gst_caps_unref(caps) }
  }

  // MARK: Sound

  private func soundCaps(_ dice: inout Dice) {
    let format = dice.pick(["S16LE", "S24LE", "S32LE", "F32LE", "F64LE"])
    let channels = dice.pick([1, 2, 3, 8])
    let rate = dice.pick([8_000, 16_000, 44_100, 48_000])
    let layout = dice.one(in: 4) ? "non-interleaved" : "interleaved"
    let mask = channels > 2 ? ",channel-mask=(bitmask)0" : ""
    let text = "audio/x-raw,format=\(format),rate=\(rate),channels=\(channels),layout=\(layout)\(mask)"
    guard let caps = gst_caps_from_string(text) else { return }
    gst_audio_info_from_caps(&soundInfo, caps)
    sound.push(gst_event_new_caps(caps))
    gst_caps_unref(caps)
  }

  private func sound(_ dice: inout Dice) {
    if sound.needsSegment { plainSegment(sound) }
    let count = Int(soundInfo.rate) * dice.pick([0, 1, 10, 23, 23, 100, 1000]) / 1000
    guard count > 0 || soundInfo.layout == GST_AUDIO_LAYOUT_INTERLEAVED else { return }
    let size = gsize(count) * gsize(soundInfo.bpf)
    guard let buffer = gst_buffer_new_allocate(nil, size, nil) else { return }
    gst_buffer_memset(buffer, 0, dice.pick([0, 1, 0x40, 0x7F, 0xFF]), size)
    if soundInfo.layout == GST_AUDIO_LAYOUT_NON_INTERLEAVED {
      gst_buffer_add_audio_meta(buffer, &soundInfo, gsize(count), nil)
    }
    buffer.pointee.pts = dice.one(in: 20) ? .max : sound.time
    if dice.one(in: 20) { buffer.pointee.mini_object.flags |= GST_BUFFER_FLAG_DISCONT.rawValue }
    census.count(buffer)
    sound.time += GstClockTime(count) * second / GstClockTime(max(soundInfo.rate, 1))
    if dice.one(in: 8) { sound.time += GstClockTime(dice.pick([3, 50, 400, 70_000])) * 1_000_000 }
    if dice.one(in: 30) { sound.time = dice.pick([0, second, 3600 * second, .max / 2]) }
    gst_pad_push(sound.pad, buffer)
  }
}

// MARK: Tests

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
      Trial.Portrait(format: format, side: 96, bytes: try portrait(format, side: 96))
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
