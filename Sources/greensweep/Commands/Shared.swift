import Compute
import Pipeline
import Platform
import Settings
import Wording
import Zoo

extension Option {
  static let allowDamaged = Option(
    "--allow-damaged", help: "go on without damaged images even if they are more than a tenth")
  static let threads = Option(
    "--threads", "T", help: "threads to compute with (default: all processors this process may use)")
  static let backend = Option(
    "--backend", "NAME", help: "onednn or openblas (default: the faster one this machine has)")
  static let precision = Option(
    "--precision", "P",
    help: "float32, or bfloat16: half the memory, faster where the processor has it (default: float32)")
  static let imageSize = Option("--image-size", "S", help: "side of the square images in pixels (default: 640)")
  static let modelYAML = Option("--cfg", "MODEL.yaml", help: "a YOLOv5 model file: backbone, head and anchors")
  static let width = Option("--width", "W", help: "multiple of the network's channels (default: 1)")
  static let depth = Option("--depth", "D", help: "multiple of the network's repeated blocks (default: 1)")
  static let classCount = Option("--nc", "N", help: "number of classes (default: 80)")
}

extension Arguments {
  /// `--threads`, `--backend` and `--precision`.
  func machine() throws -> Machine {
    let names = Runtime.Backend.allCases.map(\.rawValue)
    let precisions = Precision.allCases.map(\.rawValue)
    let machine = Machine(
      threads: try threads() ?? Processors.available,
      backend: try choice("--backend", among: names).flatMap(Runtime.Backend.init(rawValue:)),
      precision: try choice("--precision", among: precisions).flatMap(Precision.init(rawValue:)) ?? .float32)
    if let remark = try machine.precisionRemark() { printError("\(command): \(remark)") }
    return machine
  }

  func threads() throws -> Int? { try int("--threads", in: BenchmarkStage.all.group.threads.integers) }

  /// `--cfg`, or else the model: a family's name or a model file; with `--width` and `--depth`.
  func architecture(_ model: String) throws -> Architecture {
    let multiples = 0.01...16.0
    let file = string("--cfg") ?? (model.isModelYAML ? model : nil)
    if file == nil { try requireKnown(model) }
    var architecture = if let file { Architecture(.modelFile(file)) } else { try Architecture(named: model) }
    architecture.width *= try double("--width", in: multiples) ?? 1
    architecture.depth *= try double("--depth", in: multiples) ?? 1
    return architecture
  }

  /// - Throws: `UsageError` if the model is neither a file nor the name of a network.
  func requireKnown(_ model: String) throws {
    guard !model.isWeightsFile, !model.isModelYAML else { return }
    do { _ = try Architecture(named: model) } catch { throw UsageError("\(command): \(error)") }
  }

  func imageSize(default size: Int = CommonSettings.all.group.imageSize.fallback) throws -> Int {
    try int("--image-size", in: CommonSettings.all.group.imageSize.integers) ?? size
  }

  func classCount(default count: Int = 80) throws -> Int { try int("--nc", in: 1...10_000) ?? count }

  func batchSize(default size: Int) throws -> Int {
    try int("--batch", in: CommonSettings.all.group.batchSize.integers) ?? size
  }
}

/// A vocabulary as help texts list it.
func names<Word: RawRepresentable & CaseIterable>(_: Word.Type) -> String where Word.RawValue == String {
  Word.allCases.map(\.rawValue).joined(separator: ", ")
}

extension String {
  var isModelYAML: Bool { SettingRule.isYAML(self) }

  /// A model that is a file with weights, not a name or a YAML.
  var isWeightsFile: Bool { !isModelYAML && (contains("/") || hasSuffix(".safetensors") || hasSuffix(".pt")) }
}
