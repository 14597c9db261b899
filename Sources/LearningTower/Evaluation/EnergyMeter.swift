import Foundation

/// Reads the processors' energy counters (Intel's and AMD's RAPL through Linux' powercap). They count the whole box, so
/// nothing else should run while they are compared.
public struct EnergyMeter: Sendable {
  private struct Counter: Sendable {
    var path: String
    /// Where the counter starts again from 0, microjoules.
    var range: UInt64
    var last: UInt64
  }

  private var counters: [Counter]

  /// Where Linux shows its power zones.
  public static let systemFolder = "/sys/class/powercap"

  /// - Parameter folder: where the power zones are shown.
  /// - Returns: nil if there is no counter, or none that this user may read (newer kernels show them to root alone).
  public init?(folder: String = systemFolder) {
    counters = Self.zones(in: folder).compactMap { zone in
      guard let last = number(in: zone + "/energy_uj"), let range = number(in: zone + "/max_energy_range_uj")
      else { return nil }
      return Counter(path: zone + "/energy_uj", range: range, last: last)
    }
    guard !counters.isEmpty else { return nil }
  }

  /// Why energy cannot be measured here, and what can be done; nil if it can.
  public static func obstacle(folder: String = systemFolder) -> String? {
    guard EnergyMeter(folder: folder) == nil else { return nil }
    guard let zone = zones(in: folder).first else {
      return "this host shows no energy counter (no ‘package’ under \(folder)), as is usual in virtual machines"
    }
    return "the energy counter \(zone)/energy_uj cannot be read: run as root, or allow it with "
      + "'sudo chmod a+r \(folder)/*/energy_uj' (until the next start of the host)"
  }

  /// The processor packages. (`intel-rapl:0` is one; `intel-rapl:0:0`, a part of it, is counted there already.)
  private static func zones(in folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.sorted().filter { $0.split(separator: ":").count == 2 && !$0.contains("mmio") }.map {
      "\(folder)/\($0)"
    }
    .filter { zone in (try? String(contentsOfFile: zone + "/name", encoding: .utf8))?.hasPrefix("package") == true }
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

private func number(in path: String) -> UInt64? {
  (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
    UInt64($0.trimmingCharacters(in: .whitespacesAndNewlines))
  }
}
