// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What Swift cannot express: processor features, the pause hint for spin loops, some system calls, and passing a
// closure to another thread without copying it to the heap.

#pragma once

#include <stdbool.h>
#include <stdint.h>

/// The highest level that this processor supports of those that kernels are built for: 0 baseline, 1 x86-64-v3, 2
/// x86-64-v4 (AVX-512), 3 x86-64-v4 with AVX512_BF16.
int ctensors_processor_level(void);

/// Whether the processor is AMD's.
bool ctensors_processor_is_amd(void);

/// A set of processors.
typedef struct ctensors_processors ctensors_processors;

/// The processors that the calling thread may run on, and every thread it creates. Never freed; null if out of memory.
const ctensors_processors *ctensors_processors_allowed(void);

/// The size of the set, at least 1.
int ctensors_processor_count(const ctensors_processors *processors);

/// The processor that the calling thread is running on.
int ctensors_processor(void);

/// The kernel's id of the calling thread.
int ctensors_thread(void);

/// Moves a thread of this process (0: the calling one) to `processor` or, with `away`, off it. Afterwards the scheduler
/// may move it among its `usual` processors again. Does nothing if the thread's affinity is not `usual`, which means
/// that something else is moving it or has pinned it, nor if `processor` is not allowed.
void ctensors_move(int thread, int processor, bool away, const ctensors_processors *usual);

/// Sleeps while `*word` equals `value`, until `ctensors_wake` on the same word (futex). May wake spuriously.
void ctensors_sleep(const void *word, uint32_t value);
void ctensors_wake(const void *word, int threads);

/// A non-escaping Swift closure `(Int) -> Void`, as Swift passes it to a function.
typedef struct {
  const void *code;
  const void *captured;
} ctensors_closure;

/// Calls the closure; the function that received it must not have returned.
void ctensors_call(ctensors_closure closure, intptr_t argument);

/// Sets the calling thread to IEEE 754 arithmetic, round to nearest, with denormals. Returns the previous mode for
/// `ctensors_arithmetic_restore`.
unsigned ctensors_arithmetic_standard(void);
void ctensors_arithmetic_restore(unsigned before);

/// The pause hint for a spin loop.
static inline void ctensors_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Converts a finite value to the nearest IEEE 754 binary16, ties to even, and back. Values beyond 65504 become
/// infinite.
uint16_t ctensors_to_half(float value);
float ctensors_from_half(uint16_t half);

/// A private copy of OpenBLAS: other users of OpenBLAS in this process keep their threads and settings. It starts no
/// threads and is thread-safe.
typedef struct {
  /// cblas_sgemm and cblas_sgemv.
  void (*multiply)(
      int order, int transposeA, int transposeB, int m, int n, int k, float alpha, const float *a, int strideA,
      const float *b, int strideB, float beta, float *c, int strideC);
  void (*multiplyVector)(
      int order, int transpose, int m, int n, float alpha, const float *a, int strideA, const float *x, int stepX,
      float beta, float *y, int stepY);
} ctensors_openblas;

/// Loads it on the first call, for this processor regardless of OPENBLAS_CORETYPE. Null if it is not installed, is a
/// build that only one thread may call, or has no kernels for this processor that are known to be faster than ours.
const ctensors_openblas *ctensors_openblas_load(void);
