import Foundation
import Testing

@testable import Evaluation

/// Fake trees of Linux' power zones.
struct PowerZonesTests {
  private final class Tree {
    let folder = FileManager.default.temporaryDirectory.appending(path: "powercap-\(UUID().uuidString)")

    deinit { try? FileManager.default.removeItem(at: folder) }

    func write(_ zone: String, _ name: String, _ energy: Int?, range: Int = 1_000_000_000) throws {
      let path = folder.appending(path: zone)
      try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
      for (file, text) in [("name", name), ("energy_uj", energy.map { "\($0)" }), ("max_energy_range_uj", "\(range)")] {
        if let text { try Data((text + "\n").utf8).write(to: path.appending(path: file)) }
      }
    }

    /// The joules that a meter sees while the microjoules of a zone grow by what `change` says.
    func joules(_ zones: [(zone: String, name: String, from: Int, to: Int)]) throws -> Double? {
      for zone in zones { try write(zone.zone, zone.name, zone.from) }
      var meter = EnergyMeter(folder: folder.path)
      for zone in zones { try write(zone.zone, zone.name, zone.to) }
      return meter?.joulesSinceLastReading()
    }
  }

  /// Cores and uncore are parts of their package; the platform includes packages and memory.
  @Test func nestedZonesCountOnce() throws {
    let joules = try Tree().joules([
      ("intel-rapl:0", "package-0", 0, 10_000_000), ("intel-rapl:0:0", "core", 0, 7_000_000),
      ("intel-rapl:0:1", "uncore", 0, 1_000_000), ("intel-rapl:0:2", "dram", 0, 2_000_000),
      ("intel-rapl:1", "psys", 0, 50_000_000),
    ])
    #expect(joules == 12)
  }

  @Test func socketsAddUpWithTheirMemory() throws {
    let tree = Tree()
    let joules = try tree.joules([
      ("intel-rapl:0", "package-0", 0, 10_000_000), ("intel-rapl:0:0", "dram", 0, 2_000_000),
      ("intel-rapl:1", "package-1", 5, 20_000_005), ("intel-rapl:1:0", "dram", 0, 3_000_000),
    ])
    #expect(joules == 35)
    #expect(EnergyMeter(folder: tree.folder.path)?.zones == ["package-0", "package-1", "dram", "dram"])
  }

  @Test func thePlatformCountsWhereThereIsNoPackage() throws {
    #expect(try Tree().joules([("intel-rapl:0", "psys", 0, 50_000_000)]) == 50)
  }

  /// Some kernels show a package by two ways.
  @Test func aPackageThatIsShownTwiceCountsOnce() throws {
    let joules = try Tree().joules([
      ("intel-rapl-mmio:0", "package-0", 0, 10_000_000), ("intel-rapl:0", "package-0", 0, 10_500_000),
      ("intel-rapl:0:0", "dram", 0, 1_000_000),
    ])
    #expect(joules == 11.5)
    #expect(try Tree().joules([("intel-rapl-mmio:0", "package-0", 0, 10_000_000)]) == 10)
  }

  @Test func eachCounterStartsAgainAtItsOwnRange() throws {
    let tree = Tree()
    try tree.write("intel-rapl:0", "package-0", 999_000_000)
    try tree.write("intel-rapl:1", "package-1", 499_000_000, range: 500_000_000)
    var meter = try #require(EnergyMeter(folder: tree.folder.path))
    try tree.write("intel-rapl:0", "package-0", 2_000_000)
    try tree.write("intel-rapl:1", "package-1", 4_000_000, range: 500_000_000)
    #expect(meter.joulesSinceLastReading() == 8)
    try tree.write("intel-rapl:0", "package-0", 2_500_000)
    #expect(meter.joulesSinceLastReading() == 0.5)
  }

  /// The sum of some sockets would pass for that of the host.
  @Test func aSocketThatCannotBeReadIsAnObstacle() throws {
    let tree = Tree()
    try tree.write("intel-rapl:0", "package-0", 0)
    try tree.write("intel-rapl:1", "package-1", nil)
    #expect(EnergyMeter(folder: tree.folder.path) == nil)
    let obstacle = try #require(EnergyMeter.obstacle(folder: tree.folder.path))
    #expect(obstacle.contains("intel-rapl:1/energy_uj cannot be read"))
    #expect(obstacle.contains("sudo chmod a+r \(tree.folder.path)/*/energy_uj"))
  }

