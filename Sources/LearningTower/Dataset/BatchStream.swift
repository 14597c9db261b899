import Dispatch
import Foundation
import Synchronization

/// Batches made ahead on threads of their own, handed over in order through a bounded ring.
///
/// The order and the content of the batches do not depend on the number of threads: a batch is a function of its
/// number alone. Threads stop when the stream is stopped or released; a batch being made is finished first.
public final class BatchStream: Sendable {
  private let ring: Ring

  /// - Parameters:
  ///   - count: how many batches there are; nil: without end.
  ///   - workers: threads that make them.
  ///   - queuedBatches: the most that are finished or being made at any time.
  ///   - make: the batch of a number; called from any thread.
  init(
    count: Int?, workers: Int, queuedBatches: Int,
    make: @escaping @Sendable (_ number: Int) throws(DatasetError) -> Batch
  ) {
    let ring = Ring(count: count, capacity: max(queuedBatches, 1), workers: max(workers, 1))
    self.ring = ring
    for _ in 0..<max(workers, 1) {
      Thread.detachNewThread { ring.work(make) }
    }
  }

  deinit { ring.stop() }

  /// The next batch, when it is ready; nil after the last one, after an error and after `stop`.
  /// - Throws: what went wrong while the batch was made, above all an image that cannot be decoded.
  public func next() throws(DatasetError) -> Batch? { try ring.next() }

  /// Ends the threads; `next` gives nil from now on.
  public func stop() { ring.stop() }
}

/// A worker takes a slot, then a number. So at most `capacity` numbers are on their way, all of them in
/// `taken ..< taken + capacity`, and each has the place `number % capacity` for itself.
private final class Ring: Sendable {
  private struct State {
    var numbersGiven = 0
    var numbersTaken = 0
    var isStopped = false
    var finished: [Result<Batch, DatasetError>?]
  }

  private let count: Int?
  private let capacity: Int
  private let workers: Int
  private let state: Mutex<State>
  private let freeSlots: DispatchSemaphore
  private let ready: [DispatchSemaphore]

  init(count: Int?, capacity: Int, workers: Int) {
    self.count = count
    self.capacity = capacity
    self.workers = workers
    state = Mutex(State(finished: Array(repeating: nil, count: capacity)))
    // Counted up from zero: a semaphore may not be released below the value it was made with.
    freeSlots = DispatchSemaphore(value: 0)
    ready = (0..<capacity).map { _ in DispatchSemaphore(value: 0) }
    for _ in 0..<capacity { freeSlots.signal() }
  }

  func work(_ make: (Int) throws(DatasetError) -> Batch) {
    while true {
      freeSlots.wait()
      let number = state.withLock { state -> Int? in
        guard !state.isStopped, state.numbersGiven < count ?? .max else { return nil }
        state.numbersGiven += 1
        return state.numbersGiven - 1
      }
      guard let number else {
        freeSlots.signal()  // The next worker ends in the same way.
        return
      }
      let result: Result<Batch, DatasetError>
      do {
        result = .success(try make(number))
      } catch {
        result = .failure(error)
      }
      state.withLock { $0.finished[number % capacity] = result }
      ready[number % capacity].signal()
    }
  }

  func next() throws(DatasetError) -> Batch? {
    let number = state.withLock { state -> Int? in
      guard !state.isStopped, state.numbersTaken < count ?? .max else { return nil }
      state.numbersTaken += 1
      return state.numbersTaken - 1
    }
    guard let number else { return nil }
    ready[number % capacity].wait()
    let result = state.withLock { state in
      let result = state.finished[number % capacity]
      state.finished[number % capacity] = nil
      return result
    }
    freeSlots.signal()
    switch result {
    case .success(let batch): return batch
    case .failure(let error):
      stop()
      throw error
    case nil: return nil  // Stopped meanwhile.
    }
  }

  func stop() {
    let wasStopped = state.withLock { state in
      defer {
        state.isStopped = true
        state.finished = Array(repeating: nil, count: capacity)
      }
      return state.isStopped
    }
    guard !wasStopped else { return }
    freeSlots.signal()
    for place in ready { place.signal() }  // For a reader that waits.
  }
}
