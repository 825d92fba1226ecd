#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# The face in one file speaks the audio of another. `syncdiff dub` does the same and handles more file formats.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 VIDEO AUDIO OUT.mp4" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"

# The queue of audio to the muxer has no limit: x264enc holds back two seconds of video, and meanwhile the audio must keep
# flowing to syncdiff.
gst-launch-1.0 -e \
  filesrc location="$1" ! decodebin ! queue ! videoconvert ! video/x-raw,format=I420 ! syncdiff name=dub \
    ! x264enc pass=qual quantizer=16 speed-preset=fast ! queue ! mp4mux name=mux ! filesink location="$3" \
  filesrc location="$2" ! decodebin ! audioconvert ! audioresample ! tee name=sound \
    sound. ! queue ! dub.audio \
    sound. ! queue ! avenc_aac ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux.
