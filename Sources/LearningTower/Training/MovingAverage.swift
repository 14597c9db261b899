import Compute
import Foundation
import Network

/// YOLOv5's moving average of a model over its optimizer updates (`ModelEMA`): of the parameters and of the running
/// statistics. It is what gets validated and saved.
public final class MovingAverage {
  public private(set) var updateCount = 0
  private let memory: ParameterMemory
  private let elementwise: Elementwise
  let values: AlignedBuffer
  private let statistics: AlignedBuffer

  /// Starts from the memory's present values.
  public init(_ memory: ParameterMemory) {
    self.memory = memory
    elementwise = Elementwise(memory.runtime)
    values = AlignedBuffer(count: memory.values.count)
    statistics = AlignedBuffer(count: memory.statistics.count)
    values.copy(from: memory.values)
    statistics.copy(from: memory.statistics)
  }

  /// The weight of the past at the `update`-th update, counted from 1: `0.9999 · (1 − exp(−update / 2000))`. It is
  /// small at first, so that the average soon forgets where the run began.
  public static func decay(update: Int) -> Double { 0.9999 * (1 - exp(-Double(update) / 2000)) }

  /// Takes in the memory's present values.
  public func update() {
    updateCount += 1
    let decay = Self.decay(update: updateCount)
    elementwise.average(memory.values, into: values, decay: decay)
    elementwise.average(memory.statistics, into: statistics, decay: decay)
  }

  /// The averaged model as a whole `state_dict`.
  public func parameters() -> Parameters {
    var parameters = memory.parameters()
    parameters.tensors.merge(memory.tensors(in: values)) { $1 }
    parameters.tensors.merge(memory.statisticsTensors(in: statistics)) { $1 }
    return parameters
  }

  /// - Throws: `ComputeError` naming a tensor that is missing or has another shape.
  public func restore(_ parameters: Parameters, updateCount: Int) throws {
    try memory.load(parameters.tensors, into: values)
    try memory.loadStatistics(parameters.tensors, into: statistics)
    self.updateCount = updateCount
  }
}
