// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The properties of `syncdiff`, in one table. Installing, setting, getting and initialising them are loops over it.
//
// To add a property:
//
// 1. a field in GstSyncDiffSettings, in include/gstsyncdiff.h (an enum's values stand there, too);
// 2. a row in the table below (and before it the enum's type, if it is one);
// 3. a field in Settings, in Sources/Element/SyncDiffElement/Settings.swift, which says what the value means;
// 4. where it is used.
//
// Then `meta/scripts/element-page` writes meta/docs/element.md anew. `syncdiffbin` has every property of the table.

#include <math.h>

#include "gstsyncdiff.h"

static G_DEFINE_ENUM_TYPE (GstSyncDiffPrecision, gst_sync_diff_precision,
    {GST_SYNC_DIFF_PRECISION_AUTO, "The fastest at full quality: f32", "auto"},
    {GST_SYNC_DIFF_PRECISION_F32, "32-bit floating point", "f32"},
    {GST_SYNC_DIFF_PRECISION_BF16,
        "bfloat16 weights and layer inputs where that is faster (Intel with AMX, AMD with AVX512_BF16), else f32", "bf16"})

static G_DEFINE_ENUM_TYPE (GstSyncDiffFaceSelect, gst_sync_diff_face_select,
    {GST_SYNC_DIFF_FACE_SELECT_LARGEST, "The largest face", "largest"},
    {GST_SYNC_DIFF_FACE_SELECT_CENTER, "The face nearest to the centre of the frame", "center"},
    {GST_SYNC_DIFF_FACE_SELECT_LEFT, "The leftmost face", "left"},
    {GST_SYNC_DIFF_FACE_SELECT_RIGHT, "The rightmost face", "right"},
    {GST_SYNC_DIFF_FACE_SELECT_ROI_META,
        "Faces in upstream's GstVideoRegionOfInterestMeta: regions of type face, or all regions if none is of that type",
        "roi-meta"},
    {GST_SYNC_DIFF_FACE_SELECT_ALL, "All faces", "all"})

static G_DEFINE_ENUM_TYPE (GstSyncDiffNoFace, gst_sync_diff_no_face,
    {GST_SYNC_DIFF_NO_FACE_PASSTHROUGH, "The frame passes through unchanged", "passthrough"},
    {GST_SYNC_DIFF_NO_FACE_ERROR, "Post an error", "error"})

static G_DEFINE_ENUM_TYPE (GstSyncDiffSilence, gst_sync_diff_silence,
    {GST_SYNC_DIFF_SILENCE_CLOSE, "Close the mouth", "close"},
    {GST_SYNC_DIFF_SILENCE_PASSTHROUGH, "Frames pass through unchanged", "passthrough"})

static G_DEFINE_ENUM_TYPE (GstSyncDiffMissingAudio, gst_sync_diff_missing_audio,
    {GST_SYNC_DIFF_MISSING_AUDIO_PASSTHROUGH, "Frames pass through unchanged", "passthrough"},
    {GST_SYNC_DIFF_MISSING_AUDIO_SILENCE, "Treat missing audio as silence", "silence"},
    {GST_SYNC_DIFF_MISSING_AUDIO_ERROR,
        "Post an error if the audio pad is not linked, the audio ends before the video, or a face waits stall-timeout for it",
        "error"})

static G_DEFINE_ENUM_TYPE (GstSyncDiffOverload, gst_sync_diff_overload,
    {GST_SYNC_DIFF_OVERLOAD_AUTO, "Degrade when live, block otherwise", "auto"},
    {GST_SYNC_DIFF_OVERLOAD_BLOCK, "Paint every frame, however long it takes", "block"},
    {GST_SYNC_DIFF_OVERLOAD_DEGRADE,
        "Use fewer steps, then paint every other frame, then none, until frames are in time", "degrade"})

