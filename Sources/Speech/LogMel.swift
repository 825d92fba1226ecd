// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// 16 kHz sound -> rows of 80 log mel energies, as Whisper hears them (twin of `log_mel` in Sources/Training/data/speech.py).
//
// Hann windows of 25 ms every 10 ms, power spectrum of 512 points, triangles on Slaney's mel scale, logarithm to the base of
// ten. Each row is told against the loudest band of the 4 s that end with it, so that loudness changes nothing.

import Glibc
import Tensors

/// Row r looks at the 400 samples from 160 r on, like one of `Filterbank`.
package enum LogMel {
  static let bands = 80
  /// Rows before a row, 4 s, of which the loudest band tells how loud the sound is.
  package static let memory = 400
  /// log10 of the power below which sound is not made louder.
  static let faintest: Float = -4
  /// Powers of ten below the loudest that are told apart.
  static let range: Float = 8
  /// The levels of digital silence.
  static let silence = [Float](repeating: -12, count: bands)

  /// log10 of the energies in one row's 400 samples, -12 and more.
  package static func levels(_ sound: some Collection<Float>) -> [Float] {
    var windowed = [Double](repeating: 0, count: Filterbank.points)
    for (i, value) in sound.prefix(Filterbank.window).enumerated() { windowed[i] = Double(value) * hann[i] }
    let power = Filterbank.powerSpectrum(windowed)
    return filters.map { filter in
      var energy = 0.0
      for (i, weight) in filter.weights.enumerated() { energy += weight * power[filter.first + i] }
      return Float(log10(max(energy, 1e-12)))
    }
  }

  /// A row, -0.625 ... 1.375, of its levels and the loudest of the 4 s that end with it.
  package static func row(_ levels: [Float], loudest: Float) -> [Float] {
    let loudest = max(loudest, faintest)
    return levels.map { (max($0 - loudest, -range) + 5.5) / 4 }
  }

  private static let hann = (0..<Filterbank.window).map { 0.5 - 0.5 * cos(2 * Double.pi * Double($0) / 400) }

  /// 80 triangles of area one, their corners evenly spaced in mels. `powerSpectrum` divides by 512; Whisper's transform has 400
  /// points, so that as much energy lies in 400 / 512 as many bins.
  private static let filters: [Filterbank.Filter] = {
    let nyquist = Double(Filterbank.sampleRate) / 2
    let corners = (0..<bands + 2).map { hertz(mel(nyquist) * Double($0) / Double(bands + 1)) }
    return (0..<bands).map { j in
      let (low, middle, high) = (corners[j], corners[j + 1], corners[j + 2])
      let bins = (0...Filterbank.points / 2).map { nyquist * Double($0) / Double(Filterbank.points / 2) }
      let inside = bins.indices.filter { low < bins[$0] && bins[$0] < high }
      return Filterbank.Filter(
        first: inside.first ?? 0,
        weights: inside.map { i in
          min((bins[i] - low) / (middle - low), (high - bins[i]) / (high - middle)) * 2 / (high - low) * 400
        })
    }
  }()

  /// Slaney's scale: linear to 1 kHz, logarithmic above.
  private static func mel(_ hertz: Double) -> Double {
    hertz < 1000 ? 3 * hertz / 200 : 15 + 27 * log(hertz / 1000) / log(6.4)
  }

  private static func hertz(_ mel: Double) -> Double { mel < 15 ? 200 * mel / 3 : 1000 * pow(6.4, (mel - 15) / 27) }
}
