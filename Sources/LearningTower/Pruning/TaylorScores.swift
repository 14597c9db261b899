public import Network

/// How much the loss would change without each unit of tied channels, measured on training pictures.
///
/// A gate of 1 on a channel multiplies its batch norm's scale and shift; the loss's gradient by that gate is
/// `gamma · ∂L/∂gamma + beta · ∂L/∂beta`. Cutting a unit closes the gates of all its channels at once, so their
/// gradients are added. The score is the sum over batches of that sum's square: the first-order Taylor term of
/// Molchanov et al. (CVPR 2019), and up to a factor the Fisher information of the gate (Liu et al., ICML 2021).
public struct TaylorScores: Sendable {
  /// The batch norms in the order in which `add` takes their channels.
  public let batchNorms: [String]
  /// One score per unit, in the order of the network's units.
  public private(set) var values: [Double]

  /// Per channel of all batch norms its unit.
  private let unitOfChannel: [Int]
  private var sums: [Double]

  /// Scores of zero.
  public init(_ network: Network) throws(NetworkError) {
    let units = try ChannelUnits(network)
    let nodes = network.nodes.indices.filter { index in
      if case .batchNorm = network.nodes[index].operation { true } else { false }
    }
    batchNorms = nodes.map { network.nodes[$0].name }
    unitOfChannel = nodes.flatMap { units.unitOf[$0] }
    values = Array(repeating: 0, count: units.units.count)
    sums = values
  }

  /// Takes over the scores of an earlier run on the same network.
  public mutating func restore(_ values: [Double]) {
    precondition(values.count == self.values.count, "scores of another network")
    self.values = values
  }

  /// Adds one batch.
  /// - Parameter gateGradients: one value per channel of all `batchNorms`, in their order.
  public mutating func add(_ gateGradients: [Float]) {
    precondition(gateGradients.count == unitOfChannel.count, "gates of another network")
    for unit in sums.indices { sums[unit] = 0 }
    for (channel, gradient) in gateGradients.enumerated() { sums[unitOfChannel[channel]] += Double(gradient) }
    for unit in sums.indices { values[unit] += sums[unit] * sums[unit] }
  }

  /// Lets what was measured before count less than what will be measured.
  public mutating func fade(by factor: Double) {
    for unit in values.indices { values[unit] *= factor }
  }
}
