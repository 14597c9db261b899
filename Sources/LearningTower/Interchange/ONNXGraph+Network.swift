import Network

extension ONNXGraph {
  /// The operators of a folded network; values are called after its nodes, parameters by their `state_dict` names.
  init(_ network: Network, _ parameters: Parameters, options: ONNXModel.Options) throws(NetworkError) {
    self.init(name: network.name)
    let shapes = try network.shapes(height: options.imageHeight, width: options.imageWidth)
    let batch: Dimension =
      switch options.batch {
      case .fixed(let images): .fixed(images)
      case .dynamic: .named("batch")
      }
    var values: [String] = []
    for (node, shape) in zip(network.nodes, shapes) {
      guard case .image = node.operation else {
        values.append(try value(of: node, node.inputs.map { values[$0] }, node.inputs.map { shapes[$0] }, parameters))
        continue
      }
      values.append(input("images", [batch] + [shape.channels, shape.height, shape.width].map(Dimension.fixed)))
    }
    let heads = network.detect.outputs.map { (value: values[$0], shape: shapes[$0]) }
    switch options.head {
    case .raw: addRaw(heads, of: network.detect, batch: batch)
    case .decoded: addDecoded(heads, of: network.detect, batch: batch)
    }
  }

  private mutating func value(
    of node: Node, _ inputs: [String], _ shapes: [MapShape], _ parameters: Parameters
  ) throws(NetworkError) -> String {
    let name = node.name
    switch node.operation {
    case .image: return "images"
    case .convolution(let c):
      return add(
        "Conv", inputs + parameterInputs(name, ["weight"] + (c.hasBias ? ["bias"] : []), parameters), name,
        [Attribute("group", c.groups)] + window(kernel: c.kernel, stride: c.stride, padding: c.padding))
    case .linear(let l):
      guard shapes[0].height == 1, shapes[0].width == 1 else {
        throw NetworkError("\(name): a linear layer on a map of \(shapes[0].height) × \(shapes[0].width)")
      }
      // On a C × 1 × 1 map it is a 1 × 1 convolution.
      guard var weight = parameters["\(name).weight"] else { throw NetworkError("\(name).weight is missing") }
      weight.shape += [1, 1]
      let weightName = parameter("\(name).weight", StoredTensor(weight))
      return add(
        "Conv", inputs + [weightName] + parameterInputs(name, l.hasBias ? ["bias"] : [], parameters), name,
        [Attribute("kernel_shape", [1, 1])])
    case .batchNorm(let b):
      return add(
        "BatchNormalization",
        inputs + parameterInputs(name, ["weight", "bias", "running_mean", "running_var"], parameters), name,
        [Attribute("epsilon", b.epsilon)])
    case .activation(let activation): return add(activation, inputs[0], name)
    case .add:
      guard inputs.count > 1 else { return add("Identity", inputs, name) }
      var sum = inputs[0]
      for (index, input) in inputs.dropFirst().enumerated() {
        sum = add("Add", [sum, input], index == inputs.count - 2 ? name : "\(name).\(index)")
      }
      return sum
    case .concat: return add("Concat", inputs, name, [Attribute("axis", 1)])
    case .upsample(let factor):
      let scales = StoredTensor(Tensor(shape: [4], values: [1, 1, Float(factor), Float(factor)]))
      return add(
        "Resize", inputs + ["", constant(scales, "constant.scales.\(factor)")], name,
        [
          Attribute("coordinate_transformation_mode", "asymmetric"), Attribute("mode", "nearest"),
          Attribute("nearest_mode", "floor"),
        ])
    case .maxPool(let p):
      return add("MaxPool", inputs, name, window(kernel: p.kernel, stride: p.stride, padding: p.padding))
    case .averagePool(let p):
      // The padding's zeros are averaged too, as PyTorch does.
      return add(
        "AveragePool", inputs, name,
        [Attribute("count_include_pad", 1)] + window(kernel: p.kernel, stride: p.stride, padding: p.padding))
    case .globalAveragePool: return add("GlobalAveragePool", inputs, name)
    case .scale: return add("Mul", inputs, name)
    case .slice(let start, let count): return slice(inputs[0], start..<(start + count), axis: 1, name)
    case .shuffle(let groups):
      let (c, h, w) = (shapes[0].channels, shapes[0].height, shapes[0].width)
      let split = reshape(inputs[0], [0, groups, c / groups, h, w], "\(name).split")
      return reshape(transpose(split, [0, 2, 1, 3, 4], "\(name).transposed"), [0, c, h, w], name)
    }
  }

  private mutating func add(_ activation: Activation, _ input: String, _ name: String) -> String {
    switch activation {
    case .silu: return add("Mul", [input, add("Sigmoid", [input], "\(name).sigmoid")], name)
    case .relu: return add("Relu", [input], name)
    case .relu6: return add("Clip", [input, constant(0), constant(6)], name)
    case .sigmoid: return add("Sigmoid", [input], name)
    case .hardSigmoid: return hardSigmoid(input, name)
    case .hardSwish: return add("Mul", [input, hardSigmoid(input, "\(name).sigmoid")], name)
    }
  }

  /// `max(0, min(1, x / 6 + 0.5))`
  private mutating func hardSigmoid(_ input: String, _ name: String) -> String {
    add("HardSigmoid", [input], name, [Attribute("alpha", 1 / 6 as Float), Attribute("beta", 0.5 as Float)])
  }

  private func window(kernel: Int, stride: Int, padding: Int) -> [Attribute] {
    [
      Attribute("kernel_shape", [kernel, kernel]), Attribute("pads", Array(repeating: padding, count: 4)),
      Attribute("strides", [stride, stride]),
    ]
  }

  /// Returns the inputs for those of the node's parameters that are there; `Parameters` have been validated.
  private mutating func parameterInputs(_ owner: String, _ names: [String], _ parameters: Parameters) -> [String] {
    names.compactMap { name in
      parameters["\(owner).\(name)"].map { parameter("\(owner).\(name)", StoredTensor($0)) }
    }
  }

  // MARK: - Shapes

  /// A size of 0 stands for the input's own, so that the batch may be anything.
  mutating func reshape(_ input: String, _ shape: [Int], _ name: String) -> String {
    add("Reshape", [input, constant(shape)], name)
  }

  mutating func transpose(_ input: String, _ order: [Int], _ name: String) -> String {
    add("Transpose", [input], name, [Attribute("perm", order)])
  }

  mutating func slice(_ input: String, _ range: Range<Int>, axis: Int, _ name: String) -> String {
    add("Slice", [input, constant([range.lowerBound]), constant([range.upperBound]), constant([axis])], name)
  }
}
