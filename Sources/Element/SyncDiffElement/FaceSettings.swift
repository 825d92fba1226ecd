// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Where faces are searched: the properties face-select, max-faces and roi, and the regions marked upstream.

import CGStreamer
import Faces
import GstSyncDiff
import SyncDiff

/// The property `roi`.
package enum RegionOfInterest: Equatable, Sendable {
  case box(Box)
  case bad(why: String)

  /// Parses "x,y,width,height" in pixels of a frame of this size.
  package init(_ text: String, width: Int, height: Int) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int32(String($0.filter { $0 != " " })) }
    guard parts.count == 4, numbers.count == 4 else {
      self = .bad(why: "it is not four whole numbers \"x,y,width,height\"")
      return
    }
    guard numbers[2] > 0, numbers[3] > 0 else {
      self = .bad(why: "its width and height must be more than 0")
      return
    }
    let box = Box(x: Float(numbers[0]), y: Float(numbers[1]), width: Float(numbers[2]), height: Float(numbers[3]))
    guard box.x < Float(width), box.y < Float(height), box.x + box.width > 0, box.y + box.height > 0 else {
      self = .bad(why: "it lies outside of the picture, which is \(width) x \(height)")
      return
    }
    self = .box(box)
  }
}

/// Where the current properties search for faces.
struct FaceSettings {
  private var warnedRegion: RegionOfInterest?

  /// What to find in a frame with these caps.
  mutating func find(
    _ settings: Settings, _ info: GstVideoInfo?, in buffer: UnsafeMutablePointer<GstBuffer>, _ stream: Stream
  ) -> FindSettings {
    var find = FindSettings()
    find.sceneThreshold = settings.sceneThreshold
    find.selection =
      if let box = regionOfInterest(settings, info, stream) {
        .within([box], 1)
      } else {
        switch settings.faceSelect {
        case GST_SYNC_DIFF_FACE_SELECT_CENTER: .center
        case GST_SYNC_DIFF_FACE_SELECT_LEFT: .left
        case GST_SYNC_DIFF_FACE_SELECT_RIGHT: .right
        case GST_SYNC_DIFF_FACE_SELECT_ROI_META: .within(regions(of: buffer), settings.maxFaces)
        case GST_SYNC_DIFF_FACE_SELECT_ALL: .largest(settings.maxFaces)
        default: .largest(1)
        }
      }
    return find
  }

  /// The property `roi`; an invalid one gives one warning for each value and each frame size.
  private mutating func regionOfInterest(_ settings: Settings, _ info: GstVideoInfo?, _ stream: Stream) -> Box? {
    guard let text = settings.roi, let info else { return nil }
    let (width, height) = (Int(info.width), Int(info.height))
    let region = RegionOfInterest(text, width: width, height: height)
    if case .box(let box) = region { return box }
    if case .bad(let why) = region, warnedRegion != region {
      stream.postWarning(
        .resource(GST_RESOURCE_ERROR_SETTINGS), "roi=\"\(text)\" has no effect: \(why).",
        debug: "Give a box in pixels of the frame, such as "
          + "roi=\"\(width / 4),\(height / 4),\(width / 2),\(height / 2)\".")
    }
    warnedRegion = region
    return nil
  }

  /// The regions that detectors upstream have marked in a frame: those marked as faces or, if there are none, all.
  private func regions(of buffer: UnsafeMutablePointer<GstBuffer>) -> [Box] {
    var (faces, others): ([Box], [Box]) = ([], [])
    var state: gpointer?
    let type = gst_video_region_of_interest_meta_api_get_type()
    while let meta = gst_buffer_iterate_meta_filtered(buffer, &state, type) {
      let region = UnsafeMutableRawPointer(meta).assumingMemoryBound(to: GstVideoRegionOfInterestMeta.self).pointee
      let box = Box(x: Float(region.x), y: Float(region.y), width: Float(region.w), height: Float(region.h))
      let name = g_quark_to_string(region.roi_type).map { String(cString: $0).lowercased() }
      if name == "face" { faces.append(box) } else { others.append(box) }
    }
    return faces.isEmpty ? others : faces
  }
}
