// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Looks for marks (`Watermark`) in a stream. What each face's window shows is brought to one contrast everywhere and summed over
// time; the sum's cosine transform, each ring of frequencies brought to one strength, is correlated with every payload's signs.
//
// The correlation of random signs with any numbers of square sum 1 exceeds t with a probability below exp(-t^2 / 2) (Hoeffding, J.
// Am. Stat. Assoc. 58, 1963). The bound takes in all 2^32 payloads and all looks into a file, the k-th of which may use 6 / (pi k)^2
// of the error: fewer than one unmarked file in a million, however long, shows a mark.

import Glibc
import Tensors

/// A mark that was found.
public struct FoundMark: Equatable, Sendable {
  /// Of the face that wears it: the same for as long as it is followed.
  public let face: Int
  public let payload: MarkPayload
  /// Seconds of the stream that were looked at together; several looks that found the same in one face are one.
  public var from, to: Double
  /// Where the face was last.
  public var box: Box
  /// How far the signs agree, standard deviations of what chance would bring.
  public var score: Double
  /// The probability that chance brings such a score anywhere in the stream so far: less than that.
  public var falseAlarm: Double
}

/// Frame after frame of a stream.
public struct MarkReader: Sendable {
  private static let payloads = 32 * log(2.0)  // natural logarithm of their number
  private static let falseAlarm = log(1e-6)  // of the rate for a stream
  private static let lengths = [3, 12, 48]  // seconds that are looked at together
  private static let least = 0.2  // seconds of a face that are worth a look
  private static let mostFaces = 16
  private static let cut: Float = 0.4

  private let detector: FaceDetector
  private let mesh: FaceMesh
  private let signs: Correlator
  private var tracker: FaceTracker
  private var cuts = CutDetector()
  private var trails: [Int: Trail] = [:]
  private var looks = 0
  /// Those so far, in the order in which they were found.
  public private(set) var found: [FoundMark] = []
  private var news: [FoundMark] = []

  /// Of a face that is followed.
  private struct Trail {
    /// Sums over about a second each, `[80, 80]`, and when each began.
    var sums: [(picture: [Float], from: Double)] = []
    var newest: Double
    var box: Box
    /// Found by the last look at it.
    var worn: [MarkPayload] = []
  }

  public init(detector: FaceDetector, mesh: FaceMesh, key: String) {
    (self.detector, self.mesh, signs) = (detector, mesh, Correlator(key: key))
    tracker = FaceTracker(detector: detector, mesh: mesh)
  }

  /// The next frame, shown at `time` (seconds).
  public mutating func look(_ frame: FrameView, at time: Double) {
    if cuts(frame, threshold: Self.cut).isCut { finish() }
    let faces = tracker.track(frame, at: time, selecting: .largest(Self.mostFaces)).filter { !$0.isLost }
    for id in trails.keys.sorted() where !faces.contains(where: { $0.id == id }) { end(id) }
    for face in faces {
      guard let box = Box(around: face.points) else { continue }
      var trail = trails[face.id] ?? Trail(newest: time, box: box)
      if let last = trail.sums.last, time - last.from >= 1 - 1e-3 {
        trail.worn = judge(trail, of: face.id)
        trail.sums = trail.sums.suffix((Self.lengths.max() ?? 1) - 1)
      }
      if trail.sums.last.map({ time - $0.from >= 1 - 1e-3 }) ?? true {
        trail.sums.append(([Float](repeating: 0, count: Correlator.side * Correlator.side), time))
      }
      Correlator.add(crop(frame, Correlator.window, at: face.alignment), to: &trail.sums[trail.sums.count - 1].picture)
      (trail.newest, trail.box) = (time, box)
      trails[face.id] = trail
    }
  }

  /// The stream is over, or another one begins.
  public mutating func finish() {
    for id in trails.keys.sorted() { end(id) }
    tracker.reset()
  }

