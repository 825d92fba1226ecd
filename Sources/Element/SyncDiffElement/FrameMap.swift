// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A mapped GStreamer frame -> the views that Faces works on.

import CGStreamer
import Faces

extension FrameView {
  /// Nil if the frame's format is not supported.
  package init?(_ map: GstVideoFrame) {
    guard let format = map.pixelFormat else { return nil }
    self.init(
      format: format, width: Int(map.info.width), height: Int(map.info.height),
      planes: map.planes.map { (base: UnsafeRawPointer($0.base), stride: $0.stride) }, colorimetry: map.colorimetry,
      chromaSite: map.chromaSite)
  }
}

extension MutableFrameView {
  /// Nil if the frame's format is not supported.
  package init?(_ map: GstVideoFrame) {
    guard let format = map.pixelFormat else { return nil }
    self.init(
      format: format, width: Int(map.info.width), height: Int(map.info.height), planes: map.planes,
      colorimetry: map.colorimetry, chromaSite: map.chromaSite)
  }
}

extension GstVideoFrame {
  /// The names are GStreamer's, in lower case.
  fileprivate var pixelFormat: PixelFormat? {
    info.finfo.flatMap { PixelFormat(rawValue: String(cString: $0.pointee.name).lowercased()) }
  }

  fileprivate var planes: [MutableFrameView.Plane] {
    let (data, strides) = (data, info.stride)
    let count = Int(info.finfo?.pointee.n_planes ?? 0)
    return [(data.0, strides.0), (data.1, strides.1), (data.2, strides.2), (data.3, strides.3)].prefix(count).compactMap
    {
      base, stride in base.map { (base: $0, stride: Int(stride)) }
    }
  }

  /// Ignores that alternate lines may hold Cb and Cr alone (`dv`): no such frame is progressive.
  fileprivate var chromaSite: ChromaSite {
    func has(_ flag: GstVideoChromaSite) -> Bool { info.chroma_site.rawValue & flag.rawValue != 0 }
    if info.chroma_site == GST_VIDEO_CHROMA_SITE_UNKNOWN { return .left }
    return ChromaSite(cositedX: has(GST_VIDEO_CHROMA_SITE_H_COSITED), cositedY: has(GST_VIDEO_CHROMA_SITE_V_COSITED))
  }

  /// What is missing or unknown to Faces defaults to BT.709, full range for RGB and limited for YUV; SD without colorimetry
  /// is BT.601, by GStreamer's own defaults.
  fileprivate var colorimetry: Colorimetry {
    let matrix: Colorimetry.Matrix =
      switch info.colorimetry.matrix {
      case GST_VIDEO_COLOR_MATRIX_BT601: .bt601
      case GST_VIDEO_COLOR_MATRIX_BT2020: .bt2020
      default: .bt709
      }
    let isRGB = (info.finfo?.pointee.flags.rawValue ?? 0) & GST_VIDEO_FORMAT_FLAG_RGB.rawValue != 0
    let untold: Colorimetry.Range = isRGB ? .full : .limited
    let range: Colorimetry.Range =
      switch info.colorimetry.range {
      case GST_VIDEO_COLOR_RANGE_0_255: .full
      case GST_VIDEO_COLOR_RANGE_16_235: .limited
      default: untold
      }
    return Colorimetry(matrix, range)
  }
}
