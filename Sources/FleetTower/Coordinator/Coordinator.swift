import Artifacts
import Bytes
import Dispatch
import Fleet
import Glibc
import Store
import Sweep
import Synchronization
import Transfer
import Transport
import Wire
import Wording

/// How a coordinator is set up.
public struct CoordinatorOptions: Sendable {
  /// The data folder; made when missing.
  public var folder: String
  /// Loopback unless asked otherwise; port 0 lets the system choose.
  public var endpoint = Endpoint(host: "127.0.0.1", port: 7433)
  public var policy = FleetPolicy()
  /// Where the dashboard is to be found: a loopback address. nil: nowhere.
  public var httpEndpoint: Endpoint?
  public var limits = ConnectionLimits()
  /// Records and answers that may wait for the disk at once.
  public var outboxLimit = 100_000
  /// Takes the daemon's own words, a line at a time.
  public var log: @Sendable (String) -> Void = { _ in }

  public init(folder: String) { self.folder = folder }
}

/// The coordinator's shell: sockets, clock and files around `CoordinatorBrain`. It feeds the brain what happens and
/// does what the brain decides, in order; nothing that follows a record leaves before the record is on the disk.
///
/// Runs on its event loop's thread. Disks and hashes have threads of their own. Once started it lives until it is
/// stopped.
public actor Coordinator {
  nonisolated let loop: EventLoop
  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  let options: CoordinatorOptions
  /// Let go of, and with it the folder's lock, when the coordinator stops.
  private var folder: DataFolder?
  let artifacts: ArtifactFolder
  let keeper: StoreKeeper
  private let tokens: TokenFolder
  private let clock = MonotonicClock()
  var now: Instant { Instant(milliseconds: clock.milliseconds) }
  var brain: CoordinatorBrain
  private var journal: Journal?
  private var listener: Listener?
  private var timer: Transport.Timer?
  private var timerDeadline: Instant?
  private var tokenTimer: Transport.Timer?
  /// The failure that lasts at present. It is logged once, although the work is tried again every second.
  private var troubles: [Trouble: String] = [:]

  private enum Trouble { case tokens, journal }

  var storeTimer: Transport.Timer?
  var verification = VerificationReport()
  nonisolated let isStopping = Atomic(false)

  var peers: [ConnectionID: Connection] = [:]
  /// Connections that move artifacts.
  private var transfers: [ConnectionID: Connection] = [:]
  private var lastConnection: UInt64 = 0

  private(set) var outbox = Outbox<Action>(limit: 0)
  /// The journal cannot be written, or too much waits for it: nobody is let in.
  private var isStalled = false
  private var failure: (any Error)?
  private var endWaiters: [CheckedContinuation<Void, Never>] = []

  var http: HTTPListener?
  var keptAnswers: [String: KeptAnswer] = [:]
  var storeByteCount: Int?
  /// When it is to be measured next.
  var storeMeasurement = Instant(milliseconds: 0)

  enum Action {
    case send([UInt8], to: ConnectionID)
    case close(ConnectionID)
    case confirm(CheckedContinuation<Bool, Never>)
  }

  /// Locks the data folder and makes the tokens that are missing.
  public init(_ options: CoordinatorOptions) throws {
    self.options = options
    loop = try EventLoop(name: "coordinator")
    let folder = try DataFolder(options.folder)
    artifacts = folder.artifacts
    keeper = StoreKeeper(folder.artifacts)
    brain = CoordinatorBrain(policy: options.policy)
    tokens = TokenFolder(folder.path)
    try tokens.fill()
    self.folder = folder
  }

  /// Replays the journal and begins to listen.
  /// - Returns: the address in use.
  public func start() throws -> SocketAddress {
    guard let folder else { preconditionFailure("a coordinator that was stopped does not start again") }
    var records = 0
    var brain = brain
    var superseded = SupersededRecords()
    journal = try Journal(
      folder.journalPath,
      replay: {
        brain.replay($0)
        superseded.observe($0)
        records += 1
      }, superfluous: { superseded.places },
      report: { [self] report in loop.post { self.assumeIsolated { $0.heard(report) } } })
    outbox = Outbox(durable: journal!.openedSequence, limit: options.outboxLimit)
    brain.start(at: now)
    self.brain = brain
    let accepted = try acceptedTokens()
    let listener = try Listener(
      at: options.endpoint, on: loop, keyring: Keyring(accepted), limits: options.limits
    ) { [self] connection in opened(connection) }
    self.listener = listener
    try listenForBrowsers(accepted)
    options.log("listening on \(listener.address), \(counted(records, "record")) replayed")
    armTimer()
    watchTokens(accepted)
    tendStore()
    return listener.address
  }

  /// Stops listening, makes everything decided durable and closes all connections. Jobs that run go on running.
  public func stop() async {
    isStopping.store(true, ordering: .relaxed)
    listener?.close()
    listener = nil
    http?.close()
    http = nil
    await journal?.close()
    timer?.cancel()
    timer = nil
    tokenTimer?.cancel()
    tokenTimer = nil
    storeTimer?.cancel()
    storeTimer = nil
    for connection in peers.values { connection.close() }
    peers = [:]
    for case .confirm(let continuation) in outbox.removeAll() { continuation.resume(returning: false) }
    journal = nil
    folder = nil
    end()
  }

  /// Returns when `stop` was called, throws when the journal cannot be written any more.
  public func ended() async throws {
    if journal != nil && failure == nil { await withCheckedContinuation { endWaiters.append($0) } }
    if let failure { throw failure }
  }

  private func end() {
    for waiter in endWaiters { waiter.resume() }
    endWaiters = []
  }
}

