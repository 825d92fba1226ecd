// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Whisper's log-mel spectrogram, row by row, from 16 kHz audio: 80 bands (twin of `log_mel` in
// Sources/Training/data/speech.py).
//
// Hann windows of 25 ms every 10 ms, 512-point power spectrum, triangles on Slaney's mel scale, log10. Each row is
// normalised to the loudest band of the 4 s that end with it, so the result does not depend on the volume.

import Glibc
import Tensors

/// Row r covers the 400 samples from 160 r on, like a row of `Filterbank`.
package enum LogMel {
  static let bands = 80
  /// Rows before a row, 4 s, over which the loudest band is taken.
  package static let memory = 400
  /// log10 of the least power that counts as the loudest: quieter audio is not amplified.
  static let faintest: Float = -4
  /// Dynamic range below the loudest band, in powers of ten.
  static let range: Float = 8
  /// The levels of digital silence.
  static let silence = [Float](repeating: -12, count: bands)

  /// log10 of the band energies of one row's 400 samples, at least -12.
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

  /// A normalised row, -0.625 ... 1.375. `levels`: its band energies; `loudest`: the loudest band of the 4 s that end
  /// with it.
  package static func row(_ levels: [Float], loudest: Float) -> [Float] {
    let loudest = max(loudest, faintest)
    return levels.map { (max($0 - loudest, -range) + 5.5) / 4 }
  }

  private static let hann = (0..<Filterbank.window).map { 0.5 - 0.5 * cos(2 * Double.pi * Double($0) / 400) }

  /// 80 triangles of unit area with corners evenly spaced in mel. `powerSpectrum` divides by 512, and Whisper's
  /// transform has 400 points, which spreads the same energy over 400 / 512 as many bins: together a factor of 400.
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

  /// Slaney's mel scale: linear below 1 kHz, logarithmic above.
  private static func mel(_ hertz: Double) -> Double {
    hertz < 1000 ? 3 * hertz / 200 : 15 + 27 * log(hertz / 1000) / log(6.4)
  }

  private static func hertz(_ mel: Double) -> Double { mel < 15 ? 200 * mel / 3 : 1000 * pow(6.4, (mel - 15) / 27) }
}
