/// The pruning study's sparsity training: an L1 pull on the scales and shifts of the batch norms that may be pruned.
public struct Sparsity: Sendable, Hashable, Codable {
  /// The study's `sr`.
  public var rate: Double
  public var epochs: Int

  public init(rate: Double, epochs: Int) {
    self.rate = rate
    self.epochs = epochs
  }

  /// Added to a scale's gradient times its sign: `sr · (1 − 0.9 · epoch / epochs)`.
  public func gammaPull(epoch: Int) -> Double { rate * (1 - 0.9 * Double(epoch) / Double(epochs)) }

  /// Added to a shift's gradient times its sign: `10 · sr` in every epoch.
  public var betaPull: Double { rate * 10 }
}
