// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0
#include <gst/check/gstharness.h>
#include <gst/check/gsttestclock.h>
