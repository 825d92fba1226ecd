#!/usr/bin/python3
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Dubs a file from Python, with properties that change while it plays, and prints what the element says.

The new mouth fades in over the first second, exact to the frame (GstController). Later the face is chosen by its place,
its lips move further for a second (guidance-scale), and from 4 s on frames pass untouched: what is set while it plays
counts for the frames that are waiting for their sound, too. Ctrl-C ends it with a playable file. Needs the Debian package
python3-gst-1.0.
"""

import argparse
import os
import pathlib
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstController", "1.0")
from gi.repository import GLib, Gst, GstController

# The queue of audio to the muxer has no limit: x264enc holds back two seconds of video.
PIPELINE = """
  filesrc name=video ! decodebin ! queue ! videoconvert ! video/x-raw,format=I420
    ! syncdiff name=dub post-messages=face+degrade+scene+stats stats-interval=1000000000
    ! x264enc pass=qual quantizer=16 speed-preset=fast ! queue ! mp4mux name=mux ! filesink name=output
  filesrc name=sound ! decodebin ! audioconvert ! audioresample ! tee name=sounds
    sounds. ! queue ! dub.audio
    sounds. ! queue ! avenc_aac ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux.
"""


def fade_in(dub, end):
    """Fades from the old mouth at 0 to the new one at `end` nanoseconds."""
    curve = GstController.InterpolationControlSource(mode=GstController.InterpolationMode.LINEAR)
    curve.set(0, 0.0)
    curve.set(end, 1.0)
    dub.add_control_binding(GstController.DirectControlBinding.new(dub, "strength", curve))


def change_at(pipeline, dub, changes):
    """Sets properties when the first frame at or after a time arrives: [(nanoseconds, property, value)]."""
    changes = sorted(changes)

    def frame(pad, info):
        while changes and info.get_buffer().pts >= changes[0][0]:
            time, name, value = changes.pop(0)
            Gst.util_set_object_arg(dub, name, value)
            print(f"{time / Gst.SECOND:7.2f} s  {name} = {value}", flush=True)
        return Gst.PadProbeReturn.OK if changes else Gst.PadProbeReturn.REMOVE

    dub.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, frame)


def describe(structure):
    """One line about an element message or the property stats."""
    known, time = structure.get_uint64("stream-time")
    start = f"{time / Gst.SECOND:7.2f} s" if known and time != Gst.CLOCK_TIME_NONE else " " * 9
    where = ("timestamp", "stream-time", "running-time", "duration")
    names = [structure.nth_field_name(i) for i in range(structure.n_fields())]
    values = [f"{name} {structure.get_value(name)}" for name in names if name not in where]
    return f"{start}  {structure.get_name()}: {', '.join(values)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("sound")
    parser.add_argument("output", help="an MP4 file")
    arguments = parser.parse_args()

    os.environ.setdefault("GST_PLUGIN_PATH", str(pathlib.Path(__file__).resolve().parent.parent / ".build/release"))
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(PIPELINE)
    except GLib.Error as error:
        sys.exit(f"{error.message}. Are GStreamer's plugins installed, and is syncdiff built?")
    for name in ("video", "sound", "output"):
        pipeline.get_by_name(name).set_property("location", getattr(arguments, name))
    dub = pipeline.get_by_name("dub")

    fade_in(dub, Gst.SECOND)
    change_at(
        pipeline,
        dub,
        [
            (2 * Gst.SECOND, "face-select", "center"),
            (2 * Gst.SECOND, "guidance-scale", "2"),
            (3 * Gst.SECOND, "guidance-scale", "1"),
            (4 * Gst.SECOND, "passthrough", "true"),
        ],
    )

    loop = GLib.MainLoop()
    failed = False

    def message(_, message):
        nonlocal failed
        if message.type == Gst.MessageType.EOS:
            loop.quit()
        elif message.type == Gst.MessageType.ERROR:
            error, details = message.parse_error()
            print(f"Error from {message.src.get_name()}: {error.message}\n{details or ''}", file=sys.stderr)
            failed = True
            loop.quit()
        elif message.type == Gst.MessageType.WARNING:
            warning, _ = message.parse_warning()
            print(f"Warning from {message.src.get_name()}: {warning.message}", file=sys.stderr)
        elif message.type == Gst.MessageType.LATENCY:
            pipeline.recalculate_latency()
        elif message.type == Gst.MessageType.ELEMENT and message.src == dub:
            print(describe(message.get_structure()), flush=True)

    def interrupt():
        # The muxer writes its index at the end of the stream.
        print("Ending the file", flush=True)
        pipeline.send_event(Gst.Event.new_eos())
        return GLib.SOURCE_REMOVE

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", message)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, interrupt)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        loop.run()
    finally:
        if not failed:
            print(describe(dub.get_property("stats")))
        pipeline.set_state(Gst.State.NULL)
    sys.exit(failed)


if __name__ == "__main__":
    main()
