// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// AV-HuBERT's front end: rows of 26 log filterbank energies from 16 kHz audio (twin of
// Sources/Training/data/speech.py).
//
// Equals `logfbank` of python_speech_features (James Lyons, MIT) at its defaults: pre-emphasis 0.97, rectangular 25 ms
// windows every 10 ms, 512-point power spectrum divided by 512, 26 triangular mel filters from 0 to 8 kHz, natural
// logarithm; an empty filter counts as the machine epsilon of a double. It computes in double precision, as the
// original does: at 100 rows a second that costs nothing, and it keeps the digits of quiet bands next to loud ones.

import Glibc
import Tensors

/// The front end's sizes. Audio is 16 kHz mono. Rows are indexed by running time: row r begins at 10 r ms.
public enum Filterbank {
  public static let sampleRate = 16_000  // Hz
  public static let window = 400  // samples, 25 ms
  public static let step = 160  // samples, 10 ms
  public static let bands = 26
  public static let stack = 4  // rows in one stack, 40 ms
  /// The value of a row of digital silence: the log of a double's machine epsilon, -36.0437.
  public static let silence = Float(log(epsilon))

  /// The number of rows, counted from row 0, that end at or before this sample.
  static func rows(endingBy sample: Int64) -> Int {
    let last = Int(max(sample, -1 << 60)) - window
    return (last < 0 ? last - step + 1 : last) / step + 1
  }

  /// Rows of `sound`, `[range.count, 26]`. As in training, a row whose first sample is not in `sound` is silent as a
  /// whole.
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

  /// One row of 26 values. `sound`: the sample before the window (0 at the start of a stream), then its 400 samples, in
  /// -1 ... 1. Samples are rounded to int16 as in training, so that the residue a decoder leaves in a pause, far below
  /// one step, becomes digital silence.
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

  /// A triangular filter over the bins `first ..< first + weights.count`.
  struct Filter {
    let first: Int
    let weights: [Double]
  }

  /// 26 triangles with corners evenly spaced in mel, rounded down to bins of the spectrum.
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

  /// The 512-point real transform as one of 256 complex points: even and odd values become real and imaginary parts,
  /// and symmetry separates them in the transform Z: E_k = (Z_k + conj Z_-k) / 2, O_k = (Z_k - conj Z_-k) / 2i, X_k =
  /// E_k + w^k O_k.
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
