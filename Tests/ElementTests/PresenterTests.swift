// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerCheck
import Faces
import Glibc
import GstSyncDiff
import Speech
import SyncDiff
import SyncDiffElement
import Tensors
import Testing

/// Frames in which the face is large enough.
private let side = 256
private let caps = "video/x-raw,format=I420,width=\(side),height=\(side),framerate=25/1"

/// The property `presenter`.
@Suite struct PresenterTests {
  /// A file of the portrait's mouth, in red; removed with this.
  private final class File {
    let path = "/tmp/syncdiff-\(getpid())-\(UInt64.random(in: 0 ... .max)).presenter"

    init() throws {
      let model = try Model.load(path: defaultModel())
      var (learner, pixels) = (Learner(model: model), try portrait(side: side))
      try pixels.withUnsafeMutableBytes { bytes in
        let luma = try #require(bytes.baseAddress)
        let (u, v) = (luma + side * side, luma + side * side * 5 / 4)
        let frame = try #require(
          MutableFrameView(
            format: .i420, width: side, height: side, planes: [(luma, side), (u, side / 2), (v, side / 2)],
            colorimetry: Colorimetry(.bt601, .limited)))
        learner.observe(frame.view, at: RunningTime(nanoseconds: 0))
      }
      let presenter = learner.presenter
      let file = try SafeTensors(try #require(presenter).written(for: model))
      let tensors = file.tensors.map { name, tensor in
        name == "mouths.0"
          ? WrittenTensor(name, tensor.shape, tensor.values.indices.map { UInt8($0 % 3 == 0 ? 255 : 0) })
          : WrittenTensor(name, tensor.shape, Array(tensor.values))
      }
      let bytes = SafeTensors.written(tensors, metadata: file.metadata)
      let stream = try #require(fopen(path, "w"))
      defer { fclose(stream) }
      #expect(fwrite(bytes, 1, bytes.count, stream) == bytes.count)
    }

    deinit { unlink(path) }
  }

  private func first(_ bench: Bench) throws -> [UInt8] {
    bench.push(try bench.frame(0, portrait(side: side), size: side * side * 3 / 2))
    let out = try bench.pull()
    defer { gst_buffer_unref(out) }
    return bytes(of: out)
  }

  /// Bytes in which two frames differ.
  private func changed(_ a: [UInt8], _ b: [UInt8]) -> Int { zip(a, b).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) } }

  @Test("The first frame shows the presenter's mouth, always the same, and so does the first after a flush")
  func firstFrame() throws {
    let file = try File()
    func dubbed(_ properties: [String: String]) throws -> [UInt8] {
      let bench = try Bench(properties, caps: caps, sound: true)
      try bench.pushSound(0)
      let frame = try first(bench)
      bench.flush(bench.video)
      #expect(try first(bench) == frame)
      #expect(bench.complaints == [])
      return frame
    }
    let (plain, known) = (try dubbed([:]), try dubbed(["presenter": file.path]))
    #expect(try dubbed(["presenter": file.path]) == known)
    #expect(changed(known, plain) > 100)
  }

  @Test("Another presenter, or none, counts from READY on")
  func changes() throws {
    let file = try File()
    let bench = try Bench(caps: caps, sound: true)
    var frames: [[UInt8]] = []
    for presenter in [nil, file.path, nil] as [String?] {
      gst_element_set_state(bench.element, GST_STATE_READY)
      bench.setText("presenter", presenter)
      gst_element_set_state(bench.element, GST_STATE_PLAYING)
      for harness in [bench.video, bench.audio] { gst_harness_play(harness) }
      bench.begin(bench.video)
      bench.begin(bench.audio)
      try bench.pushSound(0)
      frames.append(try first(bench))
    }
    #expect(changed(frames[1], frames[0]) > 100 && frames[2] == frames[0])
    #expect(bench.posts("syncdiff-ready").count == 1, "the model stays")
  }

  @Test(
    "A presenter that is not there or not good is one error, and READY is refused",
    arguments: [
      ("/nowhere/one.presenter", "gst-resource-error-quark", GST_RESOURCE_ERROR_NOT_FOUND.rawValue),
      ("/", "gst-resource-error-quark", GST_RESOURCE_ERROR_OPEN_READ.rawValue),
      (#filePath, "gst-stream-error-quark", GST_STREAM_ERROR_FORMAT.rawValue),
    ])
  func bad(path: String, domain: String, code: UInt32) throws {
    let bench = try Bench(["presenter": path])
    let complaint = bench.expectRefusal("\(domain) \(code): ", naming: path)
    #expect(complaint?.contains("syncdiff learn") == true)
    bench.setText("presenter", nil)
    #expect(gst_element_set_state(bench.element, GST_STATE_READY) == GST_STATE_CHANGE_SUCCESS)
  }

  @Test("Without preload the same error comes with the first frame that needs it, and ends the stream")
  func late() throws {
    let bench = try Bench(["presenter": "/nowhere"], sound: true)
    try bench.pushSound(0)
    bench.push(try bench.frame(0))
    #expect(wait { bench.push((try? bench.frame(1)) ?? gst_buffer_new()) == GST_FLOW_ERROR })
    #expect(bench.complains(once: "/nowhere"))
  }
}
