// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// 16 kHz sound -> rows of 26 log filterbank values, AV-HuBERT's front end (twin of Sources/Training/data/speech.py).
//
// The same numbers as `logfbank` of python_speech_features (James Lyons, MIT) at its defaults: pre-emphasis 0.97,
// rectangular windows of 25 ms every 10 ms, power spectrum of 512 points / 512, 26 triangular mel filters from 0 to
// 8 kHz, natural logarithm, an empty filter counted as the machine epsilon of a double. Computed in double precision
// as there: 100 rows a second cost nothing, and quiet bands beside loud ones keep their digits.

import Glibc
import Tensors

/// Sizes of the front end. Sound is 16 kHz, mono; rows are addressed by running time: row r begins at 10 r ms.
public enum Filterbank {
  public static let sampleRate = 16_000  // Hz
  public static let window = 400  // samples, 25 ms
  public static let step = 160  // samples, 10 ms
  public static let bands = 26
  public static let stack = 4  // rows seen together, 40 ms
  /// What a row of digital silence holds: log of the machine epsilon of a double, -36.0437.
  public static let silence = Float(log(epsilon))

  /// How many rows, counted from row 0, have their last sample before this one.
  static func rows(endingBy sample: Int64) -> Int {
    let last = Int(max(sample, -1 << 60)) - window
    return (last < 0 ? last - step + 1 : last) / step + 1
  }

  /// Rows of a piece of sound, `[range.count, 26]`. One that begins before or after it is silence as a whole, as in training.
  static func rows(_ range: Range<Int>, of sound: Excerpt) -> Tensor {
    Tensor(
      [range.count, bands],
      range.flatMap { index in
        let first = Int64(index * step)
        guard sound.range.contains(first) else { return [Float](repeating: silence, count: bands) }
        return row(sound[first - 1..<first + Int64(window)])
      })
  }

  static let epsilon = 2.220446049250313e-16
  static let points = 512

  /// One row, 26 values, of `sound`: the sample before the window, then its 400 samples, in -1 ... 1. A stream's first
  /// window has 0 before it. Samples are rounded to int16, as they are in training: a decoder's residue in a pause, far
  /// below one step, must be the digital silence that it was there.
  package static func row(_ sound: some Collection<Float>) -> [Float] {
    var emphasised = [Double](repeating: 0, count: points)
    var previous = 0.0
    for (i, value) in sound.prefix(window + 1).enumerated() {
      let sample = min(max((Double(value) * 32_768).rounded(.toNearestOrEven), -32_768), 32_767)
      if i > 0 { emphasised[i - 1] = sample - 0.97 * previous }
      previous = sample
    }
    let power = powerSpectrum(emphasised)
    return filters.map { filter in
      var energy = 0.0
      for (i, weight) in filter.weights.enumerated() { energy += weight * power[filter.first + i] }
      return Float(log(energy == 0 ? epsilon : energy))
    }
  }

  // MARK: Filters

  /// A triangle over the bins `first ..< first + weights.count`.
  struct Filter {
    let first: Int
    let weights: [Double]
  }

  /// 26 triangles, their corners evenly spaced in mels and rounded down to bins of the spectrum.
  static let filters: [Filter] = {
    let highest = mel(Double(sampleRate) / 2)
    let corners = (0..<bands + 2).map { i in
      Int(Double(points + 1) * hertz(highest * Double(i) / Double(bands + 1)) / Double(sampleRate))
    }
    return (0..<bands).map { j in
      let (low, middle, high) = (corners[j], corners[j + 1], corners[j + 2])
      let rise = (low..<middle).map { Double($0 - low) / Double(middle - low) }
      let fall = (middle..<high).map { Double(high - $0) / Double(high - middle) }
      return Filter(first: low, weights: rise + fall)
    }
  }()

  static func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
  static func hertz(_ mel: Double) -> Double { 700 * (pow(10, mel / 2595) - 1) }

  // MARK: Fourier transform

  /// exp(-2 pi i k / 512) for k in 0 ..< 256.
  static let twiddles: [(re: Double, im: Double)] = (0..<points / 2).map { k in
    let angle = -2 * Double.pi * Double(k) / Double(points)
    return (cos(angle), sin(angle))
  }

  /// |X_k|^2 / 512 for k in 0 ... 256 of 512 real values.
  ///
  /// Even and odd values become the real and imaginary parts of 256 complex ones; their transform Z holds both halves,
  /// told apart by symmetry: E_k = (Z_k + conj Z_-k) / 2, O_k = (Z_k - conj Z_-k) / 2i, X_k = E_k + w^k O_k.
  static func powerSpectrum(_ x: [Double]) -> [Double] {
    let n = points / 2
    var re = [Double](repeating: 0, count: n)
    var im = re
    let bits = n.trailingZeroBitCount
    for i in 0..<n {
      var reversed = 0
      for bit in 0..<bits where i >> bit & 1 == 1 { reversed |= 1 << (bits - 1 - bit) }
      (re[reversed], im[reversed]) = (x[2 * i], x[2 * i + 1])
    }
    var half = 1
    while half < n {
      for start in stride(from: 0, to: n, by: 2 * half) {
        for k in 0..<half {
          let w = twiddles[k * n / half]
          let (a, b) = (start + k, start + k + half)
          let (tr, ti) = (w.re * re[b] - w.im * im[b], w.re * im[b] + w.im * re[b])
          (re[b], im[b]) = (re[a] - tr, im[a] - ti)
          (re[a], im[a]) = (re[a] + tr, im[a] + ti)
        }
      }
      half *= 2
    }
    return (0...n).map { k in
      let (a, b) = (k % n, (n - k) % n)
      let even = (re: (re[a] + re[b]) / 2, im: (im[a] - im[b]) / 2)
      let odd = (re: (im[a] + im[b]) / 2, im: (re[b] - re[a]) / 2)
      let w = k < n ? twiddles[k] : (re: -1, im: 0)
      let xr = even.re + w.re * odd.re - w.im * odd.im
      let xi = even.im + w.re * odd.im + w.im * odd.re
      return (xr * xr + xi * xi) / Double(points)
    }
  }
}
