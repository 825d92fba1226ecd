// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What GST_DEBUG=syncdiff:6 tells: a pipeline that does not go on as it should is understood from its log alone.

import CGStreamer
import GstSyncDiff
import Synchronization
import Testing

/// What one element logs while this lives.
private final class Log {
  private struct Line { let level: UInt32, element: UInt, text: String }

  private final class Lines: Sendable { let list = Mutex<[Line]>([]) }

  private static let read: GstLogFunction = { category, level, _, _, _, object, message, lines in
    guard let lines, let object, let text = gst_debug_message_get(message),
      String(cString: gst_debug_category_get_name(category)) == "syncdiff"
    else { return }
    let line = Line(level: level.rawValue, element: UInt(bitPattern: object), text: String(cString: text))
    Unmanaged<Lines>.fromOpaque(lines).takeUnretainedValue().list.withLock { $0.append(line) }
  }

  private let lines = Lines()

  init() {
    gst_debug_remove_log_function(gst_debug_log_default)  // which would write all that to the standard error
    gst_debug_add_log_function(
      Self.read, Unmanaged.passRetained(lines).toOpaque(),
      { lines in if let lines { Unmanaged<Lines>.fromOpaque(lines).release() } })
    gst_debug_set_threshold_for_name("syncdiff", GST_LEVEL_LOG)
  }

  deinit {
    gst_debug_unset_threshold_for_name("syncdiff")
    gst_debug_remove_log_function_by_data(Unmanaged.passUnretained(lines).toOpaque())
    gst_debug_add_log_function(gst_debug_log_default, nil, nil)
  }

  /// The lines of an element so far, of one level or of all.
  func lines(of element: UnsafeMutablePointer<GstElement>, _ level: GstDebugLevel? = nil) -> [String] {
    lines.list.withLock { lines in
      lines.filter { $0.element == UInt(bitPattern: element) && (level == nil || $0.level == level?.rawValue) }.map(
        \.text)
    }
  }
}

/// One after the other: what is logged is one thing for the whole process.
@Suite(.serialized) struct LogTests {
  @Test("A stall: which frame waits for which audio, how much there is, how long it waits, and what is done then")
  func stall() throws {
    let clip = try Clip("matroskamux", sound: 0)
    let pipeline = try Pipeline(
      "filesrc location=\(clip.path) ! decodebin ! syncdiff name=dub steps=1 stall-timeout=\(second) ! fakesink "
        + "appsrc ! dub.audio")
    let bin = UnsafeMutableRawPointer(pipeline.element).assumingMemoryBound(to: GstBin.self)
    let dub = try #require(gst_bin_get_by_name(bin, "dub"))
    defer { gst_object_unref(dub) }
    let log = Log()
    gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
    #expect(pipeline.ending().eos)

    let lines = log.lines(of: dub)
    let wait = try #require(lines.firstIndex { $0.contains("waits for audio") })
    let what = /the frame at 0\.000 s waits for audio up to 0\.\d\d\d s: none has arrived.*/
    let howLong = /.*; it waits at most (1\.000|0\.9\d\d) s more/
    #expect(lines[wait].wholeMatch(of: what) != nil && lines[wait].wholeMatch(of: howLong) != nil, "\(lines[wait])")
    let warning = try #require(lines.firstIndex { $0.hasPrefix("No audio has arrived on the audio pad for 1000 ms") })
    let passed = try #require(lines.firstIndex { $0.hasPrefix("the frame at 0.000 s: unchanged, no audio") })
    #expect(wait < warning && warning < passed)
    #expect(log.lines(of: dub, GST_LEVEL_WARNING) == [lines[warning]])
  }

  @Test("A face that is lost: the frame, and what came of it")
  func lostFace() throws {
    let (bench, face, log) = (try Bench(["steps": "1"], sound: true), try portrait(), Log())
    try bench.pushSound(0)
    for (i, picture) in [face, nil].enumerated() {
      bench.push(try bench.frame(i, picture))
      gst_buffer_unref(try bench.pull())
    }
    let news = log.lines(of: bench.element, GST_LEVEL_INFO).filter { $0.hasPrefix("faces") }
    #expect(news.count == 2)
    #expect(news.first?.wholeMatch(of: /faces found in the frame at 0\.000 s: face \d+, selected/) != nil, "\(news)")
    #expect(news.last == "faces lost in the frame at 0.040 s: none in view")
    let frames = log.lines(of: bench.element, GST_LEVEL_LOG)
    #expect(frames.contains("the frame at 0.000 s: painted"))
    #expect(frames.contains("the frame at 0.040 s: unchanged, no face to paint"))
  }

  @Test("An overload: which level of the ladder, from which frame on, and why")
  func overload() throws {
    let bench = try Bench(["missing-audio": "silence"], caps: slowCaps, live: true)
    let (face, log) = (try portrait(), Log())
    bench.setClock(60 * second)
    _ = try bench.dub(face, at: 0)
    let told = log.lines(of: bench.element, GST_LEVEL_INFO).filter { $0.hasPrefix("overload") }
    let news = /overload: level 1 of 3 from the frame at 0\.000 s on, because of late, \d+\.\d\d\d s late/
    #expect(told.first?.wholeMatch(of: news) != nil, "\(told)")
  }
}
