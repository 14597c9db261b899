import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
import Sweep
import Synchronization
import Testing
import Transport
@testable import Worker

/// How daemons that do not get on with each other tell their people why.
@Suite struct GreetingTests {
  private final class Log: Sendable {
    private let lines = Mutex<[String]>([])
    var text: [String] { lines.withLock { $0 } }
    func append(_ line: String) { lines.withLock { $0.append(line) } }

    func waitFor(_ words: String) async throws {
      try await withoutHanging { [self] in
        while !text.contains(where: { $0.contains(words) }) { try await Task.sleep(for: .milliseconds(20)) }
      }
    }
  }

  @Test func tokensAreReadWhateverAnEditorPutAroundThem() throws {
    let folder = try TemporaryFolder()
    let token = try Token(role: .worker)
    let file = folder.path + "/token"
    let text = token.text
    for form in [text, text + "\r\n", "\u{feff}" + text + "\n", "  \(text)\t \n\n", "\n\(text)\r\n\r\n"] {
      try Files.writeDurably(Array(form.utf8), to: file)
      #expect(try Token(file: file) == token, "\(form.debugDescription)")
    }
    try Files.writeDurably(Array("\u{feff}\(text)\r\nexpires 4000000000 \r\n".utf8), to: file)
    #expect(try Token(file: file) == token)
  }

