import JSON
public import Network
import Wording

/// A trained model in a safetensors file: the `state_dict`, and in the metadata the network (`network`, the JSON of
/// `Network` with sorted keys), the classes (`class_names`, a JSON list) and the accuracy if it is known (`map50`). The
/// same model gives the same bytes.
public struct ModelFile: Sendable, Hashable {
  public var network: Network
  /// Exactly the tensors that the network expects.
  public var parameters: Parameters
  public var classNames: [String]
  /// The mAP50 of this model on the validation split, as the training that made it has measured it; nil if it is not
  /// known.
  public var map50: Double?

  public init(network: Network, parameters: Parameters, classNames: [String], map50: Double? = nil) {
    self.network = network
    self.parameters = parameters
    self.classNames = classNames
    self.map50 = map50
  }

  /// The longest description of a network that is read; that of the largest in the zoo has a fifth of it.
  static let maximumTextBytes = 1 << 20

  /// Class names as a file gives them: nil if it gives none, an error if they do not fit its classes.
  public typealias OwnClassNames = Result<[String], InterchangeError>?

  /// Reads a file of `write`, any safetensors file with a `state_dict`, or a `.pt` file of YOLOv5's.
  /// - Parameters:
  ///   - networkOf: says which network it is, from the tensors of a file that does not say so itself, such as YOLOv5's
  ///     own weights.
  ///   - classNames: says what the classes of the network are called, from what the file calls them.
  /// - Throws: `InterchangeError` if the file is damaged, is not a model, its network and tensors disagree or a tensor
  ///   holds values that are not finite; what `networkOf` and `classNames` throw.
  public static func read(
    _ path: String,
    networkOf: (Parameters) throws -> Network = { _ in throw NetworkError("the file holds no network") },
    classNames: (Network, OwnClassNames) throws -> [String] = ownClassNames
  ) throws -> ModelFile {
    try ModelFile(decoding: readStateDict(path), file: path, networkOf: networkOf, classNames: classNames)
  }

  /// Reads the tensors of a safetensors file or of a `.pt` file, told apart by their first bytes, under the names that
  /// a bare network gives them.
  public static func readStateDict(_ path: String) throws(InterchangeError) -> SafetensorsFile {
    let bytes = try readFile(path)
    let content =
      bytes.starts(with: ZipArchive.signature)
      ? try PyTorchCheckpoint.decode(bytes, file: path) : try Safetensors.decode(bytes, file: path)
    return try content.withBareNames(file: path)
  }

  /// Returns the file's own class names, and `class0`, `class1` … where it gives none.
  public static func ownClassNames(_ network: Network, _ own: OwnClassNames) throws -> [String] {
    try own?.get() ?? (0..<network.detect.classCount).map { "class\($0)" }
  }

  /// - Parameter file: what to call the content in an error.
  public init(
    decoding content: SafetensorsFile, file: String,
    networkOf: (Parameters) throws -> Network = { _ in throw NetworkError("the file holds no network") },
    classNames: (Network, OwnClassNames) throws -> [String] = ownClassNames
  ) throws {
    let parameters = Parameters(content.tensors.mapValues(\.tensor))
    do {
      network = try Self.decoded(Network.self, "network", of: content, file: file) ?? networkOf(parameters)
      try network.check()
      self.parameters = try network.validated(parameters)
      try network.checkValues(parameters)
    } catch let error as NetworkError {
      throw InterchangeError(file: file, error.message)
    }
    let own = try Self.decoded(ClassNames.self, "class_names", of: content, file: file)
    let classCount = network.detect.classCount
    self.classNames = try classNames(
      network, own.map { names in Result { () throws(InterchangeError) in try names.list(of: classCount, file) } })
    map50 = content.metadata["map50"].flatMap(Double.init).flatMap { (0...1).contains($0) ? $0 : nil }
  }

  private static func decoded<T: Decodable>(
    _: T.Type, _ key: String, of content: SafetensorsFile, file: String
  ) throws(InterchangeError) -> T? {
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
    do {
      content.metadata["network"] = try JSON.text(network)
      content.metadata["class_names"] = try JSON.text(classNames)
    } catch {
      // JSON has no infinities; a network that passes `check` holds none.
      throw NetworkError("\(network.name) cannot be written as JSON (\(error))")
    }
    content.metadata["map50"] = map50.map { "\($0)" }
    return content
  }

  /// Replaces the file in one step.
  public func write(to path: String, as elementType: ElementType = .float32) throws {
    try Safetensors.write(encoded(as: elementType), to: path)
  }
}

/// The names of classes in a file: a list, or a mapping from the classes' numbers.
private enum ClassNames: Decodable {
  case list([String])
  case mapping([String: String])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    do {
      self = .list(try container.decode([String].self))
    } catch {
      guard let mapping = try? container.decode([String: String].self) else { throw error }
      self = .mapping(mapping)
    }
  }

  /// Returns the names in the order of the classes.
  func list(of classCount: Int, _ file: String) throws(InterchangeError) -> [String] {
    func fail(_ reason: String) -> InterchangeError {
      InterchangeError(file: file, "\(reason); name the classes with 'greensweep import FILE --data DATA.yaml'")
    }
    switch self {
    case .list(let names):
      guard names.count == classCount else {
        throw fail("has \(counted(names.count, "class name")) for \(counted(classCount, "class"))")
      }
      return names
    case .mapping(let names):
      let list = (0..<classCount).compactMap { names["\($0)"] }
      if list.count == classCount, names.count == classCount { return list }
      guard names["0"] == nil, names["1"] != nil else {
        throw fail("has \(names.count) class names that are not numbered from 0 to \(classCount - 1)")
      }
      throw fail("counts its class names from 1, but classes are counted from 0")
    }
  }
}
