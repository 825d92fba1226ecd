// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include <dlfcn.h>

#include "gstsyncdiff.h"

GST_DEBUG_CATEGORY (gst_sync_diff_debug);
GST_DEBUG_CATEGORY_STATIC (gst_sync_diff_model_debug);

#define AUDIO_CAPS                                                                                            \
  "audio/x-raw, format = (string) { S16LE, S24LE, S32LE, F32LE, F64LE }, rate = (int) [ 8000, 384000 ], "     \
  "channels = (int) [ 1, 64 ], layout = (string) { interleaved, non-interleaved }"

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (GST_SYNC_DIFF_VIDEO_CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (GST_SYNC_DIFF_VIDEO_CAPS));
static GstStaticPadTemplate audio_template =
    GST_STATIC_PAD_TEMPLATE ("audio", GST_PAD_SINK, GST_PAD_REQUEST, GST_STATIC_CAPS (AUDIO_CAPS));

typedef GstElementClass GstSyncDiffClass;

G_DEFINE_TYPE_WITH_CODE (GstSyncDiff, gst_sync_diff, GST_TYPE_ELEMENT,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, NULL));
#define parent_class gst_sync_diff_parent_class
#define SELF(object) ((GstSyncDiff *) (object))

GST_ELEMENT_REGISTER_DEFINE (syncdiff, "syncdiff", GST_RANK_NONE, GST_TYPE_SYNC_DIFF);

const gchar *
gst_sync_diff_file_name (void)
{
  Dl_info info;

  return dladdr (gst_sync_diff_get_type, &info) ? info.dli_fname : NULL;
}

gboolean
gst_sync_diff_logs (gboolean model, GstDebugLevel level)
{
  GstDebugCategory *category = model ? gst_sync_diff_model_debug : gst_sync_diff_debug;
  return level <= gst_debug_category_get_threshold (category);
}

void
gst_sync_diff_log (GstSyncDiff *self, gboolean model, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
    const gchar *text)
{
  GstDebugCategory *category = model ? gst_sync_diff_model_debug : gst_sync_diff_debug;
  gst_debug_log (category, level, file, function, line, G_OBJECT (self), "%s", text);
}

static GstStateChangeReturn
gst_sync_diff_change_state (GstElement *element, GstStateChange change)
{
  GstStateChangeReturn result;

  if (!gst_sync_diff_before_change (SELF (element), change))
    return GST_STATE_CHANGE_FAILURE;
  result = GST_ELEMENT_CLASS (parent_class)->change_state (element, change);
  if (result != GST_STATE_CHANGE_FAILURE)
    gst_sync_diff_after_change (SELF (element), change);
  return result;
}

// What enters at `sink` leaves at `src`; sound stays inside.
static GstIterator *
gst_sync_diff_iterate_internal_links (GstPad *pad, GstObject *parent)
{
  GstSyncDiff *self = SELF (parent);
  GstPad *other = pad == self->sink ? self->src : pad == self->src ? self->sink : NULL;
  GstIterator *result;
  GValue value = G_VALUE_INIT;

  if (!other)
    return NULL;
  g_value_init (&value, GST_TYPE_PAD);
  g_value_set_object (&value, other);
  result = gst_iterator_new_single (GST_TYPE_PAD, &value);
  g_value_unset (&value);
  return result;
}

static void
gst_sync_diff_audio_link_changed (GstPad *pad, GstPad *peer, gpointer self)
{
  gst_sync_diff_audio_linked (SELF (self), gst_pad_is_linked (pad));
}

