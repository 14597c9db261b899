import Network

/// All learned parameters of a network in one aligned buffer, their gradients in another of the same order, and the
/// running statistics beside them. Plans of different batch sizes share one memory.
///
/// Three contiguous groups, as the optimizer's parameter groups: gammas, decayed weights, biases and betas. Within a
/// group tensors stand in `state_dict` order. How a weight tensor is laid out inside its range, and whether it is padded
/// (with zeros that stay zero under any element-wise update), is this type's business: `tensors(in:)` and `load(_:into:)`
/// translate whole buffers (parameters, gradients, momenta, averages) to and from named tensors, bit by bit.
public final class ParameterMemory {
  public let network: Network
  public let runtime: Runtime
  public let values: AlignedBuffer
  public let gradients: AlignedBuffer
  /// Running means and variances of all batch norms.
  public let statistics: AlignedBuffer
  /// `num_batches_tracked` of all batch norms, in `state_dict` order.
  public internal(set) var batchCounts: [Int]

  /// Ranges of `values`, which follow one another.
  public let gammas: Range<Int>
  public let decayedWeights: Range<Int>
  public let biasesAndBetas: Range<Int>

  public var count: Int { values.count }

  public init(_ network: Network, runtime: Runtime) throws {
    fatalError()
  }

  public convenience init(_ network: Network, _ parameters: Parameters, runtime: Runtime) throws {
    try self.init(network, runtime: runtime)
    try load(parameters)
  }

  /// Takes over every tensor of the network, running statistics included.
  /// - Throws: `ComputeError` naming the tensor that is missing or has another shape.
  public func load(_ parameters: Parameters) throws { fatalError() }
  /// Everything a `state_dict` holds, anchors included.
  public func parameters() -> Parameters { fatalError() }

  /// The learned tensors held by a buffer of this memory's order, by `state_dict` name.
  public func tensors(in buffer: AlignedBuffer) -> [String: Tensor] { fatalError() }
  public func load(_ tensors: [String: Tensor], into buffer: AlignedBuffer) throws { fatalError() }

  /// Where gamma and beta (or a bias) stand in `values`, by `state_dict` name; these are never reordered.
  public func range(of name: String) -> Range<Int>? { fatalError() }

  /// The running statistics held by a buffer of `statistics`' order (that of an average, say), by name.
  public func statisticsTensors(in buffer: AlignedBuffer) -> [String: Tensor] { fatalError() }
  public func loadStatistics(_ tensors: [String: Tensor], into buffer: AlignedBuffer) throws { fatalError() }
}
