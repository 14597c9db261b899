import Compute
import Network
public import Pruning

/// Sparsity training that reaches its aim: by the end of the run a given share of the channels computes nothing, so
/// that cutting them changes nothing.
///
/// In the first epoch the channels' effect on the loss is measured (`TaylorScores`), and on through the run. In each of
/// the epochs after it some more channels are chosen, those with the least effect, and their scales and shifts are
/// multiplied down to zero while the others learn to do without them. How many follows the cubic schedule of Zhu and
/// Gupta (2017): many at first, few at last. The last epochs change no more channels. None of it depends on the
/// learning rate, the warm-up or the number of steps.
public struct ChannelFading: Sendable, Hashable, Codable {
  /// The share of the prunable channels that is to go, in (0, 1).
  public var ratio: Double
  public var method: PruningMethod

  /// - Parameter method: how channels are chosen; by default those with the least effect on the loss of all the
  ///   network, of which every layer keeps a tenth and four.
  public init(ratio: Double, method: PruningMethod = Self.standardMethod) {
    self.ratio = ratio
    self.method = method
  }

  public static let standardMethod = PruningMethod(
    .grouped, importance: .taylor, minimumChannels: 4, minimumShare: 0.1)

  /// The last epoch (from 0) that fades channels. Of several epochs the first one measures; a single one fades all that
  /// are to go, by scores that were measured before it.
  static func lastFadingEpoch(of epochs: Int) -> Int { min(max(1, Int(0.7 * Double(epochs))), epochs - 1) }

  /// The share of channels that are zero after an epoch (from 0).
  func ratio(afterEpoch epoch: Int, of epochs: Int) -> Double {
    let last = Self.lastFadingEpoch(of: epochs)
    let progress = epoch >= last ? 1 : Double(epoch) / Double(last)
    let left = 1 - progress
    return ratio * (1 - left * left * left)
  }

  /// Whether an epoch (from 0) ends with all channels faded.
  static func isComplete(afterEpoch epoch: Int, of epochs: Int) -> Bool { epoch >= lastFadingEpoch(of: epochs) }
}

/// A `ChannelFading` at work on a memory.
struct FadingChannels {
  private let fading: ChannelFading
  private let epochs: Int
  private let memory: ParameterMemory
  private(set) var taylor: TaylorScores
  private var gates: ChannelGates
  /// Whether scores must be measured before the first epoch, which has no epoch before it that measures.
  var needsScores: Bool { epochs == 1 }
  /// Places in the memory's values of the scales and shifts that are on their way to zero in this epoch.
  private var closing: [Int] = []
  /// The places that are zero and stay so.
  private var closed: [Int] = []

  init(_ fading: ChannelFading, epochs: Int, _ memory: ParameterMemory) throws {
    self.fading = fading
    self.epochs = epochs
    self.memory = memory
    taylor = try TaylorScores(memory.network)
    gates = ChannelGates(taylor.batchNorms, of: memory)
  }

  /// Takes over the scores that a checkpoint keeps.
  mutating func restore(_ scores: [Double]) throws(TrainingError) {
    guard scores.count == taylor.values.count, scores.allSatisfy(\.isFinite) else {
      throw TrainingError("the checkpoint's channel scores are those of another network")
    }
    taylor.restore(scores)
  }

  /// Chooses what fades in an epoch (from 0).
  /// - Parameter scores: measured beforehand; nil: those gathered so far.
  mutating func begin(epoch: Int, scores: TaylorScores? = nil) throws {
    if let scores { taylor = scores }
    closed = gates.zeroPlaces()
    closing = []
    guard epoch > 0 || needsScores, !ChannelFading.isComplete(afterEpoch: epoch - 1, of: epochs) else { return }
    var method = fading.method
    let isLast = ChannelFading.isComplete(afterEpoch: epoch, of: epochs)
    if !isLast { method.roundTo = 1 }
    let ranking = try ChannelRanking(memory.network, memory.parameters(), method, taylor: taylor)
    let plan = try ranking.plan(ratio: fading.ratio(afterEpoch: epoch, of: epochs))
    let places = plan.cutChannels.flatMap { name, channels in self.places(of: name, channels) }
    closing = Set(places).subtracting(closed).sorted()
    taylor.fade(by: 0.5)
  }

  /// Adds the gradients of a step to the scores.
  mutating func measure() {
    gates.update()
    taylor.add(gates.gradients)
  }

  /// Brings the chosen channels nearer to zero after batch `batch` (from 0), and to zero after the last one.
  func apply(to average: MovingAverage, afterBatch batch: Int, of batches: Int) {
    let factor = Float(batches - batch - 1) / Float(batches - batch)
    for buffer in [memory.values, average.values] {
      buffer.withMutableSpan { values in
        for place in closing { values[place] *= factor }
        for place in closed { values[place] = 0 }
      }
    }
  }

  /// How far fading is at the end of an epoch.
  /// - Parameter parameters: the moving average.
  func summary(of parameters: Parameters) throws -> ScaleSummary {
    try ScaleSummary(memory.network, parameters, targetShare: fading.ratio, by: fading.method, taylor: taylor)
  }

  private func places(of batchNorm: String, _ channels: [Int]) -> [Int] {
    [".weight", ".bias"].flatMap { suffix -> [Int] in
      guard let range = memory.range(of: batchNorm + suffix) else { return [] }
      return channels.map { range.lowerBound + $0 }
    }
  }
}

/// Gates that multiply scale and shift of each channel of some batch norms, at a gate of 1.
public struct ChannelGates {
  private let memory: ParameterMemory
  /// The places of the scales and shifts of each batch norm in the memory's values.
  private let places: [(gamma: Range<Int>, beta: Range<Int>)]
  /// The loss's gradients by the gates, `gamma · ∂L/∂gamma + beta · ∂L/∂beta`: a value per channel, one batch norm
  /// after the other.
  public private(set) var gradients: [Float]

  /// - Parameter batchNorms: names, such as `model.2.cv1.bn`.
  public init(_ batchNorms: [String], of memory: ParameterMemory) {
    self.memory = memory
    places = batchNorms.compactMap { name in
      guard let gamma = memory.range(of: name + ".weight"), let beta = memory.range(of: name + ".bias") else {
        return nil
      }
      return (gamma, beta)
    }
    gradients = Array(repeating: 0, count: places.reduce(0) { $0 + $1.gamma.count })
  }

  /// Sets `gradients` from the gradients in the memory; allocates nothing.
  public mutating func update() {
    memory.values.withMutableSpan { values in
      memory.gradients.withMutableSpan { slopes in
        var gate = 0
        for (gamma, beta) in places {
          for (scale, shift) in zip(gamma, beta) {
            gradients[gate] = values[scale] * slopes[scale] + values[shift] * slopes[shift]
            gate += 1
          }
        }
      }
    }
  }

  /// The places of the scales and shifts of all channels that compute nothing.
  func zeroPlaces() -> [Int] {
    memory.values.withMutableSpan { values in
      var zeros: [Int] = []
      for (gamma, beta) in places {
        for (scale, shift) in zip(gamma, beta) where values[scale] == 0 && values[shift] == 0 {
          zeros += [scale, shift]
        }
      }
      return zeros
    }
  }
}