  @Test(arguments: [
    ([UInt8]("".utf8), "is empty"), ([0xff, 0xfe, 0x67, 0x00], "save the token as UTF-8"),
    ([UInt8]("hello\n".utf8), "begins with ‘greensweep.’"),
  ])
  func whatIsNoTokenIsToldWhy(_ bytes: [UInt8], _ words: String) throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/token"
    try Files.writeDurably(bytes, to: file)
    let error = #expect(throws: TransportError.self) { try Token(file: file) }
    #expect("\(error!)".contains(words) && "\(error!)".contains(file))
  }

  @Test func anExpiredTokenIsToldAsSuch() throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/token"
    try Files.writeDurably(Array("\(try Token(role: .worker).text)\nexpires 1\n".utf8), to: file)
    let error = #expect(throws: TransportError.self) { try Token(file: file) }
    #expect("\(error!)".contains("has expired") && "\(error!)".contains("--role worker"))
  }

  /// Each learns that its token is for the other role, whatever its program checked before.
  @Test(.timeLimit(.minutes(20))) func aTokenOfTheOtherRoleIsToldAsSuch() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let log = Log()
    let worker = try await cluster.worker("a", endpoint, token: "operator", log: log.append)
    try await log.waitFor("this is an operator's token; a worker needs a worker's")
    let client = try OperatorClient(endpoint, Token(file: cluster.folder.path + "/data/worker.token"))
    let error = await #expect(throws: ClientError.self) { try await client.request(.workers) }
    #expect(error?.description.contains("this is a worker's token") == true)
    #expect(!log.text.contains { $0.contains("connected to") })
    await worker.leave()
    try await withoutHanging { await worker.ended() }
    await coordinator.stop()
  }

  @Test(.timeLimit(.minutes(20))) func aWorkerHearsThatItsTokenWasRevoked() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let tokens = TokenFolder(cluster.folder.path + "/data")
    let log = Log()
    let worker = try await cluster.worker("a", endpoint, log: log.append)
    try await log.waitFor("connected to")
    try #expect(tokens.revoke(tokens.entries().first { $0.token.role == .worker }!.token.id))
    try await log.waitFor("its token was revoked or has expired")
    await worker.leave()
    try await withoutHanging { await worker.ended() }
    await coordinator.stop()
  }

  /// The coordinator looks at its tokens every second.
  @Test(.timeLimit(.minutes(20))) func aDamagedTokenFileIsToldOnce() async throws {
    let cluster = try Cluster()
    let log = Log()
    let (coordinator, endpoint) = try await cluster.coordinator(log: log.append)
    let bad = cluster.folder.path + "/data/tokens/worker-00000000.token"
    try Files.createFolder(cluster.folder.path + "/data/tokens")
    try Files.writeDurably(Array("nonsense\n".utf8), to: bad)
    try await log.waitFor("the tokens stay as they were")
    try await Task.sleep(for: .seconds(3))
    #expect(log.text.count(where: { $0.contains("the tokens stay as they were") }) == 1, "\(log.text)")
    try Files.remove(bad)
    // The tokens that it knows stay valid.
    _ = try await cluster.client(endpoint).request(.workers)
    await coordinator.stop()
  }

  /// A coordinator that is away, and one that comes back, are each told in a line.
  @Test(.timeLimit(.minutes(20))) func whatIsTriedAgainAndAgainIsLoggedOnce() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    let log = Log()
    let worker = try await cluster.worker("a", endpoint, log: log.append)
    try await log.waitFor("connected to")
    await coordinator.stop()
    try await log.waitFor("Connection refused")
    // Long enough for four tries more.
    try await Task.sleep(for: .seconds(4))
    #expect(log.text.count <= 3, "\(log.text)")
    let (again, _) = try await cluster.coordinator(port: endpoint.port)
    try await withoutHanging {
      while log.text.count(where: { $0.contains("connected to") }) < 2 { try await Task.sleep(for: .milliseconds(20)) }
    }
    await worker.leave()
    try await withoutHanging { await worker.ended() }
    await again.stop()
  }

  /// A machine that was copied as a whole has its worker's identity too. The first process keeps its jobs.
  @Test(.timeLimit(.minutes(20))) func aSecondWorkerOfOneIdentityIsRefusedInWords() async throws {
    let cluster = try Cluster()
    let (coordinator, endpoint) = try await cluster.coordinator()
    _ = try WorkerFolder(cluster.folder.path + "/a")
    try FileManager.default.copyItem(atPath: cluster.folder.path + "/a", toPath: cluster.folder.path + "/b")
    try Files.remove(cluster.folder.path + "/b/worker-place")
    let (logA, logB) = (Log(), Log())
    let first = try await cluster.worker("a", endpoint, pause: 0.2, log: logA.append)
    try await logA.waitFor("connected to")
    let client = try cluster.client(endpoint)
    let sweep = try await cluster.submit(client)
    let second = try await cluster.worker("b", endpoint, log: logB.append)
    try await logB.waitFor("the coordinator refuses this worker: another process with the identity")
    let table = try await cluster.table(client, sweep)
    #expect(table.rows.allSatisfy { $0.state == .done })
    guard case .sweep(let status) = try await client.request(.status(sweep: sweep.name)) else {
      throw TimedOut(seconds: 0)
    }
    #expect(status.jobs.allSatisfy { $0.attempts == 1 }, "\(status.jobs.map(\.attempts))")
    #expect(logA.text.count(where: { $0.contains("connected to") }) == 1, "\(logA.text)")
    for worker in [first, second] {
      await worker.leave()
      try await withoutHanging { await worker.ended() }
    }
    await coordinator.stop()
  }

  @Test func aCopiedFolderDrawsANameOfItsOwn() throws {
    let folder = try TemporaryFolder()
    let original = folder.path + "/cache"
    let name = try WorkerFolder(original).worker
    #expect(try WorkerFolder(original).worker == name)
    let copy = folder.path + "/copy"
    try FileManager.default.copyItem(atPath: original, toPath: copy)
    let other = try WorkerFolder(copy).worker
    #expect(other != name)
    #expect(try WorkerFolder(copy).worker == other && WorkerFolder(original).worker == name)
    // A folder that is moved, or that an older worker has left, keeps its name.
    let moved = folder.path + "/moved"
    try FileManager.default.moveItem(atPath: original, toPath: moved)
    #expect(try WorkerFolder(moved).worker == name)
    try Files.remove(moved + "/worker-place")
    #expect(try WorkerFolder(moved).worker == name)
  }

  /// A folder that somebody else uses may have a folder `attempts` too.
  @Test func aForeignFolderIsRefusedAndLeftAsItIs() throws {
    let folder = try TemporaryFolder()
    let precious = folder.path + "/attempts/climbing.txt"
    try Files.createFolder(folder.path + "/attempts")
    try Files.writeDurably(Array("K2".utf8), to: precious)
    #expect {
      _ = try WorkerFolder(folder.path)
    } throws: {
      "\($0)".contains("has ‘attempts’ in it and is not a worker's folder: give --cache an empty folder")
    }
    #expect(try Files.names(in: folder.path) == ["attempts"])
    #expect(Files.exists(precious))
    // A worker's own is emptied.
    let own = folder.path + "/own"
    for name in ["lost+found", "artifacts"] { try Files.createFolder(own + "/" + name) }
    _ = try WorkerFolder(own)
    try Files.createFolder(own + "/attempts/7")
    _ = try WorkerFolder(own)
    #expect(!Files.exists(own + "/attempts/7"))
  }
}
