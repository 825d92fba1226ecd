// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The element `syncdiffbin`: a `syncdiff` that the sound passes, too, with the queues around it that such a graph needs.
//
//   video_sink - queue - videoconvert - syncdiff ------------- video_src
//                                          |
//   audio_sink - tee - queue - audioconvert
//                 |
//               queue - clocksync ---------------------------- audio_src
//
// No timestamp changes, so picture and sound are as far apart as they were. Both source pads report the latency of the
// picture, and live the sound leaves when the picture does.

#include "gstsyncdiff.h"

// Sound that is queued for `audio_src`: the minute that syncdiff takes in ahead of the picture, and what an encoder of
// the picture holds back.
#define MOST_SOUND (70 * GST_SECOND)

// By how much sound leaves before it is due, so that none is late.
#define HASTE (20 * GST_MSECOND)

// One of the two streams.
typedef struct {
  GstPad *sink;
  GstPad *src;
  gint begun;  // atomic: whether something has come
} Branch;

typedef struct {
  GstBin bin;
  GstElement *dub;
  GstElement *delay;
  Branch video;
  Branch audio;
  GstPad *heard[2];  // the last pad of the branch to `dub`, and its pad audio: linked as long as `audio.sink` is
  GstPad *spoken[2]; // the first pads of the branch to `audio.src`: linked as long as that is
  GstClockID alarm;  // guarded by the object lock
} GstSyncDiffBin;

typedef GstBinClass GstSyncDiffBinClass;

#define SELF(object) ((GstSyncDiffBin *) (object))
#define INNER(preset) (GST_PRESET (SELF (preset)->dub))

