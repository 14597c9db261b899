/// Why a plan cannot be made or applied. It follows from the model and what was asked, so trying again is of no use.
public struct PruningError: Error, Sendable, Hashable, CustomStringConvertible {
  public var message: String
  /// The layers that the cut would leave without a channel, those that vanish first first; the message names the first
  /// few of them.
  public var emptied: [LayerLimit]

  init(_ message: String, emptied: [LayerLimit] = []) {
    self.message = message
    self.emptied = emptied
  }

  public var description: String { message }
}

/// How far a layer can be cut.
public struct LayerLimit: Sendable, Hashable {
  /// A batch norm, such as `model.2.cv1.bn`, or a slice of one's channels.
  public var layer: String
  public var channelCount: Int
  public var largestScore: Float
  /// From this ratio on nothing would be left of it.
  public var vanishingRatio: Double
}
