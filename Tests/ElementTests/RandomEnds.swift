// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The elements before and behind the one that a random sequence tries, and what they note.

import CGStreamer
import Foundation
import GstSyncDiff
import Synchronization

/// All that has to stay as it was.
struct Facts: Equatable, CustomStringConvertible {
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
enum Mark: Equatable, CustomStringConvertible {
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
final class Downstream: @unchecked Sendable {
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
func newPad(_ name: String, _ direction: GstPadDirection) -> UnsafeMutablePointer<GstPad> {
  let any = gst_caps_new_any()
  let template = gst_pad_template_new(name, direction, GST_PAD_ALWAYS, any)
  defer {
    gst_object_unref(template)
    gst_caps_unref(any)
  }
  return gst_pad_new_from_template(template, name)
}

/// One of the two branches in front of the element.
final class Upstream: @unchecked Sendable {
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

/// Buffers that are alive.
final class Census: Sendable {
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
