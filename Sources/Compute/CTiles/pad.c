// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Inputs for the tile unit: rounds pictures to bf16, pads them, and convolves them depthwise.

#include "ctiles.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c,bmi,bmi2,lzcnt,amx-tile,amx-bf16"))), \
    apply_to = function)

#include "vectors.h"

INLINE void zeros(uint16_t *to, size_t rest, size_t count) {
  memset(to, 0, 2 * count);
  if (rest) memset(to + rest, 0, 2 * count);
}

INLINE void pad(const ctiles_picture *p, int first, int end, uint16_t *output, size_t rest, enum ctiles_activation curve) {
  const int channels = p->channels;
  const size_t line = (size_t)(p->left + p->width + p->right) * channels;
  for (int row = first; row < end; row++) {
    uint16_t *to = output + row % p->stride * p->plane + row / p->stride * line;
    const int y = row - p->top;
    if (y < 0 || y >= p->height) {
      zeros(to, rest, line);
      continue;
    }
    zeros(to, rest, (size_t)p->left * channels);
    to += p->left * channels;
    const float *from = p->input + (size_t)y * p->width * channels;
    if (p->factor) {
      for (int c = 0; c < channels; c += 16) {
        const __mmask16 lanes = first_lanes(channels - c);
        const __m512 factor = _mm512_maskz_loadu_ps(lanes, p->factor + c);
        const __m512 offset = _mm512_maskz_loadu_ps(lanes, p->offset + c);
        for (int at = c; at < p->width * channels; at += channels) {
          const __m512 x = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, from + at), factor, offset);
          store_halves(activated(x, curve), to + at, rest, lanes);
        }
      }
    } else {
      const int count = p->width * channels;
      for (int at = 0; at < count; at += 16) {
        const __mmask16 lanes = first_lanes(count - at);
        store_halves(activated(_mm512_maskz_loadu_ps(lanes, from + at), curve), to + at, rest, lanes);
      }
    }
    zeros(to + p->width * channels, rest, (size_t)p->right * channels);
  }
  uint16_t *const behind = output + (p->stride - 1) * p->plane + p->rows / p->stride * line;
  if (end == p->rows) zeros(behind, rest, (size_t)p->left * channels + ctiles_depth);
}

void ctiles_pad(const ctiles_picture *p, int first, int end, uint16_t *output, size_t rest) {
  switch (p->activation) {  // constants, so that each gets a specialised loop
    case ctiles_none: pad(p, first, end, output, rest, ctiles_none); break;
    case ctiles_relu: pad(p, first, end, output, rest, ctiles_relu); break;
    case ctiles_silu: pad(p, first, end, output, rest, ctiles_silu); break;
    case ctiles_gelu: pad(p, first, end, output, rest, ctiles_gelu); break;
    case ctiles_erf_gelu: pad(p, first, end, output, rest, ctiles_erf_gelu); break;
    case ctiles_prelu: break;
  }
}

INLINE void convolve_depthwise(
    const ctiles_depthwise *d, int first, int end, uint16_t *output, size_t rest, const int stride) {
  const int channels = d->channels;
  const size_t line = (size_t)d->width * channels;
  for (int y = first; y < end; y++) {
    const float *rows[3];
    bool holds[3];
    for (int i = 0; i < 3; i++) {
      const int row = y * stride + i - d->top;
      holds[i] = row >= 0 && row < d->height;
      rows[i] = d->input + (holds[i] ? row : 0) * line;
    }
    for (int c = 0; c < channels; c += 16) {
      const __mmask16 lanes = first_lanes(channels - c);
      __m512 w[9], x[3][3];
      for (int i = 0; i < 9; i++) w[i] = _mm512_maskz_loadu_ps(lanes, d->weights + i * channels + c);
      const __m512 bias = _mm512_maskz_loadu_ps(lanes, d->bias + c);
// A column of three values, zeros outside the image.
#define COLUMN(to, at) \
  { \
    const int column = (at); \
    const bool inside = column >= 0 && column < d->width; \
    for (int i = 0; i < 3; i++) \
      to[i] = _mm512_maskz_loadu_ps(inside && holds[i] ? lanes : 0, rows[i] + (inside ? column : 0) * channels + c); \
  }
      for (int k = 0; k + stride < 3; k++) COLUMN(x[k + stride], k - d->left)
      uint16_t *to = output + ((size_t)y * d->columns) * channels + c;
      for (int out = 0; out < d->columns; out++, to += channels) {
        for (int k = 0; k + stride < 3; k++)
          for (int i = 0; i < 3; i++) x[k][i] = x[k + stride][i];
        for (int k = 3 - stride; k < 3; k++) COLUMN(x[k], out * stride + k - d->left)
        __m512 sums[3] = {bias, _mm512_setzero_ps(), _mm512_setzero_ps()};
        for (int i = 0; i < 3; i++)
          for (int k = 0; k < 3; k++) sums[i] = _mm512_fmadd_ps(x[k][i], w[3 * i + k], sums[i]);
        store_halves(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), sums[2]), to, rest, lanes);
      }
#undef COLUMN
    }
  }
}

void ctiles_convolve_depthwise(const ctiles_depthwise *d, int first, int end, uint16_t *output, size_t rest) {
  if (d->stride == 1) {
    convolve_depthwise(d, first, end, output, rest, 1);
  } else {
    convolve_depthwise(d, first, end, output, rest, 2);
  }
}

#pragma clang attribute pop

#endif
