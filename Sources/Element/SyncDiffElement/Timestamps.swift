// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer

/// Where in the stream a message belongs, with the fields that the element `level` has. Nanoseconds or
/// GST_CLOCK_TIME_NONE.
struct Timestamps {
  var timestamp = GstClockTime.max
  var streamTime = GstClockTime.max
  var runningTime = GstClockTime.max
  var duration = GstClockTime.max
}
