// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import CTensors
import Glibc
import Synchronization

/// One worker for every further processor that the process may use, shared by all streams of the process.
///
/// Made to share the processors with decoders and encoders (figures: meta/decisions/0005-process.md):
/// - Between two layers a worker spins for 50 us, because the next layer comes within that time; then it sleeps.
/// - Work is cut in small pieces, and whoever is free takes the next one. A worker that the system puts aside with a
///   piece in hand is fetched to the processor of its caller, who has nothing else to do by then.
/// - A worker that wakes up on its caller's processor, where the system likes to put it, goes to another one.
/// - Callers divide the processors evenly; who gets only one of them works alone.
/// A call allocates nothing.
public final class ThreadPool: @unchecked Sendable {
  // Sendable: everything is constant or atomic.
  public static let shared = ThreadPool()

  private static let patience: UInt64 = 50_000  // ns of spinning

  private let allowed: OpaquePointer?  // processors; the workers' too
  /// Threads that compute at the same time at most, 1 or more: the processors that the process may run on, but no more than
  /// its control groups leave it.
  public let processors: Int
  private let jobs: UnsafeMutableBufferPointer<Job>
  private let workers: UnsafeMutableBufferPointer<Worker>
  private let callers = Atomic(0)
  private let posted = Signal()  // counts jobs
  private let asleep = Atomic(0)  // workers
  private let limitKey: pthread_key_t

  /// `processors`: nil of those that the process may use.
  package init(processors count: Int? = nil) {
    allowed = ctensors_processors_allowed()
    // Rounded down: who overdraws is stopped for up to a tenth of a second. What is left over is for decoders.
    let quota = processorQuota().map { Int(min(max($0, 1), 65536)) }
    processors = count ?? min(Int(ctensors_processor_count(allowed)), quota ?? .max)
    jobs = .allocate(capacity: processors / 2 * 2)  // with more callers, and pieces that share out, each works alone
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

  /// What `body` computes uses at most this many threads, the caller's included; 0: all processors.
  public func limited<Result, Failure: Error>(
    to threads: Int, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try within(threads > 0 && threads < processors ? Limit(threads) : nil, body)
  }

  /// Calls `body` with every index in `0..<count`, in any order, on several threads; returns when all are done.
  public func parallel(count: Int, _ body: (Int) -> Void) {
    let share = processors / callers.add(1, ordering: .relaxed).newValue
    defer { callers.subtract(1, ordering: .relaxed) }
    let (limit, wanted) = (limit, max(min(share, count) - 1, 0))
    let helpers = limit?.take(wanted) ?? wanted
    defer { limit?.give(back: helpers) }
    post(count: count, helpers: helpers, body)
  }

  /// What both return, computed at the same time if there are two threads. Whatever they share out themselves is taken by
  /// threads that are free, and by the other one when it has ended. `first` is the longer one.
  public func both<First, Second>(_ first: () -> First, and second: () -> Second) -> (First, Second) {
    var (one, two): (First?, Second?)
    let (limit, wanted) = (limit, processors / (callers.load(ordering: .relaxed) + 1) > 1 ? 1 : 0)
    let helpers = limit?.take(wanted) ?? wanted
    let ended = Atomic(0)
    post(count: 2, helpers: helpers) { index in
      within(limit) { if index == 0 { one = first() } else { two = second() } }
      // The other one may have the thread that this one needs no more.
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

  /// Of the calling thread.
  private var limit: Limit? {
    pthread_getspecific(limitKey).map { Unmanaged<Limit>.fromOpaque($0).takeUnretainedValue() }
  }

  /// The first index first: what lies behind each other in memory is read so.
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

    // What the others have in hand began before our last piece ended, and takes about as long as one of ours.
    let piece = (nanoseconds() - began) / UInt64(max(1, mine))
    if spin(for: max(Self.patience, 2 * piece), { jobs[job].isFinished }) { return }
    let here = ctensors_processor()
    for i in workers.indices where workers[i].job.load(ordering: .acquiring) == job {
      ctensors_move(workers[i].thread.load(ordering: .relaxed), here, false, allowed)
    }
    jobs[job].sleepUntilFinished()
  }

  /// A worker's life.
  private func serve() {
    guard let i = workers.indices.first(where: { workers[$0].start() }) else { return }
    _ = ctensors_arithmetic_standard()  // not as whoever came first has it
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

/// How many threads a caller and those that help it may be, at whatever depth they share out their work.
private final class Limit: Sendable {
  private let free: Atomic<Int>

  init(_ threads: Int) { free = Atomic(threads - 1) }

  /// So many more threads, or as many as there are.
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
  let thread = Atomic<Int32>(0)  // the system's number
  let job = Atomic(-1)  // of which it may have a piece in hand; while it has none, nobody else moves it

  /// Takes this place for the calling thread.
  borrowing func start() -> Bool {
    thread.compareExchange(expected: 0, desired: ctensors_thread(), ordering: .relaxed).exchanged
  }
}

/// Where one caller's work lies open. Used again and again, and never freed: a worker may look in at any time.
private struct Job: ~Copyable {
  static let longest = 1 << 24 - 1  // pieces
  private static let seat: UInt64 = 1 << 24
  private static let seats: UInt64 = 255 * seat
  private static let number: UInt64 = 1 << 32
  private static let callerSleeps: UInt32 = 1 << 31

  /// The job's number (32 bits), how many helpers may still join (8), how many pieces nobody has taken (24): in one, so
  /// that whoever takes a piece knows what it belongs to.
  private let open = Atomic<UInt64>(0)
  private let count = Atomic(0)  // pieces in all
  private let code = Atomic<UInt>(0)  // of the closure, and
  private let captured = Atomic<UInt>(0)
  private let unfinished = Signal()  // pieces; and `callerSleeps`
  private let occupied = Atomic(false)
  let processor = Atomic<Int32>(0)  // the caller's

  borrowing func occupy() -> Bool { !occupied.exchange(true, ordering: .acquiring) }
  borrowing func vacate() { occupied.store(false, ordering: .releasing) }

  /// `body` must not be left before the job is finished.
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

  /// Takes pieces until there are none; returns how many.
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

/// The closure for other threads; `withoutActuallyEscaping` would copy it to the heap.
@_silgen_name("ctensors_closure_take")
private func take(_ body: (Int) -> Void, _ closure: UnsafeMutablePointer<ctensors_closure>)

/// A number that threads can sleep on. Never freed.
private struct Signal {
  let value: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    value = .allocate(capacity: 64)  // so that it shares its cache lines with nothing
    value.initialize(to: Atomic(0))
  }

  /// Sleeps if the number is this one, until somebody wakes us, or for no reason.
  func sleep(while value: UInt32) { ctensors_sleep(self.value, value) }
  func wake(_ threads: Int) { ctensors_wake(value, Int32(clamping: threads)) }
}

/// Waits for `condition`, but not much longer than `limit` nanoseconds; returns whether it holds.
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
