import Interchange
import JSON
import Network

/// All that a run needs to go on after an epoch as if it had not stopped, in one safetensors file.
///
/// Random numbers need no state: they are functions of seed, epoch and position. The learned tensors stand under their
/// `state_dict` names as in a model file, those of the moving average under `ema.`, of the best epoch's model under
/// `best.`, and the optimizer's under `optimizer.`. The same state gives the same bytes.
public struct TrainingCheckpoint: Sendable, Hashable {
  public var network: Network
  public var classNames: [String]
  public var configuration: TrainingConfiguration
  /// One per completed epoch.
  public var history: [EpochSummary]
  public var stopping: EarlyStopping
  public var optimizerUpdates: Int
  public var averageUpdates: Int

  public var parameters: Parameters
  public var average: Parameters
  /// By the buffer's and the parameter's name, such as `momentum.model.0.conv.weight`.
  public var optimizerState: [String: Tensor]
  /// The moving average of the best epoch.
  public var best: Parameters
  /// mAP50-95 of each class in the last validation, in runs whose image weights go by it.
  public var classPrecisions: [Double]?
  /// The effect on the loss of each unit of channels, as far as measured, in runs that fade channels out.
  public var channelScores: [Double]?
}

extension TrainingCheckpoint {
  /// The member `training` of the file's metadata.
  private struct Progress: Codable {
    var configuration: TrainingConfiguration
    var history: [EpochSummary]
    var stopping: EarlyStopping
    var optimizerUpdates: Int
    var averageUpdates: Int
    var classPrecisions: [Double]?
    var channelScores: [Double]?

    enum CodingKeys: String, CodingKey {
      case configuration, history, stopping
      case optimizerUpdates = "optimizer_updates"
      case averageUpdates = "average_updates"
      case classPrecisions = "class_precisions"
      case channelScores = "channel_scores"
    }
  }

  /// The best model is left out where it is the average.
  public func encoded() throws -> SafetensorsFile {
    var file = try ModelFile(network: network, parameters: parameters, classNames: classNames).encoded()
    let progress = Progress(
      configuration: configuration, history: history, stopping: stopping, optimizerUpdates: optimizerUpdates,
      averageUpdates: averageUpdates, classPrecisions: classPrecisions, channelScores: channelScores)
    file.metadata["training"] = try JSON.text(progress)
    var groups = [("ema.", average.tensors), ("optimizer.", optimizerState)]
    if best != average { groups.append(("best.", best.tensors)) }
    for (prefix, tensors) in groups {
      for (name, tensor) in tensors { file.tensors[prefix + name] = StoredTensor(tensor) }
    }
    return file
  }

  /// - Parameter name: what to call the file in an error.
  /// - Throws: `TrainingError` or `InterchangeError` if the file is not a checkpoint, or a damaged one.
  public init(decoding file: SafetensorsFile, name: String) throws {
    guard let text = file.metadata["training"] else { throw TrainingError("\(name): a model, not a checkpoint") }
    let progress: Progress
    guard text.utf8.count <= Self.maximumProgressBytes else {
      throw TrainingError("\(name): the checkpoint's progress is \(text.utf8.count) bytes long, beyond reason")
    }
    do {
      progress = try JSON.decode(Progress.self, from: text.utf8)
    } catch {
      throw TrainingError("\(name): the checkpoint's progress cannot be read (\(error))")
    }
    func group(_ prefix: String) -> [String: Tensor] {
      Dictionary(
        uniqueKeysWithValues: file.tensors.filter { $0.key.hasPrefix(prefix) }
          .map { (String($0.key.dropFirst(prefix.count)), $0.value.tensor) })
    }
    var modelPart = file
    modelPart.tensors = file.tensors.filter { entry in
      !["ema.", "optimizer.", "best."].contains { entry.key.hasPrefix($0) }
    }
    let model = try ModelFile(decoding: modelPart, file: name)
    func parameters(_ prefix: String) throws -> Parameters {
      let parameters = Parameters(group(prefix))
      do {
        try model.network.checkValues(model.network.validated(parameters))
      } catch {
        throw TrainingError("\(name): \(prefix): \(error)")
      }
      return parameters
    }
    let average = try parameters("ema.")
    let hasBest = file.tensors.keys.contains { $0.hasPrefix("best.") }
    guard (0..<max(progress.history.count, 1)).contains(progress.stopping.bestEpoch), progress.optimizerUpdates >= 0,
      progress.averageUpdates >= 0,
      progress.classPrecisions.map({ $0.count == model.network.detect.classCount && $0.allSatisfy((0...1).contains) })
        ?? true
    else { throw TrainingError("\(name): the checkpoint's progress contradicts itself") }
    self.init(
      network: model.network, classNames: model.classNames, configuration: progress.configuration,
      history: progress.history, stopping: progress.stopping, optimizerUpdates: progress.optimizerUpdates,
      averageUpdates: progress.averageUpdates, parameters: model.parameters, average: average,
      optimizerState: group("optimizer."),
      best: hasBest ? try parameters("best.") : average, classPrecisions: progress.classPrecisions,
      channelScores: progress.channelScores)
  }

  /// The longest progress that is read: about 20,000 epochs.
  private static let maximumProgressBytes = 1 << 23

  /// Replaces the file in one step: a reader sees the old checkpoint or the new one.
  public func write(to path: String) throws { try Safetensors.write(encoded(), to: path) }

  public static func read(_ path: String) throws -> TrainingCheckpoint {
    try TrainingCheckpoint(decoding: Safetensors.read(path), name: path)
  }
}
