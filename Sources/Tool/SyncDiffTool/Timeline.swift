// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Checks whether a stream's timestamps match its frame rate, and evens them out where they do not.
struct Timeline {
  /// Where the frames so far end, seconds.
  private(set) var end = 0.0
  /// How often the time jumps, where it first does, and by how much at most, seconds.
  private(set) var leaps = (count: 0, first: 0.0, largest: 0.0)
  private var last: (told: Double, placed: Double)?
  private let rate: Double
  private let isEven: Bool
  private let longest: Double

  /// `rate`: frames per second, 0 if variable. `isEven`: for an MPEG program stream, whose timestamps GStreamer partly
  /// guesses. There half a frame counts as a jump, and frames are placed by counting unless that is off by more than a
  /// second. Elsewhere only more than 0.3 s is a jump, since phones skip frames, and it is kept. `longest`: how long a frame
  /// lasts at most by the file's index, seconds; recordings of a screen have long ones.
  init(rate: Double, isEven: Bool, longest: Double) {
    (self.rate, self.isEven, self.longest) = (rate, isEven, longest)
  }

  private static let repairable = 1.0  // seconds

  /// The time of a frame, seconds; always later than that of the frame before.
  mutating func place(_ time: Double, lasting duration: Double?) -> Double {
    let frame = rate > 0 ? 1 / rate : duration ?? last.map { max(time - $0.told, 0) } ?? 0
    var placed = time
    if let last, rate > 0 {
      let error = time - last.told - frame
      if abs(error) > (isEven ? 0.5 * frame : max(0.3, 2 * frame, longest)) {
        leaps = (leaps.count + 1, leaps.count == 0 ? last.told : leaps.first, max(leaps.largest, abs(error)))
      }
      let next = last.placed + frame
      if time <= last.placed || (isEven && abs(time - next) < Self.repairable) { placed = next }
    }
    last = (time, placed)
    end = max(end, placed + (duration ?? frame))
    return placed
  }
}