  /// What was found, or found again, since the last call.
  public mutating func takeNews() -> [FoundMark] {
    defer { news = [] }
    return news
  }

  /// Drops the marks of faces that are not followed any more from `found`: a stream may never end.
  public mutating func forgetPast() { found.removeAll { trails[$0.face] == nil } }

  /// The marks that the last looks found in the faces of the last frame, and where these faces are now.
  public var worn: [(mark: FoundMark, box: Box)] {
    trails.sorted { $0.key < $1.key }.flatMap { id, trail in
      trail.worn.compactMap { payload in
        found.last { $0.face == id && $0.payload == payload }.map { ($0, trail.box) }
      }
    }
  }

  private mutating func end(_ id: Int) {
    guard let trail = trails.removeValue(forKey: id), let first = trail.sums.first else { return }
    if trail.newest - first.from >= Self.least { _ = judge(trail, of: id) }
  }

  /// Looks at the last seconds of a face, and returns what it wears.
  private mutating func judge(_ trail: Trail, of id: Int) -> [MarkPayload] {
    var worn: [MarkPayload] = []
    let lengths = Set(Self.lengths.map { min($0, trail.sums.count) }).sorted()
    for length in lengths {
      let part = trail.sums.suffix(length)
      guard let from = part.first?.from, var sum = part.first?.picture else { continue }
      for (picture, _) in part.dropFirst() { for i in sum.indices { sum[i] += picture[i] } }
      looks += 1
      let share = log(6 / (Double.pi * Double.pi)) - 2 * log(Double(looks))
      let (payload, score) = signs.best(sum)
      let chance = Self.payloads - score * score / 2 - share
      guard score > 0, chance <= Self.falseAlarm else { continue }
      if !worn.contains(payload) { worn.append(payload) }
      add(
        FoundMark(
          face: id, payload: payload, from: from, to: trail.newest, box: trail.box, score: score,
          falseAlarm: exp(chance)))
    }
    return worn
  }

  private mutating func add(_ mark: FoundMark) {
    func isSame(_ other: FoundMark) -> Bool {
      other.face == mark.face && other.payload == mark.payload && mark.from <= other.to + 1
    }
    var all = mark
    if let same = found.firstIndex(where: isSame) {
      all.from = min(found[same].from, mark.from)
      all.score = max(found[same].score, mark.score)
      all.falseAlarm = min(found[same].falseAlarm, mark.falseAlarm)
      found[same] = all
    } else {
      found.append(all)
    }
    news.removeAll(where: isSame)
    news.append(all)
  }
}

