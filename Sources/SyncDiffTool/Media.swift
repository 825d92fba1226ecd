// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerTools
import Glibc

/// A file that GStreamer can decode, and what is in it.
struct Media {
  let path: String
  let uri: String
  /// Seconds; nil if the file does not say.
  let duration: Double?
  let hasPicture: Bool
  /// Its picture does not move: a photo, or the cover of a record.
  let isStill: Bool
  let isInterlaced: Bool
  /// Pixels.
  let size: (width: UInt32, height: UInt32)
  let hasSound: Bool

  init(path: String) throws {
    var status = stat()
    guard stat(path, &status) == 0, access(path, R_OK) == 0 else {
      throw Failure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw Failure("cannot read \(path): not a file") }
    guard let uri = gst_filename_to_uri(path, nil), let discoverer = gst_discoverer_new(20 * 1_000_000_000, nil) else {
      throw Failure("cannot read \(path)")
    }
    defer {
      g_free(uri)
      g_object_unref(discoverer)
    }
    var problem: UnsafeMutablePointer<GError>?
    let info = gst_discoverer_discover_uri(discoverer, uri, &problem)
    defer {
      g_clear_error(&problem)
      if let info { g_object_unref(UnsafeMutableRawPointer(info)) }
    }
    let result = info.map { gst_discoverer_info_get_result($0) }
    guard let info, result == GST_DISCOVERER_OK || result == GST_DISCOVERER_MISSING_PLUGINS else {
      let reason = problem.map { String(cString: $0.pointee.message) } ?? "it took too long to look into it"
      throw Failure("cannot decode \(path): \(reason)")
    }
    self.path = path
    self.uri = String(cString: uri)
    let length = gst_discoverer_info_get_duration(info)
    duration = length == .max || length == 0 ? nil : Double(length) / 1e9

    let pictures = gst_discoverer_info_get_video_streams(info)
    let sounds = gst_discoverer_info_get_audio_streams(info)
    defer {
      gst_discoverer_stream_info_list_free(pictures)
      gst_discoverer_stream_info_list_free(sounds)
    }
    hasPicture = pictures != nil
    let first = pictures?.pointee.data.map { OpaquePointer($0) }
    isStill = first.map { gst_discoverer_video_info_is_image($0) != 0 } ?? false
    isInterlaced = first.map { gst_discoverer_video_info_is_interlaced($0) != 0 } ?? false
    size = first.map { (gst_discoverer_video_info_get_width($0), gst_discoverer_video_info_get_height($0)) } ?? (0, 0)
    hasSound = sounds != nil
    if result == GST_DISCOVERER_MISSING_PLUGINS, !hasPicture, !hasSound {
      throw Failure("cannot decode \(path): GStreamer has no decoder for it")
    }
  }

  func requirePicture() throws {
    guard hasPicture else { throw Failure("\(path) has no video stream") }
    guard !isStill else { throw Failure("\(path) is a still picture, not a video") }
    guard !isInterlaced else { throw Failure("\(path) is interlaced; deinterlace it first") }
    guard size.width >= 64, size.height >= 64 else {
      throw Failure("\(path) is \(size.width) x \(size.height); 64 x 64 is the least")
    }
  }

  func requireSound() throws {
    guard hasSound else { throw Failure("\(path) has no audio stream") }
  }
}
