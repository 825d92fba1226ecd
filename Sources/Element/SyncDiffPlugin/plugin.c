// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#include "gstsyncdiff.h"

#define PACKAGE "syncdiff"

static gboolean
plugin_init (GstPlugin *plugin)
{
  return GST_ELEMENT_REGISTER (syncdiff, plugin) && GST_ELEMENT_REGISTER (syncdiffbin, plugin) &&
      GST_ELEMENT_REGISTER (syncdiffdetect, plugin);
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, syncdiff, "Lip synchronisation by diffusion", plugin_init,
    GST_SYNC_DIFF_VERSION, "Apache 2.0", "syncdiff", "Unknown package origin")
