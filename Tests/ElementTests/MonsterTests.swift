// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Glibc
import Speech
import SyncDiff
import SyncDiffElement
import Tensors
import Testing

private let side = 384  // px, the sample portrait's own

/// Never a monster: the sample's portrait moves about and speaks, and something may come before its mouth. Every frame comes out
/// untouched, or as a face that the project's own networks find again, with a mouth that is one.
@Suite struct MonsterTests {
  /// How a frame shows the portrait: by so much turned (radians) and enlarged around the middle of its mouth, which is moved by
  /// `shift` px; and what is before the mouth.
  struct View {
    var angle: Float = 0
    var scale: Float = 1
    var shift = SIMD2<Float>(0, 0)
    var cover: Cover?
  }

  /// `size`: of its width, outer eye distances; `height`: of its middle above the mouth's.
  enum Cover {
    case hand(size: Float, height: Float = 0)
    case microphone(size: Float, height: Float = 0)
  }

  struct Story: CustomTestStringConvertible {
    let testDescription: String
    /// Whether the last frame must be untouched, and must not; nil: either is right.
    let isHidden: Bool?
    /// The views after more than a second of the first one.
    let view: @Sendable (_ progress: Float) -> View
  }

  /// What is measured of a mesh, outer eye distances.
  struct Mouth {
    /// How far the lower lip is below the upper one, and the least of it.
    let opening, least: Float
    let width: Float

    init(_ points: [SIMD3<Float>]) {
      func place(_ i: Int) -> SIMD2<Float> { [points[i].x, points[i].y] }
      func length(_ v: SIMD2<Float>) -> Float { (v * v).sum().squareRoot() }
      let across = place(263) - place(33)
      let unit = length(across)
      let down = SIMD2(-across.y, across.x) / unit
      let gaps = FaceMeshPoints.pairs.map { upper, lower in ((place(lower) - place(upper)) * down).sum() / unit }
      (opening, least) = (gaps[3..<6].reduce(0, +) / 3, gaps.min() ?? 0)
      width = length(place(291) - place(61)) / unit
    }
  }

  static let stories: [Story] = {
    var stories = [
      Story(testDescription: "it nods, turns and comes nearer", isHidden: false) { t in
        View(angle: 0.5 * sin(6 * t), scale: 1 + t, shift: [20 * sin(9 * t), 15 * cos(7 * t)])
      },
      Story(testDescription: "it lies down", isHidden: nil) { View(angle: 1.6 * $0) },
      Story(testDescription: "it goes away, smaller than 48 px", isHidden: true) { View(scale: 1 - 0.66 * $0) },
      Story(testDescription: "it leaves the frame to the left", isHidden: nil) { View(shift: [-240 * $0, 0]) },
      Story(testDescription: "it sinks half out of the frame", isHidden: nil) {
        View(scale: 1.5, shift: [0, 260 * $0])
      },
      Story(testDescription: "it is turned out of the frame", isHidden: nil) { t in
        View(angle: 1.2 * t, shift: [220 * t, 180 * t])
      },
    ]
    for size: Float in [0.2, 0.45, 0.8, 1.2, 2] {
      let isHidden = size > 1 ? true : nil
      stories += [
        Story(testDescription: "a hand of \(size) comes from below", isHidden: isHidden) { t in
          View(cover: .hand(size: size, height: min(4 * t - 2, 0)))
        },
        Story(testDescription: "a microphone of \(size) is there at once, and the head moves", isHidden: isHidden) {
          t in
          View(angle: 0.2 * t, scale: 1.4, shift: [10 * t, 0], cover: t > 0 ? .microphone(size: size) : nil)
        },
      ]
    }
    return stories
  }()

  let model: Model
  let picture: [UInt8]
  let tracker: FaceTracker
  let mouth: SIMD2<Float>  // px of the picture
  let unit: Float  // px

  init() throws {
    model = try Model.load(path: defaultModel())
    picture = try portrait("RGB", side: side)
    let networks = portraitPath.replacing("sample/portrait.jpg", with: "models/faces.safetensors")
    let weights = Weights(try SafeTensors.load(path: networks))
    tracker = FaceTracker(detector: FaceDetector(weights), mesh: FaceMesh(weights))
    let points = try #require(try Self.find(picture, tracker)?.points)
    let (left, right) = (points[61], points[291])
    mouth = [(left.x + right.x) / 2, (left.y + right.y) / 2]
    unit = (points[263] - points[33]).x
  }

