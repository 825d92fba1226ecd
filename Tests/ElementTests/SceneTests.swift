// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CGStreamer
import CGStreamerCheck
import Faces
import GstSyncDiff
import SyncDiffElement
import Testing

@Suite struct SceneTests {
  private static let wide = "video/x-raw,format=I420,width=\(2 * Bench.side),height=\(Bench.side),framerate=25/1"

  /// The portrait twice, side by side, as a frame of `wide`.
  private func pair() throws -> [UInt8] {
    let face = try portrait()
    let side = Bench.side
    var out: [UInt8] = []
    for (start, width) in [(0, side), (side * side, side / 2), (side * side * 5 / 4, side / 2)] {
      for row in 0..<width {
        let line = face[start + row * width..<start + (row + 1) * width]
        out += line + line
      }
    }
    return out
  }

  /// Which halves of the luma of a frame of `wide` differ.
  private func changed(_ old: [UInt8], _ new: [UInt8]) -> [Bool] {
    let width = 2 * Bench.side
    let places = (0..<width * Bench.side).filter { old[$0] != new[$0] }
    return [places.contains { $0 % width < Bench.side }, places.contains { $0 % width >= Bench.side }]
  }

  /// What comes out for `pictures` at 25 frames a second, a second of sound at most.
  private func dubbed(
    _ pictures: [[UInt8]], _ bench: Bench, mark: (UnsafeMutablePointer<GstBuffer>) -> Void = { _ in }
  ) throws -> [[UInt8]] {
    try bench.pushSound(0)
    gst_harness_push_event(bench.audio, gst_event_new_eos())
    return try pictures.enumerated().map { i, picture in
      let frame = try bench.frame(i, picture, size: picture.count)
      mark(frame)
      bench.push(frame)
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      return bytes(of: out)
    }
  }

  private func bench(_ properties: [String: String] = [:], caps: String = Bench.caps) throws -> Bench {
    try Bench(properties.merging(["steps": "1"]) { given, _ in given }, caps: caps, sound: true)
  }

  // MARK: Which faces

