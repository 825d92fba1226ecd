// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The pipeline of `syncdiff dub`: two decoders, the element, two encoders, one muxer.

import CGStreamer
import CGStreamerTools
import SyncDiffElement

final class Dubbing {
  /// The sound that goes to the muxer is encoded at once and then queued without limit: the picture comes later, by what
  /// the video encoder holds back, and the sound must flow on to the element meanwhile. It never runs more than the element's
  /// minute ahead of the picture.
  private static func description(_ picture: Media) -> String {
    """
    uridecodebin name=picture ! \(conversion(of: picture)) ! syncdiff name=dub \
    ! x264enc pass=qual quantizer=16 speed-preset=fast ! video/x-h264 \
    ! queue max-size-bytes=0 ! mp4mux name=muxer ! filesink name=file \
    uridecodebin name=sound \
    ! audioconvert ! audioresample ! tee name=twice \
    twice. ! queue ! dub.audio \
    twice. ! queue ! avenc_aac bitrate=192000 ! aacparse \
    ! queue name=encoded max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! muxer.
    """
  }

  /// From decoded pictures to the format that they are dubbed in.
  static func conversion(of picture: Media) -> String {
    // x264 halves the chroma of even sizes only.
    let odd = picture.size.width % 2 != 0 || picture.size.height % 2 != 0
    return """
      queue max-size-buffers=4 max-size-bytes=0 max-size-time=0 \
      ! videoconvert ! video/x-raw,format=(string)\(odd ? "Y444" : "{I420,NV12}")
      """
  }

  private let pipeline: UnsafeMutablePointer<GstElement>
  private let picture: Media
  private let output: String
  private let watch = Watch()

  init(picture: Media, sound: Media, output: String) throws {
    (self.picture, self.output) = (picture, output)
    var problem: UnsafeMutablePointer<GError>?
    defer { g_clear_error(&problem) }
    guard let parsed = gst_parse_launch(Self.description(picture), &problem), problem == nil else {
      let reason = problem.map { String(cString: $0.pointee.message) } ?? "unknown reason"
      throw Failure("GStreamer cannot build the pipeline, a plugin may be missing: \(reason)")
    }
    pipeline = parsed
    gst_util_set_object_arg(pipeline.element("picture").object, "uri", picture.uri)
    gst_util_set_object_arg(pipeline.element("sound").object, "uri", sound.uri)
    gst_util_set_object_arg(pipeline.element("file").object, "location", "\(output).part")
    tag()
    watch.attach(picture: pipeline.element("dub").pad("src"), sound: pipeline.element("encoded").pad("src"))
  }

  deinit { gst_object_unref(pipeline) }

  /// A property of the element, in its text form.
  func set(_ property: String, _ value: String) {
    gst_util_set_object_arg(pipeline.element("dub").object, property, value)
  }

  /// Dubs; the output is there when this returns, and untouched when it throws. `prepare` is called once the output can be written.
  func run(preparing prepare: () throws -> Void) throws {
    let file = try PartialFile(for: output)
    defer { gst_element_set_state(pipeline, GST_STATE_NULL) }
    try prepare()
    let began = g_get_monotonic_time()
    let interrupted = try play()
    let (painted, faceless, hidden) = (count("painted"), count("no-face"), count("hidden"))
    gst_element_set_state(pipeline, GST_STATE_NULL)
    try file.finish()
    let (frames, position) = watch.progress
    let spent = Double(g_get_monotonic_time() - began) / 1e6
    say(
      "\(output): \(frames) frames, \(painted) with a new mouth, \(tenths(position)) s, in \(tenths(spent)) s "
        + "(\(hundredths(position / spent))x real time)")
    if hidden > 0 {
      say(
        "\(hidden) frames are as they were, since the face is less than 48 px wide, turned away, covered, or half outside "
          + "in them.")
    }
    if painted == 0, faceless > 0 {
      say("Warning: no face was found in \(picture.path), so its picture is as it was.")
    }
    if interrupted { throw Failure("interrupted: \(output) ends early") }
  }

  /// Plays to the end; true if the user ended it.
  private func play() throws -> Bool {
    let bus = gst_element_get_bus(pipeline)
    defer { gst_object_unref(bus) }
    Interrupt.arm()
    var progress = Progress(duration: picture.duration)
    var interrupted = false
    gst_element_set_state(pipeline, GST_STATE_PLAYING)
    while true {
      let types = GST_MESSAGE_EOS.rawValue | GST_MESSAGE_ERROR.rawValue | GST_MESSAGE_WARNING.rawValue
      if let message = gst_bus_timed_pop_filtered(bus, 100_000_000, GstMessageType(rawValue: types)) {
        defer { gst_message_unref(message) }
        switch message.pointee.type {
        case GST_MESSAGE_ERROR:
          progress.end()
          throw Failure(text(of: message))
        case GST_MESSAGE_WARNING:
          progress.end()
          say("Warning: \(text(of: message))")
        default:
          progress.end()
          return interrupted
        }
      }
      progress.show(watch.progress.seconds)
      if Interrupt.came, !interrupted {
        interrupted = true
        progress.end()
        say("Ending. Once more to stop at once.")
        gst_element_send_event(pipeline, gst_event_new_eos())
      }
    }
  }

  /// Of the frames so far, as the element's property `stats` has it.
  private func count(_ field: String) -> UInt64 {
    var value = GValue()
    g_value_init(&value, gst_structure_get_type())
    defer { g_value_unset(&value) }
    g_object_get_property(pipeline.element("dub").object, "stats", &value)
    var count: guint64 = 0
    if let stats = gst_value_get_structure(&value) { gst_structure_get_uint64(stats, field, &count) }
    return UInt64(count)
  }

  /// The file's comment is the disclosure, even where the picture's file has a comment of its own.
  private func tag() {
    var value = GValue()
    g_value_init(&value, gst_tag_get_type(GST_TAG_COMMENT))
    g_value_set_string(&value, disclosure)
    let muxer = pipeline.element("muxer")
    gst_tag_setter_add_tag_value(OpaquePointer(muxer), GST_TAG_MERGE_REPLACE, GST_TAG_COMMENT, &value)
    g_value_unset(&value)
  }
}

/// The text of an error or a warning.
func text(of message: UnsafeMutablePointer<GstMessage>) -> String {
  var (error, debug): (UnsafeMutablePointer<GError>?, UnsafeMutablePointer<CChar>?)
  if message.pointee.type == GST_MESSAGE_ERROR {
    gst_message_parse_error(message, &error, &debug)
  } else {
    gst_message_parse_warning(message, &error, &debug)
  }
  defer {
    g_clear_error(&error)
    g_free(debug)
  }
  return error.map { String(cString: $0.pointee.message) } ?? "unknown problem"
}

extension UnsafeMutablePointer<GstElement> {
  /// One of the elements of this pipeline that its description names; the pipeline keeps it.
  func element(_ name: String) -> UnsafeMutablePointer<GstElement> {
    let bin = UnsafeMutableRawPointer(self).assumingMemoryBound(to: GstBin.self)
    guard let found = gst_bin_get_by_name(bin, name) else { preconditionFailure("the pipeline has an element \(name)") }
    gst_object_unref(found)
    return found
  }

  var object: UnsafeMutablePointer<GObject> {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: GObject.self)
  }

  /// One of the element's always pads; the element keeps it.
  func pad(_ name: String) -> UnsafeMutablePointer<GstPad> {
    guard let pad = gst_element_get_static_pad(self, name) else { preconditionFailure("there is a pad \(name)") }
    gst_object_unref(pad)
    return pad
  }
}
