// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What is reported when frames have no audio.

import CGStreamer
import GstSyncDiff
import Speech

extension Stream {
  /// Whether a frame's audio is lost for good and that is an error, which has then been posted. Does not wait.
  func lacksAudio(_ time: RunningTime, _ settings: Settings) -> Bool {
    guard settings.missingAudio == .error else { return false }
    let why: String? = state.change { state in
      state.apply(settings)
      return state.waiting.sync.verdict(for: time) == .fail ? state.lackOfAudio : nil
    }
    if let why { postMissing(why) }
    return why != nil
  }

  func postMissing(_ why: String) {
    postError(.stream(GST_STREAM_ERROR_FAILED), why, debug: "The property missing-audio makes this an error.")
  }

  /// A frame that passes for lack of time does not wait for its audio; missing audio is reported all the same.
  func watchAudio(of time: RunningTime, _ settings: Settings) {
    let isNews = state.change { state in
      state.apply(settings)
      return state.waiting.overlooks(time, now: now, timeout: settings.stallTimeout)
    }
    if isNews { warnStalled(time, ahead: nil, settings) }
  }

  /// `ahead`: nanoseconds until a live frame's deadline; nil if it has passed or there is none.
  func warnStalled(_ time: RunningTime, ahead: Int64?, _ settings: Settings) {
    let milliseconds = time.nanoseconds / 1_000_000
    if let ahead {
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "A live frame is too far ahead of the clock to wait for its audio.",
        debug:
          "The frame at \(milliseconds) ms would wait another \(ahead / 1_000_000) ms. Its timestamp is probably wrong; "
          + "videorate, or do-timestamp=true on the source, may help.")
      return
    }
    postWarning(
      .stream(GST_STREAM_ERROR_FAILED),
      "No audio has arrived on the audio pad for \((settings.stallTimeout ?? 0) / 1000) ms: frames no longer wait for it.",
      debug:
        "The frame at \(milliseconds) ms has waited for it. Probably a queue elsewhere is full while this branch is "
        + "empty: set max-size-time=0 max-size-bytes=0 max-size-buffers=0 on the queues beside syncdiff, above all on the "
        + "one that carries the same audio to a muxer or sink.")
  }

  /// Reports, once, that frames have had no audio to speak for a long time, or to the end.
  func tellLack(atEnd: Bool = false, _ settings: Settings) {
    switch state.change({ $0.soundCheck.news(atEnd: atEnd) }) {
    case .unlinked:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "The audio pad is not linked: frames pass through unchanged.",
        debug:
          "Link the audio that the mouths are to speak, as in `... ! audioconvert ! dub.audio`. An effect in GES or a "
          + "filter in transcodebin has one input only and gets no audio: put syncdiffbin behind GES instead.")
    case .sound:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "The audio has been nothing but silence.",
        debug:
          "All of it is below silence-threshold (\(Int(settings.silenceThreshold)) dBFS). Is the source muted, or is the "
          + "speech on another track or channel?")
    case nil: break
    }
  }

  func warnTimeless(_ what: String) {
    postWarning(
      .stream(GST_STREAM_ERROR_FORMAT), "The \(what) segment is not in time format: frames pass through unchanged.",
      debug: "Set format=time on an appsrc; for a byte stream, put a demuxer or parser before syncdiff.")
  }
}
