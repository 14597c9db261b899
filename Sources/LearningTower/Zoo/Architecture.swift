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

  public init(_ source: Source, width: Double = 1, depth: Double = 1) {
    self.source = source
    self.width = width
    self.depth = depth
  }

  /// - Parameter classCount: nil takes what the model file says; COCO's 80 without one.
  /// - Throws: `NetworkError` naming the nearest known family, or file and line of what is wrong in the model file.
  public func network(classCount: Int? = nil) throws(NetworkError) -> Network {
    let table =
      switch source {
      case .family(let name): try Zoo.family(named: name)
      case .modelFile(let path): try LayerTable(yaml: path)
      }
    return try table.scaled(width: width, depth: depth).network(classCount: classCount ?? table.classCount ?? 80)
  }
}
