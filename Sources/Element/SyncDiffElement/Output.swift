// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The source pad: its task pushes what is ready, and it receives events and queries from downstream.

import CGStreamer
import GstSyncDiff
import Speech

final class Output: Sendable {
  private let stream: Stream

  init(of stream: Stream) { self.stream = stream }

  private var pad: UnsafeMutablePointer<GstPad> { stream.element.pointee.src }

  var isActive: Bool { gst_pad_is_active(pad) != 0 }

  // MARK: The task

  func startTask() -> Bool {
    let me = Unmanaged.passUnretained(self).toOpaque()  // the element, which owns the pad, outlives the task
    return gst_pad_start_task(
      pad, { me in if let me { Unmanaged<Output>.fromOpaque(me).takeUnretainedValue().takeTurn() } }, me, nil) != 0
  }

  func pauseTask() { gst_pad_pause_task(pad) }

  func stopTask() -> Bool { gst_pad_stop_task(pad) != 0 }

  /// Pushes an event ahead of everything queued.
  func pushAhead(_ event: UnsafeMutablePointer<GstEvent>) -> Bool { gst_pad_push_event(pad, event) != 0 }

  /// One turn of the task: the next item that is ready.
  private func takeTurn() {
    let next: (item: Item, isDead: Bool)? = stream.state.wait { state in
      guard !state.flushing else { return .done(nil) }
      guard let item = state.queue.takeReady() else { return .wait(until: nil) }
      return .done((item, state.downstream.flow != GST_FLOW_OK))
    }
    guard let next else {
      pauseTask()
      return
    }
    switch next.item {
    case .event(let event): push(event)
    case .query(let query):
      let answer = gst_pad_peer_query(pad, query) != 0
      stream.state.change { $0.queryAnswer = answer }
    case .frame(let frame) where next.isDead:
      stream.log(GST_LEVEL_LOG, "dropped \(frame): downstream has refused the one before")
      gst_buffer_unref(frame.buffer)
      stream.frameLeft(GST_FLOW_OK)
    case .frame(let frame):
      let result = gst_pad_push(pad, frame.buffer)
      stream.log(result == GST_FLOW_OK ? GST_LEVEL_LOG : GST_LEVEL_DEBUG, "pushed \(frame): \(result.name)")
      stream.frameLeft(result)
    case .lost(let result): stream.frameLeft(result)
    }
  }

  private func push(_ event: UnsafeMutablePointer<GstEvent>) {
    let (begins, type) = (event.begins, event.pointee.type)
    let isPushed = gst_pad_push_event(pad, event) != 0
    stream.log(GST_LEVEL_DEBUG, "pushed \(type.name)\(isPushed ? "" : ", which downstream refused")")
    if begins { stream.state.change { $0.downstream.hasBegun() } }
  }

  // MARK: From downstream

  func event(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    stream.log(GST_LEVEL_DEBUG, "\(event.pointee.type.name) from downstream")
    switch event.pointee.type {
    case GST_EVENT_QOS:
      // Frames out = frames in: upstream must not drop any.
      lateAtSink(event)
      gst_event_unref(event)
      return true
    case GST_EVENT_RECONFIGURE:
      stream.state.change { $0.downstream.reconfigures() }
      return gst_pad_event_default(pad, stream.object, event) != 0
    case GST_EVENT_SEEK, GST_EVENT_LATENCY, GST_EVENT_STEP:
      if startsLoop(event) { stream.state.change { $0.waiting.loopFrom = stream.now } }
      // The audio first, so that the old audio is gone when the new frames arrive.
      if let audio = gst_element_get_static_pad(stream.base, "audio") {
        gst_pad_push_event(audio, gst_event_ref(event))
        gst_object_unref(audio)
      }
      return gst_pad_push_event(stream.element.pointee.sink, event) != 0
    default:
      return gst_pad_event_default(pad, stream.object, event) != 0
    }
  }

  /// Whether this seek starts a loop: its end is signalled by SEGMENT_DONE.
  private func startsLoop(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    guard event.pointee.type == GST_EVENT_SEEK else { return false }
    var flags = GstSeekFlags(rawValue: 0)
    gst_event_parse_seek(event, nil, nil, &flags, nil, nil, nil, nil)
    return flags.rawValue & GST_SEEK_FLAG_SEGMENT.rawValue != 0
  }

  /// Only the `overload` ladder uses QoS events.
  private func lateAtSink(_ event: UnsafeMutablePointer<GstEvent>) {
    guard stream.settings.qos else { return }
    var (jitter, time): (GstClockTimeDiff, GstClockTime) = (0, 0)
    gst_event_parse_qos(event, nil, nil, &jitter, &time)
    guard time != .max else { return }
    stream.log(
      GST_LEVEL_DEBUG,
      "the sink got the frame at \(seconds(RunningTime(nanoseconds: UInt64(time)))) "
        + "\(seconds(nanoseconds: Int64(jitter))) after its time")
    stream.state.change { $0.overload.qos(RunningTime(nanoseconds: UInt64(time)), jitter: Int64(jitter)) }
  }

  func query(_ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    guard query.pointee.type == GST_QUERY_LATENCY else { return gst_pad_query_default(pad, stream.object, query) != 0 }
    return stream.answerLatency(query)
  }
}
