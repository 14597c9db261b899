import Bytes
import Network

/// A model in the ONNX format, for runtimes other than ours: the inference network with batch norms folded, as our own
/// plans run it.
///
/// Input `images` is `N × C × H × W`, RGB in [0, 1]. Output `output` is `N × anchors × (5 + classes)` as YOLOv5's
/// export gives it: cx, cy, w, h in pixels, objectness and class scores; P3's anchors first, inside a level
/// anchor-major, then row, then column. With `.raw` heads the outputs are `head0`, `head1` …, one per level: the
/// logits, `N × A × H × W × (5 + classes)`. Strides and class names stand in the metadata where YOLOv5 puts them.
public struct ONNXModel: Sendable {
  public struct Options: Sendable, Hashable {
    public enum Batch: Sendable, Hashable {
      case fixed(Int)
      /// As many images as are handed in.
      case dynamic
    }

    public enum Head: Sendable, Hashable {
      /// Boxes in pixels and scores.
      case decoded
      /// The outputs of the last convolutions.
      case raw
    }

    public var imageHeight: Int
    public var imageWidth: Int
    public var batch: Batch
    public var head: Head
    /// Version of ONNX's operator set.
    public var opset: Int

    /// From the first in which all operators used here take their parameters as inputs.
    public static let opsets = 13...20

    public init(
      imageHeight: Int = 640, imageWidth: Int = 640, batch: Batch = .fixed(1), head: Head = .decoded, opset: Int = 13
    ) {
      self.imageHeight = imageHeight
      self.imageWidth = imageWidth
      self.batch = batch
      self.head = head
      self.opset = opset
    }
  }

  public let options: Options
  let graph: ONNXGraph
  let metadata: [(key: String, value: String)]

  /// - Throws: `NetworkError` if the model's network does not take images of that size, or its parameters are not its
  ///   own; `InterchangeError` for options that make no sense.
  public init(_ model: ModelFile, options: Options = Options()) throws {
    guard Options.opsets.contains(options.opset) else {
      throw InterchangeError(
        file: "opset \(options.opset)",
        "operator sets \(Options.opsets.lowerBound) to \(Options.opsets.upperBound) can be written")
    }
    if case .fixed(let images) = options.batch, !(1...65_536).contains(images) {
      throw InterchangeError(file: "batch \(images)", "is not a number of images")
    }
    let stride = model.network.detect.strides.max() ?? 32
    for size in [options.imageHeight, options.imageWidth] where size <= 0 || size % stride != 0 {
      throw InterchangeError(file: "image size \(size)", "is not a multiple of \(stride) pixels")
    }
    self.options = options
    let (network, parameters) = try model.network.folded(model.parameters)
    graph = try ONNXGraph(network, parameters, options: options)
    metadata = [
      ("stride", "\(network.detect.strides.max() ?? 32)"), ("names", pythonDictionary(model.classNames)),
    ]
  }

  /// The file's bytes; the same model and options give the same.
  /// - Throws: `InterchangeError` beyond 2 GB, which the format cannot hold in one file.
  public func encoded() throws(InterchangeError) -> [UInt8] {
    var operators = ProtobufMessage()
    operators.append(1, "")  // The domain: ONNX's own.
    operators.append(2, options.opset)
    var message = ProtobufMessage()
    message.append(1, Self.formatVersion(opset: options.opset))
    message.append(2, "greensweep")
    message.append(7, graph.message)
    message.append(8, operators)
    for (key, value) in metadata {
      var entry = ProtobufMessage()
      entry.append(1, key)
      entry.append(2, value)
      message.append(14, entry)
    }
    guard message.byteCount < 1 << 31 else {
      throw InterchangeError(file: graph.name, "\(message.byteCount) bytes; an ONNX file holds less than 2 GB")
    }
    return message.encoded
  }

  /// Replaces the file in one step.
  /// - Returns: its length in bytes.
  @discardableResult
  public func write(to path: String) throws(InterchangeError) -> Int {
    let bytes = try encoded()
    try writeFile(bytes, to: path)
    return bytes.count
  }

  /// The oldest version of the file format (`ir_version`) that knows the operator set.
  private static func formatVersion(opset: Int) -> Int {
    switch opset {
    case ...14: 7
    case 15...18: 8
    default: 9
    }
  }
}

/// `{0: 'cat', 1: 'dog'}`: YOLOv5 writes the names as Python prints them, and its readers evaluate that text.
func pythonDictionary(_ names: [String]) -> String {
  let entries = names.enumerated().map { index, name in "\(index): \(pythonString(name))" }
  return "{" + entries.joined(separator: ", ") + "}"
}

/// A literal that is a string whatever the name holds.
private func pythonString(_ text: String) -> String {
  var literal = "'"
  for scalar in text.unicodeScalars {
    switch scalar {
    case "'", "\\": literal += "\\\(scalar)"
    case _ where scalar.properties.generalCategory == .control || scalar.value == 0x2028 || scalar.value == 0x2029:
      literal += "\\u" + UInt16(scalar.value).hexDigits
    default: literal.unicodeScalars.append(scalar)
    }
  }
  return literal + "'"
}
