// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The tag and the mark that label the video as made by AI. The tag is IPTC's digital source type, as an extended-comment and,
// because MP4 cannot hold that, as a comment, in addition to upstream's own tags.

import CGStreamer
import Faces
import GstSyncDiff
import SyncDiff

/// IPTC NewsCodes, digital source type: a composite that includes media made by a trained algorithm.
package let disclosure =
  "digital-source-type=http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

/// Major and minor version, four bits each, as in the mark's payload.
private let versionByte: UInt8 = {
  let parts = GST_SYNC_DIFF_VERSION.split(separator: ".").compactMap { UInt8($0) }
  return parts.count >= 2 ? parts[0] << 4 | parts[1] & 15 : 0
}()

/// Whether a stream's tag has been sent.
struct Disclosure {
  private var isDone = false

  /// Call before a frame: the tag to send, unless it was sent already or added to a tag of upstream.
  mutating func tag(_ stream: Stream) -> UnsafeMutablePointer<GstEvent>? {
    guard !isDone, isWanted(stream), let list = gst_tag_list_new_empty() else { return nil }
    add(to: list)
    guard let tag = gst_event_new_tag(list) else { return nil }
    isDone = true
    return tag
  }

  /// A TAG event of upstream, which replaces earlier ones, with the disclosure added. Takes ownership of the event.
  mutating func added(
    to event: UnsafeMutablePointer<GstEvent>, _ stream: Stream
  ) -> UnsafeMutablePointer<GstEvent> {
    var tags: UnsafeMutablePointer<GstTagList>?
    gst_event_parse_tag(event, &tags)
    guard let tags, gst_tag_list_get_scope(tags) == GST_TAG_SCOPE_STREAM, isWanted(stream), !carries(tags),
      let list = gst_tag_list_copy(tags)
    else { return event }
    add(to: list)
    guard let merged = gst_event_new_tag(list) else { return event }
    gst_event_set_seqnum(merged, gst_event_get_seqnum(event))
    gst_event_unref(event)
    isDone = true
    return merged
  }

  /// Whether the element may paint and the user allows the label.
  private func isWanted(_ stream: Stream) -> Bool {
    let settings = stream.settings
    return settings.disclosure && stream.mayPaint(settings)
  }

  private func add(to list: UnsafeMutablePointer<GstTagList>) {
    var value = GValue()
    g_value_init(&value, gst_tag_get_type(GST_TAG_COMMENT))
    g_value_set_string(&value, disclosure)
    for tag in [GST_TAG_EXTENDED_COMMENT, GST_TAG_COMMENT] {
      gst_tag_list_add_value(list, GST_TAG_MERGE_APPEND, tag, &value)
    }
    g_value_unset(&value)
  }

  private func carries(_ tags: UnsafeMutablePointer<GstTagList>) -> Bool {
    for i in 0..<gst_tag_list_get_tag_size(tags, GST_TAG_EXTENDED_COMMENT) {
      var text: UnsafePointer<CChar>?
      if gst_tag_list_peek_string_index(tags, GST_TAG_EXTENDED_COMMENT, i, &text) != 0, let text,
        String(cString: text) == disclosure
      {
        return true
      }
    }
    return false
  }
}

/// Settings of the mark in painted pixels; nil if the user wants none.
func markSettings(_ settings: Settings, _ model: Model) -> MarkSettings? {
  guard settings.watermark else { return nil }
  let payload = MarkPayload(version: versionByte, model: model.mark, user: settings.watermarkID)
  return MarkSettings(key: settings.watermarkKey, payload: payload)
}
