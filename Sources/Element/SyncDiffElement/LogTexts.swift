// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Times and names as written in log lines; times in seconds, to the millisecond.

import CGStreamer
import Speech

func seconds(_ time: RunningTime) -> String { seconds(nanoseconds: Int64(clamping: time.nanoseconds)) }

func seconds(_ range: Range<RunningTime>) -> String { "\(seconds(range.lowerBound)) to \(seconds(range.upperBound))" }

func seconds(microseconds: Int64) -> String { seconds(milliseconds: microseconds / 1000) }

func seconds(nanoseconds: Int64) -> String { seconds(milliseconds: nanoseconds / 1_000_000) }

private func seconds(milliseconds: Int64) -> String {
  let (whole, rest) = milliseconds.magnitude.quotientAndRemainder(dividingBy: 1000)
  let digits = String(rest + 1000).dropFirst()
  return "\(milliseconds < 0 ? "-" : "")\(whole).\(digits) s"
}

extension GstEventType {
  var name: String { String(cString: gst_event_type_get_name(self)) }
}

extension GstQueryType {
  var name: String { String(cString: gst_query_type_get_name(self)) }
}

extension GstFlowReturn {
  var name: String { String(cString: gst_flow_get_name(self)) }
}
