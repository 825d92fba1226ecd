// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0
#include <gst/pbutils/pbutils.h>
#include <gst/controller/controller.h>