static G_DEFINE_FLAGS_TYPE (GstSyncDiffMessages, gst_sync_diff_messages,
    {GST_SYNC_DIFF_MESSAGES_FACE, "syncdiff-face: faces were found, lost or changed", "face"},
    {GST_SYNC_DIFF_MESSAGES_DEGRADE, "syncdiff-degrade: the work for each frame was reduced or restored", "degrade"},
    {GST_SYNC_DIFF_MESSAGES_SCENE, "syncdiff-scene: a new scene began", "scene"},
    {GST_SYNC_DIFF_MESSAGES_STATS, "syncdiff-stats: the values of the property stats", "stats"})

typedef enum { TEXT, BOOLEAN, UINT, INT64, UINT64, DOUBLE, ENUM, FLAGS, STATISTICS } Kind;

typedef union {
  gint64 i;   // INT64
  guint64 u;  // BOOLEAN, UINT, UINT64, ENUM, FLAGS
  gdouble d;  // DOUBLE
} Number;

typedef struct {
  const gchar *name;
  const gchar *nick;
  const gchar *blurb;
  Kind kind;
  gsize field;          // its place in GstSyncDiffSettings; STATISTICS has none
  GType (*type) (void); // of ENUM and FLAGS
  GParamFlags flags;
  Number least, most;
  Number initial;       // TEXT: NULL
  gboolean latency;     // whether it is part of the latency
} Property;

#define FIELD(name) offsetof (GstSyncDiffSettings, name)

// The highest state in which a property may be set; FRAME: also by a GstController, from frame to frame.
#define READY (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY)
#define PLAYING (G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING)
#define FRAME (PLAYING | GST_PARAM_CONTROLLABLE)