static GstStaticPadTemplate video_sink_template =
    GST_STATIC_PAD_TEMPLATE ("video_sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS ("video/x-raw"));
static GstStaticPadTemplate audio_sink_template =
    GST_STATIC_PAD_TEMPLATE ("audio_sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS ("audio/x-raw"));
static GstStaticPadTemplate video_src_template =
    GST_STATIC_PAD_TEMPLATE ("video_src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS ("video/x-raw"));
static GstStaticPadTemplate audio_src_template =
    GST_STATIC_PAD_TEMPLATE ("audio_src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS ("audio/x-raw"));

// Presets are those of syncdiff.

static gchar **
preset_names (GstPreset *preset)
{
  return gst_preset_get_preset_names (INNER (preset));
}

static gchar **
preset_property_names (GstPreset *preset)
{
  return gst_preset_get_property_names (INNER (preset));
}

static gboolean
preset_load (GstPreset *preset, const gchar *name)
{
  return gst_preset_load_preset (INNER (preset), name);
}

static gboolean
preset_save (GstPreset *preset, const gchar *name)
{
  return gst_preset_save_preset (INNER (preset), name);
}

static gboolean
preset_rename (GstPreset *preset, const gchar *name, const gchar *new_name)
{
  return gst_preset_rename_preset (INNER (preset), name, new_name);
}

static gboolean
preset_delete (GstPreset *preset, const gchar *name)
{
  return gst_preset_delete_preset (INNER (preset), name);
}

static gboolean
preset_set_meta (GstPreset *preset, const gchar *name, const gchar *tag, const gchar *value)
{
  return gst_preset_set_meta (INNER (preset), name, tag, value);
}

static gboolean
preset_get_meta (GstPreset *preset, const gchar *name, const gchar *tag, gchar **value)
{
  return gst_preset_get_meta (INNER (preset), name, tag, value);
}

static void
gst_sync_diff_bin_preset_init (gpointer iface, gpointer data)
{
  GstPresetInterface *preset = iface;

  preset->get_preset_names = preset_names;
  preset->get_property_names = preset_property_names;
  preset->load_preset = preset_load;
  preset->save_preset = preset_save;
  preset->rename_preset = preset_rename;
  preset->delete_preset = preset_delete;
  preset->set_meta = preset_set_meta;
  preset->get_meta = preset_get_meta;
}

G_DEFINE_TYPE_WITH_CODE (GstSyncDiffBin, gst_sync_diff_bin, GST_TYPE_BIN,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, gst_sync_diff_bin_preset_init));
#define parent_class gst_sync_diff_bin_parent_class

GST_ELEMENT_REGISTER_DEFINE (syncdiffbin, "syncdiffbin", GST_RANK_NONE, gst_sync_diff_bin_get_type ());

static void
gst_sync_diff_bin_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  g_object_set_property (G_OBJECT (SELF (object)->dub), pspec->name, value);
}

static void
gst_sync_diff_bin_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_object_get_property (G_OBJECT (SELF (object)->dub), pspec->name, value);
}

// syncdiff waits for sound as long as its pad is linked, and a queue that nobody takes from is an error at EOS.
static void
gst_sync_diff_bin_linked (GstPad *pad, GstPad *peer, gpointer pads)
{
  gst_pad_link (((GstPad **) pads)[0], ((GstPad **) pads)[1]);
}

static void
gst_sync_diff_bin_unlinked (GstPad *pad, GstPad *peer, gpointer pads)
{
  gst_pad_unlink (((GstPad **) pads)[0], ((GstPad **) pads)[1]);
}

static void
link_along (GstPad *pad, GstPad **pads)
{
  g_signal_connect (pad, "linked", G_CALLBACK (gst_sync_diff_bin_linked), pads);
  g_signal_connect (pad, "unlinked", G_CALLBACK (gst_sync_diff_bin_unlinked), pads);
}

// `audio_src` is as late as `video_src`, and live that is also when the sound leaves.
static gboolean
gst_sync_diff_bin_audio_src_query (GstPad *pad, GstObject *parent, GstQuery *query)
{
  GstSyncDiffBin *self = SELF (parent);
  GstQuery *picture;
  gboolean live, video_live;
  GstClockTime least, most, own, video_least;

  if (!gst_pad_query_default (pad, parent, query))
    return FALSE;
  if (GST_QUERY_TYPE (query) != GST_QUERY_LATENCY)
    return TRUE;
  gst_query_parse_latency (query, &live, &least, &most);
  own = live ? least : 0;
  picture = gst_query_new_latency ();
  if (gst_pad_is_linked (self->video.sink) && gst_pad_query (self->video.src, picture)) {
    gst_query_parse_latency (picture, &video_live, &video_least, NULL);
    live = live || video_live;
    least = MAX (least, video_least);
    most = MAX (most, least);
  }
  gst_query_unref (picture);
  g_object_set (self->delay, "sync", live, "ts-offset", (gint64) (least > own + HASTE ? least - own - HASTE : 0), NULL);
  gst_query_set_latency (query, live, least, most);
  return TRUE;
}

// A stream that has not begun ends, so that whoever waits for both does not wait for ever.
static void
end_unless_begun (GstSyncDiffBin *self, Branch *branch)
{
  GstSegment segment;

  if (g_atomic_int_get (&branch->begun) || !gst_pad_is_linked (branch->src))
    return;
  GST_INFO_OBJECT (branch->src, "no data has arrived: pushing EOS");
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_pad_push_event (branch->src, gst_event_new_stream_start (GST_PAD_NAME (branch->src)));
  gst_pad_push_event (branch->src, gst_event_new_segment (&segment));
  gst_pad_push_event (branch->src, gst_event_new_eos ());
}

static void
gst_sync_diff_bin_give_up (GstElement *element, gpointer data)
{
  GstSyncDiffBin *self = SELF (element);

  end_unless_begun (self, &self->audio);  // of which syncdiff warns
  if (gst_pad_is_linked (self->video.sink) || !gst_pad_is_linked (self->video.src))
    return;
  GST_ELEMENT_WARNING (self, STREAM, FAILED, ("The pad video_sink is not linked: video_src gets EOS."), (NULL));
  end_unless_begun (self, &self->video);
}

static gboolean
gst_sync_diff_bin_alarm (GstClock *clock, GstClockTime time, GstClockID id, gpointer self)
{
  // Not here: all alarms of the process share this thread.
  gst_element_call_async (GST_ELEMENT (self), gst_sync_diff_bin_give_up, NULL, NULL);
  return TRUE;
}

static void
set_alarm (GstSyncDiffBin *self, GstClockTime timeout)
{
  GstClock *clock = gst_system_clock_obtain ();

  GST_OBJECT_LOCK (self);
  if (!self->alarm) {
    self->alarm = gst_clock_new_single_shot_id (clock, gst_clock_get_time (clock) + timeout);
    gst_clock_id_wait_async (self->alarm, gst_sync_diff_bin_alarm, gst_object_ref (self), gst_object_unref);
  }
  GST_OBJECT_UNLOCK (self);
  gst_object_unref (clock);
}

static void
clear_alarm (GstSyncDiffBin *self)
{
  GstClockID alarm;

  GST_OBJECT_LOCK (self);
  alarm = self->alarm;
  self->alarm = NULL;
  GST_OBJECT_UNLOCK (self);
  if (alarm) {
    gst_clock_id_unschedule (alarm);
    gst_clock_id_unref (alarm);
  }
}

// Live, nobody waits for ever, and what begins late is to be there.
static gboolean
is_live (GstPad *sink)
{
  GstQuery *query = gst_query_new_latency ();
  gboolean live = FALSE;

  if (gst_pad_peer_query (sink, query))
    gst_query_parse_latency (query, &live, NULL, NULL);
  gst_query_unref (query);
  return live;
}

// The first thing that comes on a sink pad.
static GstPadProbeReturn
gst_sync_diff_bin_came (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  GstSyncDiffBin *self = data;
  Branch *branch = pad == self->video.sink ? &self->video : &self->audio;
  Branch *other = branch == &self->video ? &self->audio : &self->video;
  GstClockTime timeout;

  if (GST_IS_EVENT (info->data) && GST_EVENT_TYPE (info->data) != GST_EVENT_GAP && GST_EVENT_TYPE (info->data) != GST_EVENT_EOS)
    return GST_PAD_PROBE_OK;
  if (!g_atomic_int_compare_and_exchange (&branch->begun, FALSE, TRUE) || g_atomic_int_get (&other->begun))
    return GST_PAD_PROBE_OK;
  g_object_get (self->dub, "stall-timeout", &timeout, NULL);
  if (timeout && !is_live (pad))
    set_alarm (self, timeout);
  return GST_PAD_PROBE_OK;
}

static GstStateChangeReturn
gst_sync_diff_bin_change_state (GstElement *element, GstStateChange change)
{
  GstSyncDiffBin *self = SELF (element);
  GstStateChangeReturn result;

  if (change == GST_STATE_CHANGE_NULL_TO_READY && !self->audio.sink) {
    GST_ELEMENT_ERROR (self, CORE, MISSING_PLUGIN, ("An element that syncdiffbin needs is missing."),
        ("It needs queue, tee and clocksync of GStreamer itself, and videoconvert and audioconvert of its base plugins."));
    return GST_STATE_CHANGE_FAILURE;
  }
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED) {
    g_atomic_int_set (&self->video.begun, FALSE);
    g_atomic_int_set (&self->audio.begun, FALSE);
    g_object_set (self->delay, "sync", FALSE, NULL);
  }
  result = GST_ELEMENT_CLASS (parent_class)->change_state (element, change);
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY)
    clear_alarm (self);  // now that nothing comes any more
  return result;
}

