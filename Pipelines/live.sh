#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# Live sources through the element to a sink that keeps time, and what arrived: rendered and dropped frames, once a second.
# A test picture has no face, so this shows latency and timing, not lips. With a camera and a microphone put v4l2src and
# autoaudiosrc in place of the test sources.
set -eu
[ $# -le 1 ] || { echo "usage: $0 [SECONDS]" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"
seconds=${1:-10}

gst-launch-1.0 -v \
  videotestsrc is-live=true num-buffers=$((seconds * 25)) ! video/x-raw,width=1280,height=720,framerate=25/1 \
    ! queue ! videoconvert ! syncdiff name=dub ! queue ! fpsdisplaysink video-sink=fakesink text-overlay=false \
  audiotestsrc is-live=true wave=ticks num-buffers=$((seconds * 50)) samplesperbuffer=960 ! audio/x-raw,rate=48000 \
    ! queue ! dub.audio
