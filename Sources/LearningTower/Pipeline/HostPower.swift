import Evaluation
import Foundation
import JSON
import Wording

/// Where a host's calibrated power is kept, and how its energy can be known.
///
/// The file of the user counts before that of the system, which root writes. Its name has the host's in it, because a
/// home may be shared by several.
public enum HostPower {
  private static let sizeLimit = 64 << 10

  /// How the energy of this host can be known: its counters, or else its calibrated power.
  public static let source = source(counters: EnergyMeter.systemFolder, files: files)

  /// - Parameters:
  ///   - counters: where the kernel shows its power zones.
  ///   - files: of calibrated power; the first that is there counts.
  static func source(counters: String, files: [String], processors: Int = processors) -> EnergySource {
    if let meter = EnergyMeter(folder: counters) { return .measured(meter) }
    let remedy = "; 'greensweep power calibrate' takes the host's watts, so that energy can be modelled"
    let obstacle = (EnergyMeter.obstacle(folder: counters) ?? "the energy counters cannot be read") + remedy
    guard let file = files.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
      return .unknown(obstacle: obstacle)
    }
    do throws(PipelineError) {
      let model = try read(file)
      guard model.processors == processors else {
        throw PipelineError(
          "\(file): calibrated with \(counted(model.processors, "processor")), the host has \(processors)")
      }
      return .modelled(model)
    } catch {
      return .unknown(obstacle: "\(error): run 'greensweep power calibrate' again")
    }
  }

  /// Keeps the power of this host.
  /// - Returns: the file's path.
  public static func calibrate(_ model: PowerModel) throws -> String {
    if let problem = model.problem {
      throw PipelineError("the calibration is not possible: \(problem)", isWrongRequest: true)
    }
    guard let file = geteuid() == 0 ? files.last : files.first else {
      throw PipelineError("there is no folder for the calibration: set HOME or XDG_CONFIG_HOME to an absolute path")
    }
    let folder = URL(filePath: file).deletingLastPathComponent()
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data((JSON.sorted(model) + "\n").utf8).write(to: URL(filePath: file), options: .atomic)
    } catch {
      throw PipelineError("\(file): cannot be written (\(reason(of: error)))")
    }
    return file
  }

  /// The processors of the host, whatever this process may use of them.
  public static let processors = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

  /// The user's first.
  static var files: [String] {
    let environment = ProcessInfo.processInfo.environment
    func absolute(_ name: String) -> String? { environment[name].flatMap { $0.hasPrefix("/") ? $0 : nil } }
    let user = absolute("XDG_CONFIG_HOME") ?? absolute("HOME").map { $0 + "/.config" }
    let host = ProcessInfo.processInfo.hostName.split(separator: ".").first.map(String.init) ?? "host"
    let name = "power-\(host.replacing("/", with: "_")).json"
    return [user, "/etc"].compactMap { $0.map { "\($0)/greensweep/\(name)" } }
  }

  static func read(_ file: String) throws(PipelineError) -> PowerModel {
    let data: Data
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: file))
      data = try handle.read(upToCount: sizeLimit) ?? Data()
    } catch {
      throw PipelineError("\(file): cannot be read (\(reason(of: error)))")
    }
    let model: PowerModel
    do { model = try JSON.decode(PowerModel.self, from: Array(data)) } catch {
      throw PipelineError("\(file): not a calibration (\(error))")
    }
    if let problem = model.problem { throw PipelineError("\(file): \(problem)") }
    return model
  }
}
