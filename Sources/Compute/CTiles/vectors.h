// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The vector functions that the C files of the tile unit share. Include it within `#if defined(__x86_64__)` and after
// `#pragma clang attribute push`, so that they are compiled for the same instructions as their callers.

#define INLINE static inline __attribute__((always_inline))

/// 2^x for x below 128, with a relative error of 2e-7.
INLINE __m512 power(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT), f = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(1.54035304e-4f);  // ln(2)^n / n!
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.33335581e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.61812911e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.55041087e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.40226507e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.93147181e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
  return _mm512_scalef_ps(p, whole);
}

/// 1 / x for x in 2^-126 ... 2^126, with a relative error of 1e-7.
INLINE __m512 reciprocal(__m512 x) {
  const __m512 r = _mm512_rcp14_ps(x);
  return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(1)), r);
}

/// x / (1 + e^-y).
INLINE __m512 gated(__m512 x, __m512 y) {
  const __m512 e = _mm512_min_ps(_mm512_mul_ps(y, _mm512_set1_ps(-1.44269504f)), _mm512_set1_ps(125));
  return _mm512_mul_ps(x, reciprocal(_mm512_add_ps(power(e), _mm512_set1_ps(1))));
}

INLINE __m512 gelu(__m512 x) {
  const __m512 cubic = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.0713548163f), _mm512_set1_ps(1.59576912f));
  return gated(x, _mm512_mul_ps(x, cubic));
}

/// With the polynomial 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions", for erf.
INLINE __m512 erf_gelu(__m512 x) {
  const __m512 t = reciprocal(_mm512_fmadd_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.3275911f * 0.70710678f), _mm512_set1_ps(1)));
  __m512 p = _mm512_set1_ps(1.061405429f);
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
  p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
  const __m512 bell = power(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.72134752f)));
  const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(t, _mm512_set1_ps(0.5f)), _mm512_mul_ps(p, bell));
  const __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(_mm512_set1_ps(1), tail), below, tail));
}

INLINE __m512 activated(__m512 x, enum ctiles_activation activation) {
  switch (activation) {
    case ctiles_none: return x;
    case ctiles_relu: return _mm512_max_ps(x, _mm512_setzero_ps());
    case ctiles_silu: return gated(x, x);
    case ctiles_gelu: return gelu(x);
    case ctiles_erf_gelu: return erf_gelu(x);
    case ctiles_prelu: return x;  // handled in `finish`
  }
}

INLINE __mmask16 first_lanes(int count) { return count >= 16 ? 0xFFFF : count <= 0 ? 0 : (1u << count) - 1; }

/// Stores the nearest bf16 and, `rest` values further on unless that is 0, the bf16 nearest to the rounding residue.
INLINE void store_halves(__m512 x, uint16_t *to, size_t rest, __mmask16 lanes) {
  const __m256i high = (__m256i)_mm512_cvtneps_pbh(x);
  _mm256_mask_storeu_epi16(to, lanes, high);
  if (rest) {
    const __m512 rounded = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    _mm256_mask_storeu_epi16(to + rest, lanes, (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(x, rounded)));
  }
}
