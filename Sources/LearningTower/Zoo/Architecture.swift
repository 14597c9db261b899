public import Network

/// Which network to build: a family of the zoo or a model file of YOLOv5, and how much wider and deeper than that.
public struct Architecture: Sendable, Hashable, Codable {
  public enum Source: Sendable, Hashable, Codable {
    /// A name of `Zoo.names`.
    case family(String)
    /// The path of a model file, such as `yolov5s.yaml`.
    case modelFile(String)
  }

  public var source: Source
  /// Multiples of the channels and of the repeats that the source asks for.
  public var width: Double
  public var depth: Double
  /// The name of the network; nil means the name of the family or of the file.
  public var name: String?

  public init(_ source: Source, width: Double = 1, depth: Double = 1, name: String? = nil) {
    self.source = source
    self.name = name
    self.width = width
    self.depth = depth
  }

  /// A family's name as networks carry it, with its multiples: `mobilenetv2`, `mobilenetv2-w0.5`, `yolov5s-w0.75-d2`.
  /// - Throws: `NetworkError` naming the nearest known family.
  public init(named text: String) throws(NetworkError) {
    var name = text[...]
    func multiple(_ letter: Character) -> Double? {
      guard let dash = name.lastIndex(of: "-"), name[dash...].dropFirst().first == letter,
        let value = Double(name[dash...].dropFirst(2))
      else { return nil }
      name = name[..<dash]
      return value
    }
    // Taken from the end, where depth stands behind width.
    let depth = multiple("d") ?? 1
    let width = multiple("w") ?? 1
    self.init(.family(String(name)), width: width, depth: depth)
    _ = try Zoo.family(named: String(name)).scaled(width: width, depth: depth)
  }

  /// The family's name or the file's path.
  public var title: String {
    switch source {
    case .family(let name): name
    case .modelFile(let path): path
    }
  }

  /// - Parameter classCount: nil takes what the model file says; COCO's 80 without one.
  /// - Throws: `NetworkError` naming the nearest known family, or file and line of what is wrong in the model file.
  public func network(classCount: Int? = nil) throws(NetworkError) -> Network {
    let table = try table()
    return try table.network(classCount: classCount ?? table.classCount ?? 80)
  }

  /// Returns the network of this architecture whose `state_dict` is `parameters`, with the number of classes and the
  /// anchors found there.
  /// - Throws: `NetworkError` saying what does not fit.
  public func network(matching parameters: Parameters) throws(NetworkError) -> Network {
    let table = try table()
    guard let network = try table.network(headOf: parameters) else {
      throw NetworkError("the tensors have no detection head of \(table.name)")
    }
    _ = try network.validated(parameters)
    return try network.adoptingAnchors(of: parameters)
  }

  private func table() throws(NetworkError) -> LayerTable {
    var table =
      switch source {
      case .family(let name): try Zoo.family(named: name)
      case .modelFile(let path): try LayerTable(yaml: path)
      }
    if let name { table.name = name }
    return try table.scaled(width: width, depth: depth)
  }
}
