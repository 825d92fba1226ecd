// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// An element on harnesses: pictures in at one end, sound at the side, and everything that comes out noted in order.

import CGStreamer
import CGStreamerCheck
import Glibc
import GstSyncDiff
import Synchronization
import TestSupport
import Testing

/// 25 frames a second, nanoseconds.
let frameDuration: GstClockTime = 40_000_000
let second: GstClockTime = 1_000_000_000

/// GStreamer with the elements, once.
let gstreamer: Bool = {
  gst_init(nil, nil)
  return gst_element_register_syncdiff(nil) != 0 && gst_element_register_syncdiffbin(nil) != 0
    && gst_element_register_syncdiffdetect(nil) != 0
}()

/// Things that leave the source pad.
enum Output: Equatable, Sendable {
  case frame(pts: GstClockTime)
  case event(String)
}

/// What a probe writes to. Not the bench itself: the streaming thread must not be the last to hold that.
private final class Outputs: Sendable {
  let list = Mutex<[Output]>([])
}

/// `sink`, `src` and, if asked for, `audio` of one element. Not live, unless told.
final class Bench: @unchecked Sendable {
  static let side = 240
  static let caps = "video/x-raw,format=I420,width=\(side),height=\(side),framerate=25/1"
  static let frameSize = side * side * 3 / 2

  let element: UnsafeMutablePointer<GstElement>
  let bus: UnsafeMutablePointer<GstBus>
  let video: UnsafeMutablePointer<GstHarness>
  private(set) var audio: UnsafeMutablePointer<GstHarness>?
  private let outputs = Outputs()
  private var taken: [Post] = []

  /// The model is loaded when the first frame needs it, and that a busy machine takes long is no stall.
  static let usual = ["preload": "false", "stall-timeout": "\(60 * second)"]

