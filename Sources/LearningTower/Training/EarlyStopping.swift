/// YOLOv5's measure of a model, `0.1 · mAP50 + 0.9 · mAP50-95`, and when a run has stopped to improve.
public struct EarlyStopping: Sendable, Hashable, Codable {
  /// Epochs without improvement after which a run stops; nil never stops it.
  public var patience: Int?
  public private(set) var bestFitness = 0.0
  public private(set) var bestEpoch = 0

  public init(patience: Int?) { self.patience = patience }

  public static func fitness(map50: Double, map50To95: Double) -> Double { 0.1 * map50 + 0.9 * map50To95 }

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
