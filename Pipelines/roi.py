#!/usr/bin/python3
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Dubs the faces that a detector upstream has marked with GstVideoRegionOfInterestMeta (face-select=roi-meta).

`detect` stands for your detector: it marks the same box in every frame, the whole frame unless told. Where the detector
is an element, such as those of OpenVINO's DL Streamer, it goes before syncdiff in place of appsink and appsrc. Faces
outside of the regions keep their mouths. Needs the Debian packages python3-gst-1.0 and gir1.2-gst-plugins-base-1.0.
"""

import argparse
import os
import pathlib
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstVideo

# The sound to the muxer is queued without limit: x264enc holds two seconds of picture back.
PIPELINE = """
  filesrc name=video ! decodebin ! queue ! videoconvert ! video/x-raw,format=I420
    ! appsink name=seen emit-signals=true sync=false max-buffers=10
  appsrc name=marked format=time handle-segment-change=true block=true max-buffers=10
    ! syncdiff name=dub face-select=roi-meta
    ! x264enc pass=qual quantizer=16 speed-preset=fast ! queue ! mp4mux name=mux ! filesink name=output async=false
  filesrc name=sound ! decodebin ! audioconvert ! audioresample ! tee name=sounds
    sounds. ! queue ! dub.audio
    sounds. ! queue ! avenc_aac ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux.
"""


def detect(seen, marked, box):
    """Marks a face in the next frame."""
    sample = seen.emit("pull-sample")
    frame = sample.get_buffer().copy_deep()  # Python cannot write to a frame that others hold
    if box is None:
        caps = sample.get_caps().get_structure(0)
        box = (0, 0, caps.get_value("width"), caps.get_value("height"))
    GstVideo.buffer_add_video_region_of_interest_meta(frame, "face", *box)
    return marked.emit("push-sample", Gst.Sample.new(frame, sample.get_caps(), sample.get_segment(), None))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("sound")
    parser.add_argument("output", help="an MP4 file")
    parser.add_argument("--box", type=int, nargs=4, metavar=("X", "Y", "WIDTH", "HEIGHT"), help="pixels")
    arguments = parser.parse_args()

    os.environ.setdefault("GST_PLUGIN_PATH", str(pathlib.Path(__file__).resolve().parent.parent / ".build/release"))
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(PIPELINE)
    except GLib.Error as error:
        sys.exit(f"{error.message}. Are GStreamer's plugins installed, and is syncdiff built?")
    for name in ("video", "sound", "output"):
        pipeline.get_by_name(name).set_property("location", getattr(arguments, name))
    seen, marked = pipeline.get_by_name("seen"), pipeline.get_by_name("marked")
    seen.connect("new-sample", detect, marked, arguments.box)
    seen.connect("eos", lambda _: marked.emit("end-of-stream"))

    pipeline.set_state(Gst.State.PLAYING)
    end = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    stats = pipeline.get_by_name("dub").get_property("stats")
    pipeline.set_state(Gst.State.NULL)
    if end.type == Gst.MessageType.ERROR:
        error, details = end.parse_error()
        sys.exit(f"Error from {end.src.get_name()}: {error.message}\n{details or ''}")
    print(f"{stats.get_value('painted')} of {stats.get_value('frames')} frames have a new mouth")


if __name__ == "__main__":
    main()
