// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The functions that the C shim declares and calls. Each finds its element's parts and forwards the call.

import CGStreamer
public import GstSyncDiff

private func parts(of object: UnsafeMutableRawPointer) -> ElementParts {
  let element = object.assumingMemoryBound(to: GstSyncDiff.self)
  return Unmanaged<ElementParts>.fromOpaque(element.pointee.parts).takeUnretainedValue()
}

@c @implementation
public func gst_sync_diff_parts_new(_ self: UnsafeMutablePointer<GstSyncDiff>) -> gpointer {
  Unmanaged.passRetained(ElementParts(of: self)).toOpaque()
}

@c @implementation
public func gst_sync_diff_parts_free(_ parts: gpointer) {
  Unmanaged<ElementParts>.fromOpaque(parts).release()
}

@c @implementation
public func gst_sync_diff_copy_preset_folder() -> UnsafeMutablePointer<gchar>? {
  presetFolder().map { g_strdup($0) } ?? nil
}

@c @implementation
public func gst_sync_diff_before_change(
  _ self: UnsafeMutablePointer<GstSyncDiff>, _ change: GstStateChange
) -> gboolean {
  parts(of: self).before(change) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_after_change(_ self: UnsafeMutablePointer<GstSyncDiff>, _ change: GstStateChange) {
  parts(of: self).after(change)
}

@c @implementation
public func gst_sync_diff_audio_added(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  parts(of: self).audioAdded()
}

@c @implementation
public func gst_sync_diff_audio_linked(_ self: UnsafeMutablePointer<GstSyncDiff>, _ linked: gboolean) {
  parts(of: self).audioLinked(linked != 0)
}

@c @implementation
public func gst_sync_diff_audio_removing(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  parts(of: self).audioRemoving()
}

@c @implementation
public func gst_sync_diff_latency_changed(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  parts(of: self).stream.refreshLatency()
}

@c @implementation
public func gst_sync_diff_get_stats(
  _ self: UnsafeMutablePointer<GstSyncDiff>
) -> UnsafeMutablePointer<GstStructure>? {
  parts(of: self).stream.statistics().take()
}

@c @implementation
public func gst_sync_diff_src_activate_mode(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>, _ mode: GstPadMode,
  _ active: gboolean
) -> gboolean {
  mode == GST_PAD_MODE_PUSH && parts(of: parent).activate(active != 0) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_src_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> gboolean {
  parts(of: parent).output.event(event) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_src_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  parts(of: parent).output.query(query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_sink_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> GstFlowReturn {
  parts(of: parent).video.event(event)
}

@c @implementation
public func gst_sync_diff_sink_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  parts(of: parent).video.query(query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_sink_chain(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ buffer: UnsafeMutablePointer<GstBuffer>
) -> GstFlowReturn {
  parts(of: parent).video.receive(buffer)
}

@c @implementation
public func gst_sync_diff_audio_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> gboolean {
  parts(of: parent).audio.event(event) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_audio_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  parts(of: parent).audio.query(pad, query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_audio_chain(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ buffer: UnsafeMutablePointer<GstBuffer>
) -> GstFlowReturn {
  parts(of: parent).audio.receive(buffer)
}
