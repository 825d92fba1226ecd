// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The GObject shape of the element `syncdiff`: type, pads, properties. It has no opinions; what happens to events,
// queries and buffers is decided in Sources/Element/SyncDiffElement, which implements the functions of the second half.

#ifndef GST_SYNC_DIFF_H
#define GST_SYNC_DIFF_H

#include <gst/gst.h>
#include <gst/audio/audio.h>
#include <gst/video/video.h>

G_BEGIN_DECLS
#pragma clang assume_nonnull begin

typedef enum {
  GST_SYNC_DIFF_PRECISION_AUTO,
  GST_SYNC_DIFF_PRECISION_F32,
  GST_SYNC_DIFF_PRECISION_BF16,
} GstSyncDiffPrecision;

typedef enum {
  GST_SYNC_DIFF_FACE_SELECT_LARGEST,
  GST_SYNC_DIFF_FACE_SELECT_CENTER,
  GST_SYNC_DIFF_FACE_SELECT_LEFT,
  GST_SYNC_DIFF_FACE_SELECT_RIGHT,
  GST_SYNC_DIFF_FACE_SELECT_ROI_META,
  GST_SYNC_DIFF_FACE_SELECT_ALL,
} GstSyncDiffFaceSelect;

typedef enum {
  GST_SYNC_DIFF_NO_FACE_PASSTHROUGH,
  GST_SYNC_DIFF_NO_FACE_ERROR,
} GstSyncDiffNoFace;

typedef enum {
  GST_SYNC_DIFF_SILENCE_CLOSE,
  GST_SYNC_DIFF_SILENCE_PASSTHROUGH,
} GstSyncDiffSilence;

typedef enum {
  GST_SYNC_DIFF_MISSING_AUDIO_PASSTHROUGH,
  GST_SYNC_DIFF_MISSING_AUDIO_SILENCE,
  GST_SYNC_DIFF_MISSING_AUDIO_ERROR,
} GstSyncDiffMissingAudio;

typedef enum {
  GST_SYNC_DIFF_OVERLOAD_AUTO,
  GST_SYNC_DIFF_OVERLOAD_BLOCK,
  GST_SYNC_DIFF_OVERLOAD_DEGRADE,
} GstSyncDiffOverload;

typedef enum {
  GST_SYNC_DIFF_MESSAGES_FACE = 1 << 0,
  GST_SYNC_DIFF_MESSAGES_DEGRADE = 1 << 1,
  GST_SYNC_DIFF_MESSAGES_SCENE = 1 << 2,
  GST_SYNC_DIFF_MESSAGES_STATS = 1 << 3,
} GstSyncDiffMessages;

/// The properties; gstsyncdiffproperties.c says how one is added. `model` and `watermark_key` NULL, `lookahead` -1, `steps` and
/// `guidance_scale` 0 stand for the defaults.
typedef struct {
  gchar *_Nullable model;
  gchar *_Nullable presenter;
  GstSyncDiffPrecision precision;
  guint threads;
  gboolean preload;
  gint64 lookahead;
  guint steps;
  gdouble guidance_scale;
  gdouble strength;
  guint64 seed;
  gboolean passthrough;
  GstClockTimeDiff audio_offset;
  GstSyncDiffFaceSelect face_select;
  guint max_faces;
  gchar *_Nullable roi;
  GstSyncDiffNoFace no_face;
  GstSyncDiffSilence silence;
  gdouble silence_threshold;
  GstClockTime silence_hold;
  GstSyncDiffMissingAudio missing_audio;
  gdouble scene_threshold;
  GstSyncDiffOverload overload;
  GstClockTime processing_latency;
  GstClockTime stall_timeout;
  gboolean qos;
  GstSyncDiffMessages post_messages;
  GstClockTime stats_interval;
  gboolean disclosure;
  gboolean watermark;
  gchar *_Nullable watermark_key;
  guint watermark_id;
} GstSyncDiffSettings;

typedef struct _GstSyncDiff GstSyncDiff;

struct _GstSyncDiff {
  GstElement element;
  GstPad *sink;
  GstPad *src;
  GstSyncDiffSettings settings;  // guarded by the object lock
  gpointer parts;                // the Swift side, for as long as the element lives
};

#define GST_TYPE_SYNC_DIFF (gst_sync_diff_get_type ())
GType gst_sync_diff_get_type (void);

/// The version of all there is: plugin, tool, package. Its changes are in meta/CHANGELOG.md.
#define GST_SYNC_DIFF_VERSION "0.2.0"

/// Caps of the video pads of `syncdiff` and `syncdiffdetect`.
#define GST_SYNC_DIFF_VIDEO_CAPS \
  "video/x-raw, " \
  "format = (string) { I420, YV12, NV12, NV21, Y42B, Y444, YUY2, UYVY, RGB, BGR, RGBx, BGRx, xRGB, xBGR, " \
  "RGBA, BGRA, ARGB, ABGR, I420_10LE, P010_10LE, I422_10LE, v210 }, width = (int) [ 64, max ], " \
  "height = (int) [ 64, max ], framerate = (fraction) [ 0, max ]"

