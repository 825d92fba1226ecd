// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// How audio of more than two channels is mixed for an encoder. Without this, GStreamer mixes layouts that Opus does not
// support down to mono, and encodes AAC in layouts that players do not support.

extension Sound {
  /// Channels without positions, as from SDI, which cannot be placed: odd ones go to the left, even ones to the right, as in
  /// stereo pairs.
  func becomesPairs(in encoding: Encoding) -> Bool { !hasPositions && encoding.audio != .pcm }

  /// Channels in a layout that the codec does not support.
  func becomesSurround(in encoding: Encoding) -> Bool {
    channels > 2 && hasPositions && !(encoding.audio.layouts?.contains(rearMask) ?? true)
  }

  /// The part of a pipeline description that does the mixing.
  func mixing(for encoding: Encoding) -> String {
    if becomesPairs(in: encoding) { return "audioconvert \(pairs)" }
    guard channels > 2, hasPositions, encoding.audio != .pcm else { return "audioconvert" }
    let relabelled =
      "capssetter caps=\"audio/x-raw,channel-mask=(bitmask)0x\(String(rearMask, radix: 16))\" ! audioconvert"
    guard becomesSurround(in: encoding) else { return rearMask == mask ? "audioconvert" : relabelled }
    return "audioconvert ! audio/x-raw,channels=6,channel-mask=(bitmask)0x3f"
  }

  /// The properties of an audioconvert, and what follows it.
  var pairs: String {
    let rows = [0, 1].map { side in
      let share = 1 / Double((channels + 1 - side) / 2)
      return "<" + (0..<channels).map { "(float)\($0 % 2 == side ? share : 0)" }.joined(separator: ",") + ">"
    }
    return "mix-matrix=\"<\(rows.joined(separator: ","))>\" ! audio/x-raw,channels=2,channel-mask=(bitmask)0x3"
  }

  /// The mask without side speakers: the side speakers of quad, 5.0 and 5.1 are rear speakers by another name.
  private var rearMask: UInt64 { [0xc03: 0x33, 0xc07: 0x37, 0xc0f: 0x3f][mask] ?? mask }
}

extension AudioCodec {
  /// The layouts of more than two channels that players support; nil if they support all.
  fileprivate var layouts: Set<UInt64>? {
    switch self {
    case .aac: [0xb, 0x7, 0x107, 0x33, 0x37, 0x3f]  // 2.1, 3.0, 4.0, quad, 5.0, 5.1
    case .opus, .flac: [0x7, 0x33, 0x37, 0x3f, 0xd0f, 0xc3f]  // 3.0, quad, 5.0, 5.1, 6.1, 7.1
    case .pcm: nil
    }
  }
}
