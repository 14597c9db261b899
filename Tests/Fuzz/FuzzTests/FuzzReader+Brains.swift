@testable import Fleet
import JSON
import Settings
import Sweep
import Wire
import Wording

extension FuzzReader {
  /// The brains, and whoever may speak to them: a script of what arrives, a line each.
  static let brainReaders: [FuzzReader] = [
    FuzzReader(
      name: "coordinator", fileExtension: "script", tokens: words("w 1 w 2 r 3 x 1 t 30000 t 700000") + messageTokens,
      seeds: [
        FuzzSeed(day.joined(separator: "\n")), FuzzSeed(nuisance.joined(separator: "\n")),
        FuzzSeed("w 1 {}", isSound: false), FuzzSeed("r 1 {\"submit\":{}}", isSound: false),
      ],
      read: { bytes, file in
        var desk = HostileFleet(file)
        for line in bytes.split(separator: 10) { try desk.happen(line) }
        try desk.close()
      }, allowance: { (32 << 20) + 64 * $0.count }, mutate: { $0.mutatedScript($1) }),
    FuzzReader(
      name: "worker", fileExtension: "script", tokens: words("m s l x t 5000 t 100000") + messageTokens,
      seeds: [
        FuzzSeed(shift.joined(separator: "\n")),
        FuzzSeed(line("m", .coordinator(SampleMessages.welcome)) + "\nm {\"drain\":{\"isDraining\":true}}"),
        FuzzSeed("m {}", isSound: false), FuzzSeed("m [", isSound: false),
      ],
      read: { bytes, file in
        var bench = HostileCoordinator(file)
        try bench.start()
        for line in bytes.split(separator: 10) { try bench.happen(line) }
        try bench.close()
      }, allowance: { (32 << 20) + 64 * $0.count }, mutate: { $0.mutatedScript($1) }),
    FuzzReader(
      name: "journal", fileExtension: "script", tokens: messageTokens,
      seeds: [
        FuzzSeed(SampleMessages.records.map { text(JSON.encode($0)) }.joined(separator: "\n")),
        FuzzSeed(text(JSON.encode(SampleMessages.records[0]))), FuzzSeed("{}", isSound: false),
        FuzzSeed("{\"jobFailed\":{}}", isSound: false),
      ],
      read: { bytes, file in
        do {
          for line in bytes.split(separator: 10) {
            let record = try JSON.decode(Record.self, from: line, .fleet)
            let text = JSON.encode(record)
            let again = JSON.encode(try JSON.decode(Record.self, from: text, .fleet))
            if again != text { throw Broken("a record changes") }
          }
        } catch let error where !(error is Broken) {
          // As the journal says it.
          throw NamedRefusal(file, WireError.malformed(kind: "record", reason: "\(error)".shortened(to: 500)))
        }
      }, allowance: { (32 << 20) + 64 * $0.count }, mutate: { $0.mutatedScript($1) }),
  ]

  private static func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }
  private static func line(_ head: String, _ message: WireMessage) -> String {
    head + " " + text(message.frame.dropFirst(2))
  }

  /// A worker and an operator do a day's work.
  private static let day: [String] =
    [
      line("w 1", .worker(SampleMessages.hello())), line("r 3", .request(.submit(SampleMessages.submission))),
      line("w 2", .worker(SampleMessages.hello("w-2"))),
    ]
    + SampleMessages.workerMessages.dropFirst().dropLast().map { line("w 1", .worker($0)) } + ["t 3000"]
    + SampleMessages.workerMessages.dropFirst().dropLast(4).map { line("w 2", .worker($0)) } + ["x 2", "t 30000"]
    + SampleMessages.requests.dropFirst().map { line("r 3", .request($0)) }
    + [line("w 4", .worker(SampleMessages.hello("w-2"))), line("w 1", .worker(.goodbye)), "t 700000"]

  /// Hellos and questions, again and again.
  private static let nuisance: [String] =
    (1...6).flatMap { connection in
      [line("w \(connection)", .worker(SampleMessages.hello("w-\(connection % 3)", attempts: [AttemptNumber(1)])))]
        + SampleMessages.requests.prefix(6).map { line("r \(connection + 10)", .request($0)) } + [
          "x \(connection)", "t 1000",
        ]
    }

  private static let shift: [String] =
    [line("m", .coordinator(SampleMessages.welcome)), line("m", .coordinator(.assign(SampleMessages.assignment)))]
    + SampleMessages.coordinatorMessages.dropFirst(4).dropLast().map { line("m", .coordinator($0)) }
    + ["s", "t 5000", "x", "t 10000", line("m", .coordinator(SampleMessages.welcome)), "s", "s", "l", "t 30000"]
}

