// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The parts of one element, and what happens to them when its state or its audio pad changes.

import CGStreamer
import GstSyncDiff

final class ElementParts: Sendable {
  let stream: Stream
  let video: VideoInput
  let audio: AudioInput
  let output: Output

  init(of element: Element) {
    stream = Stream(of: element)
    output = Output(of: stream)
    video = VideoInput(of: stream, to: output)
    audio = AudioInput(of: stream)
  }

  // MARK: States

  func before(_ change: GstStateChange) -> Bool {
    switch change {
    case GST_STATE_CHANGE_NULL_TO_READY, GST_STATE_CHANGE_READY_TO_PAUSED:
      let settings = stream.settings
      stream.state.change { $0.failed = false }
      if settings.preload, !stream.load(settings) { return false }
      if change == GST_STATE_CHANGE_READY_TO_PAUSED { stream.state.change { $0.starts() } }
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED: stream.state.change { $0.playing = false }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      stream.state.change { state in
        state.flushing = true
        state.audioStopped = true
      }
    default: break
    }
    return true
  }

  func after(_ change: GstStateChange) {
    switch change {
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING:
      stream.state.change { state in
        state.playing = true  // the clock exists now
        state.waiting.resumed(stream.now)
      }
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      let items = stream.state.change { $0.stopped() }
      for item in items { item.discard() }
      video.stopped()
      audio.restart()
    case GST_STATE_CHANGE_READY_TO_NULL:
      stream.state.change { state in
        state.model = nil
        state.presenter = nil
      }
    default: break
    }
  }

  /// Starts and stops the painter and the task of the source pad.
  func activate(_ active: Bool) -> Bool {
    guard active else {
      stream.letGo()
      stream.awaitPainter()
      return output.stopTask()
    }
    stream.state.change { $0.flushing = false }
    return stream.startPainter() && output.startTask()
  }

  // MARK: The audio pad

  func audioAdded() {
    stream.state.change { state in
      state.audioFlushed()
      state.waiting.sync.videoFlushed()
      state.audioStopped = false
    }
    audio.restart()
  }

  func audioLinked(_ linked: Bool) {
    stream.log(GST_LEVEL_INFO, "the audio pad is \(linked ? "linked" : "unlinked")")
    stream.state.change { state in
      state.waiting.sync.linked = linked
      if linked { state.soundCheck.linked() }
      state.waiting.audioCame = stream.now
    }
    stream.refreshLatency()
    // Frames will be held from now on: let upstream ask again how many.
    if linked { gst_pad_push_event(stream.element.pointee.sink, gst_event_new_reconfigure()) }
  }

  func audioRemoving() {
    stream.state.change { state in
      state.waiting.sync.linked = false
      state.audioStopped = true
    }
    stream.refreshLatency()
  }
}
