import Client
import Fleet
import Foundation
import Sweep
import Transport

extension Option {
  static let coordinator = Option(
    "--coordinator", "ADDR:PORT", help: "(default: GREENSWEEP_COORDINATOR, or \(OperatorConnection.defaultAddress))")
  static let tokenFile = Option("--token-file", "FILE", help: "(default: GREENSWEEP_TOKEN_FILE)")

  /// The options of every operator's command.
  static let connection: [Option] = [.coordinator, .tokenFile]
}

/// The coordinator an operator's command speaks to, and the answers by their kind.
struct OperatorConnection: Sendable {
  static let defaultAddress = "127.0.0.1:7433"
  let client: OperatorClient

  /// - Parameter elsewhere: where the coordinator is if the call does not say so.
  init(_ arguments: Arguments, elsewhere: String? = nil) throws {
    let environment = ProcessInfo.processInfo.environment
    let address =
      arguments.string("--coordinator") ?? elsewhere ?? environment["GREENSWEEP_COORDINATOR"] ?? Self.defaultAddress
    client = try OperatorClient(Endpoint(address), token(arguments, of: .operator))
  }

  init(_ address: String, tokenFile: String) throws {
    client = try OperatorClient(Endpoint(address), Token(file: tokenFile))
  }

  func sweeps() async throws -> [SweepSummary] {
    let response = try await client.request(.status(sweep: nil))
    guard case .sweeps(let sweeps) = response else { throw unexpected(response) }
    return sweeps
  }

  func status(_ sweep: String) async throws -> SweepStatus {
    let response = try await client.request(.status(sweep: sweep))
    guard case .sweep(let status) = response else { throw unexpected(response) }
    return status
  }

  func results(_ sweep: String, objectives: [Objective]? = nil) async throws -> ResultTable {
    let response = try await client.request(.results(sweep: sweep, objectives: objectives))
    guard case .results(let table) = response else { throw unexpected(response) }
    // An older coordinator judges by other rules.
    return table.judged(by: table.objectives)
  }

  func report(_ sweep: String) async throws -> SweepReport {
    let response = try await client.request(.report(sweep: sweep))
    guard case .report(var report) = response else { throw unexpected(response) }
    report.table = report.table.judged(by: report.table.objectives)
    return report
  }

  func workers() async throws -> [WorkerStatus] {
    let response = try await client.request(.workers)
    guard case .workers(let workers) = response else { throw unexpected(response) }
    return workers
  }

  func logs(_ job: String) async throws -> JobHistory {
    let response = try await client.request(.logs(job: job))
    guard case .logs(let history) = response else { throw unexpected(response) }
    return history
  }

  func verification(_ request: StoreRequest) async throws -> VerificationReport {
    let response = try await client.request(.store(request))
    guard case .verification(let report) = response else { throw unexpected(response) }
    return report
  }

  func clean(isDryRun: Bool) async throws -> CleaningReport {
    let response = try await client.request(.store(.clean(isDryRun: isDryRun)))
    guard case .cleaning(let report) = response else { throw unexpected(response) }
    return report
  }

  /// Requests that change something answer with a sentence.
  func order(_ request: OperatorRequest) async throws -> String {
    let response = try await client.request(request)
    guard case .done(let message) = response else { throw unexpected(response) }
    return message
  }

  /// Brings the trial's final model into a file.
  func pull(_ trial: String, to path: String) async throws {
    let response = try await client.request(.pull(trial: trial))
    guard case .artifacts(_, _, let artifacts) = response else { throw unexpected(response) }
    guard let model = artifacts[OutputRole.model.rawValue] else { throw WorkError("trial \(trial) has no model yet") }
    try await client.pull(model, to: path)
  }

  private func unexpected(_ response: OperatorResponse) -> WorkError {
    WorkError("the coordinator gave an answer of another kind: \(response)")
  }
}

extension Arguments {
  /// `--token-file`, or else what the environment names.
  var tokenFile: String? {
    string("--token-file") ?? ProcessInfo.processInfo.environment["GREENSWEEP_TOKEN_FILE"]
  }
}

/// The token in `--token-file` or the environment.
/// - Throws: `UsageError` if there is none, or it is for the other role.
func token(_ arguments: Arguments, of role: Token.Role) throws -> Token {
  guard let path = arguments.tokenFile else {
    throw UsageError(
      """
      no token: give --token-file FILE or set GREENSWEEP_TOKEN_FILE \
      (the coordinator keeps \(role.rawValue).token in its data folder)
      """
    )
  }
  let token = try Token(file: path)
  guard token.role == role else { throw UsageError("\(path): \(token.role.mismatch)") }
  return token
}
