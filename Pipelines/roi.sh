#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# Paints only faces that a detector upstream has marked (GstVideoRegionOfInterestMeta): here OpenCV's, from the Debian
# packages gstreamer1.0-opencv and opencv-data. It needs RGB; its marks stay on the frame through videoconvert.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 VIDEO AUDIO OUT.mp4" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"

exec gst-launch-1.0 -e \
  filesrc location="$1" ! decodebin ! queue ! videoconvert ! video/x-raw,format=RGB \
    ! facedetect display=false updates=none \
    ! videoconvert ! video/x-raw,format=I420 ! syncdiff name=dub face-select=roi-meta \
    ! x264enc pass=qual quantizer=16 speed-preset=fast ! queue ! mp4mux name=mux ! filesink location="$3" \
  filesrc location="$2" ! decodebin ! audioconvert ! audioresample ! tee name=sound \
    sound. ! queue ! dub.audio \
    sound. ! queue ! avenc_aac ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! mux.
