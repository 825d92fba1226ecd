// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Instructions that Swift cannot express.

#pragma once

typedef float ckernels_eight __attribute__((ext_vector_type(8)));
typedef int ckernels_eight_integers __attribute__((ext_vector_type(8)));

/// a + x * y in every lane, in one instruction where there is one.
static inline __attribute__((always_inline)) ckernels_eight ckernels_add_product(
    ckernels_eight a, ckernels_eight x, ckernels_eight y) {
  return a + x * y;
}

/// The lesser of two in every lane. Swift would compile this to a selection for each lane, which is too much code to
/// inline often.
static inline __attribute__((always_inline)) ckernels_eight ckernels_lesser(ckernels_eight a, ckernels_eight b) {
  return a < b ? a : b;
}

static inline __attribute__((always_inline)) ckernels_eight ckernels_greater(ckernels_eight a, ckernels_eight b) {
  return a > b ? a : b;
}

/// Whether any bit of any lane is set.
static inline __attribute__((always_inline)) int ckernels_any(ckernels_eight_integers v) {
  return __builtin_reduce_or(v) != 0;
}

/// Truncates floats of magnitude below 2^31 to integers.
static inline __attribute__((always_inline)) ckernels_eight_integers ckernels_truncated(ckernels_eight v) {
  return __builtin_convertvector(v, ckernels_eight_integers);
}

/// Integers as floats.
static inline __attribute__((always_inline)) ckernels_eight ckernels_floats(ckernels_eight_integers v) {
  return __builtin_convertvector(v, ckernels_eight);
}

typedef unsigned char ckernels_eight_bytes __attribute__((ext_vector_type(8), aligned(1)));

/// Eight bytes as floats.
static inline __attribute__((always_inline)) ckernels_eight ckernels_bytes(const void *from) {
  return __builtin_convertvector(*(const ckernels_eight_bytes *)from, ckernels_eight);
}

typedef unsigned short ckernels_eight_shorts __attribute__((ext_vector_type(8), aligned(1)));

/// Eight words of 16 bits, little-endian, as integers.
static inline __attribute__((always_inline)) ckernels_eight_integers ckernels_shorts(const void *from) {
  return __builtin_convertvector(*(const ckernels_eight_shorts *)from, ckernels_eight_integers);
}

/// Writes the lower 16 bits of every lane.
static inline __attribute__((always_inline)) void ckernels_store_shorts(void *to, ckernels_eight_integers values) {
  *(ckernels_eight_shorts *)to = __builtin_convertvector(values, ckernels_eight_shorts);
}

/// Writes the lowest byte of every lane.
static inline __attribute__((always_inline)) void ckernels_store_bytes(void *to, ckernels_eight_integers values) {
  *(ckernels_eight_bytes *)to = __builtin_convertvector(values, ckernels_eight_bytes);
}

#if defined(__AVX2__)
/// Loads four bytes at each of eight byte offsets from `from` as little-endian integers.
static inline __attribute__((always_inline)) ckernels_eight_integers ckernels_words(
    const void *from, ckernels_eight_integers places) {
  typedef int integers __attribute__((vector_size(32)));
  const integers all = {-1, -1, -1, -1, -1, -1, -1, -1};
  return (ckernels_eight_integers)__builtin_ia32_gatherd_d256(
      (integers){0}, (const int *)from, (integers)places, all, 1);
}

/// Whether any lane is negative or greater than `most`.
static inline __attribute__((always_inline)) int ckernels_any_beyond(ckernels_eight_integers v, int most) {
  typedef unsigned words __attribute__((ext_vector_type(8)));
  return ckernels_any((words)v > (words)(unsigned)most);
}

/// In every lane, the lesser of the first and the last lane of its half.
static inline __attribute__((always_inline)) ckernels_eight_integers ckernels_lesser_end(ckernels_eight_integers v) {
  const ckernels_eight_integers first = __builtin_shufflevector(v, v, 0, 0, 0, 0, 4, 4, 4, 4);
  const ckernels_eight_integers last = __builtin_shufflevector(v, v, 3, 3, 3, 3, 7, 7, 7, 7);
  return first < last ? first : last;
}

/// Of 16 bytes at `lower` for the first four lanes and at `upper` for the others, those that the bytes of `pattern`
/// number.
static inline __attribute__((always_inline)) ckernels_eight_integers ckernels_shuffled_bytes(
    const void *lower, const void *upper, ckernels_eight_integers pattern) {
  typedef char bytes __attribute__((vector_size(32)));
  typedef char half __attribute__((vector_size(16), aligned(1)));
  const half first = *(const half *)lower, second = *(const half *)upper;
  const bytes both = __builtin_shufflevector(
      first, second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
      27, 28, 29, 30, 31);
  return (ckernels_eight_integers)__builtin_ia32_pshufb256(both, (bytes)pattern);
}
#endif

#if defined(__AVX512F__)
typedef float ckernels_vector __attribute__((ext_vector_type(16)));
typedef _Float16 ckernels_halves __attribute__((ext_vector_type(16), aligned(2)));
#elif defined(__F16C__)
typedef float ckernels_vector __attribute__((ext_vector_type(8)));
typedef _Float16 ckernels_halves __attribute__((ext_vector_type(8), aligned(2)));
#endif

#if defined(__F16C__)
/// A vector of IEEE 754 binary16 as floats.
static inline __attribute__((always_inline)) ckernels_vector ckernels_widened(const void *halves) {
  return __builtin_convertvector(*(const ckernels_halves *)halves, ckernels_vector);
}
#endif

#if defined(__AVX512BF16__)
typedef int ckernels_pairs __attribute__((ext_vector_type(16)));

/// Stores every lane as the nearest bf16, ties to even; subnormals become 0.
static inline __attribute__((always_inline)) void ckernels_store_halves(void *to, ckernels_vector values) {
  typedef __bf16 halves __attribute__((ext_vector_type(16), aligned(2)));
  *(halves *)to = __builtin_convertvector(values, halves);
}

/// sum + a.lower * b.lower + a.upper * b.upper in every lane, a and b being pairs of bf16.
static inline __attribute__((always_inline)) ckernels_vector ckernels_dot_pairs(
    ckernels_vector sum, ckernels_pairs a, ckernels_pairs b) {
  typedef float floats __attribute__((vector_size(64)));
  typedef __bf16 halves __attribute__((vector_size(64)));
  return (ckernels_vector)__builtin_ia32_dpbf16ps_512((floats)sum, (halves)a, (halves)b);
}
#endif
