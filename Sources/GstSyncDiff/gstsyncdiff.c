// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>

#include "gstsyncdiff.h"

GST_DEBUG_CATEGORY_STATIC (gst_sync_diff_debug);
GST_DEBUG_CATEGORY_STATIC (gst_sync_diff_model_debug);

enum {
  PROP_0,
  PROP_MODEL,
  PROP_PRESENTER,
  PROP_PRECISION,
  PROP_THREADS,
  PROP_PRELOAD,
  PROP_LOOKAHEAD,
  PROP_STEPS,
  PROP_GUIDANCE_SCALE,
  PROP_STRENGTH,
  PROP_SEED,
  PROP_PASSTHROUGH,
  PROP_AUDIO_OFFSET,
  PROP_FACE_SELECT,
  PROP_MAX_FACES,
  PROP_ROI,
  PROP_NO_FACE,
  PROP_SILENCE,
  PROP_SILENCE_THRESHOLD,
  PROP_SILENCE_HOLD,
  PROP_MISSING_AUDIO,
  PROP_SCENE_THRESHOLD,
  PROP_OVERLOAD,
  PROP_PROCESSING_LATENCY,
  PROP_STALL_TIMEOUT,
  PROP_QOS,
  PROP_POST_MESSAGES,
  PROP_STATS_INTERVAL,
  PROP_STATS,
  PROP_DISCLOSURE,
  PROP_WATERMARK,
  PROP_WATERMARK_KEY,
  PROP_WATERMARK_ID,
};

#define VIDEO_CAPS                                                                                            \
  "video/x-raw, "                                                                                             \
  "format = (string) { I420, YV12, NV12, NV21, Y42B, Y444, YUY2, UYVY, RGB, BGR, RGBx, BGRx, xRGB, xBGR, "    \
  "RGBA, BGRA, ARGB, ABGR, I420_10LE, P010_10LE, I422_10LE, v210 }, width = (int) [ 64, max ], "              \
  "height = (int) [ 64, max ], framerate = (fraction) [ 0, max ]"

#define AUDIO_CAPS                                                                                            \
  "audio/x-raw, format = (string) { S16LE, S24LE, S32LE, F32LE, F64LE }, rate = (int) [ 8000, 384000 ], "     \
  "channels = (int) [ 1, 64 ], layout = (string) { interleaved, non-interleaved }"

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (VIDEO_CAPS));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (VIDEO_CAPS));
static GstStaticPadTemplate audio_template =
    GST_STATIC_PAD_TEMPLATE ("audio", GST_PAD_SINK, GST_PAD_REQUEST, GST_STATIC_CAPS (AUDIO_CAPS));

