// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// A host one of whose threads has a signal stack too small for tiles: the system refuses the tile unit to its process. Prints
// what is computed with, and whether a layer computes what it should.

import Glibc
import Tensors

/// A thread's life; says when it is `ready`.
private func stayWithSmallStack(_ ready: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let size = 4096
  var small = stack_t(ss_sp: malloc(size), ss_flags: 0, ss_size: size)
  if sigaltstack(&small, nil) != 0 { exit(2) }
  if let ready { sem_post(ready.assumingMemoryBound(to: sem_t.self)) }
  while true { pause() }
}

@main enum SmallStacks {
  static func main() {
    let ready = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    sem_init(ready, 0, 0)
    var thread = pthread_t()
    pthread_create(&thread, nil, stayWithSmallStack, ready)
    sem_wait(ready)

    let ones = Tensor([32, 32], [Float](repeating: 1, count: 1024))
    let weights = Weights(["one.weight": ones, "one.bias": Tensor(zeros: [32])])
    let sums = Linear(weights, "one", 32, 32, rows: 16)(Tensor([16, 32], [Float](repeating: 0.5, count: 512)))
    print(instructionSet, sums.values.allSatisfy { $0 == 16 })
  }
}
