/// Which epoch was the best, and when a run has stopped to improve.
public struct EarlyStopping: Sendable, Hashable, Codable {
  /// Epochs without improvement after which a run stops; nil never stops it.
  public var patience: Int?
  public private(set) var bestFitness = 0.0
  public private(set) var bestEpoch = 0

  public init(patience: Int?) { self.patience = patience }

  /// Whether this epoch is the best so far; a tie counts as an improvement.
  public mutating func record(fitness: Double, epoch: Int) -> Bool {
    guard fitness >= bestFitness else { return false }
    bestFitness = fitness
    bestEpoch = epoch
    return true
  }

  public func shouldStop(afterEpoch epoch: Int) -> Bool {
    guard let patience else { return false }
    return epoch - bestEpoch >= patience
  }
}