static void
gst_sync_diff_bin_dispose (GObject *object)
{
  GstSyncDiffBin *self = SELF (object);

  clear_alarm (self);
  for (int i = 0; i < 2; i++) {
    gst_clear_object (&self->heard[i]);
    gst_clear_object (&self->spoken[i]);
  }
  G_OBJECT_CLASS (parent_class)->dispose (object);
}

static void
gst_sync_diff_bin_class_init (GstSyncDiffBinClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  GstElementClass *element = GST_ELEMENT_CLASS (klass);

  object->set_property = gst_sync_diff_bin_set_property;
  object->get_property = gst_sync_diff_bin_get_property;
  object->dispose = gst_sync_diff_bin_dispose;
  element->change_state = gst_sync_diff_bin_change_state;
  element->provide_clock = NULL;  // clocksync has one to offer, and would win over a sound card's

  // A GstController reaches the syncdiff inside.
  gst_sync_diff_install_properties (object, FALSE);

  gst_element_class_add_static_pad_template (element, &video_sink_template);
  gst_element_class_add_static_pad_template (element, &audio_sink_template);
  gst_element_class_add_static_pad_template (element, &video_src_template);
  gst_element_class_add_static_pad_template (element, &audio_src_template);
  gst_element_class_set_static_metadata (element, "Lip synchronisation of video and audio", "Bin/Filter/Effect/Video/Audio",
      "Repaints the mouths in the video so that they speak the audio, and passes both on together",
      "the syncdiff authors");
}