// MARK: - Connections

extension Coordinator {
  private func opened(_ connection: Connection) {
    guard !isStalled else { return connection.close("the journal cannot be written") }
    lastConnection += 1
    let id = ConnectionID(lastConnection)
    peers[id] = connection
    connection.onEvent = { [self] event in happened(event, on: id) }
  }

  private func happened(_ event: Connection.Event, on id: ConnectionID) {
    switch event {
    case .opened, .drained: break
    case .frame(let frame): received(frame, on: id)
    case .closed:
      peers[id] = nil
      handle(.disconnected(id))
    }
  }

  private func received(_ frame: [UInt8], on id: ConnectionID) {
    guard let connection = peers[id], let role = connection.token?.role else { return }
    do {
      switch (try WireMessage(frame), role) {
      case (.worker(let message), .worker):
        if case .hello(let hello) = message {
          options.log("worker \"\(hello.name.shortened())\" at \(connection.peer)")
        }
        handle(.received(message, from: id, missing: missing(message.artifacts)))
      case (.request(.store(let request)), .operator): answer(request, on: id)
      case (.request(let request), .operator):
        handle(.requested(request, from: id, missing: missing(request.artifacts)))
      case (.bulkRequest(let request), _):
        peers[id] = nil
        transfers[id] = connection
        let stream = FrameStream(connection)
        Task {
          await serve(stream, first: request)
          transfers[id] = nil
        }
      case (.worker, .operator): turnAway(id, as: .worker, role.mismatch)
      case (.request, .worker): turnAway(id, as: .operator, role.mismatch)
      case (let other, _): throw WireError.unexpected(kind: other.kind)
      }
    } catch {
      options.log("closing \(connection.peer) (\(connection.token!)): \(error.words)")
      if role == .operator {
        let refusal = OperatorResponse.refused(
          reason: "not understood (\(error.words)): update the older of the two programs")
        connection.send(WireMessage.response(refusal).frame)
        return connection.closeAfterFlush()
      }
      connection.close(error.words)
    }
  }

  /// Closes a connection whose token is known, after telling its holder why.
  /// - Parameter role: that in which the peer speaks, whatever its token says.
  private func turnAway(_ id: ConnectionID, as role: Token.Role, _ reason: String) {
    guard let connection = peers.removeValue(forKey: id) else { return }
    options.log("closing \(connection.peer) (\(connection.token!)): \(reason)")
    connection.onEvent = nil
    handle(.disconnected(id))
    switch role {
    case .worker: connection.send(WireMessage.coordinator(.refused(reason: reason)).frame)
    case .operator: connection.send(WireMessage.response(.refused(reason: reason)).frame)
    }
    connection.closeAfterFlush()
  }

  /// From its first bulk request on, a connection moves artifacts and nothing else.
  private func serve(_ stream: FrameStream, first request: BulkRequest) async {
    let service = BulkService(artifacts) { [self] report in assumeIsolated { $0.heard(report) } }
    await service.serve(stream, first: request)
  }

  private func heard(_ report: BulkService.Report) {
    switch report {
    case .stored(let digest): handle(.artifactStored(digest))
    case .lost(let digest, let reason):
      lose([digest], reason)
    }
  }

  private func complain(of trouble: Trouble, _ text: String) {
    if troubles.updateValue(text, forKey: trouble) != text { options.log(text) }
  }

  private func missing(_ references: [ArtifactReference]) -> [Digest] {
    references.filter { !keeper.holds($0) }.map(\.digest)
  }
}

// MARK: - Tokens

extension Coordinator {
  private func acceptedTokens() throws -> [Token] {
    let now = Int(time(nil))
    return try tokens.entries().filter { !$0.isExpired(at: now) }.map(\.token)
  }

