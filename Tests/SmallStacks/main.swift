// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A host one of whose threads has a signal stack too small for tiles: the system refuses the tile unit to its process. Prints
// what is computed with, and a value that a layer computes.

import Glibc
import Tensors

nonisolated(unsafe) var ready = sem_t()
sem_init(&ready, 0, 0)

var thread = pthread_t()
pthread_create(
  &thread, nil,
  { _ in
    let size = 4096
    var small = stack_t(ss_sp: malloc(size), ss_flags: 0, ss_size: size)
    guard sigaltstack(&small, nil) == 0 else { fatalError("no signal stack: \(errno)") }
    sem_post(&ready)
    while true { pause() }
  }, nil)
sem_wait(&ready)

let ones = Tensor([32, 32], [Float](repeating: 1, count: 1024))
let weights = Weights(["one.weight": ones, "one.bias": Tensor(zeros: [32])])
let sums = Linear(weights, "one", 32, 32, rows: 16)(Tensor([16, 32], [Float](repeating: 0.5, count: 512)))
print(instructionSet, sums.values.allSatisfy { $0 == 16 })
