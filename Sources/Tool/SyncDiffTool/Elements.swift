// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Swift wrappers for GStreamer's C interface.

import CGStreamer
import CGStreamerTools
import Synchronization

extension UnsafeMutablePointer<GstElement> {
  /// An element that this pipeline's description names; the pipeline holds the reference.
  func element(_ name: String) -> UnsafeMutablePointer<GstElement> {
    guard let found = gst_bin_get_by_name(bin, name) else { preconditionFailure("the pipeline has an element \(name)") }
    gst_object_unref(found)
    return found
  }

  var object: UnsafeMutablePointer<GObject> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: GObject.self)
  }

  var bin: UnsafeMutablePointer<GstBin> { UnsafeMutableRawPointer(self).assumingMemoryBound(to: GstBin.self) }

  /// The bin that contains it; the reference stays with the bin.
  var parent: UnsafeMutablePointer<GstBin>? {
    let object = UnsafeMutableRawPointer(self).assumingMemoryBound(to: GstObject.self)
    guard let parent = gst_object_get_parent(object) else { return nil }
    gst_object_unref(parent)
    return UnsafeMutableRawPointer(parent).assumingMemoryBound(to: GstBin.self)
  }

  /// One of the element's always pads; the element holds the reference.
  func pad(_ name: String) -> UnsafeMutablePointer<GstPad> {
    guard let pad = gst_element_get_static_pad(self, name) else { preconditionFailure("there is a pad \(name)") }
    gst_object_unref(pad)
    return pad
  }
}

extension UnsafeMutablePointer<GObject> {
  /// Sets a property from its text. String properties are set verbatim, since GStreamer would interpret NULL, quotes and
  /// backslashes.
  func set(_ property: String, to text: String) {
    let type = UnsafeMutableRawPointer(pointee.g_type_instance.g_class).assumingMemoryBound(to: GObjectClass.self)
    guard let spec = g_object_class_find_property(type, property),
      spec.pointee.value_type == g_type_from_name("gchararray")
    else { return gst_util_set_object_arg(self, property, text) }
    var value = GValue()
    g_value_init(&value, spec.pointee.value_type)
    g_value_set_string(&value, text)
    g_object_set_property(self, property, &value)
    g_value_unset(&value)
  }
}

/// aiffparse 1.22 may push its first buffer before decodebin has linked anything to it, which hangs: this holds the buffer
/// back until then.
final class EarlyPushes: Sendable {
  private struct Probe: @unchecked Sendable {
    let pad: UnsafeMutablePointer<GstPad>
    let id: gulong
  }

  private let probes = Mutex<[Probe]>([])

  /// Attaches to a bin that is not yet playing; must live as long as the bin.
  func hold(in decoder: UnsafeMutablePointer<GstElement>) {
    let elementAdded: @convention(c) (gpointer, gpointer, UnsafeMutablePointer<GstElement>, gpointer) -> Void = {
      guard factoryName(of: $2) == "aiffparse" else { return }
      let pad = $2.pad("src")
      let type = GstPadProbeType(rawValue: GST_PAD_PROBE_TYPE_BLOCK.rawValue | GST_PAD_PROBE_TYPE_BUFFER.rawValue)
      let id = gst_pad_add_probe(pad, type, { _, _, _ in GST_PAD_PROBE_OK }, nil, nil)
      Unmanaged<EarlyPushes>.fromOpaque($3).takeUnretainedValue().probes.withLock { $0.append(Probe(pad: pad, id: id)) }
    }
    connect(
      decoder, "deep-element-added", unsafeBitCast(elementAdded, to: GCallback.self),
      Unmanaged.passUnretained(self).toOpaque())
  }

  /// Call when the decoder's pad is linked.
  func release() {
    for probe in probes.withLock({ probes in
      defer { probes = [] }
      return probes
    }) { gst_pad_remove_probe(probe.pad, probe.id) }
  }
}

/// The probe types for buffers and events.
let bufferOrEvent = GstPadProbeType(
  rawValue: GST_PAD_PROBE_TYPE_BUFFER.rawValue | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM.rawValue)

/// Makes a pipeline from its description.
func parse(_ description: String) throws -> UnsafeMutablePointer<GstElement> {
  var problem: UnsafeMutablePointer<GError>?
  defer { g_clear_error(&problem) }
  guard let pipeline = gst_parse_launch(description, &problem), problem == nil else {
    let reason = problem.map { String(cString: $0.pointee.message) } ?? "unknown reason"
    throw Failure("GStreamer cannot build the pipeline, a plugin may be missing: \(reason)", .internalFault)
  }
  return pipeline
}

func connect(_ object: gpointer, _ signal: String, _ callback: GCallback, _ data: gpointer?) {
  g_signal_connect_data(object, signal, callback, data, nil, GConnectFlags(rawValue: 0))
}

func factoryName(of element: UnsafeMutablePointer<GstElement>) -> String {
  guard let factory = gst_element_get_factory(element) else { return "" }
  return withExtendedLifetime(factory) {
    let feature = UnsafeMutableRawPointer(factory).assumingMemoryBound(to: GstObject.self)
    return feature.pointee.name.map { String(cString: $0) } ?? ""
  }
}

/// Calls `body` for every element in a bin, including nested bins.
func forEachElement(of bin: UnsafeMutablePointer<GstBin>, _ body: (UnsafeMutablePointer<GstElement>) -> Void) {
  forEach(gst_bin_iterate_recurse(bin), body)
}

