// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0
#include <gst/gst.h>
#include <gst/audio/audio.h>
#include <gst/video/video.h>
