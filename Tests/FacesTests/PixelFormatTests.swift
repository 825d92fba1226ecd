// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Testing

/// The formats of 10 bits, against what GStreamer 1.22 writes: 12 x 2 pixels whose samples, row after row, have the levels
/// 40 + (37 i + 64) % 900, where i counts Y from 0, Cb from 100, Cr from 200 (little endian in PLANAR).
///
///     gst-launch-1.0 filesrc location=in blocksize=SIZE ! rawvideoparse format=PLANAR width=12 height=2 \
///       ! videoconvert dither=none ! video/x-raw,format=FORMAT ! filesink location=out
@Suite struct DeepFormats {
  private func levels(_ start: Int, _ count: Int) -> [Int] {
    (start..<start + count).map { 40 + (37 * $0 + 64) % 900 }
  }

  /// A frame of 12 x 2 pixels from these bytes: the samples of each plane's rows.
  private func frame(_ format: PixelFormat, _ planes: [[String]]) -> Frame {
    let frame = Frame(format, 12, 2)
    for (plane, rows) in planes.enumerated() {
      for (row, hex) in rows.enumerated() {
        let digits = hex.compactMap(\.hexDigitValue)
        let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(16 * digits[$0] + digits[$0 + 1]) }
        frame.fill(plane, row: row, with: bytes)
      }
    }
    return frame
  }

  /// PLANAR i422-10le, SIZE 96, FORMAT v210; its rows have 128 bytes, the rest of them 0.
  @Test func v210LiesWhereGStreamerPutsIt() {
    let frame = frame(
      .v210,
      [
        [
          "cca001138dc4230b555d6311fce815123b19f5196b810519c4d55618daa5f71f",
          "aa91e820493ee726334e4a1fb862d92d190adc2727fbc834a2c63d26961f7b03",
        ]
      ])
    #expect(frame.levels == levels(0, 24) + levels(100, 12) + levels(200, 12))
  }

  /// PLANAR i420-10le, SIZE 72, FORMAT P010_10LE.
  @Test func p010LiesWhereGStreamerPutsIt() {
    let frame = frame(
      .p010,
      [
        [
          "001a4023802cc035003f40488051c05a0064406d8076c07f", "00894092809bc0a400ae40b780c0c0c900d340dc80e5c00d",
        ], ["0033004c403c40558045805ec04ec067005800714061407a"],
      ])
    #expect(frame.levels == levels(0, 24) + levels(100, 6) + levels(200, 6))
  }

  /// The files `in`, as numpy writes them: `(40 + (37 * i + 64) % 900).astype('<u2').tobytes().hex()`.
  @Test(arguments: [(PixelFormat.i420Deep, 1), (.i422Deep, 2)])
  func planarWordsAreLittleEndian(format: PixelFormat, chromaRows: Int) {
    let luma = [
      "68008d00b200d700fc00210146016b019001b501da01ff01", "240249026e029302b802dd02020327034c03710396033700",
    ]
    let cb = ["cc00f10016013b0160018501", "aa01cf01f40119023e026302"]
    let cr = ["300155017a019f01c401e901", "0e02330258027d02a202c702"]
    let frame = frame(format, [luma, Array(cb[..<chromaRows]), Array(cr[..<chromaRows])])
    #expect(frame.levels == levels(0, 24) + levels(100, 6 * chromaRows) + levels(200, 6 * chromaRows))
  }
}
