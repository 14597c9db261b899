import Network

/// A graph of ONNX operators as a value, and its encoding (`onnx.proto`, numbers of fields beside each).
struct ONNXGraph: Sendable {
  struct Operator: Sendable {
    var type: String
    var name: String
    var inputs: [String]
    /// Every operator used here has one.
    var output: String
    var attributes: [Attribute]
  }

  struct Attribute: Sendable {
    enum Value: Sendable {
      case integer(Int)
      case float(Float)
      case string(String)
      case integers([Int])
    }

    var name: String
    var value: Value

    init(_ name: String, _ value: Int) { (self.name, self.value) = (name, .integer(value)) }
    init(_ name: String, _ value: Float) { (self.name, self.value) = (name, .float(value)) }
    init(_ name: String, _ value: String) { (self.name, self.value) = (name, .string(value)) }
    init(_ name: String, _ value: [Int]) { (self.name, self.value) = (name, .integers(value)) }
  }

  enum Dimension: Sendable, Hashable {
    case fixed(Int)
    /// Known only when the model runs, such as `batch`.
    case named(String)
  }

  /// A tensor of floats that goes in or comes out.
  struct Port: Sendable {
    var name: String
    var shape: [Dimension]
  }

  var name: String
  var operators: [Operator] = []
  var initializers: [(name: String, tensor: StoredTensor)] = []
  var inputs: [Port] = []
  var outputs: [Port] = []

  private var names: Set<String> = []
  private var constants: [StoredTensor: String] = [:]

  init(name: String) { self.name = name }
}

// MARK: - Building

extension ONNXGraph {
  /// `name`, or something like it that no other value of the graph is called.
  private mutating func unused(_ name: String) -> String {
    var name = name
    while !names.insert(name).inserted { name += "_" }
    return name
  }

  mutating func input(_ name: String, _ shape: [Dimension]) -> String {
    let name = unused(name)
    inputs.append(Port(name: name, shape: shape))
    return name
  }

  /// - Returns: the name of what the operator computes.
  mutating func add(_ type: String, _ inputs: [String], _ name: String, _ attributes: [Attribute] = []) -> String {
    let name = unused(name)
    operators.append(Operator(type: type, name: name, inputs: inputs, output: name, attributes: attributes))
    return name
  }

  /// Declares the value an output of the graph, under the name `name`.
  mutating func output(_ value: String, as name: String, _ shape: [Dimension]) {
    outputs.append(Port(name: add("Identity", [value], name), shape: shape))
  }

  mutating func parameter(_ name: String, _ tensor: StoredTensor) -> String {
    let name = unused(name)
    initializers.append((name, tensor))
    return name
  }

  /// A constant that stands in the graph once, however often it is used.
  mutating func constant(_ tensor: StoredTensor, _ name: String) -> String {
    if let known = constants[tensor] { return known }
    let name = parameter(name, tensor)
    constants[tensor] = name
    return name
  }

  mutating func constant(_ number: Float) -> String {
    constant(StoredTensor(.init(shape: [], values: [number])), "constant.\(number)")
  }

  mutating func constant(_ integers: [Int]) -> String {
    constant(
      StoredTensor(shape: [integers.count], int64s: integers.map(Int64.init)),
      "constant.\(integers.map(String.init).joined(separator: "x"))")
  }
}

// MARK: - Encoding

extension ONNXGraph {
  var message: ProtobufMessage {
    var message = ProtobufMessage()
    for item in operators { message.append(1, item.message) }
    message.append(2, name)
    for (name, tensor) in initializers { message.append(5, tensor.onnxMessage(name)) }
    for input in inputs { message.append(11, input.message) }
    for output in outputs { message.append(12, output.message) }
    return message
  }
}

extension ONNXGraph.Operator {
  fileprivate var message: ProtobufMessage {
    var message = ProtobufMessage()
    for input in inputs { message.append(1, input) }
    message.append(2, output)
    message.append(3, name)
    message.append(4, type)
    for attribute in attributes { message.append(5, attribute.message) }
    return message
  }
}

extension ONNXGraph.Attribute {
  fileprivate var message: ProtobufMessage {
    var message = ProtobufMessage()
    message.append(1, name)
    // Field 20 names the kind: FLOAT 1, INT 2, STRING 3, INTS 7.
    switch value {
    case .float(let float):
      message.append(2, float)
      message.append(20, 1)
    case .integer(let integer):
      message.append(3, integer)
      message.append(20, 2)
    case .string(let text):
      message.append(4, text)
      message.append(20, 3)
    case .integers(let integers):
      for integer in integers { message.append(8, integer) }
      message.append(20, 7)
    }
    return message
  }
}

extension ONNXGraph.Port {
  fileprivate var message: ProtobufMessage {
    var shapeMessage = ProtobufMessage()
    for dimension in shape {
      var dimensionMessage = ProtobufMessage()
      switch dimension {
      case .fixed(let size): dimensionMessage.append(1, size)
      case .named(let name): dimensionMessage.append(2, name)
      }
      shapeMessage.append(1, dimensionMessage)
    }
    var tensor = ProtobufMessage()
    tensor.append(1, ElementType.float32.onnxType)
    tensor.append(2, shapeMessage)
    var type = ProtobufMessage()
    type.append(1, tensor)
    var message = ProtobufMessage()
    message.append(1, name)
    message.append(2, type)
    return message
  }
}

extension StoredTensor {
  /// A `TensorProto`; its raw data are little-endian, as ours are.
  fileprivate func onnxMessage(_ name: String) -> ProtobufMessage {
    var message = ProtobufMessage()
    for dimension in shape { message.append(1, dimension) }
    message.append(2, type.onnxType)
    message.append(8, name)
    message.append(9, bytes)
    return message
  }
}

extension ElementType {
  /// `TensorProto.DataType`.
  fileprivate var onnxType: Int {
    switch self {
    case .float32: 1
    case .uint8: 2
    case .int32: 6
    case .int64: 7
    case .bool: 9
    case .float16: 10
    case .float64: 11
    case .bfloat16: 16
    }
  }
}
