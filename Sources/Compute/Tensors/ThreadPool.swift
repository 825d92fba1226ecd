// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import Glibc
import Synchronization

/// A process-wide pool with one worker for each processor beyond the caller's, shared by all streams.
///
/// It is designed to share the processors with decoders and encoders (measured in meta/decisions/0005-process.md):
/// - Between layers a worker spins for 50 us, because the next layer usually starts within that time; then it sleeps.
/// - Work is cut into small pieces that idle threads take one by one. If a worker is preempted in the middle of a
///   piece, it is moved to the processor of its caller, who is waiting for that piece anyway.
/// - A worker that wakes up on its caller's processor, where Linux tends to put it, moves to another one.
/// - Concurrent callers divide the processors evenly; a caller whose share is one processor works alone.
///
/// A call of `parallel` allocates nothing.
public final class ThreadPool: @unchecked Sendable {
  // Sendable: everything is constant or atomic.
  public static let shared = ThreadPool()

  private static let patience: UInt64 = 50_000  // ns of spinning

  private let allowed: OpaquePointer?  // the processors that callers and workers may run on
  /// The maximum number of threads that compute at once, at least 1: the processors that the process may run on,
  /// limited by the quota of its control groups.
  public let processors: Int
  private let jobs: UnsafeMutableBufferPointer<Job>
  private let workers: UnsafeMutableBufferPointer<Worker>
  private let callers = Atomic(0)
  private let posted = Signal()  // counts posted jobs
  private let asleep = Atomic(0)  // workers
  private let limitKey: pthread_key_t

