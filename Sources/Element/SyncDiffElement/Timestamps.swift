// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// A message's position in the stream, with the same fields as in messages of the element `level`. Nanoseconds or
/// GST_CLOCK_TIME_NONE.
struct Timestamps {
  var timestamp = GstClockTime.max
  var streamTime = GstClockTime.max
  var runningTime = GstClockTime.max
  var duration = GstClockTime.max
}
