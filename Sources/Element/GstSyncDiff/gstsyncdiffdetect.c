// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The element `syncdiffdetect`: passes video and looks for the invisible mark that `syncdiff` leaves. What it finds it posts, and
// attaches to the frames.

#include <gst/base/gstbasetransform.h>

#include "gstsyncdiff.h"

GST_DEBUG_CATEGORY_STATIC (gst_sync_diff_detect_debug);
#undef GST_CAT_DEFAULT
#define GST_CAT_DEFAULT gst_sync_diff_detect_debug

typedef struct {
  GstBaseTransform base;
  gchar *model, *key;           // guarded by the object lock
  gpointer _Nullable detector;  // from `start` to `stop`
  GstVideoInfo info;
} GstSyncDiffDetect;

typedef GstBaseTransformClass GstSyncDiffDetectClass;

enum { PROP_MODEL = 1, PROP_WATERMARK_KEY };

#define SELF(object) ((GstSyncDiffDetect *) (object))
#define PROGRESSIVE GST_SYNC_DIFF_VIDEO_CAPS ", interlace-mode = (string) progressive"

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (PROGRESSIVE));
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (PROGRESSIVE));

GType gst_sync_diff_detect_get_type (void);
G_DEFINE_TYPE (GstSyncDiffDetect, gst_sync_diff_detect, GST_TYPE_BASE_TRANSFORM);
#define parent_class gst_sync_diff_detect_parent_class

GST_ELEMENT_REGISTER_DEFINE (syncdiffdetect, "syncdiffdetect", GST_RANK_NONE, gst_sync_diff_detect_get_type ());

static gboolean
gst_sync_diff_detect_start (GstBaseTransform *base)
{
  GstSyncDiffDetect *self = SELF (base);
  gchar *model, *key, *problem = NULL;

  GST_OBJECT_LOCK (self);
  model = g_strdup (self->model);
  key = g_strdup (self->key);
  GST_OBJECT_UNLOCK (self);
  self->detector = gst_sync_diff_detector_new (model, key, &problem);
  g_free (model);
  g_free (key);
  if (!self->detector) {
    GST_ELEMENT_ERROR (self, RESOURCE, SETTINGS, ("%s", problem), (NULL));
    g_free (problem);
    return FALSE;
  }
  return TRUE;
}

static gboolean
gst_sync_diff_detect_stop (GstBaseTransform *base)
{
  g_clear_pointer (&SELF (base)->detector, gst_sync_diff_detector_free);
  return TRUE;
}

static gboolean
gst_sync_diff_detect_set_caps (GstBaseTransform *base, GstCaps *in, GstCaps *out)
{
  gst_sync_diff_detector_finish (SELF (base)->detector, GST_ELEMENT (base));
  return gst_video_info_from_caps (&SELF (base)->info, in);
}

static gboolean
gst_sync_diff_detect_sink_event (GstBaseTransform *base, GstEvent *event)
{
  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_EOS:
    case GST_EVENT_FLUSH_STOP:
    case GST_EVENT_SEGMENT:
    case GST_EVENT_STREAM_START:
      gst_sync_diff_detector_finish (SELF (base)->detector, GST_ELEMENT (base));
      break;
    default:
      break;
  }
  return GST_BASE_TRANSFORM_CLASS (parent_class)->sink_event (base, event);
}

static GstFlowReturn
gst_sync_diff_detect_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  GstSyncDiffDetect *self = SELF (base);
  GstVideoFrame frame;

  if (!gst_video_frame_map (&frame, &self->info, buffer, GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF)) {
    GST_ELEMENT_ERROR (self, RESOURCE, READ, ("Cannot map frame memory"), (NULL));
    return GST_FLOW_ERROR;
  }
  gst_sync_diff_detector_look (self->detector, GST_ELEMENT (self), &frame, &base->segment);
  gst_video_frame_unmap (&frame);
  return GST_FLOW_OK;
}

static void
gst_sync_diff_detect_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  gchar **text = id == PROP_MODEL ? &SELF (object)->model : &SELF (object)->key;

  GST_OBJECT_LOCK (object);
  g_free (*text);
  *text = g_value_dup_string (value);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_sync_diff_detect_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  GST_OBJECT_LOCK (object);
  g_value_set_string (value, id == PROP_MODEL ? SELF (object)->model : SELF (object)->key);
  GST_OBJECT_UNLOCK (object);
}

static void
gst_sync_diff_detect_finalize (GObject *object)
{
  g_free (SELF (object)->model);
  g_free (SELF (object)->key);
  G_OBJECT_CLASS (parent_class)->finalize (object);
}

static void
gst_sync_diff_detect_class_init (GstSyncDiffDetectClass *klass)
{
  GObjectClass *object = G_OBJECT_CLASS (klass);
  GstElementClass *element = GST_ELEMENT_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

  GST_DEBUG_CATEGORY_INIT (gst_sync_diff_detect_debug, "syncdiffdetect", 0, "Detector of syncdiff's marks");

  object->set_property = gst_sync_diff_detect_set_property;
  object->get_property = gst_sync_diff_detect_get_property;
  object->finalize = gst_sync_diff_detect_finalize;
  g_object_class_install_property (object, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Path of the model file, for its face detector. Unset: the one that syncdiff takes", NULL, flags));
  g_object_class_install_property (object, PROP_WATERMARK_KEY,
      g_param_spec_string ("watermark-key", "Key of the marks",
          "Text that the marks were made with. Unset: the public one", NULL, flags));

  klass->start = gst_sync_diff_detect_start;
  klass->stop = gst_sync_diff_detect_stop;
  klass->set_caps = gst_sync_diff_detect_set_caps;
  klass->sink_event = gst_sync_diff_detect_sink_event;
  klass->transform_ip = gst_sync_diff_detect_transform_ip;

  gst_element_class_add_static_pad_template (element, &sink_template);
  gst_element_class_add_static_pad_template (element, &src_template);
  gst_element_class_set_static_metadata (element, "Detector of syncdiff's marks", "Filter/Analyzer/Video",
      "Passes video and tells where syncdiff has painted, by the invisible mark that it leaves", "the syncdiff authors");
}

static void
gst_sync_diff_detect_init (GstSyncDiffDetect *self)
{
  gst_base_transform_set_in_place (GST_BASE_TRANSFORM (self), TRUE);
}