static GstPad *
gst_sync_diff_request_new_pad (GstElement *element, GstPadTemplate *templ, const gchar *name, const GstCaps *caps)
{
  GstPad *pad = gst_element_get_static_pad (element, "audio");

  if (pad) {
    gst_object_unref (pad);
    GST_WARNING_OBJECT (element, "the audio pad has been requested already, and there is only one");
    return NULL;
  }
  pad = gst_pad_new_from_template (templ, "audio");
  gst_pad_set_chain_function (pad, gst_sync_diff_audio_chain);
  gst_pad_set_event_function (pad, gst_sync_diff_audio_event);
  gst_pad_set_query_function (pad, gst_sync_diff_audio_query);
  gst_pad_set_iterate_internal_links_function (pad, gst_sync_diff_iterate_internal_links);
  g_signal_connect (pad, "linked", G_CALLBACK (gst_sync_diff_audio_link_changed), element);
  g_signal_connect (pad, "unlinked", G_CALLBACK (gst_sync_diff_audio_link_changed), element);
  gst_sync_diff_audio_added (SELF (element));
  if (GST_STATE (element) > GST_STATE_READY || GST_STATE_NEXT (element) > GST_STATE_READY)
    gst_pad_set_active (pad, TRUE);
  gst_element_add_pad (element, pad);
  return pad;
}

static void
gst_sync_diff_release_pad (GstElement *element, GstPad *pad)
{
  gst_sync_diff_audio_removing (SELF (element));
  gst_pad_set_active (pad, FALSE);
  gst_element_remove_pad (element, pad);
}

static void
gst_sync_diff_finalize (GObject *object)
{
  gst_sync_diff_parts_free (SELF (object)->parts);
  gst_sync_diff_settings_clear (&SELF (object)->settings);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_sync_diff_class_init (GstSyncDiffClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  GstElementClass *element = GST_ELEMENT_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (gst_sync_diff_debug, "syncdiff", 0, "Lip synchronisation by diffusion");
  GST_DEBUG_CATEGORY_INIT (gst_sync_diff_model_debug, "syncdiff-model", 0, "Models of the element syncdiff");

  object->set_property = gst_sync_diff_set_property;
  object->get_property = gst_sync_diff_get_property;
  object->finalize = gst_sync_diff_finalize;
  element->change_state = gst_sync_diff_change_state;
  element->request_new_pad = gst_sync_diff_request_new_pad;
  element->release_pad = gst_sync_diff_release_pad;

  gst_sync_diff_install_properties (object, TRUE);
  // GStreamer looks for presets in one folder of the application's own; a host that has chosen one keeps it.
  if (!gst_preset_get_app_dir ()) {
    gchar *folder = gst_sync_diff_copy_preset_folder ();

    if (folder)
      gst_preset_set_app_dir (folder);
    g_free (folder);
  }

  gst_element_class_add_static_pad_template (element, &sink_template);
  gst_element_class_add_static_pad_template (element, &audio_template);
  gst_element_class_add_static_pad_template (element, &src_template);
  gst_element_class_set_static_metadata (element, "Lip synchronisation by diffusion", "Filter/Effect/Video/Audio",
      "Repaints the mouths in a video so that they speak the audio on the audio pad", "the syncdiff authors");
}

static void
gst_sync_diff_init (GstSyncDiff *self)
{
  gst_sync_diff_init_settings (self);

  self->sink = gst_pad_new_from_static_template (&sink_template, "sink");
  gst_pad_set_chain_function (self->sink, gst_sync_diff_sink_chain);
  gst_pad_set_event_full_function (self->sink, gst_sync_diff_sink_event);
  gst_pad_set_query_function (self->sink, gst_sync_diff_sink_query);
  gst_pad_set_iterate_internal_links_function (self->sink, gst_sync_diff_iterate_internal_links);
  GST_PAD_SET_PROXY_CAPS (self->sink);
  gst_element_add_pad (GST_ELEMENT (self), self->sink);

  self->src = gst_pad_new_from_static_template (&src_template, "src");
  gst_pad_set_activatemode_function (self->src, gst_sync_diff_src_activate_mode);
  gst_pad_set_event_function (self->src, gst_sync_diff_src_event);
  gst_pad_set_query_function (self->src, gst_sync_diff_src_query);
  gst_pad_set_iterate_internal_links_function (self->src, gst_sync_diff_iterate_internal_links);
  GST_PAD_SET_PROXY_CAPS (self->src);
  gst_element_add_pad (GST_ELEMENT (self), self->src);

  self->parts = gst_sync_diff_parts_new (self);
}
