// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// SMPTE ST 12-1 timecode: a frame's time according to a camera or an editor.

import CGStreamer

/// Timecode of a video's first frame.
struct Timecode: Equatable {
  /// Frames counted since midnight, without the numbers that drop-frame skips.
  private(set) var frame: Int
  /// Frames per second.
  let rate: Ratio
  let isDropFrame: Bool

  init(frame: Int, rate: Ratio, isDropFrame: Bool) {
    let divisor = Int32(gst_util_greatest_common_divisor(rate.numerator, rate.denominator))
    self.rate = Ratio(rate.numerator / max(divisor, 1), rate.denominator / max(divisor, 1))
    (self.frame, self.isDropFrame) = (frame, isDropFrame)
  }

  init(_ code: UnsafePointer<GstVideoTimeCode>) {
    let config = code.pointee.config
    self.init(
      frame: Int(gst_video_time_code_frames_since_daily_jam(code)),
      rate: Ratio(Int32(config.fps_n), Int32(config.fps_d)),
      isDropFrame: config.flags.rawValue & GST_VIDEO_TIME_CODE_FLAGS_DROP_FRAME.rawValue != 0)
  }

  /// Whether GStreamer supports it: integer rates, SMPTE's three fractional rates, drop-frame at two of these.
  var canBeWritten: Bool {
    let isBroken = rate.denominator == 1001
    return isDropFrame
      ? isBroken && [30000, 60000].contains(rate.numerator)
      : rate.denominator == 1 || isBroken && [24000, 30000, 60000].contains(rate.numerator)
  }

  /// The timecode `seconds` later in the video.
  func later(by seconds: Double) -> Timecode {
    var later = self
    later.frame += Int((seconds * rate.value - 1e-6).rounded(.up))
    return later
  }

  /// Attaches it to a frame.
  func mark(_ buffer: UnsafeMutablePointer<GstBuffer>) {
    withCode { _ = gst_buffer_add_video_time_code_meta(buffer, $0) }
  }

  /// "10:00:00:00", with a semicolon before the frames for drop-frame.
  var text: String {
    withCode { code in
      guard let text = gst_video_time_code_to_string(code) else { return "" }
      defer { g_free(text) }
      return String(cString: text)
    }
  }

  private func withCode<Result>(_ body: (UnsafeMutablePointer<GstVideoTimeCode>) -> Result) -> Result {
    var code = GstVideoTimeCode()
    defer { gst_video_time_code_clear(&code) }
    let flags = isDropFrame ? GST_VIDEO_TIME_CODE_FLAGS_DROP_FRAME : GST_VIDEO_TIME_CODE_FLAGS_NONE
    gst_video_time_code_init(&code, guint(rate.numerator), guint(rate.denominator), nil, flags, 0, 0, 0, 0, 0)
    gst_video_time_code_add_frames(&code, gint64(frame))
    return body(&code)
  }
}
