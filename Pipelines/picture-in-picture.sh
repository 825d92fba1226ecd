#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# Two elements in one pipeline: one speaker, and a smaller one in the corner, each with audio of its own; both are heard. The
# elements share the model's memory.
set -eu
[ $# -eq 5 ] || { echo "usage: $0 VIDEO AUDIO SMALL_VIDEO SMALL_AUDIO OUT.mp4" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"

exec gst-launch-1.0 -e \
  filesrc location="$1" ! decodebin ! queue ! videoconvert ! syncdiff name=large ! queue ! picture.sink_0 \
  filesrc location="$3" ! decodebin ! queue ! videoconvert ! syncdiff name=small \
    ! videoconvertscale ! video/x-raw,width=128,height=128 ! queue ! picture.sink_1 \
  compositor name=picture sink_1::xpos=16 sink_1::ypos=16 ! videoconvert ! video/x-raw,format=I420 \
    ! x264enc speed-preset=fast ! queue ! mux. \
  filesrc location="$2" ! decodebin ! audioconvert ! audioresample ! tee name=sound \
    sound. ! queue ! large.audio \
    sound. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mix. \
  filesrc location="$4" ! decodebin ! audioconvert ! audioresample ! tee name=small_sound \
    small_sound. ! queue ! small.audio \
    small_sound. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mix. \
  audiomixer name=mix ! audioconvert ! avenc_aac ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux. \
  mp4mux name=mux ! filesink location="$5"
