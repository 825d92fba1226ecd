// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The instructions that Swift cannot say.

#pragma once

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

/// Writes the nearest bf16 of every lane, ties to even; what is below the normal range becomes 0.
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
