import Compute
import Network

/// The update that follows once enough gradients are gathered: clip, pull sparse, step, average.
public final class ParameterUpdate {
  /// v7.0 clips the gradients' norm at this.
  public static let gradientNormLimit = 10.0

  public let optimizer: Optimizer
  public let average: MovingAverage
  private let memory: ParameterMemory
  private let elementwise: Elementwise
  private let gradientLimit: Double?
  private let sparsity: Sparsity?
  private let pulledGammas: [Range<Int>]
  private let pulledBetas: [Range<Int>]

  /// - Parameters:
  ///   - gradientLimit: nil leaves gradients as they are, as the study does.
  ///   - spared: batch norms (such as `model.2.cv1.bn`) that sparsity training leaves alone.
  public init(
    _ memory: ParameterMemory, optimizer: Optimizer, gradientLimit: Double? = ParameterUpdate.gradientNormLimit,
    sparsity: Sparsity? = nil, sparing spared: Set<String> = []
  ) {
    self.memory = memory
    elementwise = Elementwise(memory.runtime)
    self.optimizer = optimizer
    self.gradientLimit = gradientLimit
    self.sparsity = sparsity
    average = MovingAverage(memory)
    let pulled = memory.network.nodes.filter {
      if case .batchNorm = $0.operation { !spared.contains($0.name) } else { false }
    }
    pulledGammas = pulled.compactMap { memory.range(of: $0.name + ".weight") }
    pulledBetas = pulled.compactMap { memory.range(of: $0.name + ".bias") }
  }

  /// - Parameter epoch: from 0; sparsity eases off with it.
  public func apply(_ settings: StepSettings, epoch: Int) {
    // The pull comes after the clipping, so that a steep loss does not weaken it.
    if let gradientLimit { optimizer.clipGradients(toNorm: gradientLimit) }
    if let sparsity {
      pull(pulledGammas, by: sparsity.gammaPull(epoch: epoch))
      pull(pulledBetas, by: sparsity.betaPull)
    }
    optimizer.update(learningRates: settings.learningRates, momentum: settings.momentum)
    average.update()
  }

  private func pull(_ ranges: [Range<Int>], by rate: Double) {
    for range in ranges {
      elementwise.addSign(of: memory.values, to: memory.gradients, range: range, rate: Float(rate))
    }
  }
}