#define GST_TYPE_SYNC_DIFF_PRECISION (gst_sync_diff_precision_get_type ())
static GType
gst_sync_diff_precision_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_PRECISION_AUTO, "The fastest that keeps the picture's full quality: f32", "auto"},
    {GST_SYNC_DIFF_PRECISION_F32, "32-bit floating point", "f32"},
    {GST_SYNC_DIFF_PRECISION_BF16, "Weights and layers' inputs as 16-bit brain floats where that is faster (Intel with AMX, AMD with AVX512_BF16), else f32", "bf16"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffPrecision", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_FACE_SELECT (gst_sync_diff_face_select_get_type ())
static GType
gst_sync_diff_face_select_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_FACE_SELECT_LARGEST, "The largest face", "largest"},
    {GST_SYNC_DIFF_FACE_SELECT_CENTER, "The face nearest to the picture's middle", "center"},
    {GST_SYNC_DIFF_FACE_SELECT_LEFT, "The leftmost face", "left"},
    {GST_SYNC_DIFF_FACE_SELECT_RIGHT, "The rightmost face", "right"},
    {GST_SYNC_DIFF_FACE_SELECT_ROI_META, "Faces in the GstVideoRegionOfInterestMeta of upstream: those of type face, or all if there are none", "roi-meta"},
    {GST_SYNC_DIFF_FACE_SELECT_ALL, "All faces", "all"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffFaceSelect", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_NO_FACE (gst_sync_diff_no_face_get_type ())
static GType
gst_sync_diff_no_face_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_NO_FACE_PASSTHROUGH, "The frame goes on untouched", "passthrough"},
    {GST_SYNC_DIFF_NO_FACE_ERROR, "The stream ends with an error", "error"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffNoFace", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_SILENCE (gst_sync_diff_silence_get_type ())
static GType
gst_sync_diff_silence_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_SILENCE_CLOSE, "The mouth closes", "close"},
    {GST_SYNC_DIFF_SILENCE_PASSTHROUGH, "The frames go on untouched", "passthrough"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffSilence", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_MISSING_AUDIO (gst_sync_diff_missing_audio_get_type ())
static GType
gst_sync_diff_missing_audio_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_MISSING_AUDIO_PASSTHROUGH, "Frames pass untouched", "passthrough"},
    {GST_SYNC_DIFF_MISSING_AUDIO_SILENCE, "As if the sound was silent", "silence"},
    {GST_SYNC_DIFF_MISSING_AUDIO_ERROR,
        "An error if no sound is linked, it ends before the picture, or a face waits for it for stall-timeout", "error"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffMissingAudio", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_OVERLOAD (gst_sync_diff_overload_get_type ())
static GType
gst_sync_diff_overload_get_type (void)
{
  static const GEnumValue values[] = {
    {GST_SYNC_DIFF_OVERLOAD_AUTO, "Degrade when live, block otherwise", "auto"},
    {GST_SYNC_DIFF_OVERLOAD_BLOCK, "Paint every frame, however long it takes", "block"},
    {GST_SYNC_DIFF_OVERLOAD_DEGRADE,
        "Paint with fewer steps, then every other frame, then none, until frames are in time", "degrade"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GstSyncDiffOverload", values));
  return type;
}

#define GST_TYPE_SYNC_DIFF_MESSAGES (gst_sync_diff_messages_get_type ())
static GType
gst_sync_diff_messages_get_type (void)
{
  static const GFlagsValue values[] = {
    {GST_SYNC_DIFF_MESSAGES_FACE, "syncdiff-face: faces were found, lost, or are others", "face"},
    {GST_SYNC_DIFF_MESSAGES_DEGRADE, "syncdiff-degrade: the work for a frame was cut or restored", "degrade"},
    {GST_SYNC_DIFF_MESSAGES_SCENE, "syncdiff-scene: a new scene began", "scene"},
    {GST_SYNC_DIFF_MESSAGES_STATS, "syncdiff-stats: the figures of the property stats", "stats"},
    {0, NULL, NULL},
  };
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_flags_register_static ("GstSyncDiffMessages", values));
  return type;
}

typedef GstElementClass GstSyncDiffClass;

G_DEFINE_TYPE_WITH_CODE (GstSyncDiff, gst_sync_diff, GST_TYPE_ELEMENT,
    G_IMPLEMENT_INTERFACE (GST_TYPE_PRESET, NULL));
#define parent_class gst_sync_diff_parent_class
#define SELF(object) ((GstSyncDiff *) (object))

GST_ELEMENT_REGISTER_DEFINE (syncdiff, "syncdiff", GST_RANK_NONE, GST_TYPE_SYNC_DIFF);

void
gst_sync_diff_get_settings (GstSyncDiff *self, GstSyncDiffSettings *settings)
{
  GST_OBJECT_LOCK (self);
  *settings = self->settings;
  settings->model = g_strdup (self->settings.model);
  settings->presenter = g_strdup (self->settings.presenter);
  settings->roi = g_strdup (self->settings.roi);
  settings->watermark_key = g_strdup (self->settings.watermark_key);
  GST_OBJECT_UNLOCK (self);
}

void
gst_sync_diff_settings_clear (GstSyncDiffSettings *settings)
{
  g_clear_pointer (&settings->model, g_free);
  g_clear_pointer (&settings->presenter, g_free);
  g_clear_pointer (&settings->roi, g_free);
  g_clear_pointer (&settings->watermark_key, g_free);
}

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
gst_sync_diff_log (GstSyncDiff *self, gboolean model, GstDebugLevel level, const gchar *text)
{
  GST_CAT_LEVEL_LOG (model ? gst_sync_diff_model_debug : gst_sync_diff_debug, level, self, "%s", text);
}

static void
gst_sync_diff_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GstSyncDiff *self = SELF (object);
  GstSyncDiffSettings *settings = &self->settings;
  gboolean latency = FALSE;

  // GObject's ranges let it through.
  if (G_VALUE_HOLDS_DOUBLE (value) && isnan (g_value_get_double (value))) {
    GST_WARNING_OBJECT (self, "%s cannot be NaN, it stays what it was", pspec->name);
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      g_free (settings->model);
      settings->model = g_value_dup_string (value);
      break;
    case PROP_PRESENTER:
      g_free (settings->presenter);
      settings->presenter = g_value_dup_string (value);
      break;
    case PROP_PRECISION:
      settings->precision = g_value_get_enum (value);
      break;
    case PROP_THREADS:
      settings->threads = g_value_get_uint (value);
      break;
    case PROP_PRELOAD:
      settings->preload = g_value_get_boolean (value);
      break;
    case PROP_LOOKAHEAD:
      settings->lookahead = g_value_get_int64 (value);
      break;
    case PROP_STEPS:
      settings->steps = g_value_get_uint (value);
      break;
    case PROP_GUIDANCE_SCALE:
      settings->guidance_scale = g_value_get_double (value);
      break;
    case PROP_STRENGTH:
      settings->strength = g_value_get_double (value);
      break;
    case PROP_SEED:
      settings->seed = g_value_get_uint64 (value);
      break;
    case PROP_PASSTHROUGH:
      settings->passthrough = g_value_get_boolean (value);
      break;
    case PROP_AUDIO_OFFSET:
      latency = TRUE;
      settings->audio_offset = g_value_get_int64 (value);
      break;
    case PROP_FACE_SELECT:
      settings->face_select = g_value_get_enum (value);
      break;
    case PROP_MAX_FACES:
      settings->max_faces = g_value_get_uint (value);
      break;
    case PROP_ROI:
      g_free (settings->roi);
      settings->roi = g_value_dup_string (value);
      break;
    case PROP_NO_FACE:
      settings->no_face = g_value_get_enum (value);
      break;
    case PROP_SILENCE:
      settings->silence = g_value_get_enum (value);
      break;
    case PROP_SILENCE_THRESHOLD:
      settings->silence_threshold = g_value_get_double (value);
      break;
    case PROP_SILENCE_HOLD:
      settings->silence_hold = g_value_get_uint64 (value);
      break;
    case PROP_MISSING_AUDIO:
      latency = TRUE;
      settings->missing_audio = g_value_get_enum (value);
      break;
    case PROP_SCENE_THRESHOLD:
      settings->scene_threshold = g_value_get_double (value);
      break;
    case PROP_OVERLOAD:
      latency = TRUE;
      settings->overload = g_value_get_enum (value);
      break;
    case PROP_PROCESSING_LATENCY:
      latency = TRUE;
      settings->processing_latency = g_value_get_uint64 (value);
      break;
    case PROP_STALL_TIMEOUT:
      settings->stall_timeout = g_value_get_uint64 (value);
      break;
    case PROP_QOS:
      settings->qos = g_value_get_boolean (value);
      break;
    case PROP_POST_MESSAGES:
      settings->post_messages = g_value_get_flags (value);
      break;
    case PROP_STATS_INTERVAL:
      settings->stats_interval = g_value_get_uint64 (value);
      break;
    case PROP_DISCLOSURE:
      settings->disclosure = g_value_get_boolean (value);
      break;
    case PROP_WATERMARK:
      settings->watermark = g_value_get_boolean (value);
      break;
    case PROP_WATERMARK_KEY:
      g_free (settings->watermark_key);
      settings->watermark_key = g_value_dup_string (value);
      break;
    case PROP_WATERMARK_ID:
      settings->watermark_id = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);

  if (latency)
    gst_sync_diff_latency_changed (self);
}

static void
gst_sync_diff_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GstSyncDiff *self = SELF (object);
  const GstSyncDiffSettings *settings = &self->settings;

  if (id == PROP_STATS) {
    g_value_take_boxed (value, gst_sync_diff_get_stats (self));
    return;
  }
  GST_OBJECT_LOCK (self);
  switch (id) {
    case PROP_MODEL:
      g_value_set_string (value, settings->model);
      break;
    case PROP_PRESENTER:
      g_value_set_string (value, settings->presenter);
      break;
    case PROP_PRECISION:
      g_value_set_enum (value, settings->precision);
      break;
    case PROP_THREADS:
      g_value_set_uint (value, settings->threads);
      break;
    case PROP_PRELOAD:
      g_value_set_boolean (value, settings->preload);
      break;
    case PROP_LOOKAHEAD:
      g_value_set_int64 (value, settings->lookahead);
      break;
    case PROP_STEPS:
      g_value_set_uint (value, settings->steps);
      break;
    case PROP_GUIDANCE_SCALE:
      g_value_set_double (value, settings->guidance_scale);
      break;
    case PROP_STRENGTH:
      g_value_set_double (value, settings->strength);
      break;
    case PROP_SEED:
      g_value_set_uint64 (value, settings->seed);
      break;
    case PROP_PASSTHROUGH:
      g_value_set_boolean (value, settings->passthrough);
      break;
    case PROP_AUDIO_OFFSET:
      g_value_set_int64 (value, settings->audio_offset);
      break;
    case PROP_FACE_SELECT:
      g_value_set_enum (value, settings->face_select);
      break;
    case PROP_MAX_FACES:
      g_value_set_uint (value, settings->max_faces);
      break;
    case PROP_ROI:
      g_value_set_string (value, settings->roi);
      break;
    case PROP_NO_FACE:
      g_value_set_enum (value, settings->no_face);
      break;
    case PROP_SILENCE:
      g_value_set_enum (value, settings->silence);
      break;
    case PROP_SILENCE_THRESHOLD:
      g_value_set_double (value, settings->silence_threshold);
      break;
    case PROP_SILENCE_HOLD:
      g_value_set_uint64 (value, settings->silence_hold);
      break;
    case PROP_MISSING_AUDIO:
      g_value_set_enum (value, settings->missing_audio);
      break;
    case PROP_SCENE_THRESHOLD:
      g_value_set_double (value, settings->scene_threshold);
      break;
    case PROP_OVERLOAD:
      g_value_set_enum (value, settings->overload);
      break;
    case PROP_PROCESSING_LATENCY:
      g_value_set_uint64 (value, settings->processing_latency);
      break;
    case PROP_STALL_TIMEOUT:
      g_value_set_uint64 (value, settings->stall_timeout);
      break;
    case PROP_QOS:
      g_value_set_boolean (value, settings->qos);
      break;
    case PROP_POST_MESSAGES:
      g_value_set_flags (value, settings->post_messages);
      break;
    case PROP_STATS_INTERVAL:
      g_value_set_uint64 (value, settings->stats_interval);
      break;
    case PROP_DISCLOSURE:
      g_value_set_boolean (value, settings->disclosure);
      break;
    case PROP_WATERMARK:
      g_value_set_boolean (value, settings->watermark);
      break;
    case PROP_WATERMARK_KEY:
      g_value_set_string (value, settings->watermark_key);
      break;
    case PROP_WATERMARK_ID:
      g_value_set_uint (value, settings->watermark_id);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (self);
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
    GST_WARNING_OBJECT (element, "there is one audio pad only, and it is in use");
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
  gst_sync_diff_stream_free (SELF (object)->stream);
  gst_sync_diff_settings_clear (&SELF (object)->settings);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

void
gst_sync_diff_install_properties (GObjectClass *object, GParamFlags controllable)
{
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;
  const GParamFlags playing = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING;

  g_object_class_install_property (object, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Path of the model file (safetensors). Unset: the environment variable SYNCDIFF_MODEL, else "
          "models/syncdiff.safetensors beside the plugin, else the one of the source tree that the plugin was built "
          "in, else share/syncdiff/syncdiff.safetensors in the prefix that it is installed in",
          NULL, ready));
  g_object_class_install_property (object, PROP_PRESENTER,
      g_param_spec_string ("presenter", "Presenter",
          "Path of a file that `syncdiff learn` wrote: mouths of the face that is chosen first in every scene, so that none of "
          "them has to be seen before. They are shown to whoever that is: give it only where it is this person. Unset: none",
          NULL, ready));
  g_object_class_install_property (object, PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision", "Number format of the networks",
          GST_TYPE_SYNC_DIFF_PRECISION, GST_SYNC_DIFF_PRECISION_AUTO, ready));
  g_object_class_install_property (object, PROP_THREADS,
      g_param_spec_uint ("threads", "Threads", "Threads that compute one frame, 0 = one per core", 0, 256, 0, ready));
  g_object_class_install_property (object, PROP_PRELOAD,
      g_param_spec_boolean ("preload", "Preload",
          "Load the model when going to READY, so that the first frame does not wait for it and a missing model shows "
          "at once; otherwise when the first frame needs it",
          TRUE, ready));
  g_object_class_install_property (object, PROP_LOOKAHEAD,
      g_param_spec_int64 ("lookahead", "Look-ahead",
          "Sound after a frame's own time that the frame waits for, in nanoseconds. Less than the model was trained "
          "with lowers the latency and the quality; the rest is not heard. -1 = the model's own",
          -1, G_GINT64_CONSTANT (25000000000), -1, ready));
  g_object_class_install_property (object, PROP_STEPS,
      g_param_spec_uint ("steps", "Steps", "Denoising steps a frame, 0 = the model's own. More are slower", 0, 1000, 0,
          playing));
  g_object_class_install_property (object, PROP_GUIDANCE_SCALE,
      g_param_spec_double ("guidance-scale", "Guidance scale",
          "How far the sound leads the lips away from those of silence: 1 = as they were learned, more opens them "
          "wider, 0 = the model's own, which is 1",
          0, 10, 0, playing | controllable));
  g_object_class_install_property (object, PROP_STRENGTH,
      g_param_spec_double ("strength", "Strength", "Blend of the new mouth over the original, 0 = the original only",
          0, 1, 1, playing | controllable));
  g_object_class_install_property (object, PROP_SEED,
      g_param_spec_uint64 ("seed", "Seed",
          "Seed of the noise that the mouths are made from; its low 32 bits count. The same seed, input and model give the "
          "same pictures",
          0, G_MAXUINT64, 0, playing));
  g_object_class_install_property (object, PROP_PASSTHROUGH,
      g_param_spec_boolean ("passthrough", "Pass-through",
          "Push every frame as it came. The reported latency stays the same", FALSE,
          playing | controllable));
  g_object_class_install_property (object, PROP_AUDIO_OFFSET,
      g_param_spec_int64 ("audio-offset", "Audio offset",
          "Nanoseconds that the sound is moved by before it is matched with the picture; positive: later. Only the "
          "lips follow it, the sound itself does not pass through this element",
          -G_GINT64_CONSTANT (25000000000), G_GINT64_CONSTANT (25000000000), 0, playing));
  g_object_class_install_property (object, PROP_FACE_SELECT,
      g_param_spec_enum ("face-select", "Face selection", "Which of the faces in the picture get a new mouth",
          GST_TYPE_SYNC_DIFF_FACE_SELECT, GST_SYNC_DIFF_FACE_SELECT_LARGEST, playing | controllable));
  g_object_class_install_property (object, PROP_MAX_FACES,
      g_param_spec_uint ("max-faces", "Most faces",
          "Faces that get a new mouth at most, the largest first, with face-select=all or roi-meta. Each costs its time", 1,
          16, 4, playing));
  g_object_class_install_property (object, PROP_ROI,
      g_param_spec_string ("roi", "Region of interest",
          "Fixed box \"x,y,width,height\" in pixels of the picture: the face in there gets a new mouth, whatever face-select "
          "says. A box around the face alone replaces detection; in a larger one its largest face is looked for. Unset: the "
          "whole picture",
          NULL, playing));
  g_object_class_install_property (object, PROP_NO_FACE,
      g_param_spec_enum ("no-face", "No face", "What becomes of a frame without a face to paint; one whose mouth is hidden counts",
          GST_TYPE_SYNC_DIFF_NO_FACE, GST_SYNC_DIFF_NO_FACE_PASSTHROUGH, playing));
  g_object_class_install_property (object, PROP_SILENCE,
      g_param_spec_enum ("silence", "Silence", "What the mouth does while the sound is silent",
          GST_TYPE_SYNC_DIFF_SILENCE, GST_SYNC_DIFF_SILENCE_CLOSE, playing));
  g_object_class_install_property (object, PROP_SILENCE_THRESHOLD,
      g_param_spec_double ("silence-threshold", "Silence threshold",
          "Sound whose RMS stays below this many dBFS for silence-hold is silence", -200, 0, -50, playing));
  g_object_class_install_property (object, PROP_SILENCE_HOLD,
      g_param_spec_uint64 ("silence-hold", "Silence hold",
          "Nanoseconds for which the sound has to be quiet to count as silence: pauses between words are shorter. Sound "
          "that is lost or late counts as silence for as long, and is missing then",
          0, 2 * GST_SECOND, 300 * GST_MSECOND, playing));
  g_object_class_install_property (object, PROP_MISSING_AUDIO,
      g_param_spec_enum ("missing-audio", "Missing audio",
          "What becomes of frames without sound: none is linked, it has not begun yet or ended already, or it is "
          "lost or late by more than silence-hold",
          GST_TYPE_SYNC_DIFF_MISSING_AUDIO, GST_SYNC_DIFF_MISSING_AUDIO_PASSTHROUGH, playing));
  g_object_class_install_property (object, PROP_SCENE_THRESHOLD,
      g_param_spec_double ("scene-threshold", "Scene threshold",
          "Difference of two frames, 0 for the same and 1 for unrelated ones, from which a new scene begins and nothing of "
          "the last one counts any more. 0 = never",
          0, 1, 0.4, playing));
  g_object_class_install_property (object, PROP_OVERLOAD,
      g_param_spec_enum ("overload", "Overload", "What happens when painting takes longer than there is time",
          GST_TYPE_SYNC_DIFF_OVERLOAD, GST_SYNC_DIFF_OVERLOAD_AUTO, playing));
  g_object_class_install_property (object, PROP_PROCESSING_LATENCY,
      g_param_spec_uint64 ("processing-latency", "Processing latency",
          "Nanoseconds that a frame may take to paint, as part of the reported latency; 0 = measured, and at most one "
          "frame unless overload is block",
          0, G_MAXINT64, 0, playing));
  g_object_class_install_property (object, PROP_STALL_TIMEOUT,
      g_param_spec_uint64 ("stall-timeout", "Stall timeout",
          "Nanoseconds without any sound after which waiting frames go on without, with a warning; how much longer than "
          "the latency a live frame waits at most; and how long sound that is a minute ahead, unless it is live, waits "
          "for a picture that does not come. Time in PAUSED does not count. 0 = for ever",
          0, G_MAXINT64, 5 * GST_SECOND, playing));
  g_object_class_install_property (object, PROP_QOS,
      g_param_spec_boolean ("qos", "QoS",
          "Let lateness at the sink lower the work (overload), and post QoS messages. QoS events never go on upstream, "
          "for no frame is to be left out",
          TRUE, playing));
  g_object_class_install_property (object, PROP_POST_MESSAGES,
      g_param_spec_flags ("post-messages", "Post messages", "Element messages that are posted on the bus",
          GST_TYPE_SYNC_DIFF_MESSAGES, GST_SYNC_DIFF_MESSAGES_FACE | GST_SYNC_DIFF_MESSAGES_DEGRADE, playing));
  g_object_class_install_property (object, PROP_STATS_INTERVAL,
      g_param_spec_uint64 ("stats-interval", "Stats interval",
          "Nanoseconds of running time between two syncdiff-stats messages, if post-messages has stats; 0 = none", 0,
          G_MAXINT64, 0, playing));
  g_object_class_install_property (object, PROP_STATS,
      g_param_spec_boxed ("stats", "Statistics",
          "Frames since the stream began: painted, reused (the mouth of the frame before), and passed for want of a "
          "face, of sound, or of time, or as the face shows too little of its mouth; no-sound counts painted ones, too, if "
          "all sound was silent from the beginning, for 10 s; late ones; level of overload; nanoseconds of latency; frames "
          "and nanoseconds of sound that are held",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (object, PROP_DISCLOSURE,
      g_param_spec_boolean ("disclosure", "Disclosure",
          "Tag the output as made by AI when sound is linked: a comment and an extended-comment with IPTC's digital source "
          "type compositeWithTrainedAlgorithmicMedia",
          TRUE, ready));
  g_object_class_install_property (object, PROP_WATERMARK,
      g_param_spec_boolean ("watermark", "Watermark",
          "Mark painted pixels, invisibly, as made by AI: `syncdiff detect` finds the mark after compression, scaling and cropping",
          TRUE, ready));
  g_object_class_install_property (object, PROP_WATERMARK_KEY,
      g_param_spec_string ("watermark-key", "Watermark key",
          "Only who has this text can read the mark. Unset: everybody can", NULL, ready));
  g_object_class_install_property (object, PROP_WATERMARK_ID,
      g_param_spec_uint ("watermark-id", "Watermark id",
          "A number of your own that the mark tells, beside the version and the model", 0, G_MAXUINT16, 0, ready));
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

  gst_sync_diff_install_properties (object, GST_PARAM_CONTROLLABLE);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_FACE_SELECT, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_NO_FACE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_SILENCE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_MISSING_AUDIO, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_OVERLOAD, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_SYNC_DIFF_MESSAGES, 0);

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
      "Repaints the mouths in a video so that they speak the sound on the audio pad", "the syncdiff authors");
}

static void
gst_sync_diff_init (GstSyncDiff *self)
{
  self->settings.precision = GST_SYNC_DIFF_PRECISION_AUTO;
  self->settings.preload = TRUE;
  self->settings.lookahead = -1;
  self->settings.strength = 1;
  self->settings.face_select = GST_SYNC_DIFF_FACE_SELECT_LARGEST;
  self->settings.max_faces = 4;
  self->settings.no_face = GST_SYNC_DIFF_NO_FACE_PASSTHROUGH;
  self->settings.silence = GST_SYNC_DIFF_SILENCE_CLOSE;
  self->settings.silence_threshold = -50;
  self->settings.silence_hold = 300 * GST_MSECOND;
  self->settings.scene_threshold = 0.4;
  self->settings.stall_timeout = 5 * GST_SECOND;
  self->settings.qos = TRUE;
  self->settings.post_messages = GST_SYNC_DIFF_MESSAGES_FACE | GST_SYNC_DIFF_MESSAGES_DEGRADE;
  self->settings.disclosure = TRUE;
  self->settings.watermark = TRUE;

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

  self->stream = gst_sync_diff_stream_new (self);
}
