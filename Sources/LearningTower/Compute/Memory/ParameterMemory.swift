public import Network

/// All learned parameters of a network in one aligned buffer, their gradients in another of the same order, and the
/// running statistics beside them. Plans of different batch sizes share one memory.
///
/// Three contiguous groups, as the optimizer's parameter groups: gammas, decayed weights, biases and betas. Within a
/// group tensors stand in `state_dict` order. How a weight tensor is laid out inside its range, and whether it is
/// padded (with zeros that stay zero under any element-wise update), is this type's business: `tensors(in:)` and
/// `load(_:into:)` translate whole buffers (parameters, gradients, momenta, averages) to and from named tensors, bit by
/// bit.
public final class ParameterMemory {
  public let network: Network
  public let runtime: Runtime
  public let values: AlignedBuffer
  /// Made at the first use, which inference has none of.
  public private(set) lazy var gradients = AlignedBuffer(count: count)
  /// Running means and variances of all batch norms, in `state_dict` order.
  public let statistics: AlignedBuffer
  /// `num_batches_tracked` of all batch norms, in `state_dict` order.
  public private(set) var batchCounts: [Int]

  /// Ranges of `values`, which follow one another.
  public let gammas: Range<Int>
  public let decayedWeights: Range<Int>
  public let biasesAndBetas: Range<Int>

  let slots: [ParameterSlot]
  private let statisticsSlots: [ParameterSlot]
  private let batchCountNames: [String]
  private let indices: [String: Int]
  private let statisticsIndices: [String: Int]

  public var count: Int { values.count }

  /// All values are zero until they are loaded.
  /// - Throws: `ComputeError` if the backend does not take one of the network's convolutions.
  public init(_ network: Network, runtime: Runtime) throws {
    self.network = network
    self.runtime = runtime
    let layouts = try Self.weightLayouts(of: network, library: runtime.makeConvolutionLibrary())
    let specs = network.parameterSpecs
    var ranges: [String: Range<Int>] = [:]
    var end = 0
    func place(_ roles: Set<ParameterSpec.Role>) -> Range<Int> {
      let start = end
      for spec in specs where roles.contains(spec.role) {
        ranges[spec.name] = end..<end + (layouts[spec.name]?.count ?? spec.count)
        // Every tensor starts on a cache line.
        end = (ranges[spec.name]!.upperBound + 15) / 16 * 16
      }
      return start..<end
    }
    gammas = place([.gamma])
    decayedWeights = place([.weight])
    biasesAndBetas = place([.bias, .beta])
    values = AlignedBuffer(count: end)
    slots = specs.filter(\.isLearned).map {
      let layout = layouts[$0.name]
      return ParameterSlot(
        spec: $0, range: ranges[$0.name]!, layout: layout, packing: layout?.packing(), unpacking: layout?.unpacking())
    }

    end = 0
    _ = place([.runningMean, .runningVariance])
    statistics = AlignedBuffer(count: end)
    statisticsSlots = specs.filter { $0.role == .runningMean || $0.role == .runningVariance }.map {
      ParameterSlot(spec: $0, range: ranges[$0.name]!)
    }
    batchCountNames = specs.filter { $0.role == .batchCount }.map(\.name)
    batchCounts = batchCountNames.map { _ in 0 }
    indices = Dictionary(uniqueKeysWithValues: slots.enumerated().map { ($1.spec.name, $0) })
    statisticsIndices = Dictionary(uniqueKeysWithValues: statisticsSlots.enumerated().map { ($1.spec.name, $0) })
  }

  public convenience init(_ network: Network, _ parameters: Parameters, runtime: Runtime) throws {
    try self.init(network, runtime: runtime)
    try load(parameters)
  }

  /// The parameters of a trained network, folded for inference.
  public convenience init(folding network: Network, _ parameters: Parameters, runtime: Runtime) throws {
    let folded = try network.folded(parameters)
    try self.init(folded.network, folded.parameters, runtime: runtime)
  }

  private static func weightLayouts(
    of network: Network, library: any ConvolutionLibrary
  ) throws -> [String: WeightLayout] {
    var layouts: [String: WeightLayout] = [:]
    for node in network.nodes {
      switch node.operation {
      case .convolution(let c): layouts["\(node.name).weight"] = try library.parameterLayout(c)
      case .linear(let l): layouts["\(node.name).weight"] = try library.parameterLayout(l)
      default: break
      }
    }
    return layouts
  }

