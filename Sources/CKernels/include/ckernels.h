// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The one instruction that Swift cannot say.

#pragma once

#if defined(__AVX512BF16__)
typedef float ckernels_floats __attribute__((ext_vector_type(16)));
typedef int ckernels_pairs __attribute__((ext_vector_type(16)));

/// sum + a.lower * b.lower + a.upper * b.upper in every lane, a and b being pairs of bf16.
static inline __attribute__((always_inline)) ckernels_floats ckernels_dot_pairs(
    ckernels_floats sum, ckernels_pairs a, ckernels_pairs b) {
  typedef float floats __attribute__((vector_size(64)));
  typedef __bf16 halves __attribute__((vector_size(64)));
  return (ckernels_floats)__builtin_ia32_dpbf16ps_512((floats)sum, (halves)a, (halves)b);
}
#endif
