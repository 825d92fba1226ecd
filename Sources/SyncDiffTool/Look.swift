// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Goes through the picture of a file as fast as it can, and gets to know the face in it.

import CGStreamer
import Faces
import Speech
import SyncDiff
import SyncDiffElement
import Synchronization
import Tensors

final class Look {
  private let picture: Media
  private let source: Source
  private let pipeline: UnsafeMutablePointer<GstElement>
  /// The streaming thread's while the pipeline plays.
  private var learner: Learner
  private var frames = 0
  private var detector = CutDetector()
  /// Where scenes begin, seconds.
  private(set) var cuts: [Double] = []
  private let findsCuts: Bool
  private var learns: Bool
  /// What was seen in each frame that was looked at, at which time, seconds.
  private(set) var sights: [(time: Double, sight: Learner.Sight)] = []
  private let isQuick: Bool
  /// Running time of the newest frame, nanoseconds.
  private let position = Atomic<UInt64>(0)
  private let isOver = Atomic(false)

  /// `isQuick`: every other frame is looked at, up to the first in which a second face is followed. `findsCuts`: all are gone through
  /// for scenes, even if none has to be looked at (`learns`).
  init(
    picture: Media, model: Model, threads: Int, part: Part = Part(), deinterlaced: Bool = false, isQuick: Bool = false,
    findsCuts: Bool = false, learns: Bool = true
  ) throws {
    guard let shown = picture.pictures.first else { throw Failure("\(picture.path) has no video stream") }
    (self.picture, self.isQuick, self.findsCuts, self.learns) = (picture, isQuick, findsCuts, learns)
    learner = Learner(model: model, threads: threads)
    let layout = try shown.layout(among: VideoCodec.h264.layouts)
    pipeline = try parse(
      "uridecodebin name=picture  \(shown.conversion(to: layout, deinterlaced: deinterlaced)) ! fakesink name=out")
    source = Source(picture, .picture, part: part, from: "picture", to: "frames", in: pipeline)
    gst_pad_add_probe(
      pipeline.element("out").pad("sink"), GST_PAD_PROBE_TYPE_BUFFER,
      { pad, info, me in
        if let pad, let me, let buffer = info.flatMap({ gst_pad_probe_info_get_buffer($0) }) {
          withStandardArithmetic { Unmanaged<Look>.fromOpaque(me).takeUnretainedValue().see(buffer, on: pad) }
        }
        return GST_PAD_PROBE_OK
      }, Unmanaged.passUnretained(self).toOpaque(), nil)
  }

  deinit {
    gst_element_set_state(pipeline, GST_STATE_NULL)
    gst_object_unref(pipeline)
  }

  /// What has been learned at the end. `progress` is shown meanwhile.
  func run(_ progress: Progress) throws -> Learner {
    var progress = progress
    let bus = gst_element_get_bus(pipeline)
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(bus)
    }
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    while !isOver.load(ordering: .acquiring) {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      let types = GstMessageType(rawValue: GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue)
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, types) {
        defer { gst_message_unref(message) }
        guard message.pointee.type != GST_MESSAGE_ERROR else {
          throw Failure("cannot decode \(picture.path): \(text(of: message))")
        }
        break
      }
      progress.show(Double(position.load(ordering: .relaxed)) / 1e9)
    }
    gst_element_set_state(pipeline, GST_STATE_NULL)
    return learner
  }

  private func see(_ buffer: UnsafeMutablePointer<GstBuffer>, on pad: UnsafeMutablePointer<GstPad>) {
    frames += 1
    let isWanted = learns && (!isQuick || frames % 2 == 1)
    guard isWanted || findsCuts, !isOver.load(ordering: .relaxed), let time = runningTime(of: buffer, on: pad),
      let caps = gst_pad_get_current_caps(pad)
    else { return }
    defer { gst_caps_unref(caps) }
    var (info, map) = (GstVideoInfo(), GstVideoFrame())
    guard gst_video_info_from_caps(&info, caps) != 0, gst_video_frame_map(&map, &info, buffer, GST_MAP_READ) != 0
    else { return }
    defer { gst_video_frame_unmap(&map) }
    guard let view = FrameView(map) else { return }
    position.store(UInt64(time), ordering: .relaxed)
    if findsCuts, detector(view, threshold: FindSettings().sceneThreshold).isCut { cuts.append(Double(time) / 1e9) }
    guard isWanted else { return }
    learner.look(view, at: RunningTime(nanoseconds: UInt64(time)))
    sights.append((Double(time) / 1e9, learner.newest))
    guard isQuick, learner.faces > 1 else { return }
    learns = false
    if !findsCuts { isOver.store(true, ordering: .releasing) }
  }
}
