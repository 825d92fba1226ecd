// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One frame on the task of the source pad: find the face, wait for the sound, paint, push. Whatever is missing, the frame
// goes out as the very buffer that came in.

import CGStreamer
import Faces
import GstSyncDiff
import Speech
import SyncDiff
import Tensors

extension Stream {
  /// Pushes a frame, painted or as it came. Takes the buffer.
  func deliver(_ frame: Frame) -> GstFlowReturn {
    if frame.streamTime != .max { gst_object_sync_values(object, frame.streamTime) }
    disclose()
    let settings = Settings(of: element)
    guard let time = frame.time, settings.strength > 0, !settings.passthrough, monitor.locked({ pairing.linked }) else {
      if let time = frame.time { monitor.locked { passed(time) } }
      return pass(frame.buffer)
    }
    if journey == nil, load(settings), let model = model?.model {
      journey = Journey(model: model, threads: settings.threads)
      refreshLiveness()
    }
    guard journey != nil, let model = model?.model else {
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    let scene = find(in: frame.buffer, at: time, settings)
    if let scene { announce(scene, frame, settings) }
    if let scene, settings.noFace == GST_SYNC_DIFF_NO_FACE_ERROR, !scene.sightings.contains(where: { $0.isChosen }) {
      postError(
        .stream(GST_STREAM_ERROR_FAILED), "There is no face to paint in the picture, and no-face=error.",
        debug: "At \(time.nanoseconds / 1_000_000) ms. With no-face=passthrough such frames go on untouched.")
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_ERROR
    }
    guard let scene, !scene.faces.isEmpty else {
      monitor.locked { passed(time) }
      return pass(frame.buffer)
    }
    switch awaitSound(of: time, settings, model) {
    case .stacks(let sound): return push(painted(frame.buffer, scene.faces, sound, settings, model))
    case .none: return pass(frame.buffer)
    case .flushing:
      gst_buffer_unref(frame.buffer)
      return GST_FLOW_FLUSHING
    }
  }

  private func push(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    gst_pad_push(element.pointee.src, buffer)
  }

  private func pass(_ buffer: UnsafeMutablePointer<GstBuffer>) -> GstFlowReturn {
    journey?.skip()
    return push(buffer)
  }

  /// A frame is on its way: older sound can go. Under the monitor.
  private func passed(_ time: RunningTime) {
    guard !seeking else { return }
    pairing.passed(time)
    timeline.drop(before: pairing.horizon.sample)
    monitor.broadcast()
  }

  // MARK: Pictures

  /// Nil if the frame cannot be read.
  private func find(
    in buffer: UnsafeMutablePointer<GstBuffer>, at time: RunningTime, _ settings: Settings
  ) -> Scene? {
    let findSettings = findSettings(settings, buffer)
    guard var map = map(buffer, GST_MAP_READ) else { return nil }
    defer { gst_video_frame_unmap(&map) }
    guard let view = FrameView(map) else { return nil }
    return journey?.find(view, at: time, findSettings)
  }

  /// The frame with its new mouths: the same buffer if nobody else holds it, otherwise a copy.
  private func painted(
    _ buffer: UnsafeMutablePointer<GstBuffer>, _ faces: [Face], _ sound: Tensor, _ settings: Settings, _ model: Model
  ) -> UnsafeMutablePointer<GstBuffer> {
    let object = UnsafeMutableRawPointer(buffer).assumingMemoryBound(to: GstMiniObject.self)
    var writable = buffer
    if gst_mini_object_is_writable(object) == 0 {
      guard let copy = gst_mini_object_copy(object) else { return buffer }
      writable = UnsafeMutableRawPointer(copy).assumingMemoryBound(to: GstBuffer.self)
      gst_buffer_unref(buffer)
    }
    guard var map = map(writable, GstMapFlags(GST_MAP_READ.rawValue | GST_MAP_WRITE.rawValue)) else { return writable }
    defer { gst_video_frame_unmap(&map) }
    guard let view = MutableFrameView(map) else { return writable }
    let paint = PaintSettings(
      steps: settings.steps ?? model.configuration.steps, strength: Float(settings.strength), seed: settings.seed)
    for face in faces { journey?.paint(view, face: face, sound: sound, settings: paint) }
    return writable
  }

  private func map(_ buffer: UnsafeMutablePointer<GstBuffer>, _ flags: GstMapFlags) -> GstVideoFrame? {
    guard var info else { return nil }
    var map = GstVideoFrame()
    if gst_video_frame_map(&map, &info, buffer, flags) != 0 { return map }
    if !warnedUnmappable {
      warnedUnmappable = true
      postWarning(.resource(GST_RESOURCE_ERROR_READ), "A frame's memory cannot be reached, so it passes untouched.")
    }
    return nil
  }

  // MARK: Sound

  private enum Sound {
    case stacks(Tensor)
    case none
    case flushing
  }

  /// Waits until the sound of a frame is there, and takes the stacks around it.
  private func awaitSound(of time: RunningTime, _ settings: Settings, _ model: Model) -> Sound {
    let began = g_get_monotonic_time()
    var alarm: Alarm?
    monitor.lock()
    defer { monitor.unlock() }
    pairing.lookahead = lookahead(settings)
    pairing.offset = settings.audioOffset
    passed(time)
    while !flushing {
      let deadline = deadline(of: time)
      switch pairing.verdict(for: time, late: deadline?.isOver ?? false) {
      case .paint: return pairing.soundTime(of: time).map { sound(at: $0, settings, model) } ?? .none
      case .pass: return .none
      case .wait: break
      }
      if let deadline {
        if alarm?.time != deadline.time {
          monitor.unlock()
          alarm = Alarm(deadline, waking: element)
          monitor.lock()
        } else {
          monitor.wait()
        }
      } else if liveLatency != nil {
        monitor.wait()  // paused: neither sound nor time goes on
      } else {
        let limit = max(began, soundMoved).addingClamped(Self.stallTimeout)
        guard g_get_monotonic_time() >= limit else {
          monitor.wait(until: limit)
          continue
        }
        pairing.stall()
        monitor.unlock()
        warnStalled(time)
        monitor.lock()
      }
    }
    return .flushing
  }

  private func warnStalled(_ time: RunningTime) {
    postWarning(
      .stream(GST_STREAM_ERROR_FAILED), "No sound has come to the pad audio for 5 s, frames pass untouched.",
      debug:
        "A frame at \(time.nanoseconds / 1_000_000) ms waits for it. Probably a queue is full elsewhere while this "
        + "branch is empty: give the queues beside syncdiff, above all the one that carries the same sound to a muxer or "
        + "sink, max-size-time=0 max-size-bytes=0 max-size-buffers=0.")
  }

  /// Sound after its own time that a frame waits for, nanoseconds.
  func lookahead(_ settings: Settings) -> Int64 {
    settings.lookahead ?? model.map { Int64(clamping: $0.model.lookahead.nanoseconds) } ?? 0
  }

  /// What the model hears, unless frames go untouched in silence. Stacks beyond the look-ahead count as silence even if
  /// their sound is there by chance, so that the same input gives the same output. Under the monitor.
  private func sound(at time: RunningTime, _ settings: Settings, _ model: Model) -> Sound {
    let (past, future) = (model.configuration.audioPast, model.configuration.audioFuture)
    let known = (0...future).prefix {
      SoundTimeline.lookahead(future: $0).nanoseconds <= UInt64(clamping: pairing.lookahead)
    }.count
    let silence = Silence(threshold: settings.silenceThreshold, hold: settings.silenceHold)
    if settings.silence == GST_SYNC_DIFF_SILENCE_PASSTHROUGH {
      if timeline.isSilent(atRow: time.row, future: known - 1, silence) { return .none }
      return .stacks(timeline.stacks(atRow: time.row, past: past, future: known - 1).padded(to: past + 1 + future))
    }
    return .stacks(
      timeline.stacks(atRow: time.row, past: past, future: known - 1, gate: silence).padded(to: past + 1 + future))
  }
}

extension Tensor {
  /// Stacks of silence added behind, so that there are `count`.
  fileprivate func padded(to count: Int) -> Tensor {
    let missing = [Float](repeating: Filterbank.silence, count: (count - shape[0]) * shape[1])
    return Tensor([count, shape[1]], values + missing)
  }
}
