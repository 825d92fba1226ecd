// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One video dubbed in several stretches at the same time: where they begin, and how they run.

import CGStreamer
import Dispatch
import Glibc
import Synchronization

/// Times that split a video of `length` seconds into `jobs` stretches, as equal as its scenes allow. `cuts`: where scenes
/// begin, seconds. `anywhere`: also split within a scene if no cut is near. `frame`: seconds; each time lies between two
/// frames.
func partingTimes(of length: Double, into jobs: Int, at cuts: [Double], anywhere: Bool, frame: Double) -> [Double] {
  let even = length / Double(jobs)
  var times: [Double] = []
  for job in stride(from: 1, to: jobs, by: 1) {
    let wanted = even * Double(job)
    let near = cuts.filter { abs($0 - wanted) < even / 2 }.min { abs($0 - wanted) < abs($1 - wanted) }
    guard let time = near ?? (anywhere ? (wanted / frame).rounded() * frame : nil) else { continue }
    // Shorter stretches would cost more than they save.
    if time - (times.last ?? 0) >= 2, length - time >= 2 { times.append(time) }
  }
  return times.map { $0 - 0.4 * frame }
}

extension Job {
  /// Why the video must be dubbed in one stretch; nil if it need not be.
  var hindersStretches: String? {
    if picture.isStill { return "it is a photo" }
    if picture.container == "video/mpeg" { return "its timestamps are counted from the beginning" }
    if length == nil { return "its file does not say how long it is" }
    return nil
  }

  /// Dubs the stretches between these times of the result, and reports progress. After a signal, everything after the first
  /// incomplete stretch is left out. Returns at least one, even without frames.
  func stretches(
    at times: [Double], for output: Output, _ report: Report,
    configure: (UnsafeMutablePointer<GstElement>) -> Void
  ) throws -> [Stretch] {
    guard let payloader = gst_element_factory_find("gdppay") else {
      throw Failure("GStreamer's gdppay is missing, which --jobs needs; install gstreamer1.0-plugins-bad", .badOutput)
    }
    gst_object_unref(UnsafeMutableRawPointer(payloader))
    let bounds = [nil] + times.map(Optional.some) + [nil]
    let stretches = try zip(bounds, bounds.dropFirst()).map {
      try Stretch(of: self, from: $0, to: $1, in: output.scratch())
    }
    for stretch in stretches { configure(stretch.dub) }
    let hasFailed = Atomic(false)
    let group = DispatchGroup()
    for stretch in stretches {
      // Each waits on a thread of its own: the global queue has no more threads than there are processors.
      DispatchQueue(label: "stretch").async(group: group) {
        stretch.play { hasFailed.load(ordering: .relaxed) }
        if stretch.failure != nil { hasFailed.store(true, ordering: .relaxed) }
      }
    }
    var progress = report.progress("dub", of: length)
    while group.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
      progress.show(stretches.map(\.progress).reduce(0, +))
    }
    report.closeLine()
    if let failure = stretches.lazy.compactMap(\.failure).first { throw failure }
    // A warning that not all stretches have, such as silence, does not hold for the whole.
    let warnings = stretches.map(\.warnings).reduce(stretches[0].warnings) { $0.intersection($1) }
    for warning in warnings.sorted() { report.warn(warning) }
    let whole = stretches.prefix { !$0.isCut }
    let made = stretches.prefix(whole.count + 1).filter { $0.frames > 0 }
    if made.isEmpty, let status = Interrupt.status { throw Failure("interrupted", status) }
    return made.isEmpty ? [stretches[0]] : made
  }
}
