import Evaluation
import Foundation
import Testing

@testable import Pipeline

/// How a host's energy is known: counters before calibration before nothing.
struct HostPowerTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "power-\(UUID().uuidString)")

  private func write(_ text: String, _ name: String = "power.json") throws -> String {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appending(path: name)
    try Data(text.utf8).write(to: file)
    return file.path
  }

  private func source(_ files: [String], counters: String = "/nowhere") -> EnergySource {
    HostPower.source(counters: counters, files: files, processors: 4)
  }

  @Test func withoutCountersAndCalibrationEnergyIsUnknown() {
    let source = source(["/nowhere/power.json"])
    #expect(source.kind == nil)
    #expect(source.obstacle?.contains("virtual machines; 'greensweep power calibrate' takes") == true)
  }

  @Test func theUsersCalibrationCountsBeforeTheSystems() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let user = try write("{\"idle_watts\": 5, \"full_watts\": 25, \"processors\": 4}", "user.json")
    let system = try write("{\"idle_watts\": 6, \"full_watts\": 36, \"processors\": 4}", "system.json")
    guard case .modelled(let model) = source([user, system]) else { throw CancellationError() }
    #expect(model.idleWatts == 5 && model.joules(seconds: 1, processorSeconds: 2) == 15)
    guard case .modelled(let other) = source([user + "x", system]) else { throw CancellationError() }
    #expect(other.idleWatts == 6)
  }

  @Test func countersCountBeforeCalibration() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = try write("{\"idle_watts\": 5, \"full_watts\": 25, \"processors\": 4}")
    let zone = folder.appending(path: "powercap/intel-rapl:0")
    try FileManager.default.createDirectory(at: zone, withIntermediateDirectories: true)
    for (name, text) in [("name", "package-0"), ("energy_uj", "1"), ("max_energy_range_uj", "100")] {
      try Data(text.utf8).write(to: zone.appending(path: name))
    }
    #expect(source([file], counters: folder.appending(path: "powercap").path).kind == .measured)
  }

  @Test(
    arguments: [
      ("", "not a calibration"), ("{\"idle_watts\": 5}", "not a calibration"),
      ("{\"idle_watts\": 50, \"full_watts\": 25, \"processors\": 4}", "full load must take more"),
      ("{\"idle_watts\": 5, \"full_watts\": 25, \"processors\": 64}", "calibrated with 64 processors, the host has 4"),
    ])
  func aCalibrationThatDoesNotFitIsNamed(text: String, problem: String) throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let obstacle = try #require(source([try write(text)]).obstacle)
    #expect(obstacle.contains("power.json: ") && obstacle.contains(problem))
    #expect(obstacle.hasSuffix("run 'greensweep power calibrate' again"))
  }

  /// The reference passes beside the model's, and the report says how well the passes agree.
  @Test func aBenchmarkHasItsReference() throws {
    let report = try benchmark(
      BenchmarkRequest(model: "yolov5n-w0.5", classCount: 2, imageSize: 64, iterations: 6, machine: Machine(threads: 1))
    )
    #expect(report.medianMilliseconds > 0 && report.medianMilliseconds <= report.p95Milliseconds)
    #expect(report.passes >= 6 && report.spread >= 0)
    #expect((report.referenceMilliseconds ?? 0) > 0)
    #expect((report.energyJoules == nil) == (HostPower.source.kind == nil))
  }
}
