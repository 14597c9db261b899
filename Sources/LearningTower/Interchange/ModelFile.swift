import Foundation
import JSON
public import Network

/// A trained model in a safetensors file: the `state_dict`, and in the metadata the network (`network`, the JSON of
/// `Network` with sorted keys) and the classes (`class_names`, a JSON list). The same model gives the same bytes.
public struct ModelFile: Sendable, Hashable {
  public var network: Network
  /// Exactly the tensors that the network expects.
  public var parameters: Parameters
  public var classNames: [String]

  public init(network: Network, parameters: Parameters, classNames: [String]) {
    self.network = network
    self.parameters = parameters
    self.classNames = classNames
  }

  /// The longest description of a network that is read; that of the largest in the zoo has a fifth of it.
  static let maximumTextBytes = 1 << 20

  /// Reads a file of `write`, any safetensors file with a `state_dict`, or a `.pt` file of YOLOv5's.
  /// - Parameter networkOf: says which network it is, from the tensors of a file that does not say so itself, such as
  ///   YOLOv5's own weights.
  /// - Throws: `InterchangeError` if the file is damaged, is no model, its network and tensors disagree or a tensor
  ///   holds values that are not finite; what `networkOf` throws.
  public static func read(
    _ path: String, networkOf: (Parameters) throws -> Network = { _ in throw NetworkError("the file holds no network") }
  ) throws -> ModelFile {
    try ModelFile(decoding: readStateDict(path), file: path, networkOf: networkOf)
  }

  /// The tensors of a safetensors file or of a `.pt` file, told apart by their first bytes.
  public static func readStateDict(_ path: String) throws(InterchangeError) -> SafetensorsFile {
    let bytes = try readFile(path)
    return bytes.starts(with: ZipArchive.signature)
      ? try PyTorchCheckpoint.decode(bytes, file: path) : try Safetensors.decode(bytes, file: path)
  }

  /// - Parameter file: what to call the content in an error.
  public init(
    decoding content: SafetensorsFile, file: String,
    networkOf: (Parameters) throws -> Network = { _ in throw NetworkError("the file holds no network") }
  ) throws {
    func decoded<T: Decodable>(_: T.Type, _ key: String) throws -> T? {
      guard let text = content.metadata[key] else { return nil }
      guard text.utf8.count <= Self.maximumTextBytes else {
        throw InterchangeError(file: file, "its \(key) is \(text.utf8.count) bytes of text, which is beyond reason")
      }
      do {
        return try JSON.decode(T.self, from: text.utf8)
      } catch {
        throw InterchangeError(file: file, "its \(key) cannot be read (\(error))")
      }
    }
    let parameters = Parameters(content.tensors.mapValues(\.tensor))
    do {
      network = try decoded(Network.self, "network") ?? networkOf(parameters)
      try network.check()
      self.parameters = try network.validated(parameters)
      try network.checkValues(parameters)
    } catch let error as NetworkError {
      throw InterchangeError(file: file, error.message)
    }
    let classCount = network.detect.classCount
    classNames = try decoded([String].self, "class_names") ?? (0..<classCount).map { "class\($0)" }
    guard classNames.count == classCount else {
      throw InterchangeError(file: file, "has \(classNames.count) class names for \(classCount) classes")
    }
  }

  /// Batch counters are 64-bit integers, as in a `state_dict`.
  /// - Parameter elementType: of everything else. YOLOv5 saves its final models in half precision.
  public func encoded(as elementType: ElementType = .float32) throws(NetworkError) -> SafetensorsFile {
    var content = SafetensorsFile()
    var tensors = try network.validated(parameters)
    tensors[network.detect.anchorsName] = network.detect.anchorsTensor
    for spec in network.parameterSpecs {
      guard let tensor = tensors[spec.name] else { continue }
      content.tensors[spec.name] = StoredTensor(tensor, as: spec.role == .batchCount ? .int64 : elementType)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      content.metadata["network"] = String(decoding: try encoder.encode(network), as: UTF8.self)
      content.metadata["class_names"] = String(decoding: try encoder.encode(classNames), as: UTF8.self)
    } catch {
      // JSON has no infinities; a network that passes `check` holds none.
      throw NetworkError("\(network.name) cannot be written as JSON (\(error))")
    }
    return content
  }

  /// Replaces the file in one step.
  public func write(to path: String, as elementType: ElementType = .float32) throws {
    try Safetensors.write(encoded(as: elementType), to: path)
  }
}