// What is not given is 0, FALSE, NULL, or the enum's first value.
static const Property properties[] = {
  {"model", "Model",
      "Path of the model file (safetensors). Unset: the environment variable SYNCDIFF_MODEL, else "
      "models/syncdiff.safetensors beside the plugin, else the one in the source tree that the plugin was built "
      "in, else share/syncdiff/syncdiff.safetensors in the prefix that it is installed in",
      TEXT, FIELD (model), .flags = READY},
  {"presenter", "Presenter",
      "Path of a file made by `syncdiff learn`: a person's mouths, used for the face that is chosen first in every scene, so "
      "that none has to be seen in the video first. Set it only if that face is this person's. Unset: none",
      TEXT, FIELD (presenter), .flags = READY},
  {"precision", "Precision", "Number format of the networks",
      ENUM, FIELD (precision), gst_sync_diff_precision_get_type, READY},
  {"threads", "Threads", "Threads that work on one frame, 0 = one per core",
      UINT, FIELD (threads), .flags = READY, .most.u = 256},
  {"preload", "Preload",
      "Load the model on the change to READY, so that the first frame does not wait for it and a missing model fails "
      "at once; otherwise when the first frame needs it",
      BOOLEAN, FIELD (preload), .flags = READY, .initial.u = TRUE},
  {"lookahead", "Look-ahead",
      "How much audio after its own time a frame waits for, in nanoseconds. Less than the model was trained "
      "with reduces latency and quality. -1 = the model's own",
      INT64, FIELD (lookahead), .flags = READY, .least.i = -1, .most.i = 25 * GST_SECOND, .initial.i = -1},
  {"steps", "Steps", "Denoising steps per frame, 0 = the model's own. More are slower",
      UINT, FIELD (steps), .flags = PLAYING, .most.u = 1000},
  {"guidance-scale", "Guidance scale",
      "Scales how far the lips move from those of silence: 1 = as trained, more opens them wider, 0 = the model's "
      "own, which is 1",
      DOUBLE, FIELD (guidance_scale), .flags = FRAME, .most.d = 10},
  {"strength", "Strength", "Opacity of the new mouth over the original, 0 = the original only",
      DOUBLE, FIELD (strength), .flags = FRAME, .most.d = 1, .initial.d = 1},
  {"seed", "Seed",
      "Seed of the diffusion's noise; the low 32 bits are used. The same seed, input and model give the same "
      "output",
      UINT64, FIELD (seed), .flags = PLAYING, .most.u = G_MAXUINT64},
  {"passthrough", "Pass-through", "Push every frame unchanged. The reported latency stays the same",
      BOOLEAN, FIELD (passthrough), .flags = FRAME},
  {"audio-offset", "Audio offset",
      "Nanoseconds added to the audio's running time before it is matched with the video. Moves only the lips: the "
      "audio itself does not pass through this element",
      INT64, FIELD (audio_offset), .flags = PLAYING, .least.i = -25 * GST_SECOND, .most.i = 25 * GST_SECOND, .latency = TRUE},
  {"face-select", "Face selection", "Which faces in the frame get a new mouth",
      ENUM, FIELD (face_select), gst_sync_diff_face_select_get_type, FRAME},
  {"max-faces", "Most faces",
      "Maximum number of faces that get a new mouth with face-select=all or roi-meta, largest first. Each takes time",
      UINT, FIELD (max_faces), .flags = PLAYING, .least.u = 1, .most.u = 16, .initial.u = 4},
  {"roi", "Region of interest",
      "Fixed box \"x,y,width,height\" in pixels of the frame: the face in it gets a new mouth, whatever face-select "
      "says. A box tight around the face replaces detection; in a larger one the largest face is detected. Unset: the "
      "whole frame",
      TEXT, FIELD (roi), .flags = PLAYING},
  {"no-face", "No face", "What to do with a frame without a face to paint. A face whose mouth is hidden is not missing",
      ENUM, FIELD (no_face), gst_sync_diff_no_face_get_type, PLAYING},
  {"silence", "Silence", "What to do while the audio is silent",
      ENUM, FIELD (silence), gst_sync_diff_silence_get_type, PLAYING},
  {"silence-threshold", "Silence threshold", "Audio whose RMS stays below this many dBFS for silence-hold is silence",
      DOUBLE, FIELD (silence_threshold), .flags = PLAYING, .least.d = -200, .initial.d = -50},
  {"silence-hold", "Silence hold",
      "Nanoseconds that the audio must be quiet to count as silence: pauses between words are shorter. Lost or late "
      "audio counts as silence for as long, and then as missing",
      UINT64, FIELD (silence_hold), .flags = PLAYING, .most.u = 2 * GST_SECOND, .initial.u = 300 * GST_MSECOND},
  {"missing-audio", "Missing audio",
      "What to do with frames without audio: the pad is not linked, the audio has not begun or has ended, or it is "
      "lost or late by more than silence-hold",
      ENUM, FIELD (missing_audio), gst_sync_diff_missing_audio_get_type, PLAYING, .latency = TRUE},
  {"scene-threshold", "Scene threshold",
      "Difference between two frames, 0 for equal and 1 for unrelated ones, from which a new scene begins and everything "
      "known about the last one is forgotten. 0 = never",
      DOUBLE, FIELD (scene_threshold), .flags = PLAYING, .most.d = 1, .initial.d = 0.4},
  {"overload", "Overload", "What to do when painting takes longer than there is time",
      ENUM, FIELD (overload), gst_sync_diff_overload_get_type, PLAYING, .latency = TRUE},
  {"processing-latency", "Processing latency",
      "Nanoseconds of painting in the reported latency; 0 = measured, at most one frame unless overload=block",
      UINT64, FIELD (processing_latency), .flags = PLAYING, .most.u = G_MAXINT64, .latency = TRUE},
  {"stall-timeout", "Stall timeout",
      "Nanoseconds without any audio after which waiting frames go on without it, with a warning; how much longer than "
      "the latency a live frame waits at most; and how long audio that is a minute ahead, unless it is live, waits "
      "for video. Time in PAUSED does not count. 0 = for ever",
      UINT64, FIELD (stall_timeout), .flags = PLAYING, .most.u = G_MAXINT64, .initial.u = 5 * GST_SECOND},
  {"qos", "QoS",
      "Let QoS events from the sink reduce the work (overload), and post QoS messages. QoS events are not forwarded "
      "upstream, so that no frame is dropped there",
      BOOLEAN, FIELD (qos), .flags = PLAYING, .initial.u = TRUE},
  {"post-messages", "Post messages", "Element messages to post on the bus",
      FLAGS, FIELD (post_messages), gst_sync_diff_messages_get_type, PLAYING,
      .initial.u = GST_SYNC_DIFF_MESSAGES_FACE | GST_SYNC_DIFF_MESSAGES_DEGRADE},
  {"stats-interval", "Stats interval",
      "Nanoseconds of running time between syncdiff-stats messages, if post-messages has stats; 0 = none",
      UINT64, FIELD (stats_interval), .flags = PLAYING, .most.u = G_MAXINT64},
  {"stats", "Statistics",
      "Frames since the stream began: painted, reused (with the previous mouth), and passed unchanged because there was no "
      "face, no audio or no time, or the mouth was hidden; no-sound also counts painted frames if all audio was silent "
      "for the first 10 s or more; late frames; overload level; latency in nanoseconds; frames, and nanoseconds of audio, "
      "held",
      STATISTICS, .flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS},
  {"disclosure", "Disclosure",
      "Tag the output as made by AI when audio is linked: a comment and an extended-comment with IPTC's digital source "
      "type compositeWithTrainedAlgorithmicMedia",
      BOOLEAN, FIELD (disclosure), .flags = READY, .initial.u = TRUE},
  {"watermark", "Watermark",
      "Mark painted pixels invisibly as made by AI: `syncdiff detect` finds the mark after compression, scaling and cropping",
      BOOLEAN, FIELD (watermark), .flags = READY, .initial.u = TRUE},
  {"watermark-key", "Watermark key", "Text needed to read the mark. Unset: everyone can read it",
      TEXT, FIELD (watermark_key), .flags = READY},
  {"watermark-id", "Watermark id", "A number of your own that the mark carries, beside the version and the model",
      UINT, FIELD (watermark_id), .flags = READY, .most.u = G_MAXUINT16},
};

