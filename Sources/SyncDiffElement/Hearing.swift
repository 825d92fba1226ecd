// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The sound's way in: any audio/x-raw -> 16 kHz mono -> the timeline, placed by running time.

import CGStreamer
import Glibc
import GstSyncDiff
import Speech
import Tensors

/// What the sound's thread knows of its stream. Its converter lives from one CAPS event to the next.
package struct Hearing: ~Copyable {
  package var segment = GstSegment()
  var info = GstAudioInfo()
  /// What of it is heard: all channels but the 64th, for which GStreamer has no converter.
  private var heard = GstAudioInfo()
  private var mix = ChannelMix(channels: 1)
  var converter: OpaquePointer?
  /// The sample index at which the next buffer belongs; nil after a jump.
  var next: Int64?
  /// The same, jump or not; nil at the beginning of a segment.
  var expected: Int64?
  var warnedUntimed = false
  var warnedTimeless = false
  /// Whether the sound's source is live; nil until it matters.
  var isLive: Bool?
  /// Since when sound has found the timeline full.
  var fullSince: gint64?
  var warnedFull = false

  package init() { gst_segment_init(&segment, GST_FORMAT_UNDEFINED) }

  /// Whether sound of this segment belongs to frames: at other rates they pass untouched.
  var isOfUse: Bool { segment.format == GST_FORMAT_TIME && segment.rate == 1 && segment.applied_rate == 1 }

  /// What comes next may be anywhere.
  mutating func restart() { (next, expected) = (nil, nil) }

  deinit { if let converter { gst_audio_converter_free(converter) } }

  /// Gets ready for sound of these caps; false if it cannot be converted.
  package mutating func prepare(_ caps: UnsafeMutablePointer<GstCaps>) -> Bool {
    if let converter { gst_audio_converter_free(converter) }
    (converter, next) = (nil, nil)
    guard read(caps), let format = info.finfo else { return false }
    heard = info
    if info.channels > 63 {
      gst_audio_info_set_format(&heard, format.pointee.format, info.rate, 63, nil)
      heard.layout = info.layout
    }
    let channels = Int(heard.channels)
    var all = GstAudioInfo()
    let rate = gint(Filterbank.sampleRate)
    let positions = withUnsafeBytes(of: info.position) {
      [GstAudioChannelPosition]($0.bindMemory(to: GstAudioChannelPosition.self))
    }
    let isPlaced = info.flags.rawValue & GST_AUDIO_FLAG_UNPOSITIONED.rawValue == 0
    gst_audio_info_set_format(&all, GST_AUDIO_FORMAT_F32LE, rate, heard.channels, isPlaced ? positions : nil)
    func place(_ position: GstAudioChannelPosition) -> Int? {
      isPlaced && channels > 2 ? positions.prefix(channels).firstIndex(of: position) : nil
    }
    mix = ChannelMix(
      channels: channels, centre: place(GST_AUDIO_CHANNEL_POSITION_FRONT_CENTER),
      bass: place(GST_AUDIO_CHANNEL_POSITION_LFE1))
    converter = gst_audio_converter_new(GST_AUDIO_CONVERTER_FLAG_NONE, &heard, &all, nil)
    return converter != nil
  }

  /// More than two channels must say where they are; those that do not have no positions.
  private mutating func read(_ caps: UnsafeMutablePointer<GstCaps>) -> Bool {
    if gst_audio_info_from_caps(&info, caps) != 0 { return true }
    guard gst_structure_has_field(gst_caps_get_structure(caps, 0), "channel-mask") == 0,
      let unpositioned = gst_caps_copy(caps)
    else { return false }
    defer { gst_caps_unref(unpositioned) }
    var mask = GValue()
    g_value_init(&mask, gst_bitmask_get_type())
    gst_value_set_bitmask(&mask, 0)
    gst_caps_set_value(unpositioned, "channel-mask", &mask)
    return gst_audio_info_from_caps(&info, unpositioned) != 0
  }

  /// The first channels of interleaved sound, as many as are heard.
  private func pick(from plane: UnsafeRawPointer, _ frames: Int) -> [UInt8] {
    let (step, size) = (Int(info.bpf), Int(heard.bpf))
    return [UInt8](unsafeUninitializedCapacity: frames * size) { bytes, count in
      let picked = UnsafeMutableRawBufferPointer(bytes)
      for i in 0..<frames {
        UnsafeMutableRawBufferPointer(rebasing: picked[i * size..<(i + 1) * size])
          .copyMemory(from: UnsafeRawBufferPointer(start: plane + i * step, count: size))
      }
      count = frames * size
    }
  }

  /// The buffer's sound as 16 kHz mono. A mapped GstAudioBuffer may point into itself, so it must not move.
  private mutating func samples(of buffer: UnsafeMutablePointer<GstBuffer>, _ converter: OpaquePointer) -> [Float]? {
    var map = GstAudioBuffer()
    let channels = Int(heard.channels)
    let samples: [Float]? = withUnsafeMutablePointer(to: &map) { map in
      guard gst_audio_buffer_map(map, &info, buffer, GST_MAP_READ) != 0 else { return nil }
      defer { gst_audio_buffer_unmap(map) }
      let frames = map.pointee.n_samples
      let count = gst_audio_converter_get_out_frames(converter, frames)
      var samples = [Float](repeating: 0, count: Int(count) * channels)
      func convert(_ planes: UnsafeMutablePointer<gpointer?>?) -> Bool {
        samples.withUnsafeMutableBytes { bytes in
          var out: gpointer? = bytes.baseAddress
          return withStandardArithmetic {  // and the sound's thread stays as it was
            gst_audio_converter_samples(converter, GST_AUDIO_CONVERTER_FLAG_NONE, planes, frames, &out, count) != 0
          }
        }
      }
      guard heard.bpf != info.bpf, info.layout == GST_AUDIO_LAYOUT_INTERLEAVED else {
        return convert(map.pointee.planes) ? samples : nil
      }
      guard let plane = map.pointee.planes?.pointee else { return nil }
      var picked = pick(from: plane, Int(frames))
      return picked.withUnsafeMutableBytes { bytes in
        var plane: gpointer? = bytes.baseAddress
        return convert(&plane)
      } ? samples : nil
    }
    return samples.map { mix.mix($0) }
  }

  /// The buffer's sound as 16 kHz mono, and the sample index of its first value. Nil if the buffer cannot be read.
  ///
  /// Sound that follows on is placed by counting, so that timestamps may jitter; after DISCONT or a jump of more than
  /// 40 ms it is placed by its timestamp. Sound without one follows on, the first where the segment begins.
  package mutating func convert(_ buffer: UnsafeMutablePointer<GstBuffer>) -> (samples: [Float], start: Int64)? {
    guard let converter else { return nil }
    let pts = buffer.pointee.pts
    let stamp = sample(at: pts)
    let discont = buffer.pointee.mini_object.flags & GST_BUFFER_FLAG_DISCONT.rawValue != 0
    let jump = Int64(Filterbank.sampleRate / 25)
    var start = next
    if let expected = next, let stamp, discont || expected.distance(to: stamp).magnitude > jump { start = nil }
    if start == nil {
      gst_audio_converter_reset(converter)
      start = pts == .max ? expected ?? sample(at: segment.start.addingClamped(segment.offset)) : stamp
    }
    guard let start else { return nil }

    guard buffer.isLaid(as: &info), let samples = samples(of: buffer, converter) else { return nil }
    next = start.addingClamped(Int64(samples.count))
    expected = next
    return (samples, start)
  }

  /// The sample index of a timestamp; nil outside of the segment.
  private mutating func sample(at timestamp: GstClockTime) -> Int64? {
    let time = gst_segment_to_running_time(&segment, GST_FORMAT_TIME, timestamp)
    return time == .max ? nil : RunningTime(nanoseconds: UInt64(time)).sample
  }
}

