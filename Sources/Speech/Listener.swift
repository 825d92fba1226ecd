// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What the pictures of a stream take in of its sound, each at its own time: features of `Front` for our own audio encoder, or
// filterbank stacks for AV-HuBERT. A pure function of the sound around the picture, in whatever pieces it came and whatever
// was heard before: digital silence where there is none.

public import Tensors

/// One stream's state. It listens to one timeline, and takes over what it needs under the timeline's lock (`listen`); the work
/// is done in `heard`.
public struct Listener: Sendable {
  /// What is taken in around a picture in endless digital silence, `[T, C]`.
  public let silence: Tensor

  private let past, future: Int  // stacks of 40 ms before and after the picture's own
  private var stream: FeatureStream?  // nil: filterbank stacks
  private var row = 0
  private var excerpt = Excerpt()
  private var limit: Int64 = 0
  private var silent: [Bool] = []  // of the rows shown

  /// `past` and `future`: stacks of 40 ms before and after a picture's own. Without a front: filterbank stacks.
  public init(_ front: Front?, past: Int, future: Int) {
    (self.past, self.future) = (past, future)
    stream = front.map { FeatureStream($0) }
    let tokens = past + 1 + future
    let one = front.map { Array($0.silence.values) } ?? [Filterbank.silence]
    let width = front.map { 2 * $0.width } ?? Filterbank.stack * Filterbank.bands
    silence = Tensor([tokens, width], (0..<tokens * width).map { one[$0 % one.count] })
  }

  /// How far past a picture its sound must be known: `samplesNeeded`, and half a row since a picture's row is the nearest one.
  public var lookahead: RunningTime { RunningTime(sample: samplesNeeded(atRow: 0) + Int64(Filterbank.step / 2)) }

  /// The end of the last sample that the picture at `row` looks at: once the sound has come so far, what is still to come
  /// changes nothing.
  public func samplesNeeded(atRow row: Int) -> Int64 {
    let row = SoundTimeline.clamped(row)
    let last = stream.map { 2 * (features(row).upperBound - 1 + $0.front.after) + 2 } ?? shown(row).upperBound - 1
    return Int64(last * Filterbank.step + Filterbank.window)
  }

  /// Gets ready to hear the picture at `row`. Sound further than `lookahead` past it does not count, even if it is there by
  /// chance, so that the same input gives the same output: features that need it are not known yet (`AudioEncoder.unheard` in
  /// Sources/Training/networks/model.py), in filterbank stacks it is digital silence; nil: the model's own. Whether the picture itself is part of a
  /// `silence`, as far as the rows around it show it.
  @discardableResult
  public mutating func listen(
    to timeline: inout SoundTimeline, atRow row: Int, lookahead: RunningTime? = nil, _ silence: Silence? = nil
  ) -> Bool {
    self.row = SoundTimeline.clamped(row)
    let ahead = (lookahead ?? self.lookahead).samples - Int64(Filterbank.step / 2)
    limit = Int64(self.row * Filterbank.step) + ahead
    stream?.cut(to: timeline.takeChange())
    let (wanted, shown) = (features(self.row), shown(self.row))
    let first = stream?.prepare(for: wanted) ?? Int64(shown.lowerBound * Filterbank.step - 1)
    excerpt = timeline.excerpt(first, to: min(samplesNeeded(atRow: row), limit))
    silent = silence.map { timeline.silent(shown, until: limit, $0) } ?? []
    return silent.isEmpty ? false : silent[min(self.row, shown.upperBound - 1) - shown.lowerBound]
  }

  /// What the picture that it listened to takes in, `[T, C]`. `gated`: rows that are part of the silence are digital silence,
  /// as the noise gate of training makes them.
  public mutating func heard(gated: Bool = true) -> Tensor {
    let (wanted, excerpt, limit) = (features(row), excerpt, limit)
    let heard = stream?.heard(wanted, of: excerpt, until: limit) ?? Filterbank.rows(shown(row), of: excerpt)
    let open = heard.reshaped(silence.shape)
    guard gated, silent.contains(true) else { return open }
    let step = stream == nil ? 1 : 2  // rows of one value
    let width = heard.shape[1]
    return open.map { silent[step * ($0 / width)] ? silence.values[$0] : $1 }
  }

  /// The features around the picture: 20 ms each, two a stack.
  private func features(_ row: Int) -> Range<Int> {
    let own = row >> 1
    return own - 2 * past - 1..<own + 2 * future + 1
  }

  /// The rows around the picture, of which some can be silence; of features each one's own row and the one behind it.
  private func shown(_ row: Int) -> Range<Int> {
    guard stream != nil else {
      return row - Filterbank.stack * past..<row + Filterbank.stack * (future + 1)
    }
    let features = features(row)
    return 2 * features.lowerBound..<2 * features.upperBound - 1
  }
}