  @Test(
    "The faces that are asked for are painted, the others are not",
    arguments: [
      (["face-select": "left"], [true, false]), (["face-select": "right"], [false, true]),
      (["face-select": "all"], [true, true]), (["face-select": "all", "max-faces": "1"], nil),
      (["face-select": "largest"], nil), (["roi": "250, 10,212,212"], [false, true]),
      (["roi": "0,0,240,240", "face-select": "all"], [true, false]),
    ] as [([String: String], [Bool]?)])
  func selection(properties: [String: String], halves: [Bool]?) throws {
    let (bench, picture) = (try bench(properties, caps: Self.wide), try pair())
    let seen = changed(picture, try dubbed([picture], bench)[0])
    if let halves { #expect(seen == halves) } else { #expect(seen.filter { $0 }.count == 1) }
  }

  @Test("Another face-select in mid-stream is taken at once")
  func reselection() throws {
    let (bench, picture) = (try bench(["face-select": "left"], caps: Self.wide), try pair())
    #expect(changed(picture, try dubbed([picture], bench)[0]) == [true, false])
    bench.set("face-select", "right")
    for i in 1..<5 {
      bench.push(try bench.frame(i, picture, size: picture.count))
      let out = try bench.pull()
      #expect(changed(picture, bytes(of: out)) == [i < 3, true])
      gst_buffer_unref(out)
    }
  }

  @Test(
    "Upstream's regions: those of faces, else all; without any, no face",
    arguments: [
      ([("face", 250), ("person", 10)], [false, true]), ([("person", 10)], [true, false]),
      ([("Face", 10), ("face", 250)], [true, true]), ([], [false, false]),
    ] as [([(String, UInt32)], [Bool])])
  func regionMetas(regions: [(String, UInt32)], halves: [Bool]) throws {
    let (bench, picture) = (try bench(["face-select": "roi-meta"], caps: Self.wide), try pair())
    let out = try dubbed([picture], bench) { frame in
      for (type, x) in regions { gst_buffer_add_video_region_of_interest_meta(frame, type, x, 10, 212, 212) }
    }
    #expect(changed(picture, out[0]) == halves)
  }

  @Test(
    "What is not a box is said, and what is wrong with it",
    arguments: [
      ("", "four whole numbers"), ("1,2,3", "four whole numbers"), ("1,2,3,4,5", "four whole numbers"),
      ("a,2,3,4", "four whole numbers"), ("1.5,2,3,4", "four whole numbers"), ("1,2,0,4", "more than 0"),
      ("1,2,3,-4", "more than 0"), ("640,0,10,10", "640 x 360"), ("0,-9,10,9", "640 x 360"),
      ("99999999999,0,1,1", "four whole numbers"),
    ])
  func badRegion(text: String, why: String) {
    guard case .bad(let reason) = RegionOfInterest(text, width: 640, height: 360) else {
      Issue.record("\(text) is no box")
      return
    }
    #expect(reason.contains(why))
  }

  @Test("Boxes may reach over the edge, and have spaces", arguments: ["-5,-7,20,30", " -5, -7 ,20,30 "])
  func goodRegion(text: String) {
    #expect(RegionOfInterest(text, width: 64, height: 64) == .box(Box(x: -5, y: -7, width: 20, height: 30)))
  }

  @Test("A bad roi is one warning and has no effect")
  func badRegionInStream() throws {
    let (bench, face) = (try bench(["roi": "1,2,3"]), try portrait())
    #expect(try dubbed([face, face], bench).allSatisfy { $0 != face })
    let complaints = bench.complaints
    #expect(complaints.count == 1 && complaints.first?.contains("roi=\"1,2,3\"") == true, "\(complaints)")
  }

  // MARK: No face

  @Test("no-face=error ends the stream with one error, at the first frame without a face")
  func noFaceIsAnError() throws {
    let (bench, face) = (try bench(["no-face": "error"]), try portrait())
    #expect(try dubbed([face], bench)[0] != face)
    bench.push(try bench.frame(1))
    #expect(wait { bench.push((try? bench.frame(2)) ?? gst_buffer_new()) == GST_FLOW_ERROR })
    let complaints = bench.complaints
    #expect(complaints.count == 1 && complaints.first?.contains("no-face=passthrough") == true, "\(complaints)")
  }

  @Test("A face that is lost fades out over three frames; at a cut it goes at once", arguments: [true, false])
  func fade(cut: Bool) throws {
    let bench = try bench(["scene-threshold": cut ? "0.4" : "0"])
    let (face, grey) = (try portrait(), [UInt8](repeating: 128, count: Bench.frameSize))
    let out = try dubbed([face, grey, grey, grey, grey], bench)
    #expect(out[0] != face)
    #expect(out[1...].map { $0 != grey } == (cut ? [false, false, false, false] : [true, true, false, false]))
  }

  @Test("A face too small to be right passes as it is; it is counted and told, and is no missing face")
  func hidden() throws {
    let caps = "video/x-raw,format=I420,width=160,height=160,framerate=25/1"
    let (bench, face) = (try bench(["no-face": "error"], caps: caps), try portrait(side: 160))
    #expect(try dubbed([face, face], bench) == [face, face])
    #expect(bench.stats["hidden"] == "2" && bench.stats["passed"] == "2" && bench.stats["no-face"] == "0")
    let said = bench.announcements
    #expect(said.count == 1 && said.first?.contains("obstacle\\=\\(string\\)small") == true, "\(said)")
    #expect(bench.complaints.isEmpty)
  }

  // MARK: Messages

  @Test("Faces that are found and lost are told, with the time of their frame")
  func faceMessages() throws {
    let bench = try bench()
    let (face, grey) = (try portrait(), [UInt8](repeating: 128, count: Bench.frameSize))
    _ = try dubbed([face, face, grey, grey, face], bench)
    let said = bench.announcements
    try #require(said.count == 3, "\(said)")
    for (text, state, time) in zip3(said, ["found", "lost", "found"], ["0", "80000000", "160000000"]) {
      #expect(text.hasPrefix("syncdiff-face, state=(string)\(state), faces="))
      for field in ["timestamp", "stream-time", "running-time"] {
        #expect(text.contains("\(field)=(guint64)\(time)"), "\(text)")
      }
      #expect(text.contains("duration=(guint64)40000000"))
      #expect(text.contains("selected\\=\\(boolean\\)true") == (state == "found"))
    }
  }

  @Test("A new scene is told if that is asked for")
  func sceneMessages() throws {
    let (face, grey) = (try portrait(), [UInt8](repeating: 128, count: Bench.frameSize))
    let bench = try bench(["post-messages": "scene"])
    _ = try dubbed([face, face, grey, grey], bench)
    let said = bench.announcements
    #expect(said.count == 1 && said.first?.hasPrefix("syncdiff-scene, difference=(double)") == true, "\(said)")
    #expect(said.first?.contains("timestamp=(guint64)80000000") == true)
    let quiet = try self.bench(["post-messages": ""])
    _ = try dubbed([face, grey], quiet)
    #expect(quiet.announcements == [])
  }

  @Test("News of faces: found, lost, changed, or none")
  func news() {
    func face(_ id: Int, _ isChosen: Bool) -> TrackedFace {
      TrackedFace(id: id, box: Box(x: 0, y: 0, width: 9, height: 9), score: 1, isChosen: isChosen)
    }
    var news = FaceChange()
    let script: [([TrackedFace], FaceChange.State?)] = [
      ([], nil), ([face(1, true)], .found), ([face(1, true)], nil), ([face(1, true), face(2, false)], .changed),
      ([face(1, false), face(2, true)], .changed), ([face(2, true)], .changed), ([face(3, true)], .changed),
      ([], .lost), ([], nil),
    ]
    for (i, (faces, state)) in script.enumerated() { #expect(news.update(faces) == state, "step \(i)") }
  }

  // MARK: Silence

  @Test("In silence noise below the threshold is not heard, or frames pass untouched")
  func silence() throws {
    let face = try portrait()
    /// The frame in the middle of a second of sound of this level, after a loud one.
    func dubbed(_ properties: [String: String], level: Int16) throws -> [UInt8] {
      let bench = try bench(properties)
      for i in 0..<3 { try bench.pushSound(i, level: i == 1 ? level : 8_000) }
      bench.push(try bench.frame(37, face))
      let out = try bench.pull()
      defer { gst_buffer_unref(out) }
      return bytes(of: out)
    }
    // 60 of 32,768 is -55 dBFS.
    #expect(try dubbed(["silence": "passthrough"], level: 60) == face)
    #expect(try dubbed(["silence": "passthrough"], level: 120) != face)
    #expect(try dubbed(["silence": "passthrough", "silence-threshold": "-60"], level: 60) != face)
    #expect(try dubbed(["silence": "passthrough", "silence-hold": "1000000000"], level: 60) != face)
    let closed = try dubbed([:], level: 60)
    #expect(closed == (try dubbed([:], level: 0)) && closed != face)
    #expect(try dubbed(["silence-threshold": "-60"], level: 60) != closed)
  }
}

private func zip3<A, B, C>(_ a: [A], _ b: [B], _ c: [C]) -> [(A, B, C)] { zip(a, zip(b, c)).map { ($0, $1.0, $1.1) } }