  /// `properties` in text form.
  init(
    _ properties: [String: String] = [:], caps: String = Bench.caps, sound: Bool = false, live: Bool = false
  ) throws {
    #expect(gstreamer)
    element = try #require(gst_element_factory_make("syncdiff", nil))
    bus = gst_bus_new()
    gst_element_set_bus(element, bus)
    let settings = properties.merging(Self.usual) { given, _ in given }
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
  var noted: [Output] { outputs.list.withLock { $0 } }

  private func note() {
    let pad = gst_element_get_static_pad(element, "src")
    let types = GST_PAD_PROBE_TYPE_BUFFER.rawValue | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue
    gst_pad_add_probe(
      pad, GstPadProbeType(rawValue: types),
      { _, info, box in
        guard let info, let box else { return GST_PAD_PROBE_OK }
        let outputs = Unmanaged<Outputs>.fromOpaque(box).takeUnretainedValue()
        let output: Output? =
          if info.pointee.type.rawValue & GST_PAD_PROBE_TYPE_BUFFER.rawValue != 0 {
            gst_pad_probe_info_get_buffer(info).map { .frame(pts: $0.pointee.pts) }
          } else {
            gst_pad_probe_info_get_event(info).map { .event(name(of: $0)) }
          }
        if let output { outputs.list.withLock { $0.append(output) } }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passRetained(outputs).toOpaque(),
      { if let box = $0 { Unmanaged<Outputs>.fromOpaque(box).release() } })
    gst_object_unref(pad)
  }

  /// While this is done, downstream holds up the first frame that comes.
  func holdingUp(_ body: () throws -> Void) rethrows {
    let pad = gst_element_get_static_pad(element, "src")
    defer { gst_object_unref(pad) }
    let types = GST_PAD_PROBE_TYPE_BLOCK.rawValue | GST_PAD_PROBE_TYPE_BUFFER.rawValue
    let block = gst_pad_add_probe(pad, GstPadProbeType(rawValue: types), { _, _, _ in GST_PAD_PROBE_OK }, nil, nil)
    defer { gst_pad_remove_probe(pad, block) }
    try body()
  }

  /// A property in text form.
  func set(_ name: String, _ value: String) {
    gst_util_set_object_arg(element.object, name, value)
  }

  /// A property that is a text, or NULL.
  func setText(_ name: String, _ text: String?) {
    var value = GValue()
    g_value_init(&value, g_type_from_name("gchararray"))
    g_value_set_string(&value, text)
    g_object_set_property(element.object, name, &value)
    g_value_unset(&value)
  }

  /// The property `stats`.
  var stats: [String: String] {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    g_object_get_property(element.object, "stats", &value)
    defer { g_value_unset(&value) }
    return gst_value_get_structure(&value).map(texts) ?? [:]
  }

  /// The clock of a live bench with sound, which stands still until it is told.
  func setClock(_ time: GstClockTime) {
    let clock = gst_harness_get_testclock(audio ?? video)
    gst_test_clock_set_time(clock, time)
    gst_object_unref(clock)
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

  /// A second of a vowel at 48 kHz, its RMS 1: 120 pulses through the resonances of an open mouth. No tone, which is no speech.
  private static let vowel: [Float] = {
    var sound = (0..<48_000).map { $0 % 400 == 0 ? Float(1) : 0 }
    for (frequency, width) in [(700, 90), (1200, 110), (2600, 160)] as [(Float, Float)] {
      let radius = expf(-.pi * width / 48_000)
      let (near, far) = (2 * radius * cosf(2 * .pi * frequency / 48_000), radius * radius)
      for i in 2..<sound.count { sound[i] += near * sound[i - 1] - far * sound[i - 2] }
    }
    let power = sound.reduce(0) { $0 + $1 * $1 } / Float(sound.count)
    return sound.map { $0 / power.squareRoot() }
  }()

  /// That second as stereo, number `index`, or without a timestamp; `level` is its RMS.
  @discardableResult
  func pushSound(_ index: Int?, level: Int16 = 8_000) throws -> GstFlowReturn {
    let frames = 48_000
    let buffer = try #require(gst_buffer_new_allocate(nil, gsize(frames * 4), nil))
    var samples: [Int16] = []
    for value in Self.vowel { samples += [Int16](repeating: Int16(value * Float(level)), count: 2) }
    gst_buffer_fill(buffer, 0, samples, gsize(frames * 4))
    buffer.pointee.pts = index.map { GstClockTime($0) * second } ?? .max
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
    begin(branch)
  }

  /// A segment in time from 0 on.
  func begin(_ branch: UnsafeMutablePointer<GstHarness>?) {
    var segment = GstSegment()
    gst_segment_init(&segment, GST_FORMAT_TIME)
    gst_harness_push_event(branch, gst_event_new_segment(&segment))
  }

  // MARK: Out

  /// The next frame out; waits for it.
  func pull() throws -> UnsafeMutablePointer<GstBuffer> { try #require(gst_harness_pull(video)) }

  /// Waits until the source pad has sent EOS.
  func waitForEOS() -> Bool { wait { self.noted.contains(.event("eos")) } }

  /// The messages so far.
  var posts: [Post] {
    while let message = gst_bus_pop(bus) {
      taken.append(Post(message))
      gst_message_unref(message)
    }
    return taken
  }

  /// The structures of element messages, or of those of another type, of this name.
  func posts(_ name: String) -> [[String: String]] { posts.filter { $0.name == name }.map(\.fields) }

  /// The element messages so far, as text, but for `syncdiff-ready`.
  var announcements: [String] { posts.filter { $0.isElement && $0.name != "syncdiff-ready" }.map(\.text) }

  /// The errors and warnings so far, as "domain code: text".
  var complaints: [String] { posts.compactMap(\.complaint) }

  /// Expects that READY with `preload` is refused with one error, which begins so and names the file at fault; returns it.
  @discardableResult
  func expectRefusal(
    _ beginning: String, naming path: String, at location: SourceLocation = #_sourceLocation
  ) -> String? {
    gst_element_set_state(element, GST_STATE_NULL)
    set("preload", "true")
    let change = gst_element_set_state(element, GST_STATE_READY)
    #expect(change == GST_STATE_CHANGE_FAILURE, sourceLocation: location)
    let complaints = complaints
    #expect(complaints.count == 1, sourceLocation: location)
    #expect(
      complaints.first?.hasPrefix(beginning) == true && complaints.first?.contains(path) == true,
      sourceLocation: location)
    return complaints.first
  }

  /// Whether there is one error or warning so far, and this text is in it.
  func complains(once text: String) -> Bool {
    let complaints = complaints
    return complaints.count == 1 && complaints[0].contains(text)
  }
}

/// A message on the bus.
struct Post {
  /// Of an element message its structure's name, of others their type's.
  let name: String
  let isElement: Bool
  let text: String
  var fields: [String: String] = [:]
  /// Of an error or a warning: "domain code: text".
  var complaint: String?

  init(_ message: UnsafeMutablePointer<GstMessage>) {
    let structure = gst_message_get_structure(message)
    let type = message.pointee.type
    isElement = type == GST_MESSAGE_ELEMENT
    let called = isElement ? gst_structure_get_name(structure) : gst_message_type_get_name(type)
    name = called.map { String(cString: $0) } ?? ""
    let written = structure.flatMap { gst_structure_to_string($0) }
    text = written.map { String(cString: $0) } ?? ""
    g_free(written)
    if let structure { fields = texts(structure) }
    guard type == GST_MESSAGE_ERROR || type == GST_MESSAGE_WARNING else { return }
    var (error, debug): (UnsafeMutablePointer<GError>?, UnsafeMutablePointer<CChar>?)
    if type == GST_MESSAGE_ERROR {
      gst_message_parse_error(message, &error, &debug)
    } else {
      gst_message_parse_warning(message, &error, &debug)
    }
    if let error {
      let domain = String(cString: g_quark_to_string(error.pointee.domain))
      let text = String(cString: error.pointee.message) + (debug.map { " | \(String(cString: $0))" } ?? "")
      complaint = "\(domain) \(error.pointee.code): \(text)"
    }
    g_clear_error(&error)
    g_free(debug)
  }
}

/// The fields of a structure as texts.
func texts(_ structure: UnsafePointer<GstStructure>) -> [String: String] {
  var fields: [String: String] = [:]
  for i in 0..<gst_structure_n_fields(structure) {
    guard let name = gst_structure_nth_field_name(structure, guint(i)),
      let text = gst_value_serialize(gst_structure_get_value(structure, name))
    else { continue }
    fields[String(cString: name)] = String(cString: text)
    g_free(text)
  }
  return fields
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

/// The sample's portrait as one frame of `Bench.caps`, or in another format and size.
func portrait(_ format: String = "I420", side: Int = Bench.side) throws -> [UInt8] {
  #expect(gstreamer)
  let caps = "video/x-raw,format=\(format),width=\(side),height=\(side)"
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

/// Polls for at most a minute: a busy machine takes long.
func wait(_ condition: () -> Bool) -> Bool {
  for _ in 0..<12_000 {
    if condition() { return true }
    g_usleep(5000)
  }
  return condition()
}