/// Calls `body` for every object of an iterator, and frees the iterator.
func forEach<Object>(_ iterator: UnsafeMutablePointer<GstIterator>?, _ body: (UnsafeMutablePointer<Object>) -> Void) {
  guard let iterator else { return }
  defer { gst_iterator_free(iterator) }
  var value = GValue()
  while gst_iterator_next(iterator, &value) == GST_ITERATOR_OK {
    if let object = g_value_get_object(&value) { body(object.assumingMemoryBound(to: Object.self)) }
    g_value_reset(&value)
  }
  g_value_unset(&value)
}

/// The media type of a pad's current caps, or else of its allowed caps, such as "video/x-raw".
func structureName(of pad: UnsafeMutablePointer<GstPad>) -> String? {
  guard let caps = gst_pad_get_current_caps(pad) ?? gst_pad_query_caps(pad, nil) else { return nil }
  defer { gst_caps_unref(caps) }
  guard gst_caps_get_size(caps) > 0 else { return nil }
  return String(cString: gst_structure_get_name(gst_caps_get_structure(caps, 0)))
}

func string(_ fields: UnsafeMutablePointer<GstStructure>?, _ name: String) -> String? {
  gst_structure_get_string(fields, name).map { String(cString: $0) }
}

/// The tags that have passed a pad, the newest of each name. The caller owns the list.
func tags(on pad: UnsafeMutablePointer<GstPad>) -> UnsafeMutablePointer<GstTagList>? {
  var result: UnsafeMutablePointer<GstTagList>?
  var index: guint = 0
  while let event = gst_pad_get_sticky_event(pad, GST_EVENT_TAG, index) {
    var tags: UnsafeMutablePointer<GstTagList>?
    gst_event_parse_tag(event, &tags)
    let merged = gst_tag_list_merge(result, tags, GST_TAG_MERGE_REPLACE)
    if let result { gst_tag_list_unref(result) }
    result = merged
    gst_event_unref(event)
    index += 1
  }
  return result
}

/// The last sample that a sink showed.
func lastSample(of sink: UnsafeMutablePointer<GstElement>) -> OpaquePointer? {
  var value = GValue()
  g_value_init(&value, gst_sample_get_type())
  defer { g_value_unset(&value) }
  g_object_get_property(sink.object, "last-sample", &value)
  return g_value_dup_boxed(&value).map { OpaquePointer($0) }
}

/// The text of an error or a warning.
func text(of message: UnsafeMutablePointer<GstMessage>) -> String {
  var (error, debug): (UnsafeMutablePointer<GError>?, UnsafeMutablePointer<CChar>?)
  if message.pointee.type == GST_MESSAGE_ERROR {
    gst_message_parse_error(message, &error, &debug)
  } else {
    gst_message_parse_warning(message, &error, &debug)
  }
  defer {
    g_clear_error(&error)
    g_free(debug)
  }
  return error.map { String(cString: $0.pointee.message) } ?? "unknown problem"
}

/// Running time of a buffer that passes a pad, nanoseconds; nil if it has none.
func runningTime(of buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) -> GstClockTime? {
  guard let event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0) else { return nil }
  defer { gst_event_unref(event) }
  var segment: UnsafePointer<GstSegment>?
  gst_event_parse_segment(event, &segment)
  let time = gst_segment_to_running_time(segment, GST_FORMAT_TIME, buffer.pointee.pts)
  return time == .max ? nil : time
}

/// Adds an encodebin for a profile to a pipeline. Takes ownership of the profile.
func encodebin(
  _ profile: OpaquePointer?, in pipeline: UnsafeMutablePointer<GstElement>
) throws -> UnsafeMutablePointer<GstElement> {
  guard let encoder = gst_element_factory_make("encodebin", "encoder"), let profile else {
    throw Failure("GStreamer's encodebin is missing", .internalFault)
  }
  defer { gst_object_unref(UnsafeMutableRawPointer(profile)) }
  gst_bin_add(pipeline.bin, encoder)
  var value = GValue()
  g_value_init(&value, gst_encoding_profile_get_type())
  g_value_set_object(&value, UnsafeMutableRawPointer(profile))
  g_object_set_property(encoder.object, "profile", &value)
  g_value_unset(&value)
  for (name, text) in [
    ("flags", "no-video-conversion"), ("queue-buffers-max", "4"), ("queue-bytes-max", "0"), ("queue-time-max", "0"),
  ] { encoder.object.set(name, to: text) }
  return encoder
}

/// Links a queue to an encodebin's pad for a stream, "video" or "audio". Without a container the pad exists already.
func link(
  _ queue: String, to encoder: UnsafeMutablePointer<GstElement>, _ stream: String, of encoding: Encoding,
  in pipeline: UnsafeMutablePointer<GstElement>
) throws {
  guard
    let pad = gst_element_get_static_pad(encoder, "\(stream)_0")
      ?? gst_element_request_pad_simple(encoder, "\(stream)_%u")
  else {
    throw Failure("GStreamer cannot encode this as \(encoding.container.rawValue)", .internalFault)
  }
  defer { gst_object_unref(pad) }
  guard gst_pad_link(pipeline.element(queue).pad("src"), pad) == GST_PAD_LINK_OK else {
    throw Failure("GStreamer cannot encode this as \(encoding.container.rawValue)", .internalFault)
  }
}

extension ExitStatus {
  /// The exit status for an error, by the element that it comes from, or the bin around that.
  static func blame(
    _ source: UnsafeMutablePointer<GstObject>, badInput: [String], badOutput: [String],
    in pipeline: UnsafeMutablePointer<GstElement>
  ) -> ExitStatus {
    for (name, status) in badInput.map({ ($0, ExitStatus.badInput) }) + badOutput.map({ ($0, .badOutput) }) {
      let object = UnsafeMutableRawPointer(pipeline.element(name)).assumingMemoryBound(to: GstObject.self)
      if source == object || gst_object_has_as_ancestor(source, object) != 0 { return status }
    }
    return .internalFault
  }
}
