import Artifacts
import Bytes
import Fleet
import Foundation
import Transport
import Wording

/// The state of a host, as `HostScript.survey` found it.
public struct HostSurvey: Hashable, Sendable {
  public enum Reach: Hashable, Sendable {
    case yes
    case no(reason: String)
    /// The host has no program to try with.
    case unknown
  }

  public var architecture = ""
  /// The C library's name and version; empty for others than glibc.
  public var library = ""
  public var freeByteCount: Int?
  public var isWritable = false
  /// Seconds since 1970 on its clock.
  public var clock: Int?
  public var coordinator = Reach.unknown
  /// The packages that are unpacked there, by the first digits of their digests.
  public var packages: Set<String> = []
  /// The package that the running worker belongs to; nil if none runs.
  public var running: String?
  public var token: Digest?
  /// The call that starts its worker.
  public var call: String?
  public var worker: WorkerID?

  public init() {}

  /// - Parameter lines: a key and a value each; unknown keys are passed over, because login scripts print things.
  public init(lines: [String]) {
    for line in lines {
      let words = line.split(separator: " ", maxSplits: 1).map(String.init)
      guard words.count == 2 else { continue }
      let value = words[1]
      switch words[0] {
      case "greensweep-architecture": architecture = value
      case "greensweep-library": library = value
      case "greensweep-free": freeByteCount = Int(value).flatMap { (0..<1 << 50).contains($0) ? $0 << 10 : nil }
      case "greensweep-writable": isWritable = value == "yes"
      case "greensweep-clock": clock = Int(value).flatMap { (0..<1 << 40).contains($0) ? $0 : nil }
      case "greensweep-coordinator":
        coordinator = value == "yes" ? .yes : value == "unknown" ? .unknown : .no(reason: value.shortened(to: 200))
      case "greensweep-package": packages.insert(value)
      case "greensweep-running": running = value
      case "greensweep-token": token = Digest(value)
      case "greensweep-call": call = value
      case "greensweep-worker": worker = WorkerID(value)
      default: break
      }
    }
  }
}

/// The state that a host should have.
public struct WantedWorker: Hashable, Sendable {
  public var host: FleetHost
  /// The address where the host finds the coordinator.
  public var coordinator: Endpoint
  public var package: LaunchPackage
  public var token: Digest

  /// The arguments of `greensweep` that start the worker in its folder.
  public var arguments: [String] {
    var words = ["worker", "--join", "\(coordinator)", "--token-file", "token", "--name", host.name]
    words += ["--cache", host.cache ?? "cache"]
    for (name, value) in [
      ("--slots", host.slots), ("--threads", host.threads), ("--memory-limit-mb", host.memoryLimitMB),
    ] {
      if let value { words += [name, "\(value)"] }
    }
    for (key, value) in host.labels.sorted(by: { $0.key < $1.key }) { words += ["--label", "\(key)=\(value)"] }
    return words
  }

  /// The same as the shell takes it, in one line.
  var call: String { arguments.map(\.shellQuoted).joined(separator: " ") }
}

/// A step of bringing a host up.
public enum LaunchStep: Hashable, Sendable {
  case copyPackage, stop, handToken, start
}

/// The steps that lead a host to its wanted state, or why they cannot.
public enum LaunchPlan: Hashable, Sendable {
  /// Nothing at all if it is there already.
  case steps([LaunchStep])
  case refused(String)

  public init(_ survey: HostSurvey, _ wanted: WantedWorker) {
    if let obstacle = Self.obstacle(survey, wanted) {
      self = .refused(obstacle)
      return
    }
    let package = wanted.package
    let isInstalled = survey.packages.contains(package.name)
    let hasToken = survey.token == wanted.token
    let isAsWanted = survey.running == package.name && hasToken && survey.call == wanted.call
    var steps: [LaunchStep] = isInstalled ? [] : [.copyPackage]
    if survey.running != nil, !isAsWanted { steps.append(.stop) }
    if !hasToken { steps.append(.handToken) }
    if !isAsWanted { steps.append(.start) }
    self = .steps(steps)
  }

  private static func obstacle(_ survey: HostSurvey, _ wanted: WantedWorker) -> String? {
    let package = wanted.package
    if survey.architecture != package.architecture {
      return "its processor is \(survey.architecture.shortened()), the package is for \(package.architecture)"
    }
    if survey.library.isEmpty { return "it has no glibc, which the program needs: use another distribution there" }
    if !survey.isWritable { return "its home folder cannot be written to" }
    if case .no(let reason) = survey.coordinator {
      return "it cannot reach the coordinator at \(wanted.coordinator) (\(reason)): open the way, or use --tunnel"
    }
    if !survey.packages.contains(package.name), let free = survey.freeByteCount, free < package.neededByteCount {
      return "only \(free >> 20) MB are free in its home folder, \(package.neededByteCount >> 20) MB are needed"
    }
    return nil
  }

  /// Words for a clock that is wrong by more than half a minute; nil for a good one.
  public static func clockRemark(_ survey: HostSurvey, now: Int) -> String? {
    guard let clock = survey.clock, abs(clock - now) > 30 else { return nil }
    let seconds = abs(clock - now)
    let amount = seconds < 7200 ? "\(seconds) s" : "\(seconds / 3600) h"
    return "its clock is \(amount) \(clock > now ? "ahead" : "behind")"
  }
}

/// A tarball that cluster/package.sh has made.
public struct LaunchPackage: Hashable, Sendable {
  public var path: String
  public var digest: Digest
  public var byteCount: Int
  public var architecture: String

  public init(path: String, digest: Digest, byteCount: Int, architecture: String) {
    self.path = path
    self.digest = digest
    self.byteCount = byteCount
    self.architecture = architecture
  }

  /// - Parameter path: ends in `-linux-ARCHITECTURE.tar.gz`, as cluster/package.sh names it.
  public init(file path: String) throws {
    let parts = path.split(separator: "/").last.map { $0.split(separator: "-linux-") } ?? []
    guard parts.count == 2, parts[1].hasSuffix(".tar.gz"), let byteCount = Files.byteCount(path) else {
      throw LaunchError(
        "\(path) is no package: name the greensweep-…-linux-….tar.gz that cluster/package.sh has made")
    }
    try self.init(
      path: path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path,
      digest: Digest(ofFile: path), byteCount: byteCount, architecture: String(parts[1].dropLast(7)))
  }

  /// Its folder on a host has this name.
  var name: String { String(digest.description.prefix(16)) }
  /// The tarball, what is in it, and some room to work.
  var neededByteCount: Int { 5 * byteCount + 100 << 20 }
}
