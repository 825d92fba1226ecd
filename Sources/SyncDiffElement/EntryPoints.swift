// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The functions that the C shim declares and calls. Each finds its stream and hands over.

import CGStreamer
public import GstSyncDiff

private func stream(of object: UnsafeMutableRawPointer) -> Stream {
  let element = object.assumingMemoryBound(to: GstSyncDiff.self)
  return Unmanaged<Stream>.fromOpaque(element.pointee.stream).takeUnretainedValue()
}

@c @implementation
public func gst_sync_diff_stream_new(_ self: UnsafeMutablePointer<GstSyncDiff>) -> gpointer {
  Unmanaged.passRetained(Stream(of: self)).toOpaque()
}

@c @implementation
public func gst_sync_diff_stream_free(_ stream: gpointer) {
  Unmanaged<Stream>.fromOpaque(stream).release()
}

@c @implementation
public func gst_sync_diff_copy_preset_folder() -> UnsafeMutablePointer<gchar>? {
  presetFolder().map { g_strdup($0) } ?? nil
}

@c @implementation
public func gst_sync_diff_before_change(
  _ self: UnsafeMutablePointer<GstSyncDiff>, _ change: GstStateChange
) -> gboolean {
  stream(of: self).before(change) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_after_change(_ self: UnsafeMutablePointer<GstSyncDiff>, _ change: GstStateChange) {
  stream(of: self).after(change)
}

@c @implementation
public func gst_sync_diff_audio_added(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  stream(of: self).audioAdded()
}

@c @implementation
public func gst_sync_diff_audio_linked(_ self: UnsafeMutablePointer<GstSyncDiff>, _ linked: gboolean) {
  stream(of: self).audioLinked(linked != 0)
}

@c @implementation
public func gst_sync_diff_audio_removing(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  stream(of: self).audioRemoving()
}

@c @implementation
public func gst_sync_diff_latency_changed(_ self: UnsafeMutablePointer<GstSyncDiff>) {
  stream(of: self).refreshLatency()
}

@c @implementation
public func gst_sync_diff_get_stats(
  _ self: UnsafeMutablePointer<GstSyncDiff>
) -> UnsafeMutablePointer<GstStructure>? {
  stream(of: self).statistics().take()
}

@c @implementation
public func gst_sync_diff_src_activate_mode(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>, _ mode: GstPadMode,
  _ active: gboolean
) -> gboolean {
  mode == GST_PAD_MODE_PUSH && stream(of: parent).activate(active != 0) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_src_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> gboolean {
  stream(of: parent).sourceEvent(event) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_src_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  stream(of: parent).sourceQuery(query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_sink_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> GstFlowReturn {
  stream(of: parent).videoEvent(event)
}

@c @implementation
public func gst_sync_diff_sink_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  stream(of: parent).videoQuery(query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_sink_chain(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ buffer: UnsafeMutablePointer<GstBuffer>
) -> GstFlowReturn {
  stream(of: parent).receiveVideo(buffer)
}

@c @implementation
public func gst_sync_diff_audio_event(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ event: UnsafeMutablePointer<GstEvent>
) -> gboolean {
  stream(of: parent).soundEvent(event) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_audio_query(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ query: UnsafeMutablePointer<GstQuery>
) -> gboolean {
  stream(of: parent).soundQuery(pad, query) ? 1 : 0
}

@c @implementation
public func gst_sync_diff_audio_chain(
  _ pad: UnsafeMutablePointer<GstPad>, _ parent: UnsafeMutablePointer<GstObject>,
  _ buffer: UnsafeMutablePointer<GstBuffer>
) -> GstFlowReturn {
  stream(of: parent).receiveSound(buffer)
}