/// Pictures against the signs of all payloads.
package struct Correlator: Sendable {
  package static let side = FaceWindow.templateSide
  package static let window = FaceWindow(side: side)
  /// px: around which a mean is what is too coarse to be a mark, and around which contrast is measured.
  private static let near: (fine: Int, wide: Int) = (2, 3)
  private static let noise: Float = 0.7  // levels of 8 bits: less contrast is not brought up
  private static let ring = 3  // half waves, the width of a ring of frequencies
  private static let cosines = MarkSigns.cosines(side: side)

  /// For both halves and both bytes: `[256, n]` of the first byte, `[n, 256]` of the second.
  private let first, second: [[Float]]

  package init(key: String) {
    let signs = MarkSigns(key: key)
    func rows(_ half: Int, _ byte: Int) -> [[Float]] {
      (0..<MarkSigns.values).map { signs.row(half: half, byte: byte, value: $0) }
    }
    first = (0..<2).map { rows($0, 0).flatMap { $0 } }
    second = (0..<2).map { half in
      let rows = rows(half, 1)
      return (0..<MarkSigns.count(half)).flatMap { k in rows.map { $0[k] } }
    }
  }

  /// Adds a window `[80, 80, 3]`, RGB in -1 ... 1, at one contrast.
  package static func add(_ picture: Tensor, to sum: inout [Float]) {
    var luma = [Float](repeating: 0, count: side * side)
    picture.values.withUnsafeBufferPointer { rgb in
      for i in luma.indices { luma[i] = 127.5 * (0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2]) }
    }
    let coarse = boxMean(luma, side: side, reach: near.fine)
    var power = [Float](repeating: 0, count: side * side)
    for i in luma.indices {
      luma[i] -= coarse[i]
      power[i] = luma[i] * luma[i]
    }
    power = boxMean(power, side: side, reach: near.wide)
    for i in luma.indices {
      let deviation = (max(power[i], 0) + noise * noise).squareRoot()
      sum[i] += window.fade[i] * luma[i] / (deviation * deviation.squareRoot())
    }
  }

  /// The transform of a sum at the mark's waves, of square sum 1: each ring of frequencies as strong as the others, large values
  /// drawn in.
  package static func spectrum(_ sum: [Float]) -> [Float] {
    let rows = MarkSigns.high + 1
    var across = [Float](repeating: 0, count: side * rows)  // [y, u]
    for y in 0..<side {
      for u in 0..<rows {
        var dot: Float = 0
        for x in 0..<side { dot += sum[y * side + x] * cosines[u * side + x] }
        across[y * rows + u] = dot
      }
    }
    let half = Float(0.5).squareRoot()
    var values = MarkSigns.waves.map { wave in
      var dot: Float = 0
      for y in 0..<side { dot += across[y * rows + wave.u] * cosines[wave.v * side + y] }
      return dot * (wave.u == 0 ? half : 1) * (wave.v == 0 ? half : 1)
    }
    let rings = MarkSigns.waves.map { wave in
      (Int(Double(wave.u * wave.u + wave.v * wave.v).squareRoot()) - MarkSigns.low) / ring
    }
    var powers = [SIMD2<Float>](repeating: .zero, count: (MarkSigns.high - MarkSigns.low) / ring + 1)
    for (value, ring) in zip(values, rings) { powers[ring] += [value * value, 1] }
    for (i, ring) in rings.enumerated() {
      let deviation = (powers[ring].x / powers[ring].y).squareRoot()
      let value = values[i] / max(deviation, .leastNormalMagnitude)
      values[i] = value < 0 ? -(-value).squareRoot() : value.squareRoot()
    }
    let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return values.map { $0 / max(length, .leastNormalMagnitude) }
  }

  /// The payload whose signs agree best with a sum of pictures, and how well.
  package func best(_ sum: [Float]) -> (payload: MarkPayload, score: Double) {
    let values = Self.spectrum(sum)
    let halves = (0..<2).map { half in best(half, stride(from: half, to: values.count, by: 2).map { values[$0] }) }
    let user = UInt16(halves[1].first) << 8 | UInt16(halves[1].second)
    let payload = MarkPayload(version: UInt8(halves[0].first), model: UInt8(halves[0].second), user: user)
    return (payload, Double(halves[0].score + halves[1].score))
  }

  private func best(_ half: Int, _ values: [Float]) -> (first: Int, second: Int, score: Float) {
    var best = (first: 0, second: 0, score: -Float.infinity)
    let (vectors, width) = (MarkSigns.values / 16, 16)
    var sums = [SIMD16<Float>](repeating: .zero, count: vectors)
    first[half].withUnsafeBufferPointer { first in
      second[half].withUnsafeBytes { second in
        for a in 0..<MarkSigns.values {
          for j in 0..<vectors { sums[j] = .zero }
          for (k, value) in values.enumerated() {
            let signed = value * first[a * values.count + k]
            for j in 0..<vectors {
              let offset = 4 * (k * MarkSigns.values + j * width)
              sums[j] += signed * second.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
            }
          }
          for b in 0..<MarkSigns.values where sums[b / width][b % width] > best.score {
            best = (a, b, sums[b / width][b % width])
          }
        }
      }
    }
    return best
  }
}
