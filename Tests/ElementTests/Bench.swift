// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// An element on harnesses: pictures in at one end, sound at the side, and everything that comes out noted in order.

import CGStreamer
import CGStreamerCheck
import GstSyncDiff
import Synchronization
import TestSupport
import Testing

/// 25 frames a second, nanoseconds.
let frameDuration: GstClockTime = 40_000_000
let second: GstClockTime = 1_000_000_000

/// GStreamer with the element, once.
let gstreamer: Bool = {
  gst_init(nil, nil)
  return gst_element_register_syncdiff(nil) != 0
}()

/// Things that leave the source pad.
enum Output: Equatable, Sendable {
  case frame(pts: GstClockTime)
  case event(String)
}

/// `sink`, `src` and, if asked for, `audio` of one element. Not live, unless told.
final class Bench: @unchecked Sendable {
  static let side = 192
  static let caps = "video/x-raw,format=I420,width=\(side),height=\(side),framerate=25/1"
  static let frameSize = side * side * 3 / 2

  let element: UnsafeMutablePointer<GstElement>
  let bus: UnsafeMutablePointer<GstBus>
  let video: UnsafeMutablePointer<GstHarness>
  private(set) var audio: UnsafeMutablePointer<GstHarness>?
  private let outputs = Mutex<[Output]>([])

  /// `properties` in text form. The model is loaded when the first frame needs it.
  init(
    _ properties: [String: String] = [:], caps: String = Bench.caps, sound: Bool = false, live: Bool = false
  ) throws {
    #expect(gstreamer)
    element = try #require(gst_element_factory_make("syncdiff", nil))
    bus = gst_bus_new()
    gst_element_set_bus(element, bus)
    let settings = properties.merging(["preload": "false"]) { given, _ in given }
    for (name, value) in settings { gst_util_set_object_arg(element.object, name, value) }
    video = gst_harness_new_with_element(element, "sink", "src")
    gst_harness_set_live(video, live ? 1 : 0)
    if sound {
      audio = gst_harness_new_with_element(element, "audio", nil)
      gst_harness_set_live(audio, live ? 1 : 0)
      gst_harness_set_src_caps_str(audio, "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved")
    }
    note()
    gst_harness_set_src_caps_str(video, caps)
  }

  deinit {
    if let audio { gst_harness_teardown(audio) }
    gst_harness_teardown(video)
    gst_element_set_bus(element, nil)
    gst_object_unref(bus)
    gst_object_unref(element)
  }

  /// What has left the source pad so far, in order.
  var noted: [Output] { outputs.withLock { $0 } }