  /// Takes over every tensor of the network, running statistics included. (Anchors are the network's own.)
  /// - Throws: `NetworkError` or `ComputeError` naming the tensor that is missing or has another shape.
  public func load(_ parameters: Parameters) throws {
    try load(parameters.tensors, into: values)
    try loadStatistics(parameters.tensors, into: statistics)
    batchCounts = try batchCountNames.map { name in
      guard let value = parameters[name]?.values.first, let count = Int(exactly: value.rounded()) else {
        throw ComputeError("\(name) is missing or not a count")
      }
      return count
    }
  }

  /// Counts a batch whose statistics have moved the running ones.
  func countBatch() {
    for index in batchCounts.indices { batchCounts[index] += 1 }
  }

  /// Everything a `state_dict` holds, anchors included.
  public func parameters() -> Parameters {
    var result = Parameters(tensors(in: values))
    result.tensors.merge(statisticsTensors(in: statistics)) { _, new in new }
    for (name, count) in zip(batchCountNames, batchCounts) {
      result[name] = Tensor(shape: [], values: [Float(count)])
    }
    result[network.detect.anchorsName] = network.detect.anchorsTensor
    return result
  }

  /// The learned tensors held by a buffer of this memory's order, by `state_dict` name.
  public func tensors(in buffer: AlignedBuffer) -> [String: Tensor] {
    precondition(buffer.count == count, "a buffer of \(buffer.count) values is not of this memory's order")
    return Dictionary(uniqueKeysWithValues: slots.map { ($0.spec.name, $0.read(from: buffer)) })
  }

  public func load(_ tensors: [String: Tensor], into buffer: AlignedBuffer) throws {
    precondition(buffer.count == count, "a buffer of \(buffer.count) values is not of this memory's order")
    for slot in slots { try slot.write(tensors, into: buffer) }
  }

  /// The range of a parameter in `values`, by `state_dict` name. Gammas, betas and biases are never reordered; the
  /// values of a weight are in the order of the library's layout.
  public func range(of name: String) -> Range<Int>? { indices[name].map { slots[$0].range } }

  func slot(_ name: String) -> ParameterSlot? { indices[name].map { slots[$0] } }
  func statisticsRange(of name: String) -> Range<Int>? { statisticsIndices[name].map { statisticsSlots[$0].range } }

  /// The running statistics held by a buffer of `statistics`' order (that of an average, say), by name.
  public func statisticsTensors(in buffer: AlignedBuffer) -> [String: Tensor] {
    precondition(buffer.count == statistics.count, "a buffer of \(buffer.count) values holds other statistics")
    return Dictionary(uniqueKeysWithValues: statisticsSlots.map { ($0.spec.name, $0.read(from: buffer)) })
  }

  public func loadStatistics(_ tensors: [String: Tensor], into buffer: AlignedBuffer) throws {
    precondition(buffer.count == statistics.count, "a buffer of \(buffer.count) values holds other statistics")
    for slot in statisticsSlots { try slot.write(tensors, into: buffer) }
  }
}

/// The place of one tensor in a buffer, and the order of its values.
struct ParameterSlot {
  let spec: ParameterSpec
  let range: Range<Int>
  /// Nil: plain.
  var layout: WeightLayout?
  var packing: WeightConverter?
  var unpacking: WeightConverter?

  func read(from buffer: AlignedBuffer) -> Tensor {
    guard let unpacking else { return Tensor(shape: spec.shape, values: buffer.values(range)) }
    let values = unsafe [Float](unsafeUninitializedCapacity: spec.count) { plain, count in
      unsafe unpacking.run(buffer.pointer + range.lowerBound, plain.baseAddress!)
      count = spec.count
    }
    return Tensor(shape: spec.shape, values: values)
  }

  func write(_ tensors: [String: Tensor], into buffer: AlignedBuffer) throws(ComputeError) {
    guard let tensor = tensors[spec.name] else { throw ComputeError("\(spec.name) is missing") }
    guard tensor.shape == spec.shape else {
      throw ComputeError("\(spec.name) has shape \(tensor.shape), expected \(spec.shape)")
    }
    unsafe tensor.values.withUnsafeBufferPointer { plain in
      let destination = unsafe buffer.pointer + range.lowerBound
      if let packing {
        unsafe packing.run(plain.baseAddress!, destination)
      } else {
        unsafe destination.update(from: plain.baseAddress!, count: plain.count)
      }
    }
  }
}