  /// Looks every second whether tokens were made, revoked or have expired. Connections that were opened with one that
  /// is no longer accepted are closed; what their workers hold passes to others as after any break.
  private func watchTokens(_ known: [Token]) {
    tokenTimer = Transport.Timer(on: loop, after: .seconds(1)) { [self] in
      var known = known
      do {
        let accepted = try acceptedTokens()
        if accepted != known {
          listener?.keyring = try Keyring(accepted)
          http?.tokens = accepted
          options.log("accepts \(counted(accepted.count, "token")) now")
          let reason = "its token was revoked or has expired"
          for (id, connection) in peers {
            if let token = connection.token, !accepted.contains(token) { turnAway(id, as: token.role, reason) }
          }
          for connection in transfers.values where connection.token.map(accepted.contains) == false {
            connection.close(reason)
          }
          known = accepted
        }
        troubles[.tokens] = nil
      } catch { complain(of: .tokens, "the tokens stay as they were: \(error.words)") }
      watchTokens(known)
    }
  }
}

// MARK: - The brain's decisions

extension Coordinator {
  func handle(_ event: CoordinatorEvent) {
    guard failure == nil, let journal else { return }
    for effect in brain.handle(event, at: now) {
      switch effect {
      case .journal(let records): outbox.decide(through: journal.append(records))
      case .send(let message, let id): perform(.send(WireMessage.coordinator(message).frame, to: id))
      case .respond(let response, let id): perform(.send(WireMessage.response(response).frame, to: id))
      case .close(let id): perform(.close(id))
      }
    }
    armTimer()
    if outbox.isOverfull { stall("too much waits for the journal to be written") }
  }

  func respond(_ response: OperatorResponse, to id: ConnectionID) {
    perform(.send(WireMessage.response(response).frame, to: id))
  }

  /// Returns when everything decided so far is on the disk.
  /// - Throws: if the coordinator stops before.
  func untilDurable() async throws {
    guard await withCheckedContinuation({ perform(.confirm($0)) }) else { throw CancellationError() }
  }

  /// Does it when everything decided before is on the disk.
  private func perform(_ action: Action) { if outbox.admit(action) { carryOut(action) } }

  /// Until the journal can be written, the coordinator is away.
  private func stall(_ reason: String) {
    guard !isStalled else { return }
    isStalled = true
    options.log("closing all connections: \(reason)")
    // Nobody is left to hear the rest.
    outbox.keep { if case .confirm = $0 { true } else { false } }
    handle(.journalStalled)
    for connection in peers.values { connection.close(reason) }
  }

  private func carryOut(_ action: Action) {
    switch action {
    case .send(let frame, let id):
      guard frame.count <= options.limits.frameByteCount else {
        let refusal = OperatorResponse.refused(reason: "the answer is too long: ask for less")
        peers[id]?.send(WireMessage.response(refusal).frame)
        return
      }
      peers[id]?.send(frame)
    case .close(let id): peers[id]?.closeAfterFlush()
    case .confirm(let continuation): continuation.resume(returning: true)
    }
  }

  private func heard(_ report: Journal.Report) {
    switch report {
    case .durable(let sequence):
      for action in outbox.reachDisk(through: sequence) { carryOut(action) }
      guard isStalled, outbox.isWritten else { return }
      isStalled = false
      troubles[.journal] = nil
      options.log("the journal is written again")
      handle(.journalResumed)
    case .stalled(let error):
      complain(of: .journal, "cannot write the journal, trying again until it can: \(error.words)")
      stall("the journal cannot be written")
    case .failed(let error):
      failure = error
      end()
    }
  }

  private func armTimer() {
    guard brain.nextDeadline != timerDeadline else { return }
    timer?.cancel()
    timer = nil
    timerDeadline = brain.nextDeadline
    guard let deadline = timerDeadline else { return }
    let pause = max(0, deadline.milliseconds - clock.milliseconds)
    timer = Transport.Timer(on: loop, after: .milliseconds(pause)) { [self] in
      timer = nil
      timerDeadline = nil
      handle(.deadlinePassed)
    }
  }
}

// MARK: - The daemon

extension Coordinator {
  /// Runs a coordinator on the calling thread's behalf until SIGTERM or SIGINT.
  /// - Parameter onListening: hears the address once workers and operators may connect.
  public static func run(_ options: CoordinatorOptions, onListening: @Sendable (SocketAddress) -> Void) async throws {
    raiseDescriptorLimit()
    let coordinator = try Coordinator(options)
    onListening(try await coordinator.start())
    try await coordinator.stopOnSignals()
    try await coordinator.ended()
  }

  private func stopOnSignals() throws {
    for signal in [SIGTERM, SIGINT] {
      _ = try SignalWatch(on: loop, signal) { [self] in Task { await stop() } }
    }
  }
}
