// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What is reported when frames have no audio.

import CGStreamer
import GstSyncDiff
import Speech

extension Stream {
  /// Whether a frame's audio is lost for good and that is an error, which has then been posted. Does not wait.
  func lacksSound(_ time: RunningTime, _ settings: Settings) -> Bool {
    guard settings.missingAudio == .error else { return false }
    let why: String? = state.change { state in
      state.apply(settings)
      return state.waiting.sync.verdict(for: time) == .fail ? state.lackOfSound : nil
    }
    if let why { postMissing(why) }
    return why != nil
  }

  func postMissing(_ why: String) {
    postError(.stream(GST_STREAM_ERROR_FAILED), why, debug: "The property missing-audio makes this an error.")
  }

  /// A frame that passes for lack of time does not wait for its audio; missing audio is reported all the same.
  func watchSound(of time: RunningTime, _ settings: Settings) {
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
        .stream(GST_STREAM_ERROR_FAILED), "A live frame is too far ahead of the clock to wait for its sound.",
        debug:
          "The frame at \(milliseconds) ms would wait for another \(ahead / 1_000_000) ms. Probably its timestamp is "
          + "wrong; videorate or the source's do-timestamp may mend it.")
      return
    }
    postWarning(
      .stream(GST_STREAM_ERROR_FAILED),
      "No sound has come to the pad audio for \((settings.stallTimeout ?? 0) / 1000) ms, frames go on without it.",
      debug:
        "A frame at \(milliseconds) ms waits for it. Probably a queue is full elsewhere while this "
        + "branch is empty: give the queues beside syncdiff, above all the one that carries the same sound to a muxer or "
        + "sink, max-size-time=0 max-size-bytes=0 max-size-buffers=0.")
  }

  /// Reports, once, that frames have had no audio to speak for a long time, or to the end.
  func tellLack(atEnd: Bool = false, _ settings: Settings) {
    switch state.change({ $0.soundCheck.news(atEnd: atEnd) }) {
    case .unlinked:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "No sound is linked to the pad audio, so frames go on untouched.",
        debug:
          "Link what the mouths are to speak, as in `... ! audioconvert ! dub.audio`. Where an element has one input only, "
          + "as an effect in GES or a filter in transcodebin, no sound reaches it: put syncdiffbin behind GES instead.")
    case .sound:
      postWarning(
        .stream(GST_STREAM_ERROR_FAILED), "Nothing but silence has come to the pad audio.",
        debug:
          "All of it stays below silence-threshold (\(Int(settings.silenceThreshold)) dBFS). Is its source muted, or is it "
          + "another track or channel that speaks?")
    case nil: break
    }
  }

  func warnTimeless(_ what: String) {
    postWarning(
      .stream(GST_STREAM_ERROR_FORMAT), "The \(what) comes in a segment that is not in time: frames pass untouched.",
      debug: "An appsrc needs format=time; where bytes come from, a demuxer or parser may know the time.")
  }
}
