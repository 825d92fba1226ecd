#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# MPEG-TS over SRT in and out: the face speaks the audio of its stream, such as an interpreter's. Waits for a sender, and for
# a receiver at the other end; ends when the sender does.
#
#   srt.sh [IN_URI [OUT_URI]]          try it: gst-launch-1.0 ... ! mpegtsmux ! srtsink uri=srt://127.0.0.1:7001
#                                      and:    ffplay srt://127.0.0.1:7002
set -eu
[ $# -le 2 ] || { echo "usage: $0 [IN_URI [OUT_URI]]" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"

exec gst-launch-1.0 -e \
  srtsrc uri="${1:-srt://:7001}" ! tsdemux name=in \
    in. ! h264parse ! avdec_h264 ! queue ! videoconvert ! syncdiff name=dub \
      ! x264enc tune=zerolatency speed-preset=veryfast key-int-max=25 ! queue ! mux. \
    in. ! aacparse ! tee name=sound \
      sound. ! queue ! avdec_aac ! audioconvert ! dub.audio \
      sound. ! queue max-size-time=5000000000 ! mux. \
  mpegtsmux name=mux alignment=7 ! srtsink uri="${2:-srt://:7002}"
