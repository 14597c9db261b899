import Artifacts
import Client
import Coordinator
import Fleet
import Foundation
import Testing
import Transport

@Suite struct TokenFolderTests {
  @Test func tokensAreMadeListedAndRevoked() throws {
    let folder = try TemporaryFolder()
    let tokens = TokenFolder(folder.path)
    try tokens.fill()
    let first = try tokens.entries()
    #expect(first.map(\.token.role) == [.operator, .worker])
    try tokens.fill()
    #expect(try tokens.entries() == first)

    let lasting = try tokens.create(.worker, lifetimeSeconds: nil)
    let brief = try tokens.create(.operator, lifetimeSeconds: 60)
    #expect(try Set(tokens.entries()) == Set(first + [lasting, brief]))
    #expect(try Token(file: brief.path) == brief.token)
    #expect(!lasting.isExpired(at: .max) && brief.isExpired(at: brief.expiresAt!))
    #expect(!brief.isExpired(at: brief.expiresAt! - 1))
    let mode = try FileManager.default.attributesOfItem(atPath: brief.path)[.posixPermissions] as? Int
    #expect(mode == 0o600)

    #expect(try tokens.revoke(lasting.token.id))
    #expect(try !tokens.revoke(lasting.token.id))
    #expect(try !tokens.entries().contains(lasting))
  }

  @Test(arguments: ["", "nonsense\n", "TOKEN\nexpires soon\n", "TOKEN\nexpires 1\nmore\n"])
  func whatIsNoTokenIsNamed(_ text: String) throws {
    let folder = try TemporaryFolder()
    let tokens = TokenFolder(folder.path)
    let good = try tokens.create(.worker, lifetimeSeconds: nil)
    let file = folder.path + "/tokens/bad.token"
    try Files.writeDurably(Array(text.replacingOccurrences(of: "TOKEN", with: good.token.text).utf8), to: file)
    let error = #expect(throws: TransportError.self) { try tokens.entries() }
    #expect("\(error!)".contains("bad.token") && !"\(error!)".contains(good.token.text.suffix(64)))
  }

  /// An operator with a new token gets in while the coordinator runs, and is put out when the token is revoked.
  @Test(.timeLimit(.minutes(20))) func aRunningCoordinatorFollows() async throws {
    let folder = try TemporaryFolder()
    var options = CoordinatorOptions(folder: folder.path)
    options.endpoint = Endpoint(host: "127.0.0.1", port: 0)
    let coordinator = try Coordinator(options)
    let endpoint = Endpoint(host: "127.0.0.1", port: try await coordinator.start().port)
    let tokens = TokenFolder(folder.path)
    let entry = try tokens.create(.operator, lifetimeSeconds: nil)
    let client = try OperatorClient(endpoint, entry.token)
    func isWelcome() async -> Bool { (try? await client.request(.status(sweep: nil))) != nil }
    while await !isWelcome() { try await Task.sleep(for: .milliseconds(50)) }
    #expect(try tokens.revoke(entry.token.id))
    while await isWelcome() { try await Task.sleep(for: .milliseconds(50)) }
    await coordinator.stop()
  }
}
