// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "ctensors.h"

#include <sched.h>

bool ctensors_processor_suffices(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
      && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt")
      && __builtin_cpu_supports("movbe");
#else
  return true;
#endif
}

int ctensors_processor_count(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
