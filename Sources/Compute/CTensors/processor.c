// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#define _GNU_SOURCE

#include "ctensors.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int ctensors_processor_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
        && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("lzcnt")
        && __builtin_cpu_supports("movbe")))
    return 0;
  if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")))
    return 1;
  return __builtin_cpu_supports("avx512bf16") ? 3 : 2;
#else
  return 0;
#endif
}

bool ctensors_processor_is_amd(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

struct ctensors_processors {
  cpu_set_t set;
};

const ctensors_processors *ctensors_processors_allowed(void) {
  ctensors_processors *allowed = calloc(1, sizeof *allowed);
  if (allowed) sched_getaffinity(0, sizeof allowed->set, &allowed->set);
  return allowed;
}

int ctensors_processor_count(const ctensors_processors *processors) {
  int count = processors ? CPU_COUNT(&processors->set) : 0;
  return count > 0 ? count : 1;
}

int ctensors_processor(void) { return sched_getcpu(); }

int ctensors_thread(void) { return gettid(); }

void ctensors_move(int thread, int processor, bool away, const ctensors_processors *usual) {
  cpu_set_t now, wanted;
  if (!usual || !CPU_ISSET(processor, &usual->set)) return;
  if (sched_getaffinity(thread, sizeof now, &now) != 0 || !CPU_EQUAL(&now, &usual->set)) return;
  if (away) {
    wanted = usual->set;
    CPU_CLR(processor, &wanted);
  } else {
    CPU_ZERO(&wanted);
    CPU_SET(processor, &wanted);
  }
  if (sched_setaffinity(thread, sizeof wanted, &wanted) == 0)
    sched_setaffinity(thread, sizeof usual->set, &usual->set);
}

#if defined(__x86_64__)
unsigned ctensors_arithmetic_standard(void) {
  unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(0x1F80);
  return before;
}

void ctensors_arithmetic_restore(unsigned before) { __builtin_ia32_ldmxcsr(before); }
#else
unsigned ctensors_arithmetic_standard(void) { return 0; }

void ctensors_arithmetic_restore(unsigned before) { (void)before; }
#endif

void ctensors_sleep(const void *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL); }

void ctensors_wake(const void *word, int threads) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads); }

// Swift declares this with a parameter of type `(Int) -> Void` in place of the first two.
__attribute__((swiftcall)) void ctensors_closure_take(
    const void *code, const void *captured, ctensors_closure *closure) {
  *closure = (ctensors_closure){code, captured};
}

void ctensors_call(ctensors_closure closure, intptr_t argument) {
  typedef __attribute__((swiftcall)) void (*Code)(intptr_t, __attribute__((swift_context)) const void *);
  ((Code)closure.code)(argument, closure.captured);
}
