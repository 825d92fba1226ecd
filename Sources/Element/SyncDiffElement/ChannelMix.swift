// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Mixes many channels down to one, so that a voice is audible whichever channel it is in:
//
// - the centre channel, if there is one that is not silent relative to the others, since films put the voice there;
// - else the mean of the channels within 20 dB of the loudest, so that silent channels do not attenuate it;
// - if these cancel each other, as the two legs of a balanced line do, the loudest alone.

import Speech

package struct ChannelMix {
  private let channels: Int
  private let centre: Int?
  private let bass: Int?
  /// Mean squares of each channel and of the mean of the audible ones: decaying maxima.
  private var powers: [Float]
  private var mixedPower: Float = 0
  /// Weights of the previous block; empty at the beginning.
  private var weights: [Float] = []

  /// `bass`: a low-frequency channel, which carries no speech.
  package init(channels: Int, centre: Int? = nil, bass: Int? = nil) {
    (self.channels, self.centre, self.bass) = (channels, centre, bass)
    powers = [Float](repeating: 0, count: channels)
  }

  private static let block = Filterbank.sampleRate / 100  // 10 ms
  private static let audible: Float = 0.01  // relative to the loudest channel's power
  private static let decay: Float = 0.87  // of a power, per block: half of it in 50 ms

  /// Interleaved samples -> one channel.
  package mutating func mix(_ samples: [Float]) -> [Float] {
    guard channels > 1 else { return samples }
    var mixed: [Float] = []
    mixed.reserveCapacity(samples.count / channels)
    for start in stride(from: 0, to: samples.count / channels, by: Self.block) {
      let end = min(start + Self.block, samples.count / channels)
      mix(samples[start * channels..<end * channels], into: &mixed)
    }
    return mixed
  }

  private mutating func mix(_ block: ArraySlice<Float>, into mixed: inout [Float]) {
    let frames = block.count / channels
    func power(_ weights: [Float]) -> Float {
      var sum: Float = 0
      for frame in 0..<frames {
        let value = dot(block, frame, weights)
        sum += value * value
      }
      return sum / Float(frames)
    }
    for channel in 0..<channels {
      powers[channel] = max(powers[channel] * Self.decay, power(alone(channel)))
    }
    let loudest = powers.indices.filter { $0 != bass }.max { powers[$0] < powers[$1] } ?? 0
    let audible = powers.indices.filter { $0 != bass && powers[$0] >= powers[loudest] * Self.audible }
    var next = [Float](repeating: 0, count: channels)
    if let centre, powers[centre] >= powers[loudest] * Self.audible {
      next = alone(centre)
    } else {
      for channel in audible { next[channel] = 1 / Float(audible.count) }
      mixedPower = max(mixedPower * Self.decay, power(next))
      // Independent signals leave a fraction of 1 / n.
      if mixedPower < powers[loudest] / Float(4 * audible.count) { next = alone(loudest) }
    }
    // Interpolate between blocks, to avoid steps.
    let last = weights.isEmpty ? next : weights
    for frame in 0..<frames {
      let share = Float(frame + 1) / Float(frames)
      mixed.append(dot(block, frame, last) * (1 - share) + dot(block, frame, next) * share)
    }
    weights = next
  }

  private func alone(_ channel: Int) -> [Float] { (0..<channels).map { $0 == channel ? 1 : 0 } }

  private func dot(_ block: ArraySlice<Float>, _ frame: Int, _ weights: [Float]) -> Float {
    let first = block.startIndex + frame * channels
    var sum: Float = 0
    for channel in 0..<channels { sum += block[first + channel] * weights[channel] }
    return sum
  }
}