extension Stream {
  func receiveSound(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    guard hearing.converter != nil else {
      gst_buffer_unref(buffer)
      return GST_FLOW_NOT_NEGOTIATED
    }
    guard hearing.isOfUse else {
      gst_buffer_unref(buffer)
      return GST_FLOW_OK
    }
    guard let buffer = gst_audio_buffer_clip(buffer, &hearing.segment, hearing.info.rate, hearing.info.bpf)
    else { return GST_FLOW_OK }
    defer { gst_buffer_unref(buffer) }
    let isUntimed = buffer.pointee.pts == .max
    if isUntimed, !hearing.warnedUntimed {
      hearing.warnedUntimed = true
      postWarning(
        .stream(GST_STREAM_ERROR_FORMAT), "Sound without timestamps.",
        debug: "Each buffer is taken to follow the one before it. A parser in front of the pad audio may know better.")
    }
    // Inside of the segment, but before its offset, there is no running time.
    guard isUntimed || gst_segment_to_running_time(&hearing.segment, GST_FORMAT_TIME, buffer.pointee.pts) != .max
    else { return GST_FLOW_OK }
    guard let (samples, start) = hearing.convert(buffer) else {
      log(GST_LEVEL_WARNING, "unreadable sound without effect")
      return GST_FLOW_OK
    }
    // In pieces, for a buffer may hold more than fits.
    let piece = Filterbank.sampleRate / 2
    for first in stride(from: 0, to: samples.count, by: piece) {
      let part = Array(samples[first..<min(first + piece, samples.count)])
      guard append(part, at: start.addingClamped(Int64(first))) else { return GST_FLOW_FLUSHING }
    }
    return GST_FLOW_OK
  }

