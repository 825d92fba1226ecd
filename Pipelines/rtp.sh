#!/usr/bin/env bash
# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
#
# RTP in and out: H.264 on one port, Opus two above, each with its RTCP on the next; the same from OUT_PORT on. The audio is
# forwarded unchanged. Ctrl-C ends it.
#
#   rtp.sh [IN_PORT [OUT_PORT [OUT_HOST]]]
set -eu
[ $# -le 3 ] || { echo "usage: $0 [IN_PORT [OUT_PORT [OUT_HOST]]]" >&2; exit 2; }
export GST_PLUGIN_PATH="${GST_PLUGIN_PATH:-$(dirname "$0")/../.build/release}"
in=${1:-5000} out=${2:-5010} host=${3:-127.0.0.1}
video="application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96"
audio="application/x-rtp,media=audio,clock-rate=48000,encoding-name=OPUS,payload=97"

exec gst-launch-1.0 \
  rtpbin name=receive rtpbin name=send \
  udpsrc port="$in" caps="$video" ! receive.recv_rtp_sink_0 \
  udpsrc port=$((in + 1)) ! receive.recv_rtcp_sink_0 \
  udpsrc port=$((in + 2)) caps="$audio" ! receive.recv_rtp_sink_1 \
  udpsrc port=$((in + 3)) ! receive.recv_rtcp_sink_1 \
  receive. ! rtph264depay ! avdec_h264 ! queue ! videoconvert ! syncdiff name=dub \
    ! x264enc tune=zerolatency speed-preset=veryfast key-int-max=25 ! rtph264pay config-interval=-1 pt=96 \
    ! queue ! send.send_rtp_sink_0 \
  receive. ! rtpopusdepay ! tee name=sound \
    sound. ! queue ! opusdec ! dub.audio \
    sound. ! queue max-size-time=5000000000 ! rtpopuspay pt=97 ! send.send_rtp_sink_1 \
  send.send_rtp_src_0 ! udpsink host="$host" port="$out" \
  send.send_rtcp_src_0 ! udpsink host="$host" port=$((out + 1)) sync=false async=false \
  send.send_rtp_src_1 ! udpsink host="$host" port=$((out + 2)) \
  send.send_rtcp_src_1 ! udpsink host="$host" port=$((out + 3)) sync=false async=false
