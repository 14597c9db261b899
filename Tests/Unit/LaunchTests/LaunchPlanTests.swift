import Bytes
import Fleet
import Testing
import Wording
import Transport

@testable import Launch

@Suite("The steps for a host")
struct LaunchPlanTests {
  private static let package = LaunchPackage(
    path: "/p.tar.gz", digest: Digest(String(repeating: "ab", count: 32))!, byteCount: 50 << 20,
    architecture: "x86_64")
  private let wanted: WantedWorker

  init() throws {
    let file = try HostsFile(
      Array("coordinator: c:1\nworker_token: t\nhosts: [{address: ada, slots: 2, labels: {a: b c}}]".utf8), name: "h",
      folder: "/")
    wanted = WantedWorker(
      host: file.hosts[0], coordinator: file.coordinator, package: Self.package,
      token: Digest(String(repeating: "cd", count: 32))!)
  }

  private func survey(_ changes: [String: String] = [:]) -> HostSurvey {
    var lines = [
      "architecture": "x86_64", "library": "glibc 2.36", "free": "\(10 << 20)", "writable": "yes",
      "clock": "1000000", "coordinator": "yes",
    ]
    lines.merge(changes) { $1 }
    return HostSurvey(lines: ["Welcome to ada", "arch"] + lines.map { "greensweep-\($0.key) \($0.value)" })
  }

  private var asWanted: [String: String] {
    [
      "package": Self.package.name, "running": Self.package.name, "token": "\(wanted.token)", "call": wanted.call,
      "worker": "w-1",
    ]
  }

  @Test func anEmptyHostGetsEverything() {
    #expect(LaunchPlan(survey(), wanted) == .steps([.copyPackage, .handToken, .start]))
  }

  @Test func nothingIsDoneTwice() { #expect(LaunchPlan(survey(asWanted), wanted) == .steps([])) }

  @Test(
    arguments: [
      ("running", "0123", [.stop, .start]), ("token", "x", [.stop, .handToken, .start]),
      ("call", "worker", [.stop, .start]), ("package", "0123", [.copyPackage]),
    ] as [(String, String, [LaunchStep])])
  func onlyTheDifferenceIsDone(key: String, value: String, steps: [LaunchStep]) {
    #expect(LaunchPlan(survey(asWanted.merging([key: value]) { $1 }), wanted) == .steps(steps))
  }

  @Test func aWorkerThatHasEndedIsStartedAgain() {
    var lines = asWanted
    lines["running"] = nil
    #expect(LaunchPlan(survey(lines), wanted) == .steps([.start]))
  }

  @Test(arguments: [
    ("architecture", "aarch64", "its processor is aarch64, the package is for x86_64"),
    ("library", "", "it has no glibc"), ("writable", "no", "cannot be written"),
    ("coordinator", "No route to host", "cannot reach the coordinator at c:1 (No route to host)"),
    ("free", "\(12 << 10)", "only 12 MB are free in its home folder, 350 MB are needed"),
  ])
  func obstaclesAreTold(key: String, value: String, words: String) {
    guard case .refused(let reason) = LaunchPlan(survey([key: value]), wanted) else {
      Issue.record("\(key) \(value) is no obstacle")
      return
    }
    #expect(reason.contains(words), "\(reason)")
  }

  @Test func aHostThatCannotTryTheWayIsGivenTheBenefitOfTheDoubt() {
    #expect(LaunchPlan(survey(["coordinator": "unknown"]), wanted) == .steps([.copyPackage, .handToken, .start]))
  }

  @Test func aWrongClockIsRemarkedUpon() {
    #expect(LaunchPlan.clockRemark(survey(), now: 1_000_020) == nil)
    #expect(LaunchPlan.clockRemark(survey(), now: 1_000_100) == "its clock is 100 s behind")
    #expect(LaunchPlan.clockRemark(survey(), now: 1_000_000 - 3 * 3600) == "its clock is 3 h ahead")
    #expect(LaunchPlan.clockRemark(survey(["clock": "\(Int.max)"]), now: 5) == nil)
  }

  @Test func callsAreQuotedForTheShell() {
    #expect(
      wanted.call == "worker --join c:1 --token-file token --name ada --cache cache --slots 2 --label 'a=b c'")
    #expect("it's".shellQuoted == "'it'\\''s'" && "".shellQuoted == "''" && "a b\n$c".shellQuoted == "'a b\n$c'")
  }
}
