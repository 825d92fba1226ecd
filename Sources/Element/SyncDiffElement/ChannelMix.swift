// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// One sound to listen to out of many channels, such that a voice is heard wherever it is:
//
// - in a centre channel, where there is one that is not silent beside the others, for that is where films have it;
// - else in the mean of the channels that are within 20 dB of the loudest, so that silent ones do not thin it out;
// - where these cancel each other, as the two legs of a balanced line do, in the loudest alone.

import Speech

package struct ChannelMix {
  private let channels: Int
  private let centre: Int?
  private let bass: Int?
  /// Mean squares of each channel and of the mean of those that count: the loudest of late.
  private var powers: [Float]
  private var mixedPower: Float = 0
  /// Of the block before; empty at the beginning.
  private var weights: [Float] = []

  /// `bass`: a channel of low frequencies only, which nobody speaks in.
  package init(channels: Int, centre: Int? = nil, bass: Int? = nil) {
    (self.channels, self.centre, self.bass) = (channels, centre, bass)
    powers = [Float](repeating: 0, count: channels)
  }

  private static let block = Filterbank.sampleRate / 100  // 10 ms
  private static let audible: Float = 0.01  // of the loudest's power
  private static let decay: Float = 0.87  // of a power, a block: half of it in 50 ms

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
      // Independent sounds leave a part of 1 / n.
      if mixedPower < powers[loudest] / Float(4 * audible.count) { next = alone(loudest) }
    }
    // From one block to the next without a step.
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
