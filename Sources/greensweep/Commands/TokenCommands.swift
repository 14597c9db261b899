import Foundation
import Transport
import Wording

extension Command {
  private static let data = Option("--data", "DIR", help: "the coordinator's folder (default: greensweep-data)")

  static let tokenCreate = Command(
    name: "token create", summary: "let one more worker or operator in; run it where the coordinator runs",
    options: [
      Option("--role", "ROLE", help: "worker or operator"),
      Option("--expires", "TIME", help: "for how long, as in 90m, 12h or 30d (default: until it is revoked)"), data,
      .json,
    ],
    discussion: """
      Prints the file that holds the token, never the token itself. Hand the file on over a channel you trust; only its
      user may read it (chmod 600). The coordinator accepts the token within a second.
      """
  ) { arguments in
    guard let role = try arguments.choice("--role", among: Token.Role.allCases.map(\.rawValue)).flatMap(Token.Role.init)
    else { throw UsageError("token create: --role worker or --role operator is missing") }
    let lifetimeSeconds = try arguments.duration("--expires").map { Int($0.rounded(.up)) }
    let entry = try folder(arguments).create(role, lifetimeSeconds: lifetimeSeconds)
    if arguments.has("--json") { printJSON(TokenReport(entry)) } else { printLine(entry.path) }
  }

  static let tokenList = Command(
    name: "token list", summary: "list the tokens that let workers and operators in", options: [data, .json]
  ) { arguments in
    let reports = try folder(arguments).entries().map(TokenReport.init)
    if arguments.has("--json") { return printJSON(reports) }
    printLine(
      textTable(
        [["token", "role", "expires", "file"]] + reports.map { [$0.id, $0.role, $0.expires ?? "never", $0.file] }))
  }

  static let tokenRevoke = Command(
    name: "token revoke", summary: "shut out whoever holds a token; open connections are closed within a second",
    positionals: ["TOKEN"], options: [data]
  ) { arguments in
    let id = arguments.positionals[0]
    guard try folder(arguments).revoke(id) else {
      throw UsageError("token revoke: there is no token \(id): 'greensweep token list' shows them")
    }
    printLine("\(id) is revoked")
  }

  private static func folder(_ arguments: Arguments) throws -> TokenFolder {
    let path = arguments.string("--data") ?? "greensweep-data"
    guard FileManager.default.fileExists(atPath: path + "/journal.sqlite") else {
      throw UsageError("\(path) is not a coordinator's folder: name it with --data")
    }
    return TokenFolder(path)
  }
}

private struct TokenReport: Encodable {
  let id: String
  let role: String
  let expires: String?
  let file: String

  init(_ entry: TokenFolder.Entry) {
    id = entry.token.id
    role = entry.token.role.rawValue
    let isExpired = entry.isExpired(at: Int(Date.now.timeIntervalSince1970))
    expires = entry.expiresAt.map {
      Date(timeIntervalSince1970: Double($0)).formatted(.iso8601) + (isExpired ? " (expired)" : "")
    }
    file = entry.path
  }
}
