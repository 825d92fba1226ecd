// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Single frames of a file, for viewing.

import CGStreamer
import CGStreamerTools

final class Stills {
  /// Seconds; nil if the file does not say.
  let duration: Double?
  private let isStill: Bool
  private let pipeline: UnsafeMutablePointer<GstElement>

  /// Frames come upright, with square pixels. Throws if there is no video.
  init(of media: Media) throws {
    guard let picture = media.pictures.first else { throw Failure("\(media.path) has no video stream") }
    (duration, isStill) = (media.duration, media.isStill)
    let direction = (picture.orientation ?? .upright).rawValue
    pipeline = try parse(
      "uridecodebin name=in ! videoconvert ! videoflip video-direction=\(direction) "
        + "! videoconvert ! video/x-raw,format=RGB ! fakesink name=out sync=false")
    pipeline.element("in").object.set("uri", to: media.uri)
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    guard gst_element_get_state(pipeline, nil, nil, patience) != GST_STATE_CHANGE_FAILURE else {
      throw Failure("cannot decode \(media.path)")
    }
  }

  deinit {
    gst_element_set_state(pipeline, GST_STATE_NULL)
    gst_object_unref(pipeline)
  }

  /// The frame shown at `time` (seconds), scaled to `height`; nil if there is none.
  func jpeg(at time: Double, height: Int) -> [UInt8]? {
    guard let made = sample(at: time, as: "image/jpeg,height=\(height / 2 * 2),pixel-aspect-ratio=1/1") else {
      return nil
    }
    defer { gst_sample_unref(made) }
    return gst_sample_get_buffer(made).flatMap(contents(of:))
  }

  fileprivate func pixels(at time: Double, height: Int) -> Pixels? {
    guard let made = sample(at: time, as: "video/x-raw,format=RGB,height=\(height),pixel-aspect-ratio=1/1") else {
      return nil
    }
    defer { gst_sample_unref(made) }
    return Pixels(made)
  }

  /// The caller owns it.
  private func sample(at time: Double, as format: String) -> OpaquePointer? {
    let flags = GstSeekFlags(rawValue: GST_SEEK_FLAG_FLUSH.rawValue | GST_SEEK_FLAG_ACCURATE.rawValue)
    guard isStill || gst_element_seek_simple(pipeline, GST_FORMAT_TIME, flags, gint64(time * 1e9)) != 0,
      gst_element_get_state(pipeline, nil, nil, patience) == GST_STATE_CHANGE_SUCCESS,
      let shown = lastSample(of: pipeline.element("out"))
    else { return nil }
    defer { gst_sample_unref(shown) }
    return converted(shown, format)
  }
}

private let patience: GstClockTime = 30_000_000_000  // nanoseconds

/// RGB; rows start at multiples of four bytes.
private struct Pixels {
  let width, height: Int
  var bytes: [UInt8]
  var stride: Int { (3 * width + 3) / 4 * 4 }

  /// A copy of a sample in this format; nil if it is of another kind.
  init?(_ sample: OpaquePointer) {
    guard let caps = gst_sample_get_caps(sample), let bytes = gst_sample_get_buffer(sample).flatMap(contents(of:))
    else {
      return nil
    }
    var (width, height): (gint, gint) = (0, 0)
    let fields = gst_caps_get_structure(caps, 0)
    guard gst_structure_get_int(fields, "width", &width) != 0, gst_structure_get_int(fields, "height", &height) != 0
    else { return nil }
    (self.width, self.height, self.bytes) = (Int(width), Int(height), bytes)
  }

  /// White.
  init(width: Int, height: Int) {
    (self.width, self.height, bytes) = (width, height, [])
    bytes = [UInt8](repeating: 255, count: stride * height)
  }

