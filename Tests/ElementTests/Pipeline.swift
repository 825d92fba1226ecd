// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whole pipelines, played to their end, and the clips that they play.

import CGStreamer
import Foundation
import GstSyncDiff
import Synchronization
import Testing

/// How a pipeline ended.
struct Ending: Equatable {
  var eos = false
  var frames = 0
  /// Their texts.
  var warnings: [String] = []
  var error: String?
}

/// Two seconds of portrait, or more, with sound of its own length, in a file that is gone when the test is over.
final class Clip {
  let path: String

  /// `muxer` is matroskamux or qtmux; `sound` in tenths of a second, 0: no sound stream.
  init(_ muxer: String, frames: Int = 50, sound: Int) throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("syncdiff-\(UUID().uuidString)").path
    var line = """
      filesrc location=\(portraitPath) ! jpegdec ! videoscale ! videoconvert \
      ! video/x-raw,format=I420,width=240,height=240 ! imagefreeze num-buffers=\(frames) ! video/x-raw,framerate=25/1 \
      ! jpegenc ! queue max-size-time=0 max-size-buffers=0 ! \(muxer) name=mux ! filesink location=\(path)
      """
    if sound > 0 {
      line += """
         audiotestsrc num-buffers=\(sound) samplesperbuffer=1600 ! audio/x-raw,format=S16LE,rate=16000,channels=1 \
        ! queue max-size-time=0 max-size-buffers=0 ! mux.
        """
    }
    #expect(try play(line).eos)
  }

  deinit { unlink(path) }
}

/// A pipeline, which is stopped when the test is over.
final class Pipeline {
  let element: UnsafeMutablePointer<GstElement>
  let bus: UnsafeMutablePointer<GstBus>

  init(_ line: String) throws {
    #expect(gstreamer)
    var problem: UnsafeMutablePointer<GError>?
    let parsed = gst_parse_launch(line, &problem)
    let reason = problem.map { String(cString: $0.pointee.message) } ?? ""
    g_clear_error(&problem)
    element = try #require(parsed, "\(reason)")
    bus = gst_element_get_bus(element)
  }

  deinit {
    gst_element_set_state(element, GST_STATE_NULL)
    gst_object_unref(bus)
    gst_object_unref(element)
  }

  /// Waits for the end, two minutes at most.
  func ending() -> Ending {
    var ending = Ending()
    let types = GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue
    let deadline = g_get_monotonic_time() + 120_000_000
    while !ending.eos, ending.error == nil, g_get_monotonic_time() < deadline {
      guard let message = gst_bus_timed_pop_filtered(bus, second, GstMessageType(rawValue: types)) else { continue }
      switch message.pointee.type {
      case GST_MESSAGE_EOS: ending.eos = true
      case GST_MESSAGE_WARNING: ending.warnings.append(text(of: message))
      default: ending.error = "error"
      }
      gst_message_unref(message)
    }
    return ending
  }

  private func text(of warning: UnsafeMutablePointer<GstMessage>) -> String {
    var error: UnsafeMutablePointer<GError>?
    gst_message_parse_warning(warning, &error, nil)
    defer { g_clear_error(&error) }
    return error.map { String(cString: $0.pointee.message) } ?? ""
  }

  /// Whether there is a warning or an error on the bus.
  var complains: Bool {
    let complaints = GST_MESSAGE_WARNING.rawValue | GST_MESSAGE_ERROR.rawValue
    guard let complaint = gst_bus_pop_filtered(bus, GstMessageType(rawValue: complaints)) else { return false }
    gst_message_unref(complaint)
    return true
  }
}

/// Plays to the end, for two minutes at most. Frames are counted at the source pad, or `video_src`, of the element called `dub`, if
/// there is one.
func play(_ line: String) throws -> Ending {
  let pipeline = try Pipeline(line)
  let count = Counter()
  let bin = UnsafeMutableRawPointer(pipeline.element).assumingMemoryBound(to: GstBin.self)
  if let dub = gst_bin_get_by_name(bin, "dub") {
    count.attach(dub)
    gst_object_unref(dub)
  }
  gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
  var ending = pipeline.ending()
  ending.frames = count.frames
  return ending
}

final class Counter: Sendable {
  private let value = Atomic(0)

  var frames: Int { value.load(ordering: .relaxed) }

  func attach(_ element: UnsafeMutablePointer<GstElement>) {
    let pad = gst_element_get_static_pad(element, "src") ?? gst_element_get_static_pad(element, "video_src")
    gst_pad_add_probe(
      pad, GST_PAD_PROBE_TYPE_BUFFER,
      { _, _, counter in
        if let counter {
          Unmanaged<Counter>.fromOpaque(counter).takeUnretainedValue().value.add(1, ordering: .relaxed)
        }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passRetained(self).toOpaque(), { if let me = $0 { Unmanaged<Counter>.fromOpaque(me).release() } })
    gst_object_unref(pad)
  }
}
