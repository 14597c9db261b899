import Foundation

/// Reads the processors' energy counters (Intel's and AMD's RAPL, Linux' powercap). They count the whole host, so
/// nothing else should run while they are compared.
///
/// Zones are nested and overlap. Counted are the packages of all sockets and, beside them, their memory (`dram`), which
/// no package includes; `core` and `uncore` are parts of a package. `psys` is the whole platform and includes the
/// packages, so it counts only where there is none. Some kernels show a package a second time (`intel-rapl-mmio`).
public struct EnergyMeter: Sendable {
  private struct Counter: Sendable {
    var path: String
    /// Where the counter starts again from 0, microjoules.
    var range: UInt64
    var last: UInt64
  }

  /// A folder of the kernel's: `intel-rapl:0`, or `intel-rapl:0:1` for a part of it.
  private struct Zone {
    let path: String
    let name: String
    let parent: String?
  }

  private var counters: [Counter]
  /// The names of the zones that are counted, such as `package-0` and `dram`.
  public let zones: [String]

  /// Where Linux shows its power zones.
  public static let systemFolder = "/sys/class/powercap"

  /// - Parameter folder: where the power zones are shown.
  /// - Returns: nil if there is no counter, or if this user may not read that of every package (newer kernels show them
  ///   to root alone).
  public init?(folder: String = systemFolder) {
    let (packages, memory) = Self.zones(in: folder)
    let required = packages.compactMap(Self.counter)
    guard !required.isEmpty, required.count == packages.count else { return nil }
    let optional = memory.compactMap { zone in Self.counter(zone).map { (zone.name, $0) } }
    // Memory of some sockets only would be neither one thing nor the other.
    let counted = optional.count == memory.count ? optional : []
    counters = required + counted.map(\.1)
    zones = packages.map(\.name) + counted.map(\.0)
  }

  /// Why energy cannot be measured here, and what can be done; nil if it can.
  public static func obstacle(folder: String = systemFolder) -> String? {
    guard EnergyMeter(folder: folder) == nil else { return nil }
    guard let zone = zones(in: folder).packages.first(where: { counter($0) == nil }) else {
      return "this host shows no energy counter (no ‘package’ under \(folder)), as is usual in virtual machines"
    }
    return "the energy counter \(zone.path)/energy_uj cannot be read: run as root, or allow it with "
      + "'sudo chmod a+r \(folder)/*/energy_uj' (until the next start of the host)"
  }

  /// The zones of the packages, and of their memory.
  private static func zones(in folder: String) -> (packages: [Zone], memory: [Zone]) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let all = names.sorted().compactMap { file -> Zone? in
      let parts = file.split(separator: ":")
      guard (2...3).contains(parts.count), let name = text(in: "\(folder)/\(file)/name") else { return nil }
      let parent = parts.count == 3 ? parts.prefix(2).joined(separator: ":") : nil
      return Zone(path: "\(folder)/\(file)", name: name, parent: parent)
    }
    func once(_ zones: [Zone]) -> [Zone] {
      var seen: Set<String> = []
      let direct = zones.filter { !$0.path.contains("mmio") } + zones.filter { $0.path.contains("mmio") }
      return direct.filter { seen.insert($0.name).inserted }
    }
    let outer = all.filter { $0.parent == nil }
    let packages = once(outer.filter { $0.name.hasPrefix("package") })
    if packages.isEmpty { return (Array(once(outer.filter { $0.name == "psys" }).prefix(1)), []) }
    let counted = Set(packages.map { URL(filePath: $0.path).lastPathComponent })
    return (packages, all.filter { $0.name == "dram" && $0.parent.map(counted.contains) == true })
  }

  private static func counter(_ zone: Zone) -> Counter? {
    guard let last = number(in: zone.path + "/energy_uj"), let range = number(in: zone.path + "/max_energy_range_uj")
    else { return nil }
    return Counter(path: zone.path + "/energy_uj", range: range, last: last)
  }

  /// Joules since the last call, or since the meter was made; nil if a counter cannot be read any more. A counter that
  /// started again once meanwhile is put right; at 100 W that happens every 40 minutes at the earliest.
  public mutating func joulesSinceLastReading() -> Double? {
    var microjoules = 0.0
    for index in counters.indices {
      guard let now = number(in: counters[index].path) else { return nil }
      let last = counters[index].last
      microjoules += Double(now >= last ? now - last : now &+ (counters[index].range &- last))
      counters[index].last = now
    }
    return microjoules / 1e6
  }
}

private func text(in path: String) -> String? {
  (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
}

private func number(in path: String) -> UInt64? { text(in: path).flatMap { UInt64($0) } }
