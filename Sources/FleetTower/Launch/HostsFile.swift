import Artifacts
import Foundation
import Settings
import Transport
import Wording
import YAML

/// The file that names the hosts of a fleet, as `fleet up` reads it.
public struct HostsFile: Hashable, Sendable {
  /// Where the hosts find the coordinator.
  public var coordinator: Endpoint
  /// The file with the workers' token, on this machine.
  public var tokenFile: String
  /// The tarball of cluster/package.sh, on this machine; nil if the file names none.
  public var package: String?
  public var hosts: [FleetHost]

  /// - Parameters:
  ///   - name: the name that errors give.
  ///   - folder: paths are relative to it.
  /// - Throws: `YAMLError` with the line of the mistake.
  public init(_ text: [UInt8], name: String, folder: String) throws(YAMLError) {
    let root = try YAMLDocument.parse(text, file: name).mapping
    try root.requireKnownKeys(["coordinator", "worker_token", "package", "hosts"])
    func path(_ node: YAMLNode) throws(YAMLError) -> String {
      let path = try node.string
      return path.hasPrefix("/") ? path : folder + "/" + path
    }
    let address = try root.required("coordinator")
    guard let coordinator = try? Endpoint(address.string) else {
      throw address.error("‘coordinator’ is ADDRESS:PORT, such as 10.0.0.1:7433")
    }
    self.coordinator = coordinator
    tokenFile = try path(root.required("worker_token"))
    package = try root["package"].map { node throws(YAMLError) in try path(node) }
    let list = try root.required("hosts")
    hosts = []
    var lines: [String: Int] = [:]
    for node in try list.sequence {
      let host = try FleetHost(node)
      if let line = lines.updateValue(node.location.line, forKey: host.name) {
        throw node.error(
          "the host ‘\(host.name)’ is already in line \(line): give one of them another ‘name’")
      }
      hosts.append(host)
    }
    guard !hosts.isEmpty else { throw list.error("‘hosts’ names no host") }
  }

  public init(path: String) throws {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    try self.init(Files.read(path, maximumByteCount: 4 << 20), name: path, folder: folder)
  }
}

/// A host of the fleet and what its worker may use.
public struct FleetHost: Hashable, Sendable {
  /// As `ssh` takes it: a name of `~/.ssh/config`, `user@address` or `ssh://user@address:port`.
  public var address: String
  /// The worker's name, and that of its folder on the host.
  public var name: String
  public var slots: Int?
  public var threads: Int?
  public var memoryLimitMB: Int?
  public var labels: [String: String] = [:]
  /// The folder of the worker's cache on the host; nil puts it beside the program.
  public var cache: String?

  /// How many jobs a worker may run at once.
  public static let slotRange = 1...1024

  private static let keys = ["address", "name", "slots", "threads", "memory_limit_mb", "labels", "cache"]

  /// - Parameter node: an address, or a mapping with one.
  init(_ node: YAMLNode) throws(YAMLError) {
    guard case .mapping(let mapping) = node.content else {
      address = try Self.address(node)
      name = try Self.name(from: address, node)
      return
    }
    try mapping.requireKnownKeys(Self.keys)
    let addressNode = try mapping.required("address")
    address = try Self.address(addressNode)
    if let named = mapping["name"] {
      name = try named.string
      guard Self.isName(name) else {
        throw named.error("‘name’ has up to 64 letters, digits and inner ‘._-’, not ‘\(name.shortened())’")
      }
    } else {
      name = try Self.name(from: address, addressNode)
    }
    func number(_ key: String, _ range: ClosedRange<Int>) throws(YAMLError) -> Int? {
      guard let node = mapping[key] else { return nil }
      let value = try node.int
      guard range.contains(value) else {
        throw node.error("\(key) \(value) is out of range: use \(range.lowerBound) to \(range.upperBound)")
      }
      return value
    }
    slots = try number("slots", Self.slotRange)
    threads = try number("threads", BenchmarkStage.all.group.threads.integers)
    memoryLimitMB = try number("memory_limit_mb", LimitSettings.all.group.memoryMB.integers)
    for entry in try mapping["labels"]?.mapping.entries ?? [] {
      let value = try entry.value.string
      guard LabelRule.allows(entry.key, value) else { throw entry.value.error(LabelRule.words) }
      labels[entry.key] = value
    }
    if let node = mapping["cache"] {
      let path = try node.string
      guard path.hasPrefix("/"), path.isOneLine else {
        throw node.error("‘cache’ is a whole path on the host, such as /scratch/greensweep")
      }
      cache = path
    }
  }

  private static func address(_ node: YAMLNode) throws(YAMLError) -> String {
    let address = try node.string
    // ssh would take an address that begins with a dash for an option.
    guard !address.isEmpty, !address.hasPrefix("-"), address.utf8.count <= 255,
      address.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"'\"\\`$;&|<>(){}*?!".utf8.contains($0) })
    else {
      throw node.error("‘\(address.shortened())’ is not an address that ssh takes, such as user@host")
    }
    return address
  }

  /// The name of a host whose file gives none: its address without user, port and the like.
  private static func name(from address: String, _ node: YAMLNode) throws(YAMLError) -> String {
    var rest = address[...]
    if rest.hasPrefix("ssh://") {
      rest = rest.dropFirst(6)
      if let colon = rest.lastIndex(of: ":"), UInt16(rest[rest.index(after: colon)...]) != nil {
        rest = rest[..<colon]
      }
    }
    if let at = rest.lastIndex(of: "@") { rest = rest[rest.index(after: at)...] }
    let name = String(rest.map { $0 == ":" || $0 == "%" ? "-" : $0 }.filter { $0 != "[" && $0 != "]" })
    guard isName(name) else { throw node.error("‘\(address)’ makes no name for the worker: add a ‘name’") }
    return name
  }

  private static func isName(_ name: String) -> Bool {
    let bytes = name.utf8
    func isWord(_ byte: UInt8?) -> Bool { byte.map { Character(UnicodeScalar($0)).isASCIILetterOrDigit } ?? false }
    return (1...64).contains(bytes.count) && isWord(bytes.first) && isWord(bytes.last)
      && bytes.allSatisfy { isWord($0) || "._-".utf8.contains($0) }
  }
}

extension String {
  fileprivate var isOneLine: Bool { oneLine == self }
}

extension Character {
  fileprivate var isASCIILetterOrDigit: Bool { isASCII && (isLetter || isNumber) }
}