/// Reads `WORD REST`. What no word begins is not looked through: that would take longer than all else.
private func headAndRest(_ line: ArraySlice<UInt8>) -> (word: String, rest: ArraySlice<UInt8>) {
  guard let space = line.prefix(16).firstIndex(of: 32) else {
    return (String(decoding: line.prefix(16), as: UTF8.self), [])
  }
  return (String(decoding: line[..<space], as: UTF8.self), line[(space + 1)...])
}

/// Reads `WORD NUMBER REST`.
private func parts(_ line: ArraySlice<UInt8>) -> (word: String, number: Int, rest: ArraySlice<UInt8>) {
  let (word, rest) = headAndRest(line)
  let (number, message) = headAndRest(rest)
  return (word, Int(number) ?? 1, message)
}

/// A coordinator's brain among workers and operators who hold tokens and say what they like.
private struct HostileFleet {
  private let file: String
  private var brain = CoordinatorBrain()
  private var now = Instant(milliseconds: 0)
  private var closed: Set<ConnectionID> = []
  private var hasDrawn = false
  private var refusal: (any Error)?

  init(_ file: String) { self.file = file }

  /// - Throws: what must not be.
  mutating func happen(_ line: ArraySlice<UInt8>) throws {
    let (word, number, rest) = parts(line)
    let connection = ConnectionID(UInt64(number.magnitude % 16))
    switch word {
    case "t":
      now = now.advanced(byMilliseconds: Int64(min(max(number, 0), 1_000_000)))
      try handle(.deadlinePassed)
    case "x": try close(connection)
    case "w", "r":
      guard !closed.contains(connection) else { return }
      do {
        switch try WireMessage([1, word == "w" ? 1 : 3] + rest) {
        case .worker(let message):
          // Connection 9's artifacts never arrive.
          let missing = connection.value == 9 ? message.artifacts.map(\.digest) : []
          try handle(.received(message, from: connection, missing: missing))
        case .request(let request):
          if case .submit(let submission) = request, isMuchWork(submission.spec) { return }
          try handle(.requested(request, from: connection, missing: []))
        default: throw WireError.empty
        }
      } catch let error as WireError {
        refusal = refusal ?? error
        try close(connection)
      }
    default: refusal = refusal ?? WireError.empty
    }
  }

  /// Large grids are not hostile, only slow.
  private func isMuchWork(_ spec: SweepSpec) -> Bool {
    guard let count = spec.trialCount else { return false }
    return (40...SweepSpec.trialLimit).contains(count) || (10...100).contains(spec.prune.rounds)
  }

  private mutating func close(_ connection: ConnectionID) throws {
    closed.insert(connection)
    try handle(.disconnected(connection))
  }

  private mutating func handle(_ event: CoordinatorEvent) throws {
    let effects = brain.handle(event, at: now)
    if effects.count > 3 * MessageBounds.attempts { throw Broken("one message leads to \(effects.count) effects") }
    if let violation = brain.validate().first { throw Broken("the accounts do not agree: \(violation)") }
    for effect in effects {
      switch effect {
      case .journal(let records): for record in records { _ = JSON.encode(record) }
      case .send(let message, _): _ = WireMessage.coordinator(message).frame
      case .respond(let response, _):
        _ = WireMessage.response(response).frame
        if case .results(let table) = response { try draw(table) }
      case .close(let connection): if closed.insert(connection).inserted { try handle(.disconnected(connection)) }
      }
    }
  }

