// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The audio that each frame of a stream is given: features of `Front` for our own audio encoder, or filterbank stacks
// for AV-HuBERT. The result is a pure function of the audio around the frame: it depends neither on how the audio was
// cut into buffers nor on which frames were asked for before. Where there is no audio it is digital silence.

public import Tensors

/// One stream's state, for one timeline. `capture` copies what it needs while the timeline is locked; `features` does the
/// work afterwards.
public struct AudioFeatureExtractor: Sendable {
  /// The result for a frame amid infinite digital silence, `[T, C]`.
  public let silence: Tensor

  private let past, future: Int  // 40 ms stacks before and after the frame's own
  private let lead: Int  // rows by which a frame's own audio is later than its time
  private var stream: FeatureStream?  // nil: filterbank stacks
  private var row = 0
  private var excerpt = Excerpt()
  private var limit: Int64 = 0
  private var silent: [Bool] = []  // one for each row in `shown`

  /// `past`, `future`: 40 ms stacks before and after a frame's own. `lead`: by how many rows (10 ms) the mouth is ahead of the
  /// frame's time; no more audio is waited for, so as much of the future is unknown. `front` nil: filterbank stacks.
  public init(_ front: Front?, past: Int, future: Int, lead: Int = 0) {
    (self.past, self.future, self.lead) = (past, future, lead)
    stream = front.map { FeatureStream($0) }
    let tokens = past + 1 + future
    let one = front.map { Array($0.silence.values) } ?? [Filterbank.silence]
    let width = front.map { 2 * $0.width } ?? Filterbank.stack * Filterbank.bands
    silence = Tensor([tokens, width], (0..<tokens * width).map { one[$0 % one.count] })
  }

  /// How much audio after a frame's time is waited for: `samplesNeeded` plus half a row, because a frame uses the row
  /// nearest to it.
  public var lookahead: RunningTime { RunningTime(sample: samplesNeeded(atRow: 0) + Int64(Filterbank.step / 2)) }

  /// One past the last sample that the features around `row` depend on: audio from there on cannot change them.
  public func samplesNeeded(atRow row: Int) -> Int64 {
    let row = AudioTimeline.clamped(row)
    let last =
      stream.map { 2 * (featureRange(row).upperBound - 1 + $0.front.after) + 2 } ?? silenceRange(row).upperBound - 1
    return Int64(last * Filterbank.step + Filterbank.window)
  }

  /// Copies the audio around the frame at `row`. Audio later than `lookahead` (nil: the model's own) after the frame is
  /// ignored even when it has arrived already, so that equal input gives equal output: features that need it are
  /// unknown (`AudioEncoder.mask_unknown` in Sources/Training/networks/audio.py), in filterbank stacks it is digital
  /// silence. Returns whether the frame itself lies in a `silence`, as far as the rows around it tell.
  @discardableResult
  public mutating func capture(
    from timeline: inout AudioTimeline, atRow row: Int, lookahead: RunningTime? = nil, _ silence: Silence? = nil
  ) -> Bool {
    let ahead = (lookahead ?? self.lookahead).samples - Int64(Filterbank.step / 2)
    limit = Int64(AudioTimeline.clamped(row) * Filterbank.step) + ahead
    self.row = AudioTimeline.clamped(row) + lead
    stream?.cut(to: timeline.takeChange())
    let (wanted, shown) = (featureRange(self.row), silenceRange(self.row))
    let first = stream?.prepare(for: wanted) ?? Int64(shown.lowerBound * Filterbank.step - 1)
    excerpt = timeline.excerpt(first, to: min(samplesNeeded(atRow: self.row), limit))
    silent = silence.map { timeline.silent(shown, until: limit, $0) } ?? []
    return silent.isEmpty ? false : silent[min(self.row, shown.upperBound - 1) - shown.lowerBound]
  }

  /// The features of the frame `capture` was called for, `[T, C]`. `gated`: rows in a silence become digital silence,
  /// like the noise gate in training.
  public mutating func features(gated: Bool = true) -> Tensor {
    let (wanted, excerpt, limit) = (featureRange(row), excerpt, limit)
    let values = stream?.read(wanted, of: excerpt, until: limit) ?? Filterbank.rows(silenceRange(row), of: excerpt)
    let open = values.reshaped(silence.shape)
    guard gated, silent.contains(true) else { return open }
    let step = stream == nil ? 1 : 2  // rows for each value
    let width = values.shape[1]
    return open.map { silent[step * ($0 / width)] ? silence.values[$0] : $1 }
  }

  /// The features around the frame: 20 ms each, two in a stack.
  private func featureRange(_ row: Int) -> Range<Int> {
    let own = row >> 1
    return own - 2 * past - 1..<own + 2 * future + 1
  }

  /// The rows that are tested for silence: all around the frame; for features, each one's own row and the row after it.
  private func silenceRange(_ row: Int) -> Range<Int> {
    guard stream != nil else {
      return row - Filterbank.stack * past..<row + Filterbank.stack * (future + 1)
    }
    let features = featureRange(row)
    return 2 * features.lowerBound..<2 * features.upperBound - 1
  }
}