  /// `processors`: nil: as many as the process may use.
  package init(processors count: Int? = nil) {
    allowed = ctensors_processors_allowed()
    // Rounded down, because exceeding the quota stops the process for up to 0.1 s. The fraction is left for decoders.
    let quota = processorQuota().map { Int(min(max($0, 1), 65536)) }
    processors = count ?? min(Int(ctensors_processor_count(allowed)), quota ?? .max)
    jobs = .allocate(capacity: processors / 2 * 2)  // callers beyond this number work alone
    for i in jobs.indices { jobs.initializeElement(at: i, to: Job()) }
    workers = .allocate(capacity: max(0, processors - 1))
    for i in workers.indices { workers.initializeElement(at: i, to: Worker()) }
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    limitKey = key
    for _ in workers.indices {
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

  /// Limits the computations in `body` to this many threads, including the caller's; 0: all processors.
  public func limited<Result, Failure: Error>(
    to threads: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try within(threads > 0 && threads < processors ? Limit(threads) : nil, body)
  }

  /// Calls `body` with every index in `0..<count`, in any order, on several threads; returns when all calls have
  /// returned.
  public func parallel(count: Int, _ body: (Int) -> Void) {
    let share = processors / callers.add(1, ordering: .relaxed).newValue
    defer { callers.subtract(1, ordering: .relaxed) }
    let (limit, wanted) = (limit, max(min(share, count) - 1, 0))
    let helpers = limit?.take(wanted) ?? wanted
    defer { limit?.give(back: helpers) }
    post(count: count, helpers: helpers, body)
  }

  /// Runs both closures, concurrently if there are two threads, and returns their results. Work that one of them splits
  /// is picked up by idle threads, and by the other's thread once that has finished. `first` should be the longer one.
  public func both<First, Second>(_ first: () -> First, and second: () -> Second) -> (First, Second) {
    var (one, two): (First?, Second?)
    let (limit, wanted) = (limit, processors / (callers.load(ordering: .relaxed) + 1) > 1 ? 1 : 0)
    let helpers = limit?.take(wanted) ?? wanted
    let ended = Atomic(0)
    post(count: 2, helpers: helpers) { index in
      within(limit) { if index == 0 { one = first() } else { two = second() } }
      // The thread that this closure no longer needs may serve the other one.
      if ended.add(1, ordering: .relaxed).newValue == 1 { limit?.give(back: helpers) }
    }
    guard let one, let two else { preconditionFailure("every piece is done") }
    return (one, two)
  }

  private func within<Result, Failure: Error>(
    _ limit: Limit?, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let outer = pthread_getspecific(limitKey)
    defer { pthread_setspecific(limitKey, outer) }
    return try withExtendedLifetime(limit) { () throws(Failure) -> Result in
      pthread_setspecific(limitKey, limit.map { Unmanaged.passUnretained($0).toOpaque() })
      return try body()
    }
  }

  /// The calling thread's limit.
  private var limit: Limit? {
    pthread_getspecific(limitKey).map { Unmanaged<Limit>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Starts with the first index, so that memory is read in order.
  private func post(count: Int, helpers: Int, _ body: (Int) -> Void) {
    guard helpers > 0, count <= Job.longest, let job = jobs.indices.first(where: { jobs[$0].occupy() }) else {
      for i in 0..<max(0, count) { body(i) }
      return
    }
    run(job, body, count: count, helpers: helpers)
    jobs[job].vacate()
  }

  private func run(_ job: Int, _ body: (Int) -> Void, count: Int, helpers: Int) {
    let began = nanoseconds()
    jobs[job].post(body, count: count, seats: helpers)
    posted.value.pointee.add(1, ordering: .sequentiallyConsistent)
    if asleep.load(ordering: .sequentiallyConsistent) > 0 { posted.wake(helpers) }
    let mine = jobs[job].work(helping: false)
    if jobs[job].isFinished { return }

    // The pieces still running were started before our last piece ended, and take about as long as one of ours.
    let piece = (nanoseconds() - began) / UInt64(max(1, mine))
    if spin(for: max(Self.patience, 2 * piece), { jobs[job].isFinished }) { return }
    let here = ctensors_processor()
    for i in workers.indices where workers[i].job.load(ordering: .acquiring) == job {
      ctensors_move(workers[i].thread.load(ordering: .relaxed), here, false, allowed)
    }
    jobs[job].sleepUntilFinished()
  }

  /// The main loop of a worker.
  private func serve() {
    guard let i = workers.indices.first(where: { workers[$0].start() }) else { return }
    _ = ctensors_arithmetic_standard()  // not the mode of whichever thread created the pool
    var seen: UInt32 = 0
    while true {
      if !spin(for: Self.patience, { posted.value.pointee.load(ordering: .acquiring) != seen }) {
        asleep.add(1, ordering: .sequentiallyConsistent)
        while posted.value.pointee.load(ordering: .sequentiallyConsistent) == seen { posted.sleep(while: seen) }
        asleep.subtract(1, ordering: .relaxed)
      }
      seen = posted.value.pointee.load(ordering: .acquiring)
      for job in jobs.indices where jobs[job].isOpen {
        let here = ctensors_processor()
        if jobs[job].processor.load(ordering: .relaxed) == here { ctensors_move(0, here, true, allowed) }
        workers[i].job.store(job, ordering: .releasing)
        _ = jobs[job].work(helping: true)
        workers[i].job.store(-1, ordering: .releasing)
      }
    }
  }
}

/// The budget of threads for a caller and its helpers, at any depth of nested calls.
private final class Limit: Sendable {
  private let free: Atomic<Int>

  init(_ threads: Int) { free = Atomic(threads - 1) }

  /// Takes up to `wanted` threads and returns how many it got.
  func take(_ wanted: Int) -> Int {
    var now = free.load(ordering: .relaxed)
    while true {
      let given = min(wanted, now)
      let (done, seen) = free.weakCompareExchange(expected: now, desired: now - given, ordering: .relaxed)
      if done { return given }
      now = seen
    }
  }

  func give(back threads: Int) { free.add(threads, ordering: .relaxed) }
}

private struct Worker: ~Copyable {
  let thread = Atomic<Int32>(0)  // the kernel's thread id
  let job = Atomic(-1)  // whose piece it may be running; while it is -1, no other thread moves the worker

  /// Claims this entry for the calling thread.
  borrowing func start() -> Bool {
    thread.compareExchange(expected: 0, desired: ctensors_thread(), ordering: .relaxed).exchanged
  }
}

/// The work posted by one caller. Reused and never freed, because a worker may look at it at any time.
private struct Job: ~Copyable {
  static let longest = 1 << 24 - 1  // pieces
  private static let seat: UInt64 = 1 << 24
  private static let seats: UInt64 = 255 * seat
  private static let number: UInt64 = 1 << 32
  private static let callerSleeps: UInt32 = 1 << 31

  /// The job's number (32 bits), how many helpers may still join (8), and how many pieces have not been taken (24), in
  /// one word, so that taking a piece also tells which job it belongs to.
  private let open = Atomic<UInt64>(0)
  private let count = Atomic(0)  // total number of pieces
  private let code = Atomic<UInt>(0)  // of the closure:
  private let captured = Atomic<UInt>(0)
  private let unfinished = Signal()  // pieces, with the flag `callerSleeps`
  private let occupied = Atomic(false)
  let processor = Atomic<Int32>(0)  // the caller's

  borrowing func occupy() -> Bool { !occupied.exchange(true, ordering: .acquiring) }
  borrowing func vacate() { occupied.store(false, ordering: .releasing) }

  /// `body` must stay valid until the job is finished.
  borrowing func post(_ body: (Int) -> Void, count: Int, seats: Int) {
    var closure = ctensors_closure()
    take(body, &closure)
    code.store(UInt(bitPattern: closure.code), ordering: .relaxed)
    captured.store(UInt(bitPattern: closure.captured), ordering: .relaxed)
    self.count.store(count, ordering: .relaxed)
    unfinished.value.pointee.store(UInt32(count), ordering: .relaxed)
    processor.store(ctensors_processor(), ordering: .relaxed)
    let number = open.load(ordering: .relaxed) & ~(Self.number - 1) &+ Self.number
    open.store(number | UInt64(min(seats, 255)) * Self.seat | UInt64(count), ordering: .releasing)
  }

  var isOpen: Bool {
    let open = open.load(ordering: .relaxed)
    return open & Self.seats > 0 && open & (Self.seat - 1) > 0
  }

  var isFinished: Bool { unfinished.value.pointee.load(ordering: .acquiring) & ~Self.callerSleeps == 0 }

  /// Runs pieces until none are left; returns how many it ran.
  borrowing func work(helping: Bool) -> UInt32 {
    var state = open.load(ordering: .acquiring)
    let number = state / Self.number
    var seat = helping ? Self.seat : 0
    var done: UInt32 = 0
    while state / Self.number == number, state & (Self.seat - 1) > 0, seat == 0 || state & Self.seats > 0 {
      let (taken, now) = open.weakCompareExchange(expected: state, desired: state - seat - 1, ordering: .acquiring)
      state = now
      guard taken else { continue }
      let closure = ctensors_closure(
        code: UnsafeRawPointer(bitPattern: code.load(ordering: .relaxed)),
        captured: UnsafeRawPointer(bitPattern: captured.load(ordering: .relaxed)))
      ctensors_call(closure, count.load(ordering: .relaxed) - Int(state & (Self.seat - 1)))
      (seat, done) = (0, done + 1)
      state = open.load(ordering: .acquiring)
    }
    let left = unfinished.value.pointee.subtract(done, ordering: .acquiringAndReleasing).newValue
    if done > 0, left == Self.callerSleeps { unfinished.wake(1) }
    return done
  }

  borrowing func sleepUntilFinished() {
    var left = unfinished.value.pointee.bitwiseOr(Self.callerSleeps, ordering: .acquiringAndReleasing).newValue
    while left != Self.callerSleeps {
      unfinished.sleep(while: left)
      left = unfinished.value.pointee.load(ordering: .acquiring)
    }
  }
}

/// Passes the closure to other threads without the heap copy that `withoutActuallyEscaping` would make.
@_silgen_name("ctensors_closure_take")
private func take(_ body: (Int) -> Void, _ closure: UnsafeMutablePointer<ctensors_closure>)

/// A futex word. Never freed.
private struct Signal {
  let value: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    value = .allocate(capacity: 64)  // padded, so that it shares no cache line
    value.initialize(to: Atomic(0))
  }

  /// Sleeps while the word equals `value`. May wake spuriously.
  func sleep(while value: UInt32) { ctensors_sleep(self.value, value) }
  func wake(_ threads: Int) { ctensors_wake(value, Int32(clamping: threads)) }
}

/// Spins until `condition` holds, for not much longer than `limit` nanoseconds; returns whether it holds.
@inline(__always)
private func spin(for limit: UInt64, _ condition: () -> Bool) -> Bool {
  let end = nanoseconds() + limit
  repeat {
    for _ in 0..<16 {
      if condition() { return true }
      ctensors_pause()
    }
  } while nanoseconds() < end
  return false
}

private func nanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