/// Register the elements; without a plugin they are known to this process alone.
gboolean gst_element_register_syncdiff (GstPlugin *_Nullable plugin);
gboolean gst_element_register_syncdiffbin (GstPlugin *_Nullable plugin);
gboolean gst_element_register_syncdiffdetect (GstPlugin *_Nullable plugin);

/// The properties of `syncdiff`, for it and for `syncdiffbin`. `controllable`: whether a GstController may change those that can
/// change from frame to frame.
void gst_sync_diff_install_properties (GObjectClass *object, gboolean controllable);

/// `syncdiff`'s own side of them.
void gst_sync_diff_init_settings (GstSyncDiff *self);
void gst_sync_diff_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec);
void gst_sync_diff_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec);

/// A copy of the properties; free it with `gst_sync_diff_settings_clear`.
void gst_sync_diff_get_settings (GstSyncDiff *self, GstSyncDiffSettings *settings);
void gst_sync_diff_settings_clear (GstSyncDiffSettings *settings);

/// Path of the file that holds this code: the plugin, or a program that the element is linked into.
const gchar *_Nullable gst_sync_diff_file_name (void);

/// The debug category `syncdiff`, of all that is logged here in C.
GST_DEBUG_CATEGORY_EXTERN (gst_sync_diff_debug);
#define GST_CAT_DEFAULT gst_sync_diff_debug

/// Debug categories `syncdiff` and (`model` TRUE) `syncdiff-model`: whether lines of this level are wanted, and a line.
gboolean gst_sync_diff_logs (gboolean model, GstDebugLevel level);
void gst_sync_diff_log (GstSyncDiff *self, gboolean model, GstDebugLevel level, const gchar *file, const gchar *function,
    gint line, const gchar *text);

// Implemented in Sources/Element/SyncDiffElement/EntryPoints.swift.

gpointer gst_sync_diff_parts_new (GstSyncDiff *self);
void gst_sync_diff_parts_free (gpointer parts);

/// The folder of the presets that came with this code, NULL if there is none; the caller's to free.
gchar *_Nullable gst_sync_diff_copy_preset_folder (void);

/// Before and after GstElement's own `change_state`. FALSE fails the change.
gboolean gst_sync_diff_before_change (GstSyncDiff *self, GstStateChange change);
void gst_sync_diff_after_change (GstSyncDiff *self, GstStateChange change);

void gst_sync_diff_audio_added (GstSyncDiff *self);
void gst_sync_diff_audio_linked (GstSyncDiff *self, gboolean linked);
void gst_sync_diff_audio_removing (GstSyncDiff *self);
void gst_sync_diff_latency_changed (GstSyncDiff *self);

/// Counts since the stream began; the caller's to free.
GstStructure *_Nullable gst_sync_diff_get_stats (GstSyncDiff *self);

gboolean gst_sync_diff_src_activate_mode (GstPad *pad, GstObject *parent, GstPadMode mode, gboolean active);
gboolean gst_sync_diff_src_event (GstPad *pad, GstObject *parent, GstEvent *event);
gboolean gst_sync_diff_src_query (GstPad *pad, GstObject *parent, GstQuery *query);
GstFlowReturn gst_sync_diff_sink_event (GstPad *pad, GstObject *parent, GstEvent *event);
gboolean gst_sync_diff_sink_query (GstPad *pad, GstObject *parent, GstQuery *query);
GstFlowReturn gst_sync_diff_sink_chain (GstPad *pad, GstObject *parent, GstBuffer *buffer);
gboolean gst_sync_diff_audio_event (GstPad *pad, GstObject *parent, GstEvent *event);
gboolean gst_sync_diff_audio_query (GstPad *pad, GstObject *parent, GstQuery *query);
GstFlowReturn gst_sync_diff_audio_chain (GstPad *pad, GstObject *parent, GstBuffer *buffer);

// Of `syncdiffdetect`, implemented in Sources/Element/SyncDiffElement/MarkDetector.swift.

/// `model`, `key`: as the properties. NULL and a text of the caller's to free in `problem` if the model cannot be loaded.
gpointer _Nullable gst_sync_diff_detector_new (const gchar *_Nullable model, const gchar *_Nullable key,
    gchar *_Nullable *_Nonnull problem);
void gst_sync_diff_detector_free (gpointer detector);

/// Looks at the next frame of `segment`, adds a region of interest for each mark to the buffer, and posts what is found as
/// `element`.
void gst_sync_diff_detector_look (gpointer detector, GstElement *element, const GstVideoFrame *frame, const GstSegment *segment);

/// The stream is over, or goes on elsewhere: looks at what is left and posts what is found.
void gst_sync_diff_detector_finish (gpointer detector, GstElement *element);

#pragma clang assume_nonnull end

G_END_DECLS

#endif