  private func note() {
    let pad = gst_element_get_static_pad(element, "src")
    let types = GST_PAD_PROBE_TYPE_BUFFER.rawValue | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue
    gst_pad_add_probe(
      pad, GstPadProbeType(rawValue: types),
      { _, info, bench in
        guard let info, let bench else { return GST_PAD_PROBE_OK }
        let outputs = Unmanaged<Bench>.fromOpaque(bench).takeUnretainedValue()
        let output: Output? =
          if info.pointee.type.rawValue & GST_PAD_PROBE_TYPE_BUFFER.rawValue != 0 {
            gst_pad_probe_info_get_buffer(info).map { .frame(pts: $0.pointee.pts) }
          } else {
            gst_pad_probe_info_get_event(info).map { .event(name(of: $0)) }
          }
        if let output { outputs.outputs.withLock { $0.append(output) } }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
    gst_object_unref(pad)
  }

  /// A property in text form.
  func set(_ name: String, _ value: String) {
    gst_util_set_object_arg(element.object, name, value)
  }

  // MARK: In

  /// Frame `index` of 25 a second: grey, or these bytes.
  func frame(_ index: Int, _ bytes: [UInt8]? = nil, size: Int = Bench.frameSize) throws
    -> UnsafeMutablePointer<GstBuffer>
  {
    let buffer = try #require(gst_harness_create_buffer(video, gsize(size)))
    if let bytes {
      gst_buffer_fill(buffer, 0, bytes, gsize(bytes.count))
    } else {
      gst_buffer_memset(buffer, 0, 128, gsize(size))
    }
    buffer.pointee.pts = GstClockTime(index) * frameDuration
    buffer.pointee.duration = frameDuration
    return buffer
  }

  @discardableResult
  func push(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn { gst_harness_push(video, buffer) }

  /// A second of a 48 kHz stereo tone, number `index`.
  @discardableResult
  func pushSound(_ index: Int, level: Int16 = 8_000) throws -> GstFlowReturn {
    let frames = 48_000
    let buffer = try #require(gst_buffer_new_allocate(nil, gsize(frames * 4), nil))
    var samples: [Int16] = []
    for i in 0..<frames { samples += [Int16](repeating: i % 96 < 48 ? level : -level, count: 2) }
    gst_buffer_fill(buffer, 0, samples, gsize(frames * 4))
    buffer.pointee.pts = GstClockTime(index) * second
    buffer.pointee.duration = second
    return gst_harness_push(audio, buffer)
  }

  func pushCustom(_ name: String) {
    gst_harness_push_event(video, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty(name)))
  }

  /// A flush as a seek to the beginning makes it, and the segment after it.
  func flush(_ branch: UnsafeMutablePointer<GstHarness>?) {
    gst_harness_push_event(branch, gst_event_new_flush_start())
    gst_harness_push_event(branch, gst_event_new_flush_stop(1))
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    gst_harness_push_event(branch, gst_event_new_segment(&segment))
  }

  // MARK: Out

  /// The next frame out; waits for it.
  func pull() throws -> UnsafeMutablePointer<GstBuffer> { try #require(gst_harness_pull(video)) }

  /// Waits until the source pad has sent EOS.
  func waitForEOS() -> Bool { wait { self.noted.contains(.event("eos")) } }

  /// The element messages so far, as text.
  var announcements: [String] {
    var texts: [String] = []
    while let message = gst_bus_pop_filtered(bus, GST_MESSAGE_ELEMENT) {
      if let structure = gst_message_get_structure(message), let text = gst_structure_to_string(structure) {
        texts.append(String(cString: text))
        g_free(text)
      }
      gst_message_unref(message)
    }
    return texts
  }

  /// The errors and warnings so far, as "domain code: text".
  var complaints: [String] {
    var texts: [String] = []
    let types = GstMessageType(rawValue: GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue)
    while let message = gst_bus_pop_filtered(bus, types) {
      var (error, debug): (UnsafeMutablePointer<GError>?, UnsafeMutablePointer<CChar>?)
      if message.pointee.type == GST_MESSAGE_ERROR {
        gst_message_parse_error(message, &error, &debug)
      } else {
        gst_message_parse_warning(message, &error, &debug)
      }
      if let error {
        let domain = String(cString: g_quark_to_string(error.pointee.domain))
        let text = String(cString: error.pointee.message) + (debug.map { " | \(String(cString: $0))" } ?? "")
        texts.append("\(domain) \(error.pointee.code): \(text)")
      }
      g_clear_error(&error)
      g_free(debug)
      gst_message_unref(message)
    }
    return texts
  }
}

extension UnsafeMutablePointer<GstElement> {
  fileprivate var object: UnsafeMutablePointer<GObject> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: GObject.self)
  }
}

/// The name of an event: its structure's for custom ones, its type's otherwise.
private func name(of event: UnsafeMutablePointer<GstEvent>) -> String {
  if event.pointee.type == GST_EVENT_CUSTOM_DOWNSTREAM, let structure = gst_event_get_structure(event) {
    return String(cString: gst_structure_get_name(structure))
  }
  return String(cString: gst_event_type_get_name(event.pointee.type))
}

let portraitPath =
  #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/meta/sample/portrait.jpg"

/// The sample's portrait as one frame of `Bench.caps`.
func portrait() throws -> [UInt8] {
  #expect(gstreamer)
  let caps = "video/x-raw,format=I420,width=\(Bench.side),height=\(Bench.side)"
  let harness = gst_harness_new_parse(
    "filesrc location=\(portraitPath) ! jpegdec ! videoconvert ! videoscale ! capsfilter caps=\"\(caps)\"")
  defer { gst_harness_teardown(harness) }
  gst_harness_play(harness)
  let buffer = try #require(gst_harness_pull(harness))
  defer { gst_buffer_unref(buffer) }
  return bytes(of: buffer)
}

func bytes(of buffer: UnsafeMutablePointer<GstBuffer>) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: Int(gst_buffer_get_size(buffer)))
  gst_buffer_extract(buffer, 0, &bytes, gsize(bytes.count))
  return bytes
}

/// Polls for at most ten seconds.
func wait(_ condition: () -> Bool) -> Bool {
  for _ in 0..<2000 {
    if condition() { return true }
    g_usleep(5000)
  }
  return condition()
}