static GParamSpec *
new_spec (const Property *p, GParamFlags flags)
{
  switch (p->kind) {
    case TEXT:
      return g_param_spec_string (p->name, p->nick, p->blurb, NULL, flags);
    case BOOLEAN:
      return g_param_spec_boolean (p->name, p->nick, p->blurb, p->initial.u, flags);
    case UINT:
      return g_param_spec_uint (p->name, p->nick, p->blurb, p->least.u, p->most.u, p->initial.u, flags);
    case INT64:
      return g_param_spec_int64 (p->name, p->nick, p->blurb, p->least.i, p->most.i, p->initial.i, flags);
    case UINT64:
      return g_param_spec_uint64 (p->name, p->nick, p->blurb, p->least.u, p->most.u, p->initial.u, flags);
    case DOUBLE:
      return g_param_spec_double (p->name, p->nick, p->blurb, p->least.d, p->most.d, p->initial.d, flags);
    case ENUM:
      return g_param_spec_enum (p->name, p->nick, p->blurb, p->type (), p->initial.u, flags);
    case FLAGS:
      return g_param_spec_flags (p->name, p->nick, p->blurb, p->type (), p->initial.u, flags);
    case STATISTICS:
      return g_param_spec_boxed (p->name, p->nick, p->blurb, GST_TYPE_STRUCTURE, flags);
  }
}

// A property's id is its place in the table, from 1 on.
void
gst_sync_diff_install_properties (GObjectClass *object, gboolean controllable)
{
  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    GParamFlags flags = controllable ? properties[i].flags : properties[i].flags & ~GST_PARAM_CONTROLLABLE;

    g_object_class_install_property (object, i + 1, new_spec (&properties[i], flags));
    if (properties[i].type)
      gst_type_mark_as_plugin_api (properties[i].type (), 0);
  }
}