  @Test(arguments: stories) func isNone(story: Story) throws {
    let frames = 10
    var pipeline = FramePipeline(model: model)
    var (time, painted, untouched) = (0, 0, false)
    var seen: [String] = []
    for i in -7..<frames {
      let progress = max(Float(i), 0) / Float(frames - 1)
      let before = frame(story.view(progress))
      var after = before
      var openings: [(own: Float, wanted: Float)] = []
      var settings = FindSettings()
      settings.sceneThreshold = 0  // a large cover is no cut here
      try after.withUnsafeMutableBytes { bytes in
        let view = try Self.view(bytes)
        let scene = pipeline.find(view.view, at: RunningTime(nanoseconds: UInt64(time) * 1_000_000), settings)
        let faces = scene.faces
        seen.append("\(i): \(scene.trackedFaces.map { ($0.id, $0.obstacle) }) \(faces.map(\.opacity))")
        if faces.isEmpty { pipeline.skip() }
        for face in faces where i >= 0 {
          let level: Float = i % 4 < 2 ? 1 : -1
          pipeline.paint(view, face: face, features: sound(level), settings: PaintSettings(steps: 2))
          openings += pipeline.openings(of: face).map { [$0] } ?? []
        }
      }
      time += i < 0 ? 200 : 40
      untouched = after == before
      guard !untouched else { continue }
      painted += 1
      try check(before, after, openings, "frame \(i)")
    }
    if let isHidden = story.isHidden { #expect(untouched == isHidden, "the last frame; \(seen)") }
    #expect(painted > 0)
  }

  private func check(
    _ before: [UInt8], _ after: [UInt8], _ openings: [(own: Float, wanted: Float)], _ name: String
  ) throws {
    // What no network takes for a face any more was none before.
    guard let was = try Self.find(before, tracker).map({ Mouth($0.points) }) else { return }
    guard let isNow = try Self.find(after, tracker).map({ Mouth($0.points) }) else {
      Issue.record("\(name): no face is left")
      return
    }
    #expect(isNow.least > -0.03, "\(name): lips cross by \(-isNow.least)")
    #expect(abs(isNow.width / was.width - 1) < 0.2, "\(name): \(was.width) wide before, \(isNow.width) after")
    let all = openings.flatMap { [$0.own, $0.wanted] } + [was.opening]
    let range = (all.min() ?? 0) - 0.05...(all.max() ?? 0) + 0.05
    #expect(range.contains(isNow.opening), "\(name): open by \(isNow.opening), not in \(range)")
  }

  private static func find(_ picture: [UInt8], _ tracker: FaceTracker) throws -> Face? {
    var (tracker, picture) = (tracker, picture)
    return try picture.withUnsafeMutableBytes { tracker.track(try view($0).view, at: 0).first }
  }

  private static func view(_ bytes: UnsafeMutableRawBufferPointer) throws -> MutableFrameView {
    let base = try #require(bytes.baseAddress)
    return try #require(
      MutableFrameView(
        format: .rgb, width: side, height: side, planes: [(base: base, stride: 3 * side)],
        colorimetry: Colorimetry(.bt709, .full)))
  }

  /// Stacks of a loud and of a quiet sound.
  private func sound(_ level: Float) -> Tensor {
    let shape = model.featureExtractor.silence.shape
    return Tensor(shape, (0..<shape[0] * shape[1]).map { level * Float($0 * 31 % 17 - 8) / 5 })
  }

  /// Bilinear; beyond the portrait its edges go on.
  private func frame(_ view: View) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: picture.count)
    let (c, s) = (cos(view.angle), sin(view.angle))
    for y in 0..<side {
      for x in 0..<side {
        let p = (SIMD2(Float(x), Float(y)) - mouth - view.shift) / view.scale
        let q = SIMD2(c * p.x + s * p.y, c * p.y - s * p.x)  // of the portrait, from its mouth on
        let at = 3 * (y * side + x)
        if let level = view.cover.flatMap({ color($0, q / unit) }) {
          for k in 0..<3 { pixels[at + k] = level[k] }
          continue
        }
        let most = Float(side - 1)
        let place = (mouth + q).clamped(lowerBound: .zero, upperBound: [most, most])
        let (left, top) = (min(Int(place.x), side - 2), min(Int(place.y), side - 2))
        let (u, v) = (place.x - Float(left), place.y - Float(top))
        for k in 0..<3 {
          func level(_ dx: Int, _ dy: Int) -> Float { Float(picture[3 * ((top + dy) * side + left + dx) + k]) }
          let above = level(0, 0) * (1 - u) + level(1, 0) * u
          let below = level(0, 1) * (1 - u) + level(1, 1) * u
          pixels[at + k] = UInt8((above * (1 - v) + below * v).rounded())
        }
      }
    }
    return pixels
  }

  /// What a cover shows at a place, counted from the mouth in outer eye distances; nil beside it.
  private func color(_ cover: Cover, _ place: SIMD2<Float>) -> [UInt8]? {
    switch cover {
    case .hand(let size, let height):
      // Four fingers beside each other, and the palm below.
      let p = (place - [0, -height]) / size
      guard abs(p.x) < 0.5, p.y > -0.5 else { return nil }
      let finger = (p.x + 0.5) * 4
      let isGap = p.y < 0.4 && abs(finger - finger.rounded()) < 0.06
      return isGap ? [120, 70, 55] : [214, 160, 130]
    case .microphone(let size, let height):
      let p = (place - [0, -height]) / size
      if (p * p).sum() < 0.25 {
        let isMesh = Int((p.x + 1) * 20) % 2 == 0 || Int((p.y + 1) * 20) % 2 == 0
        return isMesh ? [60, 60, 64] : [16, 16, 18]
      }
      return abs(p.x) < 0.15 && p.y > 0 ? [30, 30, 30] : nil
    }
  }
}
