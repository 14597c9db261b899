public import Compute
public import Dataset
import Detection
public import Network
public import Pruning

extension TaylorScores {
  /// The most images that are looked at: more change the order of the channels no more.
  public static let imageLimit = 256

  /// Measures the scores of a trained network: forward and backward over training images as they are, without
  /// augmentation, one at a time: in a batch the gradients of its images would cancel out. Nothing is learned.
  /// - Parameters:
  ///   - images: of the training split; evenly spread ones are taken where there are more than `imageLimit`.
  ///   - imageSize: the side of the squares that the images are letterboxed to, pixels.
  /// - Throws: `DatasetError` if an image cannot be read, `ComputeError` or `NetworkError` if the network cannot be
  ///   planned.
  public static func measured(
    _ network: Network, _ parameters: Parameters, images: [LabelledImage], imageSize: Int, runtime: Runtime
  ) throws -> TaylorScores {
    let step = max(1, (images.count + imageLimit - 1) / imageLimit)
    let chosen = stride(from: 0, to: images.count, by: step).map { images[$0] }
    let loader = TrainingLoader(
      images: chosen, options: .init(imageSize: imageSize, batchSize: 1, augmentation: .none, seed: 0))
    let memory = try ParameterMemory(network, parameters, runtime: runtime)
    var plans = PlanCache<TrainingPlan>(memory)
    var loss = DetectionLoss(detect: network.detect, hyperparameters: LossHyperparameters(), imageSize: imageSize)
    var scores = try TaylorScores(network)
    var gates = ChannelGates(scores.batchNorms, of: memory)
    for index in 0..<loader.batchesPerEpoch {
      let batch = try loader.batch(epoch: 0, index: index)
      let plan = try plans.plan(batchSize: batch.count, height: batch.height, width: batch.width)
      plan.forward(batch.images)
      _ = loss.evaluate(plan, targets: batch.targets)
      plan.backward()
      gates.update()
      scores.add(gates.gradients)
    }
    return scores
  }
}
