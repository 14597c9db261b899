import Interchange
import Network
import TestSupport
import Testing
import Zoo

/// A written model is a well-formed graph, looked at through a reader of its own. That ONNX Runtime computes the same
/// from it is checked outside of these tests, which need no Python.
@Suite struct ONNXModelTests {
  static let options = [
    ONNXModel.Options(imageHeight: 64, imageWidth: 96), .init(imageHeight: 64, imageWidth: 64, batch: .fixed(3)),
    .init(imageHeight: 64, imageWidth: 64, batch: .dynamic, opset: 17),
    .init(imageHeight: 64, imageWidth: 64, batch: .dynamic, head: .raw),
  ]

  @Test(arguments: Zoo.names.filter { !["yolov5m", "yolov5l", "yolov5x"].contains($0) }, options)
  func isAWellFormedGraph(_ name: String, _ options: ONNXModel.Options) throws {
    let network = try Zoo.network(named: name, classCount: 2)
    let parameters = network.goldenParameters
    let model = ModelFile(network: network, parameters: parameters, classNames: ["cat", "dog"])
    let bytes = try ONNXModel(model, options: options).encoded()
    let file = try ONNXReader(bytes)
    #expect(file.opset == options.opset)
    #expect(file.metadata == ["stride": "32", "names": "{0: 'cat', 1: 'dog'}"])

    let batch =
      switch options.batch {
      case .fixed(let images): "\(images)"
      case .dynamic: "batch"
      }
    let (h, w) = (options.imageHeight, options.imageWidth)
    #expect(file.inputs == ["images": [batch, "3", "\(h)", "\(w)"]])
    if options.head == .raw {
      for level in 0..<3 {
        #expect(file.outputs["head\(level)"] == [batch, "3", "\(h >> (3 + level))", "\(w >> (3 + level))", "7"])
      }
    } else {
      let cells = (3...5).reduce(0) { $0 + (h >> $1) * (w >> $1) }
      #expect(file.outputs == ["output": [batch, "\(3 * cells)", "7"]])
    }

    // Every value is made once, and before it is used.
    var known = Set(file.inputs.keys)
    for initializer in file.initializers {
      #expect(known.insert(initializer.name).inserted, "\(initializer.name) is there twice")
      let width = [1: 4, 7: 8][initializer.type] ?? 0
      #expect(initializer.shape.reduce(width, *) == initializer.data.count, "\(initializer.name)")
    }
    var used: Set<String> = []
    for item in file.operators {
      for input in item.inputs where !input.isEmpty {
        #expect(known.contains(input), "\(item.name) reads \(input), which does not stand before it")
        used.insert(input)
      }
      #expect(known.insert(item.output).inserted, "\(item.output) is there twice")
      #expect(Self.operators.contains(item.type), "\(item.type) is not in opset \(options.opset), or unexpected")
    }
    used.formUnion(file.outputs.keys)
    #expect(known.subtracting(used) == [])

    // Exactly the folded network's learned values, byte by byte.
    let folded = try network.folded(parameters)
    let stored = Dictionary(uniqueKeysWithValues: file.initializers.map { ($0.name, $0) })
    for spec in folded.network.parameterSpecs where spec.role != .anchors && spec.role != .batchCount {
      let initializer = try #require(stored[spec.name], "\(spec.name)")
      #expect(initializer.data.elementsEqual(StoredTensor(try #require(folded.parameters[spec.name])).bytes))
    }
    #expect(try ONNXModel(model, options: options).encoded() == bytes)
  }

  /// Operators whose definition has not changed from 13 to 20 in what is used here.
  static let operators: Set = [
    "Conv", "BatchNormalization", "Relu", "Sigmoid", "HardSigmoid", "Clip", "Mul", "Add", "Concat", "Slice", "Reshape",
    "Transpose", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity",
  ]

  /// YOLOv5's readers evaluate the names as Python: whatever is in them stays text.
  @Test func namesAreLiterals() throws {
    let network = try Zoo.network(named: "yolov5n", classCount: 3)
    let model = ModelFile(
      network: network, parameters: network.goldenParameters, classNames: ["it's", "a\\b\n", "', print(1), 'é"])
    let file = try ONNXReader(ONNXModel(model, options: .init(imageHeight: 64, imageWidth: 64)).encoded())
    #expect(file.metadata["names"] == #"{0: 'it\'s', 1: 'a\\b\u000a', 2: '\', print(1), \'é'}"#)
  }

  @Test func optionsThatMakeNoSenseAreRefused() throws {
    let network = try Zoo.network(named: "yolov5n", classCount: 2)
    let model = ModelFile(network: network, parameters: network.goldenParameters, classNames: ["cat", "dog"])
    for options: ONNXModel.Options in [
      .init(opset: 12), .init(opset: 99), .init(batch: .fixed(0)), .init(imageHeight: 33, imageWidth: 64),
    ] {
      #expect(throws: InterchangeError.self) { _ = try ONNXModel(model, options: options) }
    }
  }
}

/// The parts of a `ModelProto` that the tests look at.
private struct ONNXReader {
  struct Operator {
    var type: String
    var name: String
    var inputs: [String]
    var output: String
  }

  struct Initializer {
    var name: String
    var type: Int
    var shape: [Int]
    var data: ArraySlice<UInt8>
  }

  var opset: Int
  var metadata: [String: String] = [:]
  var operators: [Operator]
  var initializers: [Initializer]
  var inputs: [String: [String]]
  var outputs: [String: [String]]

  init(_ bytes: [UInt8]) throws {
    let model = try ProtobufReader(bytes)
    let graph = try #require(model.messages(7).first)
    opset = try #require(model.messages(8).first?.integers(2).first)
    for entry in try model.messages(14) { metadata[entry.strings(1)[0]] = entry.strings(2)[0] }
    operators = try graph.messages(1).map { node in
      Operator(
        type: node.strings(4)[0], name: node.strings(3)[0], inputs: node.strings(1), output: node.strings(2)[0])
    }
    initializers = try graph.messages(5).map { tensor in
      Initializer(
        name: tensor.strings(8)[0], type: tensor.integers(2)[0], shape: tensor.integers(1), data: tensor.bytes(9)[0])
    }
    inputs = try Self.ports(graph.messages(11))
    outputs = try Self.ports(graph.messages(12))
  }

  private static func ports(_ messages: [ProtobufReader]) throws -> [String: [String]] {
    var result: [String: [String]] = [:]
    for port in messages {
      let shape = try #require(port.messages(2).first?.messages(1).first?.messages(2).first)
      result[port.strings(1)[0]] = try shape.messages(1).map { size in
        size.strings(2).first ?? "\(size.integers(1)[0])"
      }
    }
    return result
  }
}
