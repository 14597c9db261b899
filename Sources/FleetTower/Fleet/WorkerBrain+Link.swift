import Randomness
import Sweep

/// Finding the coordinator, keeping it, and finding it again.
extension WorkerBrain {
  mutating func connect() {
    // A try is under way, or the daemon is ending.
    guard case .down = link, !hasLeft else { return }
    link = .connecting
    tries += 1
    deadlines.remove(.connect)
    deadlines.set(.silence, now.advanced(byMilliseconds: policy.greetingMilliseconds))
    emit(.connect)
  }

  mutating func greet() {
    guard case .connecting = link else { preconditionFailure("a connection nobody asked for") }
    link = .greeting
    deadlines.set(.silence, now.advanced(byMilliseconds: policy.greetingMilliseconds))
    sayHello()
  }

  private mutating func sayHello() {
    let hello = Hello(
      worker: identity.worker, incarnation: identity.seed, name: identity.name, box: identity.box,
      slots: identity.slots, labels: identity.labels,
      attempts: heldAttempts.filter { !attempts[$0]!.isForgotten }, isDraining: isLeaving || isDraining || isClosing,
      metrics: identity.metrics)
    emit(.send(.hello(hello)))
  }

  /// Everything that runs goes on; only talking waits.
  mutating func loseLink() {
    if case .down = link { return }  // Given up by us before the break was noticed.
    link = .down
    requested = []
    deadlines.remove(.silence)
    deadlines.remove(.heartbeat)
    deadlines.set(.connect, now.advanced(byMilliseconds: reconnectPause()))
  }

  /// Doubling, with up to half of it taken off, so that a thousand workers do not come back at the same moment.
  private mutating func reconnectPause() -> Int64 {
    let pause =
      refusals > 0
      ? doubling(policy.reconnectLimitMilliseconds, refusals - 1, policy.refusalLimitMilliseconds)
      : doubling(policy.reconnectMilliseconds, max(tries - 1, 0), policy.reconnectLimitMilliseconds)
    return pause - Int64(jitter.next() % UInt64(pause / 2 + 1))
  }

  mutating func receive(_ message: CoordinatorMessage) {
    // This message was on its way when the worker gave the connection up.
    if case .down = link { return }
    switch link {
    case .welcomed(let welcome): deadlines.set(.silence, now.advanced(byMilliseconds: welcome.leaseMilliseconds))
    case .down, .connecting, .greeting: break
    }
    switch message {
    case .welcome(let welcome): welcomed(welcome)
    case .refused:
      // The shell logs why. Trying again, slowly, lets an update of the coordinator heal it.
      refusals += 1
      emit(.disconnect)
      loseLink()
    case .assign(let assignment): take(assignment)
    case .cancelAttempt(let number, _): drop(number)
    case .handBack(let number): if attempts[number] != nil { handBack(number) }
    case .heartbeatAcknowledged: break
    case .metricsAcknowledged(let number, let epoch):
      attempts[number]?.metrics.removeAll { $0.epoch <= epoch }
    case .checkpointAcknowledged(let number, let epoch): checkpointAcknowledged(number, epoch)
    case .attemptAcknowledged(let number, _): drop(number)
    case .artifactsMissing(let number, let digests): artifactsMissing(number, digests)
    case .bringBack(let artifact): bringBack(artifact)
    case .drain(let isDraining): self.isDraining = isDraining
    }
  }

  private mutating func welcomed(_ said: Welcome) {
    let welcome = said.tamed
    link = .welcomed(welcome)
    tries = 0
    refusals = 0
    deadlines.set(.silence, now.advanced(byMilliseconds: welcome.leaseMilliseconds))
    deadlines.set(.heartbeat, now.advanced(byMilliseconds: welcome.heartbeatMilliseconds))
    for number in welcome.abandon { drop(number) }
    for number in heldAttempts { sayOwed(number) }
    for digest in fetches.keys.sorted() where deadlines.contains(.fetch(digest)) { fetch(digest) }
    for digest in uploads.keys.sorted() where deadlines.contains(.upload(digest)) { upload(digest) }
  }

  mutating func beat() {
    guard case .welcomed(let welcome) = link else { return }
    deadlines.set(.heartbeat, now.advanced(byMilliseconds: welcome.heartbeatMilliseconds))
    let fetching = heldAttempts.filter { if case .fetching = attempts[$0]!.phase { true } else { false } }
    say(
      .heartbeat(
        attempts: heldAttempts.filter { !attempts[$0]!.isForgotten }, fetching: fetching.isEmpty ? nil : fetching))
  }
}

// MARK: - Leaving

extension WorkerBrain {
  /// Kills what runs and hands it back; the newest checkpoints are still delivered.
  mutating func leave() {
    guard !isLeaving else { return }
    isLeaving = true
    deadlines.set(.leave, now.advanced(byMilliseconds: policy.leaveMilliseconds))
    // Otherwise each job that is handed back would make room for the next.
    if case .welcomed = link { sayHello() }
    for number in heldAttempts { handBack(number) }
  }

  /// Hands back what has not begun and takes nothing new; what runs goes on until it ends or the worker must leave.
  mutating func close() {
    guard !isClosing, !isLeaving else { return }
    isClosing = true
    if case .welcomed = link { sayHello() }
    for number in heldAttempts where !attempts[number]!.hasProcess { handBack(number) }
  }

  /// Nothing is in hand, and nothing that the coordinator has asked for is on its way.
  var isIdle: Bool { attempts.isEmpty && uploads.isEmpty }

  mutating func noteIdleness() {
    guard let limit = policy.idleExitMilliseconds, !hasLeft else { return }
    if !isIdle {
      deadlines.remove(.idle)
    } else if !deadlines.contains(.idle) {
      deadlines.set(.idle, now.advanced(byMilliseconds: limit))
    }
  }

  /// With nothing left to run and nothing left to say, the worker goes.
  mutating func exitIfSettled() {
    guard isLeaving || isDraining || isClosing, attempts.isEmpty else { return }
    if case .welcomed = link { exit() } else if isLeaving || isClosing { exit() }
  }

  mutating func exit() {
    guard !hasLeft else { return }
    hasLeft = true
    say(.goodbye)
    for number in heldAttempts where attempts[number]!.hasProcess { emit(.killStage(number)) }
    deadlines = KeyedQueue()
    emit(.exit)
  }
}

/// `base` doubled `times` times, at most `limit`.
func doubling(_ base: Int64, _ times: Int, _ limit: Int64) -> Int64 { min(base << min(times, 30), limit) }
