// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Loads a private copy of OpenBLAS in its own linker namespace (dlmopen), together with a private C library, whose
// environment configures OpenBLAS without changing the environment of the whole process. Why:
// meta/decisions/0024-processors.md.

#define _GNU_SOURCE

#include "ctensors.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

// OpenBLAS's name for this processor. It only recognises processors known at its release; on newer ones it would fall
// back to its oldest kernels, which are slower than ours.
static const char *core(void) {
#if defined(__x86_64__)
  if (ctensors_processor_level() >= 2) return "SkylakeX";
  if (ctensors_processor_level() == 1) return "Haswell";
  if (__builtin_cpu_supports("avx")) return "Sandybridge";
#endif
  return NULL;
}

static ctensors_openblas openblas;
static const ctensors_openblas *loaded;

static void load(void) {
  const char *name = core();
  void *c = name ? dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!c) return;
  int (*set)(const char *, const char *, int) = dlsym(c, "setenv");
  Lmid_t space;
  if (!set || dlinfo(c, RTLD_DI_LMID, &space) != 0) return;
  set("OPENBLAS_NUM_THREADS", "1", 1);
  set("OMP_NUM_THREADS", "1", 1);
  set("OPENBLAS_CORETYPE", name, 1);
  void *library = dlmopen(space, "libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    dlclose(c);
    return;
  }
  char *(*config)(void) = dlsym(library, "openblas_get_config");
  char *(*chosen)(void) = dlsym(library, "openblas_get_corename");
  openblas.multiply = dlsym(library, "cblas_sgemm");
  openblas.multiplyVector = dlsym(library, "cblas_sgemv");
  // A build without threads has no locks either: concurrent calls would give wrong sums.
  if (config && !strstr(config(), "SINGLE_THREADED") && chosen && strcmp(chosen(), name) == 0 && openblas.multiply
      && openblas.multiplyVector)
    loaded = &openblas;
}

const ctensors_openblas *ctensors_openblas_load(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return loaded;
}