  /// Appends to the timeline, waiting first while it is full. False when flushing.
  ///
  /// Full means a minute ahead of the picture. Sound from a live source never waits, and other sound no longer than the
  /// `stall-timeout` for a picture that does not come at all, since both may come from one thread: the oldest sound goes.
  private func append(_ samples: [Float], at start: Int64) -> Bool {
    let range = RunningTime(sample: start)..<RunningTime(sample: start.addingClamped(Int64(samples.count)))
    let live = isLive(beyond: range.upperBound)
    let quiet = Float(pow(10, Settings(of: element).silenceThreshold / 20))
    let isAudible = samples.contains { abs($0) >= quiet }
    monitor.lock()
    awaitLoop()
    hearing.fullSince = pairing.hasRoom(upTo: range.upperBound) ? nil : hearing.fullSince ?? g_get_monotonic_time()
    while !soundStopped, !isNeedless, !pairing.hasRoom(upTo: range.upperBound) {
      if live { break }
      if let starvingSince, !isPaused, let timeout = Settings(of: element).stallTimeout {
        let limit = max(starvingSince, hearing.fullSince ?? 0).addingClamped(gint64(timeout))
        if g_get_monotonic_time() >= limit { break }
        monitor.wait(until: limit)
      } else {
        monitor.wait()
      }
    }
    let (stopped, over) = (soundStopped, isNeedless)
    let full = !stopped && !over && !pairing.hasRoom(upTo: range.upperBound)
    if full { pairing.makeRoom(upTo: range.upperBound) }
    if !stopped, !over {
      arrived(range)
      timeline.append(samples, at: start)
      if isAudible { soundCheck.heard() }
    }
    let warn = full && !live && !hearing.warnedFull
    monitor.unlock()
    if warn {
      hearing.warnedFull = true
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "The picture is a minute behind the sound, old sound is let go.",
        debug:
          "No frame has come to the pad sink while the pad audio was full. If both come from one demuxer, give "
          + "the queue in front of the pad sink max-size-time=0 max-size-bytes=0 max-size-buffers=0.")
    }
    return !stopped
  }

  /// A short loop's sound would be done (SEGMENT_DONE) before its picture has begun, for no sink holds it up: it waits for
  /// the picture, but not for long, as both may come from one thread. Under the monitor.
  private func awaitLoop() {
    while !soundStopped, let loopFrom, g_get_monotonic_time() < loopFrom.addingClamped(Self.loopPatience) {
      monitor.wait(until: loopFrom.addingClamped(Self.loopPatience))
    }
    loopFrom = nil
  }

  /// Microseconds.
  private static let loopPatience: gint64 = 1_000_000

  /// Whether sound that finds no room up to `end` comes from a live source, beside which the picture may be as well.
  private func isLive(beyond end: RunningTime) -> Bool {
    guard monitor.locked({ liveLatency != nil && !pairing.hasRoom(upTo: end) }) else { return false }
    if hearing.isLive == nil, let audio = gst_element_get_static_pad(base, "audio") {
      hearing.isLive = latency(of: audio)?.live
      gst_object_unref(audio)
    }
    return hearing.isLive ?? true
  }

  /// Whether the pipeline rests in PAUSED: nothing moves then, and that is no stall. While sinks still wait for their first
  /// frame it does not rest. Under the monitor.
  var isPaused: Bool {
    guard !playing, var top = gst_object_get_parent(object) else { return false }
    while let parent = gst_object_get_parent(top) {
      gst_object_unref(top)
      top = parent
    }
    defer { gst_object_unref(top) }
    g_mutex_lock(&top.pointee.lock)
    defer { g_mutex_unlock(&top.pointee.lock) }
    // What holds an element is a bin.
    let bin = UnsafeMutableRawPointer(top).assumingMemoryBound(to: GstElement.self)
    return bin.pointee.current_state == GST_STATE_PAUSED && bin.pointee.pending_state == GST_STATE_VOID_PENDING
  }

  /// Whether no more sound is needed. Under the monitor.
  private var isNeedless: Bool { videoEnded && framesHeld == 0 || !pairing.linked }

  func soundEvent(_ event: UnsafeMutablePointer<GstEvent>) -> Bool {
    defer { gst_event_unref(event) }
    switch event.pointee.type {
    case GST_EVENT_FLUSH_START:
      monitor.locked {
        soundStopped = true
        monitor.broadcast()
      }
    case GST_EVENT_FLUSH_STOP:
      gst_segment_init(&hearing.segment, GST_FORMAT_UNDEFINED)
      hearing.restart()
      monitor.locked {
        clearSound()
        soundStopped = false
        soundMoved = g_get_monotonic_time()
        monitor.broadcast()
      }
    case GST_EVENT_STREAM_START, GST_EVENT_SEGMENT:
      if event.pointee.type == GST_EVENT_SEGMENT {
        gst_event_copy_segment(event, &hearing.segment)
        if hearing.segment.format != GST_FORMAT_TIME, !hearing.warnedTimeless {
          hearing.warnedTimeless = true
          warnTimeless("sound")
        }
      } else {
        hearing.isLive = nil
      }
      hearing.restart()
      monitor.locked { pairing.ended = false }
    case GST_EVENT_CAPS:
      var caps: UnsafeMutablePointer<GstCaps>?
      gst_event_parse_caps(event, &caps)
      guard let caps, hearing.prepare(caps) else {
        postError(.stream(GST_STREAM_ERROR_FORMAT), "The sound on the audio pad cannot be converted to 16 kHz mono.")
        return false
      }
    case GST_EVENT_GAP: gap(event)
    case GST_EVENT_EOS, GST_EVENT_SEGMENT_DONE:
      monitor.locked {
        pairing.ended = true
        monitor.broadcast()
      }
    default: break
    }
    return true
  }

  /// A stretch without sound is silence that has arrived.
  private func gap(_ event: UnsafeMutablePointer<GstEvent>) {
    guard hearing.isOfUse else { return }
    var (start, duration): (GstClockTime, GstClockTime) = (0, 0)
    gst_event_parse_gap(event, &start, &duration)
    let end = duration == .max ? start : start.addingClamped(duration)
    var (first, last): (guint64, guint64) = (0, 0)
    guard gst_segment_clip(&hearing.segment, GST_FORMAT_TIME, start, end, &first, &last) != 0 else { return }
    let from = gst_segment_to_running_time(&hearing.segment, GST_FORMAT_TIME, first)
    let to = gst_segment_to_running_time(&hearing.segment, GST_FORMAT_TIME, last)
    guard from != .max, to != .max, from <= to else { return }
    let range = RunningTime(nanoseconds: UInt64(from))..<RunningTime(nanoseconds: UInt64(to))
    (hearing.next, hearing.expected) = (nil, range.upperBound.sample)
    monitor.locked { arrived(range) }
  }

  /// Sound, or a gap in it, for this time is there. Under the monitor.
  private func arrived(_ range: Range<RunningTime>) {
    if pairing.soundArrived(range) { timeline = SoundTimeline() }
    soundMoved = g_get_monotonic_time()
    monitor.broadcast()
  }

  func soundQuery(_ pad: UnsafeMutablePointer<GstPad>, _ query: UnsafeMutablePointer<GstQuery>) -> Bool {
    switch query.pointee.type {
    case GST_QUERY_DRAIN: true  // nothing of a buffer is kept
    case GST_QUERY_ALLOCATION: false
    default: gst_pad_query_default(pad, object, query) != 0
    }
  }
}

extension UnsafeMutablePointer<GstBuffer> {
  /// Whether the buffer is what the caps say; otherwise it must not be mapped, for `gst_audio_buffer_map` goes by the one
  /// and by the other.
  fileprivate func isLaid(as info: inout GstAudioInfo) -> Bool {
    guard let meta = gst_buffer_get_meta(self, gst_audio_meta_api_get_type()) else {
      return info.layout == GST_AUDIO_LAYOUT_INTERLEAVED
    }
    let own = UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstAudioMeta.self)
    return gst_audio_info_is_equal(&own.pointee.info, &info) != 0
  }
}
