// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import Glibc
import Synchronization

/// One worker for every further processor, shared by all streams of the process.
///
/// Between two layers a worker spins for some 30 us, because the next layer comes within that time; then it sleeps, so
/// that a decoder or an encoder on the same processors loses nothing. Work is handed out in small pieces: a thread that
/// the system has put aside delays the others by one piece at most. One job runs at a time; a second caller works alone.
public final class ThreadPool: @unchecked Sendable {
  // Sendable: everything mutable is atomic or read and written with `lock` held.
  public static let shared = ThreadPool()

  /// A pointer, so that no thread keeps the caller's closure beyond its last call of it.
  private typealias Job = (body: UnsafePointer<(Int) -> Void>, count: Int)

  private static let spins = 1000

  private let workers: Int
  private let gate = Lock()  // held by the caller whose job runs
  private let lock = Lock()
  private let wake = Condition()
  private let done = Condition()
  private let limitKey: pthread_key_t

  private let generation = Atomic(0)  // of jobs; written with `lock` held
  private let next = Atomic(0)  // first piece that nobody has taken
  private let inside = Atomic(0)  // workers that run the job; written with `lock` held
  private var job: Job?
  private var seats = 0  // workers that may still join

  private init() {
    workers = max(0, Int(ctensors_processor_count()) - 1)
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    limitKey = key
    for _ in 0..<workers {
      var thread = pthread_t()
      let pool = Unmanaged.passRetained(self)
      let failed = pthread_create(
        &thread, nil,
        { pool in
          if let pool { Unmanaged<ThreadPool>.fromOpaque(pool).takeUnretainedValue().serve() }
          return nil
        }, pool.toOpaque())
      if failed == 0 { pthread_detach(thread) } else { pool.release() }
    }
  }

  /// What `body` computes uses at most this many threads, the caller's included; 0: all processors.
  public func limited<Result, Failure: Error>(
    to threads: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let outer = pthread_getspecific(limitKey)
    pthread_setspecific(limitKey, UnsafeRawPointer(bitPattern: threads))
    defer { pthread_setspecific(limitKey, outer) }
    return try body()
  }

  /// Calls `body` with every index in `0..<count`, in any order, on several threads; returns when all are done.
  public func parallel(count: Int, _ body: (Int) -> Void) {
    let limit = Int(bitPattern: pthread_getspecific(limitKey))
    let helpers = min(workers, count - 1, limit > 0 ? limit - 1 : workers)
    guard helpers > 0, gate.tryAcquire() else {
      for i in 0..<max(0, count) { body(i) }
      return
    }
    defer { gate.release() }
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { share(Job($0, count), helpers) }
    }
  }

  private func share(_ job: Job, _ helpers: Int) {
    lock.acquire()
    self.job = job
    seats = helpers
    next.store(0, ordering: .relaxed)
    generation.add(1, ordering: .releasing)
    wake.wakeAll()
    lock.release()

    run(job)

    lock.acquire()
    self.job = nil  // nobody joins any more
    lock.release()
    var spins = 0
    while inside.load(ordering: .acquiring) > 0 && spins < Self.spins {
      ctensors_pause()
      spins += 1
    }
    lock.acquire()
    while inside.load(ordering: .acquiring) > 0 { done.wait(lock) }
    lock.release()
  }

  @inline(never)
  private func run(_ job: Job) {
    while true {
      let index = next.add(1, ordering: .relaxed).oldValue
      if index >= job.count { return }
      job.body.pointee(index)
    }
  }

  /// A worker's life.
  private func serve() {
    var seen = 0
    while true {
      var spins = 0
      while generation.load(ordering: .relaxed) == seen && spins < Self.spins {
        ctensors_pause()
        spins += 1
      }
      lock.acquire()
      while generation.load(ordering: .relaxed) == seen { wake.wait(lock) }
      seen = generation.load(ordering: .relaxed)
      let job = seats > 0 ? self.job : nil
      if job != nil {
        seats -= 1
        inside.add(1, ordering: .relaxed)
      }
      lock.release()
      guard let job else { continue }
      run(job)
      lock.acquire()
      inside.subtract(1, ordering: .releasing)
      done.wakeAll()
      lock.release()
    }
  }
}

private final class Lock: @unchecked Sendable {
  fileprivate let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  init() { pthread_mutex_init(mutex, nil) }
  deinit { mutex.deallocate() }
  func acquire() { pthread_mutex_lock(mutex) }
  func tryAcquire() -> Bool { pthread_mutex_trylock(mutex) == 0 }
  func release() { pthread_mutex_unlock(mutex) }
}

private final class Condition: @unchecked Sendable {
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() { pthread_cond_init(condition, nil) }
  deinit { condition.deallocate() }
  func wait(_ lock: Lock) { pthread_cond_wait(condition, lock.mutex) }
  func wakeAll() { pthread_cond_broadcast(condition) }
}
