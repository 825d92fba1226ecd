// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#include "ctiles.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

bool ctiles_supported(void) {
  unsigned a, b, c, d, low, high;
  const unsigned tiles = 1u << 24, bf16 = 1u << 22, saved = 1u << 27, state = 3u << 17;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tiles) || !(d & bf16)) return false;
  if (!__get_cpuid_count(0x1D, 0, &a, &b, &c, &d) || a < 1) return false;  // palettes; some virtual machines have none
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & saved)) return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & state) == state;
}

bool ctiles_permitted(void) {
  const long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c,bmi,bmi2,lzcnt,amx-tile,amx-bf16"))), \
    apply_to = function)

#include "vectors.h"

// Products. A block is up to four tiles of sums: some tiles of pixels times one or two tiles of output channels. While
// the tile unit multiplies for one block, the vector unit finishes the sums of the previous one.

/// Sums of a block that have not been finished. Branch-free, because a mispredicted branch would discard the work that
/// the tile unit has been issued ahead.
typedef struct {
  float sums[4 * 256] __attribute__((aligned(64)));  // [pixels][16 or 32]
  int places[4 * 16] __attribute__((aligned(64)));  // index of each pixel in the output
  uint64_t counts;  // a bit for each pixel: whether it is kept
  int next, pixels;
  int channel;  // the first
} Waiting;

/// Computes the output indices of `pixels` pixels from `first` on.
INLINE void start(const ctiles_convolution *c, Waiting *w, int first, int end, int pixels, int channel) {
  const int y = first / c->pitch, x = first % c->pitch;
  const __m512i pitch = _mm512_set1_epi32(c->pitch), width = _mm512_set1_epi32(c->width);
  const __m512 share = _mm512_set1_ps(1 / (float)c->pitch);
  const __m512i limit = _mm512_set1_epi32(end - first + x);
  __m512i at = _mm512_add_epi32(
      _mm512_set1_epi32(x), _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  w->counts = 0;
  for (int i = 0; i < pixels; i += 16) {
    const __m512i row = _mm512_cvttps_epi32(
        _mm512_mul_ps(_mm512_add_ps(_mm512_cvtepi32_ps(at), _mm512_set1_ps(0.5f)), share));
    const __m512i column = _mm512_sub_epi32(at, _mm512_mullo_epi32(row, pitch));
    const __mmask16 counts = _mm512_cmplt_epi32_mask(column, width) & _mm512_cmplt_epi32_mask(at, limit);
    const __m512i place = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_add_epi32(row, _mm512_set1_epi32(y)), width), column);
    _mm512_store_si512(w->places + i, _mm512_maskz_mov_epi32(counts, place));
    w->counts |= (uint64_t)counts << i;
    at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
  }
  w->next = 0;
  w->pixels = pixels;
  w->channel = channel;
}

/// Finishes the next `count` pixels, four at a time.
INLINE void finish(const ctiles_convolution *c, Waiting *w, const int columns, int count) {
  for (const int end = w->next + count < w->pixels ? w->next + count : w->pixels; w->next < end; w->next += 4) {
    const unsigned counts = w->counts >> w->next;
    size_t at[4];
    for (int i = 0; i < 4; i++) at[i] = (size_t)w->places[w->next + i] * c->channels + w->channel;
    for (int n = 0; n < columns; n++) {
      const int left = c->channels - w->channel - 16 * n;
      const unsigned lanes = left >= 16 ? 0xFFFF : (1u << left) - 1;
      const __m512 bias = _mm512_loadu_ps(c->bias + w->channel + 16 * n);
      __m512 x[4];
      __mmask16 stored[4];
      for (int i = 0; i < 4; i++) {
        stored[i] = lanes & -(counts >> i & 1);
        x[i] = _mm512_add_ps(_mm512_load_ps(w->sums + (columns * (w->next + i) + n) * 16), bias);
      }
      if (c->residual)
        for (int i = 0; i < 4; i++)
          x[i] = _mm512_add_ps(x[i], _mm512_maskz_loadu_ps(stored[i], c->residual + at[i] + 16 * n));
      switch (c->activation) {
        case ctiles_none: break;
        case ctiles_relu: for (int i = 0; i < 4; i++) x[i] = activated(x[i], ctiles_relu); break;
        case ctiles_silu: for (int i = 0; i < 4; i++) x[i] = activated(x[i], ctiles_silu); break;
        case ctiles_gelu: for (int i = 0; i < 4; i++) x[i] = activated(x[i], ctiles_gelu); break;
        case ctiles_erf_gelu: for (int i = 0; i < 4; i++) x[i] = activated(x[i], ctiles_erf_gelu); break;
        case ctiles_prelu: {
          const __m512 slope = _mm512_loadu_ps(c->slope + w->channel + 16 * n);
          for (int i = 0; i < 4; i++) {
            const __mmask16 below = _mm512_cmp_ps_mask(x[i], _mm512_setzero_ps(), _CMP_LT_OQ);
            x[i] = _mm512_mask_mul_ps(x[i], below, x[i], slope);
          }
        }
      }
      for (int i = 0; i < 4; i++) _mm512_mask_storeu_ps(c->output + at[i] + 16 * n, stored[i], x[i]);
    }
  }
}

/// Weights come from a distant cache, once for each image: prefetched four tiles ahead for its first block.
INLINE void fetch(const uint16_t *weights) {
  const char *at = (const char *)(weights + 4 * ctiles_size);
  for (int line = 0; line < 16; line++) _mm_prefetch(at + 64 * line, _MM_HINT_T1);
}

#define WEIGHTS(tile, from) \
  if (is_first) fetch(from); \
  _tile_loadd(tile, from, 64)
#define PIXELS(tile, from, m) _tile_loadd(tile, from + (m) * ctiles_side * step, 2 * step)

