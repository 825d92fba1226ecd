// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A file from the web, copied into an unnamed file, and from then on a file like others: its headers are read, and whether all
// of it came is known. Playlists and what does not say its length, such as live sound, are left to GStreamer.

import CGStreamer
import Glibc

struct Download {
  /// What commands that read files say of it.
  static let help = """
    A file from the web is first copied whole, into an unnamed file in /tmp or, if it is set, the folder TMPDIR; playlists and live \
    streams are not.
    """

  private let scratch: Scratch
  /// Whether as many bytes came as were announced.
  let isComplete: Bool
  /// Of the copy.
  var path: String { "/proc/self/fd/\(fileno(scratch.file))" }

  /// Nil if it is not to be copied. Throws if nothing comes, or there is no room.
  init?(of uri: String) throws {
    guard ["http://", "https://"].contains(where: uri.lowercased().hasPrefix),
      let source = gst_element_make_from_uri(GST_URI_SRC, uri, "source", nil), let pipeline = gst_pipeline_new(nil),
      let copy = gst_element_factory_make("fdsink", "copy")
    else { return nil }
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(pipeline)
    }
    for element in [source, copy] { gst_bin_add(pipeline.bin, element) }
    scratch = try Scratch()
    copy.object.set("fd", to: "\(fileno(scratch.file))")
    copy.object.set("sync", to: "false")
    gst_element_link(source, copy)
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    let first = try Self.next(GST_MESSAGE_ASYNC_DONE, of: pipeline)
    defer { gst_message_unref(first) }
    guard first.pointee.type != GST_MESSAGE_ERROR else { throw Failure("cannot read \(uri): \(text(of: first))") }
    var announced: gint64 = 0
    guard gst_element_query_duration(source, GST_FORMAT_BYTES, &announced) != 0, announced > 0 else { return nil }
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    let last = try Self.next(GST_MESSAGE_EOS, of: pipeline)
    defer { gst_message_unref(last) }
    if last.pointee.type == GST_MESSAGE_ERROR, let origin = last.pointee.src,
      ExitStatus.blame(origin, badInput: [], badOutput: ["copy"], in: pipeline) == .badOutput
    {
      throw scratch.failure(text(of: last))
    }
    let size = lseek(fileno(scratch.file), 0, SEEK_END)
    guard size > 0 else { throw Failure("cannot read \(uri): nothing came") }
    isComplete = size == announced
    if isPlaylist { return nil }
  }

  /// The next message of a type, or of an error; throws if the user interrupts.
  private static func next(
    _ type: GstMessageType, of pipeline: UnsafeMutablePointer<GstElement>
  ) throws -> UnsafeMutablePointer<GstMessage> {
    let bus = gst_element_get_bus(pipeline)
    defer { gst_object_unref(bus) }
    let types = GstMessageType(rawValue: type.rawValue | GST_MESSAGE_ERROR.rawValue)
    while true {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, types) { return message }
    }
  }

  /// Of HLS, DASH or Smooth Streaming, which names other files.
  private var isPlaylist: Bool {
    var start = [UInt8](repeating: 0, count: 16384)
    let count = pread(fileno(scratch.file), &start, start.count, 0)
    // Smooth Streaming's may be in UTF-16.
    let text = String(decoding: start.prefix(max(count, 0)).filter { $0 != 0 }, as: UTF8.self)
    return text.hasPrefix("#EXTM3U") || ["<MPD", "<SmoothStreamingMedia"].contains { text.contains($0) }
  }
}