static GstElement *
add (GstSyncDiffBin *self, GstElement *element)
{
  if (element)
    gst_bin_add (GST_BIN (self), element);
  return element;
}

static void
add_branch (GstSyncDiffBin *self, Branch *branch, GstStaticPadTemplate *sink, GstElement *first, GstStaticPadTemplate *src,
    GstElement *last)
{
  GstPadTemplate *sink_template = gst_static_pad_template_get (sink);
  GstPadTemplate *src_template = gst_static_pad_template_get (src);
  GstPad *in = gst_element_get_static_pad (first, "sink");
  GstPad *out = gst_element_get_static_pad (last, "src");

  branch->sink = gst_ghost_pad_new_from_template (sink->name_template, in, sink_template);
  branch->src = gst_ghost_pad_new_from_template (src->name_template, out, src_template);
  gst_pad_add_probe (branch->sink, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, gst_sync_diff_bin_came,
      self, NULL);
  gst_element_add_pad (GST_ELEMENT (self), branch->sink);
  gst_element_add_pad (GST_ELEMENT (self), branch->src);
  gst_object_unref (in);
  gst_object_unref (out);
  gst_object_unref (sink_template);
  gst_object_unref (src_template);
}

static void
gst_sync_diff_bin_init (GstSyncDiffBin *self)
{
  GstElement *picture = add (self, gst_element_factory_make ("queue", "picture"));
  GstElement *convert = add (self, gst_element_factory_make ("videoconvert", NULL));
  GstElement *tee = add (self, gst_element_factory_make ("tee", NULL));
  GstElement *heard = add (self, gst_element_factory_make ("queue", "heard"));
  GstElement *hear = add (self, gst_element_factory_make ("audioconvert", NULL));
  GstElement *spoken = add (self, gst_element_factory_make ("queue", "spoken"));

  self->dub = add (self, g_object_new (GST_TYPE_SYNC_DIFF, "name", "syncdiff", NULL));
  self->delay = add (self, gst_element_factory_make ("clocksync", NULL));
  if (!picture || !convert || !tee || !heard || !hear || !spoken || !self->delay)
    return;
  g_object_set (spoken, "max-size-time", (guint64) MOST_SOUND, "max-size-bytes", 0, "max-size-buffers", 0, NULL);
  g_object_set (self->delay, "sync", FALSE, NULL);
  gst_element_link_many (picture, convert, self->dub, NULL);
  gst_element_link_many (tee, heard, hear, NULL);
  gst_element_link (spoken, self->delay);
  self->heard[0] = gst_element_get_static_pad (hear, "src");
  self->heard[1] = gst_element_request_pad_simple (self->dub, "audio");
  self->spoken[0] = gst_element_request_pad_simple (tee, "src_%u");
  self->spoken[1] = gst_element_get_static_pad (spoken, "sink");
  add_branch (self, &self->video, &video_sink_template, picture, &video_src_template, self->dub);
  add_branch (self, &self->audio, &audio_sink_template, tee, &audio_src_template, self->delay);
  link_along (self->audio.sink, self->heard);
  link_along (self->audio.src, self->spoken);
  gst_pad_set_query_function (self->audio.src, gst_sync_diff_bin_audio_src_query);
}
