#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# The face in front of the camera speaks what the microphone records. A machine without a camera gets ten seconds of test
# sources, whose video has no face. Ctrl-C ends it.
#
#   live.sh [VIDEO_SOURCE [AUDIO_SOURCE [SINK]]]       such as live.sh "v4l2src device=/dev/video2" pulsesrc
set -euf
[ $# -le 3 ] || { echo "usage: $0 [VIDEO_SOURCE [AUDIO_SOURCE [SINK]]]" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"
if [ -z "${3:-}${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  echo "No display: DISPLAY and WAYLAND_DISPLAY are unset. Name a sink, such as: $0 '' '' 'fakesink sync=true' (or kmssink)" >&2
  exit 1
fi
camera=v4l2src microphone=autoaudiosrc
if ! [ -e /dev/video0 ]; then
  camera="videotestsrc is-live=true num-buffers=250 ! video/x-raw,width=1280,height=720,framerate=25/1"
  microphone="audiotestsrc is-live=true wave=ticks"
fi

# Unquoted, so that each can be several elements.
exec gst-launch-1.0 -e \
  ${1:-$camera} ! queue ! videoconvert ! syncdiff name=dub @preset=realtime \
    ! queue ! videoconvert ! ${3:-autovideosink} \
  ${2:-$microphone} ! queue ! audioconvert ! dub.audio