/// Computes the sums of `rows` x `columns` tiles. `columns` is 1 or 2. The order of products is the same in all
/// variants.
INLINE void multiply(
    const ctiles_convolution *c, const uint16_t *input, const uint16_t *weights, float *sums, const int rows,
    const int columns, const bool split, bool is_first, Waiting *waiting, int rate) {
  const size_t tile = split ? 2 * ctiles_size : ctiles_size, other = tile * c->kernel_rows * c->depths, step = c->step;
  _tile_zero(0);
  if (rows * columns > 1) _tile_zero(1);
  if (rows * columns > 2) _tile_zero(2);
  if (rows * columns > 3) _tile_zero(3);
  for (int ky = 0; ky < c->kernel_rows; ky++) {
    const uint16_t *x = input + ky % c->stride * c->plane + ky / c->stride * c->row;
    for (int k = 0; k < c->depths; k++, x += ctiles_depth, weights += tile) {
      if (columns == 1) {
        WEIGHTS(6, weights);
        if (split) {
          const uint16_t *rest = x + c->rest;
          WEIGHTS(7, weights + ctiles_size);
#define STEP(m) \
  PIXELS(4, x, m); \
  _tile_dpbf16ps(m, 4, 6); \
  PIXELS(5, rest, m); \
  _tile_dpbf16ps(m, 5, 6); \
  _tile_dpbf16ps(m, 4, 7);
          STEP(0)
          if (rows > 1) { STEP(1) }
          if (rows > 2) { STEP(2) }
          if (rows > 3) { STEP(3) }
#undef STEP
        } else {
          PIXELS(4, x, 0);
          _tile_dpbf16ps(0, 4, 6);
          if (rows > 1) { PIXELS(5, x, 1); _tile_dpbf16ps(1, 5, 6); }
          if (rows > 2) { PIXELS(7, x, 2); _tile_dpbf16ps(2, 7, 6); }
          if (rows > 3) { PIXELS(4, x, 3); _tile_dpbf16ps(3, 4, 6); }
        }
      } else {
#define ALL \
  _tile_dpbf16ps(0, 4, 6); \
  _tile_dpbf16ps(1, 4, 7); \
  if (rows > 1) { _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7); }
        WEIGHTS(6, weights);
        PIXELS(4, x, 0);
        WEIGHTS(7, weights + other);
        if (rows > 1) PIXELS(5, x, 1);
        ALL
        if (split) {
          const uint16_t *rest = x + c->rest;
          PIXELS(4, rest, 0);
          if (rows > 1) PIXELS(5, rest, 1);
          ALL
          WEIGHTS(6, weights + ctiles_size);
          PIXELS(4, x, 0);
          WEIGHTS(7, weights + other + ctiles_size);
          if (rows > 1) PIXELS(5, x, 1);
          ALL
        }
#undef ALL
      }
      finish(c, waiting, columns, rate);
    }
  }
  finish(c, waiting, columns, 64);
  if (columns == 1) {
    _tile_stored(0, sums, 64);
    if (rows > 1) _tile_stored(1, sums + 256, 64);
    if (rows > 2) _tile_stored(2, sums + 512, 64);
    if (rows > 3) _tile_stored(3, sums + 768, 64);
  } else {
    _tile_stored(0, sums, 128);
    _tile_stored(1, sums + 16, 128);
    if (rows > 1) {
      _tile_stored(2, sums + 512, 128);
      _tile_stored(3, sums + 528, 128);
    }
  }
}

INLINE void blocks(
    const ctiles_convolution *c, int first, int end, int from, int to, const int columns, const bool split) {
  const size_t panel = (size_t)(split ? 2 : 1) * ctiles_size * c->kernel_rows * c->depths;
  const int most = 4 / columns, steps = c->kernel_rows * c->depths;
  Waiting waiting[2];
  waiting[0].next = waiting[0].pixels = 0;
  int turn = 0;
  for (int n = from; n + columns <= to; n += columns) {
    const uint16_t *weights = c->weights + n * panel;
    int rows;
    for (int pixel = first; pixel < end; pixel += 16 * rows) {
      // Split evenly: six tiles are 3 + 3 rather than 4 + 2, because products for the same tile of sums are serial.
      const int tiles = (end - pixel + 15) / 16, parts = (tiles + most - 1) / most;
      rows = (tiles + parts - 1) / parts;
      Waiting *before = waiting + turn, *now = waiting + (turn ^= 1);
      const uint16_t *input = c->input + pixel * c->step;
      const int rate = (before->pixels / 4 + steps - 1) / steps * 4;
      switch (rows) {
        case 1: multiply(c, input, weights, now->sums, 1, columns, split, pixel == first, before, rate); break;
        case 2: multiply(c, input, weights, now->sums, 2, columns, split, pixel == first, before, rate); break;
        case 3: if (columns == 1) multiply(c, input, weights, now->sums, 3, 1, split, pixel == first, before, rate); break;
        default: if (columns == 1) multiply(c, input, weights, now->sums, 4, 1, split, pixel == first, before, rate);
      }
      start(c, now, pixel, end, 16 * rows, 16 * n);
    }
  }
  finish(c, waiting + turn, columns, 64);
}

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} Configuration;

void ctiles_convolve(const ctiles_convolution *c, int first, int end, int from, int to) {
  static const Configuration configuration = {
      1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
  _tile_loadconfig(&configuration);
  const int odd = to - (to - from) % 2;
  if (c->rest) {
    blocks(c, first, end, from, odd, 2, true);
    blocks(c, first, end, odd, to, 1, true);
  } else {
    blocks(c, first, end, from, odd, 2, false);
    blocks(c, first, end, odd, to, 1, false);
  }
  _tile_release();
}

#pragma clang attribute pop

#endif