static void
store (GstSyncDiffSettings *settings, const Property *property, const GValue *value)
{
  gpointer field = G_STRUCT_MEMBER_P (settings, property->field);

  switch (property->kind) {
    case TEXT:
      g_free (*(gchar **) field);
      *(gchar **) field = g_value_dup_string (value);
      break;
    case BOOLEAN:
      *(gboolean *) field = g_value_get_boolean (value);
      break;
    case UINT:
      *(guint *) field = g_value_get_uint (value);
      break;
    case INT64:
      *(gint64 *) field = g_value_get_int64 (value);
      break;
    case UINT64:
      *(guint64 *) field = g_value_get_uint64 (value);
      break;
    case DOUBLE:
      *(gdouble *) field = g_value_get_double (value);
      break;
    case ENUM:
      *(gint *) field = g_value_get_enum (value);
      break;
    case FLAGS:
      *(guint *) field = g_value_get_flags (value);
      break;
    case STATISTICS:
      break;
  }
}

static void
fetch (const GstSyncDiffSettings *settings, const Property *property, GValue *value)
{
  gconstpointer field = G_STRUCT_MEMBER_P (settings, property->field);

  switch (property->kind) {
    case TEXT:
      g_value_set_string (value, *(gchar *const *) field);
      break;
    case BOOLEAN:
      g_value_set_boolean (value, *(const gboolean *) field);
      break;
    case UINT:
      g_value_set_uint (value, *(const guint *) field);
      break;
    case INT64:
      g_value_set_int64 (value, *(const gint64 *) field);
      break;
    case UINT64:
      g_value_set_uint64 (value, *(const guint64 *) field);
      break;
    case DOUBLE:
      g_value_set_double (value, *(const gdouble *) field);
      break;
    case ENUM:
      g_value_set_enum (value, *(const gint *) field);
      break;
    case FLAGS:
      g_value_set_flags (value, *(const guint *) field);
      break;
    case STATISTICS:
      break;
  }
}

void
gst_sync_diff_init_settings (GstSyncDiff *self)
{
  GObjectClass *object = G_OBJECT_GET_CLASS (self);

  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    GParamSpec *pspec = g_object_class_find_property (object, properties[i].name);

    store (&self->settings, &properties[i], g_param_spec_get_default_value (pspec));
  }
}

void
gst_sync_diff_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstSyncDiff *self = (GstSyncDiff *) object;
  const Property *property = &properties[id - 1];

  // GObject's ranges let it through.
  if (property->kind == DOUBLE && isnan (g_value_get_double (value))) {
    GST_WARNING_OBJECT (self, "%s cannot be NaN: it is not changed", property->name);
    return;
  }
  GST_OBJECT_LOCK (self);
  store (&self->settings, property, value);
  GST_OBJECT_UNLOCK (self);

  if (property->latency)
    gst_sync_diff_latency_changed (self);
}

void
gst_sync_diff_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstSyncDiff *self = (GstSyncDiff *) object;
  const Property *property = &properties[id - 1];

  if (property->kind == STATISTICS) {
    g_value_take_boxed (value, gst_sync_diff_get_stats (self));
    return;
  }
  GST_OBJECT_LOCK (self);
  fetch (&self->settings, property, value);
  GST_OBJECT_UNLOCK (self);
}

void
gst_sync_diff_get_settings (GstSyncDiff *self, GstSyncDiffSettings *settings)
{
  GST_OBJECT_LOCK (self);
  *settings = self->settings;
  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    if (properties[i].kind == TEXT) {
      gchar **text = G_STRUCT_MEMBER_P (settings, properties[i].field);

      *text = g_strdup (*text);
    }
  }
  GST_OBJECT_UNLOCK (self);
}

void
gst_sync_diff_settings_clear (GstSyncDiffSettings *settings)
{
  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    if (properties[i].kind == TEXT)
      g_clear_pointer ((gchar **) G_STRUCT_MEMBER_P (settings, properties[i].field), g_free);
  }
}
