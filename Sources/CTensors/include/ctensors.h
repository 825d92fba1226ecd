// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What Swift cannot say: the processor's features, its hint for a waiting loop, a few calls of the system, and how to hand a
// closure to another thread without copying it to the heap.

#pragma once

#include <stdbool.h>
#include <stdint.h>

/// The instruction sets that the kernels are built for and this processor has: 0 none in particular, 1 x86-64-v3,
/// 2 x86-64-v4 (AVX-512), 3 that and AVX512_BF16.
int ctensors_processor_level(void);

/// Whether AMD made the processor.
bool ctensors_processor_is_amd(void);

/// Some of the system's processors.
typedef struct ctensors_processors ctensors_processors;

/// Those that the calling thread, and every thread that it starts, may use. Never freed; null without memory.
const ctensors_processors *ctensors_processors_allowed(void);

/// How many there are, at least 1.
int ctensors_processor_count(const ctensors_processors *processors);

/// The processor that the calling thread is on.
int ctensors_processor(void);

/// The system's number of the calling thread.
int ctensors_thread(void);

/// Moves a thread of this process (0: the calling one) to `processor`, or away from it if it is there. Afterwards the system
/// may move it again as before: among its `usual` processors. Does nothing to a thread that has others, for somebody else is
/// moving it or has bound it, nor where it may not go.
void ctensors_move(int thread, int processor, bool away, const ctensors_processors *usual);

/// Sleeps if `*word` is `value`, until `ctensors_wake` of the same word, or for no reason (futex).
void ctensors_sleep(const void *word, uint32_t value);
void ctensors_wake(const void *word, int threads);

/// A Swift closure `(Int) -> Void` that does not escape, as Swift passes it to a function.
typedef struct {
  const void *code;
  const void *captured;
} ctensors_closure;

/// Calls it; the function that was given it must not have returned.
void ctensors_call(ctensors_closure closure, intptr_t argument);

/// Makes the calling thread compute as IEEE 754 says, round to nearest and with denormals, and returns how it did before:
/// for `ctensors_arithmetic_restore`.
unsigned ctensors_arithmetic_standard(void);
void ctensors_arithmetic_restore(unsigned before);

/// A moment's rest in a loop that waits for another thread.
static inline void ctensors_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// The nearest IEEE 754 binary16 of a finite value, ties to even, and back. Beyond 65504 it is infinite.
uint16_t ctensors_to_half(float value);
float ctensors_from_half(uint16_t half);

/// OpenBLAS, a copy of this process's own: whoever else uses OpenBLAS here keeps their threads and their settings. It
/// starts no threads, and may be called from many.
typedef struct {
  /// cblas_sgemm and cblas_sgemv.
  void (*multiply)(
      int order, int transposeA, int transposeB, int m, int n, int k, float alpha, const float *a, int strideA,
      const float *b, int strideB, float beta, float *c, int strideC);
  void (*multiplyVector)(
      int order, int transpose, int m, int n, float alpha, const float *a, int strideA, const float *x, int stepX,
      float beta, float *y, int stepY);
} ctensors_openblas;

/// Loads it at the first call, for this processor whatever OPENBLAS_CORETYPE says. Null if it is not installed, is a build
/// that only one thread may call, or has no kernels for this processor that are known to be faster than our own.
const ctensors_openblas *ctensors_openblas_load(void);