  /// Memory that cannot be read is left out, of all sockets alike.
  @Test func memoryCountsWhereAllOfItCanBeRead() throws {
    let tree = Tree()
    try tree.write("intel-rapl:0", "package-0", 0)
    try tree.write("intel-rapl:0:0", "dram", 0)
    try tree.write("intel-rapl:1", "package-1", 0)
    try tree.write("intel-rapl:1:0", "dram", nil)
    #expect(EnergyMeter(folder: tree.folder.path)?.zones == ["package-0", "package-1"])
  }

  @Test func aVirtualMachineShowsNothing() throws {
    let tree = Tree()
    try FileManager.default.createDirectory(
      at: tree.folder.appending(path: "intel-rapl"), withIntermediateDirectories: true)
    #expect(EnergyMeter(folder: tree.folder.path) == nil)
    #expect(EnergyMeter.obstacle(folder: tree.folder.path)?.contains("virtual machines") == true)
  }
}

struct PowerModelTests {
  private let model = PowerModel(idleWatts: 40, fullWatts: 120, halfWatts: 90, processors: 8)

  @Test func energyIsTheIdlePowerAndTheShareOfTheProcessors() {
    #expect(model.joules(seconds: 10, processorSeconds: 0) == 400)
    #expect(model.joules(seconds: 10, processorSeconds: 80) == 1200)
    #expect(model.joules(seconds: 10, processorSeconds: 5) == 450)
    #expect(abs(model.error! - 10.0 / 90) < 1e-12)
    #expect(PowerModel(idleWatts: 1, fullWatts: 2, processors: 1).error == nil)
  }

  @Test func impossiblePowersAreRefused() {
    #expect(model.problem == nil)
    let wrong = [
      PowerModel(idleWatts: 120, fullWatts: 40, processors: 8), PowerModel(idleWatts: -1, fullWatts: 40, processors: 8),
      PowerModel(idleWatts: 1, fullWatts: .nan, processors: 8), PowerModel(idleWatts: 1, fullWatts: 2, processors: 0),
      PowerModel(idleWatts: 40, fullWatts: 120, halfWatts: 130, processors: 8),
    ]
    #expect(wrong.allSatisfy { $0.problem != nil })
  }

  /// A thread that computes takes more than one that sleeps.
  @Test func aWindowOfTheModelCountsTheProcessorTime() {
    var window = EnergyWindow(.modelled(PowerModel(idleWatts: 0, fullWatts: 100, processors: 1)))
    let end = ContinuousClock.now + .milliseconds(50)
    var sum = 0.0
    while ContinuousClock.now < end { sum += sum.squareRoot() + 1 }
    let busy = window.joules()
    #expect(sum > 0 && busy ?? 0 > 1)
    var held = EnergyWindow(.modelled(PowerModel(idleWatts: 1_000_000, fullWatts: 1_000_001, processors: 1)))
    #expect(held.joules(heldSeconds: 3_600) ?? 1 < 1)
    var nothing = EnergyWindow(.unknown(obstacle: "none"))
    #expect(nothing.joules() == nil)
  }

  /// The windows double until three of them agree.
  @Test func windowsGrowUntilTheyAgree() throws {
    var lengths: [Double] = []
    let energy = try #require(
      RepeatableEnergy().measure(
        RepeatableEnergy.Bench(
          window: { seconds in
            lengths.append(seconds)
            // A tick of 0.1 J is in every second window: it matters less the longer they are.
            let tick = lengths.count.isMultiple(of: 2) ? 0.1 : 0
            return (Int(seconds * 100), seconds + tick)
          }, idleWatts: { 7 })))
    #expect(lengths == [0.5, 0.5, 0.5, 1, 1, 1, 2, 2, 2, 4, 4, 4])
    #expect(energy.spread <= 0.03 && energy.idleWatts == [7, 7])
    #expect(abs(energy.joules - 0.01) < 0.001)
  }

  @Test func windowsThatNeverAgreeSaySo() throws {
    var count = 0.0
    let energy = try #require(
      RepeatableEnergy().measure(
        RepeatableEnergy.Bench(
          window: { seconds in
            count += 1
            return (10, seconds * (1 + count))
          }, idleWatts: { nil })))
    #expect(energy.spread > 0.03 && energy.idleWatts.isEmpty)
    #expect(RepeatableEnergy().measure(RepeatableEnergy.Bench(window: { _ in nil }, idleWatts: { nil })) == nil)
  }
}
