extension Network {
  /// Every tensor the network expects, in the order of YOLOv5's `state_dict`.
  ///
  /// A `state_dict` lists a module's own parameters, then its buffers, then its children in declaration order: the
  /// order of `modules`, whatever the order of execution.
  public var parameterSpecs: [ParameterSpec] {
    let operations = Dictionary(nodes.map { ($0.name, $0.operation) }, uniquingKeysWith: { first, _ in first })
    return modules.flatMap { module in
      if module.path == detect.path { return [detect.anchorsSpec] }
      return operations[module.path]?.parameterSpecs(owner: module.path) ?? []
    }
  }

  /// The number of values that the optimizer trains, counted as YOLOv5 counts them (`model_info`).
  public var parameterCount: Int {
    parameterSpecs.reduce(0) { $0 + ($1.isLearned ? $1.count : 0) }
  }

  /// As YOLOv5 saves a final model: floating tensors in half precision, counters as 64-bit integers; in units of 10⁶
  /// bytes, as its tables do.
  public var sizeMegabytes: Double {
    let bytes = parameterSpecs.reduce(0) { $0 + $1.count * ($1.role == .batchCount ? 8 : 2) }
    return Double(bytes) / 1e6
  }

  /// `parameters`, if they are exactly this network's.
  /// - Throws: `NetworkError` listing what is missing, has another shape, or belongs to another network.
  public func validated(_ parameters: Parameters) throws(NetworkError) -> Parameters {
    var problems: [String] = []
    var expected: Set<String> = []
    for spec in parameterSpecs {
      expected.insert(spec.name)
      guard let tensor = parameters[spec.name] else {
        problems.append("\(spec.name) is missing")
        continue
      }
      if tensor.shape != spec.shape {
        problems.append("\(spec.name) has shape \(tensor.shape), expected \(spec.shape)")
      }
    }
    for name in parameters.tensors.keys.sorted() where !expected.contains(name) {
      problems.append("\(name) belongs to another network")
    }
    guard problems.isEmpty else {
      let shown = problems.prefix(5).joined(separator: "; ")
      let more = problems.count > 5 ? "; and \(problems.count - 5) more" : ""
      throw NetworkError("the parameters do not fit \(name): \(shown)\(more)")
    }
    return parameters
  }

  /// Refuses values that no sound training leaves: from one NaN on, every output is NaN.
  /// - Throws: `NetworkError` with the tensor's name.
  public func checkValues(_ parameters: Parameters) throws(NetworkError) {
    for spec in parameterSpecs {
      guard let values = parameters[spec.name]?.values else { continue }
      if let wrong = values.firstIndex(where: { !$0.isFinite }) {
        throw NetworkError("tensor \(spec.name): value \(wrong) is \(values[wrong])")
      }
      if spec.role == .runningVariance, let wrong = values.firstIndex(where: { $0 < 0 }) {
        throw NetworkError("tensor \(spec.name): variance \(wrong) is negative (\(values[wrong]))")
      }
    }
  }

  /// The batch norms that BN sparsity leaves alone: of each bottleneck with a shortcut its `cv1` and `cv2`, and the
  /// `cv1` of the C3 around it (the study's list; its channels are summed and cannot be cut one by one). Paths in
  /// module order.
  ///
  /// Other families have no such module: there every batch norm is regularised, residual sums included.
  public var sparsityExcludedBatchNorms: [String] {
    let names = Set(nodes.map(\.name))
    var excluded: Set<String> = []
    for module in modules where module.type == "Bottleneck" && names.contains("\(module.path).add") {
      let block = module.path.split(separator: ".").dropLast(2).joined(separator: ".")
      excluded.formUnion(["\(block).cv1.bn", "\(module.path).cv1.bn", "\(module.path).cv2.bn"])
    }
    return modules.map(\.path).filter(excluded.contains)
  }
}

extension Operation {
  /// In the order in which PyTorch registers them.
  func parameterSpecs(owner: String) -> [ParameterSpec] {
    func spec(_ name: String, _ shape: [Int], _ role: ParameterSpec.Role) -> ParameterSpec {
      ParameterSpec(name: "\(owner).\(name)", shape: shape, role: role)
    }
    switch self {
    case .convolution(let c):
      let weight = spec("weight", [c.outputChannels, c.inputChannels / c.groups, c.kernel, c.kernel], .weight)
      return c.hasBias ? [weight, spec("bias", [c.outputChannels], .bias)] : [weight]
    case .linear(let l):
      let weight = spec("weight", [l.outputCount, l.inputCount], .weight)
      return l.hasBias ? [weight, spec("bias", [l.outputCount], .bias)] : [weight]
    case .batchNorm(let b):
      return [
        spec("weight", [b.channels], .gamma), spec("bias", [b.channels], .beta),
        spec("running_mean", [b.channels], .runningMean), spec("running_var", [b.channels], .runningVariance),
        spec("num_batches_tracked", [], .batchCount),
      ]
    case .image, .activation, .add, .concat, .upsample, .maxPool, .averagePool, .globalAveragePool, .scale, .slice,
      .shuffle:
      return []
    }
  }
}

extension Detect {
  /// The name under which the anchors stand in a `state_dict`.
  public var anchorsName: String { "\(path).anchors" }

  var anchorsSpec: ParameterSpec {
    ParameterSpec(name: anchorsName, shape: [anchors.count, anchors.first?.count ?? 0, 2], role: .anchors)
  }

  /// `level × anchor × (width, height)` in cells, as YOLOv5 keeps them.
  public var anchorsTensor: Tensor {
    let values = zip(anchors, strides).flatMap { level, stride in
      level.flatMap { [$0.width / Float(stride), $0.height / Float(stride)] }
    }
    return Tensor(shape: anchorsSpec.shape, values: values)
  }
}

extension Network {
  /// This network with the anchors that stand in `parameters`: those of a foreign model are a tensor of its own.
  /// - Throws: `NetworkError` when they are missing or have another shape.
  public func adoptingAnchors(of parameters: Parameters) throws(NetworkError) -> Network {
    guard let tensor = parameters[detect.anchorsName], tensor.shape == detect.anchorsSpec.shape else {
      throw NetworkError("\(detect.anchorsName) is missing or not of shape \(detect.anchorsSpec.shape)")
    }
    guard tensor.values.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw NetworkError("\(detect.anchorsName) has sizes that are not positive")
    }
    var network = self
    var next = 0
    for level in detect.anchors.indices {
      let stride = Float(detect.strides[level])
      for anchor in detect.anchors[level].indices {
        let size = Anchor(width: tensor.values[next] * stride, height: tensor.values[next + 1] * stride)
        network.detect.anchors[level][anchor] = size
        next += 2
      }
    }
    return network
  }
}
