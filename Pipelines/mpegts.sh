#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# MPEG-TS from file to file, keeping everything: captions in the video (CEA-608, CEA-708) travel with the frames through the
# element, a side stream such as KLV or DVB subtitles bypasses it, the audio is copied.
#
#   mpegts.sh IN.ts OUT.ts [SIDE]            SIDE: caps of the side stream, such as meta/x-klv or subpicture/x-dvb
set -eu
[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: $0 IN.ts OUT.ts [SIDE]" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"

exec gst-launch-1.0 -e \
  filesrc location="$1" ! tsdemux name=in \
    in. ! h264parse ! avdec_h264 ! queue ! syncdiff name=dub ! x264enc speed-preset=fast ! queue ! mux. \
    in. ! aacparse ! tee name=sound \
      sound. ! queue ! avdec_aac ! audioconvert ! dub.audio \
      sound. ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux. \
    ${3:+in. ! "$3" ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux.} \
  mpegtsmux name=mux ! filesink location="$2"