  /// A line of text, black on white; nil if GStreamer's textoverlay is missing.
  init?(_ text: String, width: Int, height: Int) {
    let caps = "video/x-raw,width=\(width),height=\(height)"
    let look = "color=0xff000000 draw-outline=false draw-shadow=false auto-resize=false font-desc=\"Sans 12px\""
    let pipeline = try? parse(
      "videotestsrc pattern=white ! \(caps) ! textoverlay text=\"\(text)\" valignment=center \(look) ! videoconvert "
        + "! video/x-raw,format=RGB ! fakesink name=out")
    guard let pipeline else { return nil }
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(pipeline)
    }
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    guard gst_element_get_state(pipeline, nil, nil, patience) == GST_STATE_CHANGE_SUCCESS,
      let drawn = lastSample(of: pipeline.element("out"))
    else { return nil }
    defer { gst_sample_unref(drawn) }
    self.init(drawn)
  }

  /// `other` must fit.
  mutating func put(_ other: Pixels, x: Int, y: Int) {
    for row in 0..<other.height {
      let (from, to) = (row * other.stride, (y + row) * stride + 3 * x)
      bytes.replaceSubrange(to..<to + 3 * other.width, with: other.bytes[from..<from + 3 * other.width])
    }
  }

  var png: [UInt8]? {
    guard let caps = gst_caps_from_string("video/x-raw,format=RGB,width=\(width),height=\(height),framerate=1/1"),
      let buffer = gst_buffer_new_allocate(nil, gsize(bytes.count), nil)
    else { return nil }
    gst_buffer_fill(buffer, 0, bytes, gsize(bytes.count))
    let raw = gst_sample_new(buffer, caps, nil, nil)
    defer {
      gst_sample_unref(raw)
      gst_buffer_unref(buffer)
      gst_caps_unref(caps)
    }
    guard let raw, let made = converted(raw, "image/png") else { return nil }
    defer { gst_sample_unref(made) }
    return gst_sample_get_buffer(made).flatMap(contents(of:))
  }
}

/// Frames of an original and of its dub, spread over the dub, as PNG: two rows with the original above, and below them their
/// time in the dub. `from`: seconds in the original at which the dub begins. Throws if one of them cannot be decoded.
func contactSheet(_ original: Media, from: Double, _ dub: String) throws -> [UInt8] {
  let (count, columns, height, line, gap) = (12, 6, 180, 18, 4)
  let (before, after) = (try Stills(of: original), try Stills(of: Media(path: dub)))
  let length = after.duration ?? 0
  let moments = (0..<count).compactMap { i -> (before: Pixels, after: Pixels, time: Double)? in
    let time = (Double(i) + 0.5) / Double(count) * length
    guard let dubbed = after.pixels(at: time, height: height) else { return nil }
    // A photo or an extended video has no frame there; use its last one.
    let latest = max((before.duration ?? 0) - 0.05, 0)
    return before.pixels(at: min(from + time, latest), height: height).map { ($0, dubbed, time) }
  }
  guard let first = moments.first else { throw Failure("\(dub) has no frames to show") }
  let width = max(first.before.width, first.after.width)
  let rows = (moments.count + columns - 1) / columns
  var sheet = Pixels(width: columns * (width + gap) - gap, height: rows * (2 * height + line + gap) - gap)
  for (i, moment) in moments.enumerated() {
    let (x, y) = (i % columns * (width + gap), i / columns * (2 * height + line + gap))
    sheet.put(moment.before, x: x, y: y)
    sheet.put(moment.after, x: x, y: y + height)
    if let text = Pixels(clock(moment.time), width: width, height: line) { sheet.put(text, x: x, y: y + 2 * height) }
  }
  guard let png = sheet.png else {
    throw Failure("GStreamer's pngenc is missing; install gstreamer1.0-plugins-good", .badOutput)
  }
  return png
}

/// 61.25 -> "1:01.25".
private func clock(_ seconds: Double) -> String {
  let hundredths = Int((seconds * 100).rounded())
  func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
  return "\(hundredths / 6000):\(two(hundredths / 100 % 60)).\(two(hundredths % 100))"
}

/// A frame converted to another format. The caller owns it.
private func converted(_ sample: OpaquePointer, _ format: String) -> OpaquePointer? {
  guard let caps = gst_caps_from_string(format) else { return nil }
  defer { gst_caps_unref(caps) }
  return gst_video_convert_sample(sample, caps, 30_000_000_000, nil)
}

/// A copy of a buffer's contents.
func contents(of buffer: UnsafeMutablePointer<GstBuffer>) -> [UInt8]? {
  var map = GstMapInfo()
  guard gst_buffer_map(buffer, &map, GST_MAP_READ) != 0 else { return nil }
  defer { gst_buffer_unmap(buffer, &map) }
  return Array(UnsafeBufferPointer(start: map.data, count: Int(map.size)))
}

func base64(_ bytes: [UInt8]) -> String {
  guard let text = g_base64_encode(bytes, gsize(bytes.count)) else { return "" }
  defer { g_free(text) }
  return String(cString: text)
}
