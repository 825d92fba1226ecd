// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// Detects cuts from small luma images of consecutive frames.
///
/// The difference of two frames is sqrt(1 - r^2), where r is the correlation of their images: 0 for the same picture, 1
/// for unrelated ones. It responds to structure and not to brightness, so neither changing light nor a fade counts. The
/// average difference of recent frames, as in a pan, is subtracted.
public struct CutDetector: Sendable {
  private static let (width, height) = (64, 36)  // cells of the small image
  private static let points = 3  // samples across one cell
  private static let noise: Float = 4e-4  // variance below which a picture counts as flat; levels 0 ... 1
  private static let share: Float = 0.3  // weight of a new difference in the running average

  private var last: [Float] = []
  private var usual: Float = 0

  public init() {}

  /// How likely a cut between the previous frame and this one is, 0 ... 1; 0 for the first frame.
  public mutating func callAsFunction(_ frame: FrameView, threshold: Float) -> (score: Float, isCut: Bool) {
    let image = Self.image(frame)
    defer { last = image }
    guard last.count == image.count else { return (0, false) }
    let difference = Self.difference(last, image)
    let score = max(difference - usual, 0)
    usual += Self.share * (difference - usual)
    return (score, threshold > 0 && score >= threshold)
  }

  /// Each cell's mean luma (for RGB, the mean of the three components), 0 ... 1, minus the mean over all cells.
  private static func image(_ frame: FrameView) -> [Float] {
    let components = frame.format.isRGB ? frame.samples : [frame.samples[0]]
    var image = [Float](repeating: 0, count: width * height)
    let (columns, rows) = (width * points, height * points)
    let places = (0..<columns).map { Int32((2 * $0 + 1) * frame.width / (2 * columns)) }
    for row in 0..<rows {
      var line = [Float](repeating: 0, count: 4 * columns)
      for component in components {
        component.add(places, ofRow: (2 * row + 1) * frame.height / (2 * rows), to: &line)
      }
      for column in 0..<columns { image[row / points * width + column / points] += line[4 * column] }
    }
    let scale = 1 / Float(((1 << frame.format.depth) - 1) * points * points * components.count)
    let mean = image.reduce(0, +) * scale / Float(image.count)
    return image.map { $0 * scale - mean }
  }

  private static func difference(_ a: [Float], _ b: [Float]) -> Float {
    var (aa, bb, ab) = (Float(0), Float(0), Float(0))
    for i in a.indices {
      aa += a[i] * a[i]
      bb += b[i] * b[i]
      ab += a[i] * b[i]
    }
    let floor = noise * Float(a.count)
    let r = (ab + floor) / ((aa + floor) * (bb + floor)).squareRoot()
    return r > 0 ? max(1 - r * r, 0).squareRoot() : 1
  }
}
