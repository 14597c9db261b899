import Compute
import Network
import Pruning

extension Trainer {
  /// The state after the last completed epoch.
  public func checkpoint() -> TrainingCheckpoint {
    TrainingCheckpoint(
      network: network, classNames: classNames, configuration: configuration, history: history, stopping: stopping,
      optimizerUpdates: update.optimizer.updateCount, averageUpdates: update.average.updateCount,
      parameters: memory.parameters(), average: update.average.parameters(),
      optimizerState: update.optimizer.savedState(), best: bestParameters,
      classPrecisions: configuration.usesImageWeights ? classPrecisions : nil, channelScores: fading?.taylor.values)
  }

  /// Goes on where a checkpoint stands. With the same data, backend and thread count the rest of the run is bit by bit
  /// what it would have been without the interruption.
  /// - Throws: `TrainingError` if the data's classes have changed, `ComputeError` if tensors are missing.
  public convenience init(resuming checkpoint: TrainingCheckpoint, data: TrainingData, runtime: Runtime) throws {
    guard checkpoint.classNames == data.classNames else {
      throw TrainingError(
        "the checkpoint's classes are \(checkpoint.classNames), those of the data set \(data.classNames)")
    }
    try self.init(
      checkpoint.network, checkpoint.parameters, data: data, configuration: checkpoint.configuration, runtime: runtime)
    try update.average.restore(checkpoint.average, updateCount: checkpoint.averageUpdates)
    try update.optimizer.restore(checkpoint.optimizerState, updateCount: checkpoint.optimizerUpdates)
    history = checkpoint.history
    stopping = checkpoint.stopping
    bestParameters = checkpoint.best
    if let scores = checkpoint.channelScores { try fading?.restore(scores) }
    if let precisions = checkpoint.classPrecisions { classPrecisions = precisions }
  }
}
