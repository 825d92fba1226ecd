// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Layouts in which an element with two inputs can hang: demuxers with plain queues, branches of unequal length, sound
// that never comes. All must come to EOS with every frame. The picture is a portrait, so every frame waits for its sound.

import CGStreamer
import GstSyncDiff
import TestSupport
import Testing

@Suite struct HangTests {
  /// That a busy machine takes long is no stall.
  private static let dub = "syncdiff name=dub steps=1 stall-timeout=\(30 * second)"
  private static let all = Ending(eos: true, frames: 50)

  /// A linked pad without sound: then the warning comes, and the frames go on.
  private static let stalled = Ending(
    eos: true, frames: 50,
    warnings: ["No audio has arrived on the audio pad for 1000 ms: frames no longer wait for it."])

  @Test(
    "A demuxer, one default queue a branch",
    arguments: [("matroskamux", "matroskademux"), ("qtmux", "qtdemux")], [70, 20, 5])
  func queues(container: (mux: String, demux: String), sound: Int) throws {
    let clip = try Clip(container.mux, sound: sound)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! \(container.demux) name=in \
      in.video_0 ! queue ! jpegdec ! \(Self.dub) ! fakesink in.audio_0 ! queue ! dub.audio
      """)
    #expect(ending == Self.all)
  }

  @Test(
    "Demuxers tell late that the sound has ended",
    arguments: [("matroskamux", "matroskademux"), ("qtmux", "qtdemux")], [12, 35])
  func shorter(container: (mux: String, demux: String), sound: Int) throws {
    let clip = try Clip(container.mux, frames: 125, sound: sound)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! \(container.demux) name=in \
      in.video_0 ! queue ! jpegdec ! \(Self.dub) ! fakesink in.audio_0 ! queue ! dub.audio
      """)
    #expect(ending == Ending(eos: true, frames: 125))
  }

  @Test("A paused seek to where the sound ends before the picture", arguments: [1900, 2100])
  func pausedSeek(milliseconds: gint64) throws {
    let clip = try Clip("qtmux", frames: 125, sound: 20)
    let line = """
      filesrc location=\(clip.path) ! qtdemux name=in \
      in.video_0 ! queue ! jpegdec ! \(Self.dub) ! fakesink sync=true in.audio_0 ! queue ! dub.audio
      """
    let pipeline = try Pipeline(line)
    gst_element_set_state(pipeline.element, GST_STATE_PAUSED)
    #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
    let flags = GstSeekFlags(rawValue: GST_SEEK_FLAG_FLUSH.rawValue | GST_SEEK_FLAG_ACCURATE.rawValue)
    #expect(gst_element_seek_simple(pipeline.element, GST_FORMAT_TIME, flags, milliseconds * 1_000_000) != 0)
    #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
    #expect(!pipeline.complains)
  }

  @Test("A demuxer and a multiqueue", arguments: [70, 20])
  func multiqueue(sound: Int) throws {
    let clip = try Clip("matroskamux", sound: sound)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! matroskademux name=in multiqueue name=many in.video_0 ! many. in.audio_0 ! many. \
      many. ! jpegdec ! \(Self.dub) ! fakesink many. ! dub.audio
      """)
    #expect(ending == Self.all)
  }

  @Test("No queue at all: one thread for both pads", arguments: [70, 20])
  func oneThread(sound: Int) throws {
    let clip = try Clip("qtmux", sound: sound)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! qtdemux name=in \
      in.video_0 ! jpegdec ! \(Self.dub) ! fakesink in.audio_0 ! dub.audio
      """)
    #expect(ending == Self.all)
  }

  @Test("decodebin to both pads", arguments: [70, 20, 5])
  func decodebin(sound: Int) throws {
    let clip = try Clip("matroskamux", sound: sound)
    let ending = try play(
      "filesrc location=\(clip.path) ! decodebin name=in in. ! videoconvert ! \(Self.dub) ! fakesink "
        + "in. ! audioconvert ! dub.audio")
    #expect(ending == Self.all)
  }

  @Test("The same sound in default queues to the element and to a muxer")
  func tee() throws {
    let clip = try Clip("matroskamux", sound: 20)
    let ending = try play(
      """
      filesrc location=\(clip.path) ! matroskademux name=in \
      in.video_0 ! queue ! jpegdec ! \(Self.dub) ! jpegenc ! queue ! qtmux name=out ! fakesink \
      in.audio_0 ! tee name=twice twice. ! queue ! dub.audio twice. ! queue ! out.
      """)
    #expect(ending == Self.all)
  }

  @Test("Sound of its own, much longer than the picture")
  func endless() throws {
    let clip = try Clip("matroskamux", sound: 0)
    let ending = try play(
      "filesrc location=\(clip.path) ! decodebin ! \(Self.dub) ! fakesink audiotestsrc ! dub.audio")
    #expect(ending == Self.all)
  }

  @Test("A linked pad that never gets a buffer")
  func never() throws {
    let clip = try Clip("matroskamux", sound: 0)
    let ending = try play(
      "filesrc location=\(clip.path) ! decodebin ! \(Self.dub) stall-timeout=\(second) ! fakesink appsrc ! dub.audio")
    #expect(ending == Self.stalled)
  }

  @Test("A pipeline that rests in PAUSED has no stall")
  func paused() throws {
    let line = """
      filesrc location=\(portraitPath) ! jpegdec ! videoscale ! videoconvert \
      ! video/x-raw,format=I420,width=240,height=240 ! imagefreeze ! video/x-raw,framerate=25/1 \
      ! \(Self.dub) stall-timeout=\(3 * second) ! queue ! fakesink sync=true \
      audiotestsrc ! tee name=twice twice. ! queue ! fakesink sync=true twice. ! queue ! dub.audio
      """
    let pipeline = try Pipeline(line)
    for (state, time) in [(GST_STATE_PLAYING, 500_000), (GST_STATE_PAUSED, 4_000_000), (GST_STATE_PLAYING, 200_000)] {
      gst_element_set_state(pipeline.element, state)
      #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
      g_usleep(gulong(time))
    }
    #expect(!pipeline.complains)
  }

  @Test("Seeks at any moment, at any rate: the pictures come again")
  func seeks() throws {
    let clip = try Clip("matroskamux", sound: 20)
    let line = """
      filesrc location=\(clip.path) ! matroskademux name=in \
      in.video_0 ! queue ! jpegdec ! \(Self.dub) ! fakesink sync=true in.audio_0 ! queue ! dub.audio
      """
    let pipeline = try Pipeline(line)
    gst_element_set_state(pipeline.element, GST_STATE_PLAYING)
    var dice = Dice(4)
    for _ in 0..<20 {
      #expect(gst_element_get_state(pipeline.element, nil, nil, 30 * second) == GST_STATE_CHANGE_SUCCESS)
      g_usleep(gulong.random(in: 0...100_000, using: &dice))
      let how = dice.pick([GST_SEEK_FLAG_ACCURATE, GST_SEEK_FLAG_KEY_UNIT, GST_SEEK_FLAG_TRICKMODE])
      let flags = GstSeekFlags(rawValue: GST_SEEK_FLAG_FLUSH.rawValue | how.rawValue)
      let (rate, place) = (dice.pick([1, 1, 0.5, 2]), gint64.random(in: 0..<2_000_000_000, using: &dice))
      #expect(
        gst_element_seek(
          pipeline.element, rate, GST_FORMAT_TIME, flags, GST_SEEK_TYPE_SET, place, GST_SEEK_TYPE_NONE, 0) != 0)
    }
    #expect(pipeline.ending().eos)
  }

  @Test("Nobody downstream is an error, though upstream is at its end")
  func notLinked() throws {
    #expect(try play("videotestsrc num-buffers=1 ! \(Self.dub)").error != nil)
  }

  @Test("No sound linked: one warning")
  func absent() throws {
    let clip = try Clip("matroskamux", sound: 0)
    let ending = try play("filesrc location=\(clip.path) ! decodebin ! \(Self.dub) ! fakesink")
    let warning = "The audio pad is not linked: frames pass through unchanged."
    #expect(ending == Ending(eos: true, frames: 50, warnings: [warning]))
  }
}
