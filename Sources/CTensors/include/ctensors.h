// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What Swift cannot say: the processor's features and its hint for a waiting loop.

#pragma once

#include <stdbool.h>

/// Whether this processor has every instruction that the kernels are built with (x86-64-v3; any arm64).
bool ctensors_processor_suffices(void);

/// Processors that this process may use, at least 1.
int ctensors_processor_count(void);

/// A moment's rest in a loop that waits for another thread.
static inline void ctensors_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
