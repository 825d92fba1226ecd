// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the element requests in an ALLOCATION query.

import CGStreamer

extension Stream {
  /// Upstream's pool must not run dry while frames are held here, and its frames may have strides of their own, whatever
  /// downstream supports.
  func askForFrames(_ query: UnsafeMutablePointer<GstQuery>) {
    let meta = gst_video_meta_api_get_type()
    if gst_query_find_allocation_meta(query, meta, nil) == 0 { gst_query_add_allocation_meta(query, meta, nil) }
    let needed = state.read { state in
      let waiting = state.waiting
      return UInt32(clamping: waiting.mostFrames + (waiting.sync.linked ? FrameQueue.mostReady : 0)).addingClamped(2)
    }
    log(GST_LEVEL_DEBUG, "upstream's pool is asked for \(needed) frames more")
    let pools = gst_query_get_n_allocation_pools(query)
    if pools == 0 {
      var caps: UnsafeMutablePointer<GstCaps>?
      gst_query_parse_allocation(query, &caps, nil)
      var info = GstVideoInfo()
      if let caps, gst_video_info_from_caps(&info, caps) != 0 {
        gst_query_add_allocation_pool(query, nil, guint(clamping: info.size), needed, 0)
      }
    }
    for i in 0..<pools {
      var pool: UnsafeMutablePointer<GstBufferPool>?
      var (size, least, most): (UInt32, UInt32, UInt32) = (0, 0, 0)
      gst_query_parse_nth_allocation_pool(query, i, &pool, &size, &least, &most)
      least = least.addingClamped(needed)
      // A pool that cannot grow to this is omitted; its size and minimum stay.
      let fits = most == 0 || most >= least
      gst_query_set_nth_allocation_pool(query, i, fits ? pool : nil, size, least, fits ? most : 0)
      if let pool { gst_object_unref(pool) }
    }
  }
}
