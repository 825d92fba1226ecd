#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# HLS from a dubbed file: FOLDER/playlist.m3u8 and segments of two seconds.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 VIDEO AUDIO FOLDER" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"
mkdir -p "$3"

# A key frame every two seconds at 25 fps, so that segments can be cut there. playlist-length 0 keeps all of them. Each
# segment's sink prerolls again. Without async-handling a pipeline that goes to PLAYING at that moment may never post EOS
# (GStreamer 1.22, with or without syncdiff).
exec gst-launch-1.0 -e \
  filesrc location="$1" ! decodebin ! queue ! videoconvert ! video/x-raw,format=I420 ! syncdiff name=dub \
    ! x264enc key-int-max=50 speed-preset=fast ! h264parse ! queue ! hls.video \
  filesrc location="$2" ! decodebin ! audioconvert ! audioresample ! tee name=sound \
    sound. ! queue ! dub.audio \
    sound. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! avenc_aac ! aacparse ! hls.audio \
  hlssink2 name=hls async-handling=true target-duration=2 max-files=0 playlist-length=0 \
    location="$3/segment%05d.ts" playlist-location="$3/playlist.m3u8"