  /// Once a script: drawing takes longer than all else.
  private mutating func draw(_ table: ResultTable) throws {
    guard !hasDrawn else { return }
    hasDrawn = table.rows.contains { !$0.metrics.isEmpty }
    for text in [table.terminalText, table.svg, table.csv, table.json] where text.utf8.count > 1 << 20 {
      throw Broken("a table of \(text.utf8.count) bytes")
    }
  }

  /// - Throws: the first thing that was not understood.
  func close() throws { if let refusal { throw NamedRefusal(file, refusal) } }
}

/// A worker's brain, its shell, and a coordinator who says what it likes.
private struct HostileCoordinator {
  private let file: String
  private var brain: WorkerBrain
  private var now = Instant(milliseconds: 0)
  private var waiting: [WorkerEvent] = []
  private var running: Set<AttemptNumber> = []
  private var hasEnded = false
  private var refusal: (any Error)?

  init(_ file: String) {
    self.file = file
    brain = WorkerBrain(
      identity: WorkerBrain.Identity(worker: WorkerID("w-1"), name: "kiste", box: BoxID("box-1"), slots: 2, seed: 7))
  }

  /// Begins to look for the coordinator.
  mutating func start() throws {
    waiting = [.started]
    try settle()
  }

  mutating func happen(_ line: ArraySlice<UInt8>) throws {
    let (word, rest) = headAndRest(line)
    switch word {
    case "m":
      do {
        guard case .coordinator(let message) = try WireMessage([1, 2] + rest) else { return }
        waiting.append(.received(message))
      } catch {
        refusal = refusal ?? error
        waiting.append(.disconnected)
      }
    case "t":
      now = now.advanced(byMilliseconds: Int64(min(max(parts(line).number, 0), 1_000_000)))
      waiting.append(.deadlinePassed)
    case "x": waiting.append(.disconnected)
    case "s": for number in running.sorted() { end(number) }
    case "l": waiting.append(.leaveRequested)
    default: refusal = refusal ?? WireError.empty
    }
    try settle()
  }

  private mutating func end(_ number: AttemptNumber) {
    running.remove(number)
    let output = StageOutput(metrics: ["map50": 0.5], files: [.model: "model.safetensors"])
    if number.value % 3 > 0 { waiting.append(.stageReported(number, .finished(output))) }
    waiting.append(.stageExited(number, message: "exit status \(number.value % 3)"))
  }

  /// Plays the shell until nothing is left to do.
  private mutating func settle() throws {
    var count = 0
    while !waiting.isEmpty, !hasEnded {
      count += 1
      guard count < 50_000 else { throw Broken("one message keeps the worker busy for ever") }
      for effect in brain.handle(waiting.removeFirst(), at: now) { carryOut(effect) }
      guard brain.heldAttempts.count <= brain.policy.attemptLimit else { throw Broken("too many attempts in hand") }
      if let deadline = brain.nextDeadline, deadline <= now { throw Broken("a deadline that does not pass") }
    }
  }

  private mutating func carryOut(_ effect: WorkerEffect) {
    switch effect {
    case .connect: waiting.append(.connected)
    case .disconnect: waiting.removeAll { $0 == .connected || $0 == .disconnected }  // As its shell promises.
    case .discard: break
    case .send(let message): _ = WireMessage.worker(message).frame
    case .fetch(let artifact):
      let isThere = artifact.byteCount % 5 != 4
      waiting.append(isThere ? .fetched(artifact.digest) : .fetchFailed(artifact.digest, reason: "no such artifact"))
    case .upload(let artifact): waiting.append(.uploaded(artifact.digest))
    case .startStage(let assignment):
      running.insert(assignment.attempt)
      waiting.append(.stageReported(assignment.attempt, .started(epochs: 3)))
      waiting.append(.stageReported(assignment.attempt, .epoch(SampleMessages.metrics)))
      waiting.append(.stageReported(assignment.attempt, .checkpoint(epoch: 1, file: "last")))
    case .killStage(let number):
      if running.remove(number) != nil { waiting.append(.stageExited(number, message: "killed")) }
    case .keepFile(let number, let file):
      waiting.append(.fileKept(number, file: file, artifact: SampleMessages.artifact))
    case .exit: hasEnded = true
    }
  }

  func close() throws { if let refusal { throw NamedRefusal(file, refusal) } }
}
