import Compute
import Dataset
import Detection
import Geometry
import Network

/// The measurements of a detector on a data set.
public struct EvaluationResult: Sendable, Hashable {
  public var metrics: DetectionMetrics
  /// The curves of the classes that have labels, in order.
  public var curves: [DetectionCurves]
  public var confusion: ConfusionMatrix
  /// Mean of the batches' items; nil when no loss was asked for.
  public var loss: LossItems?
}

/// Runs a trained network over labelled images and measures it as YOLOv5's `val.py` does: confidence above 0.001, IoU
/// 0.6 in the suppression, at most 300 detections an image, boxes compared in pixels of the original image.
public struct Evaluator {
  private let detect: Detect
  private let suppression: NonMaximumSuppression
  private var plans: PlanCache<InferencePlan>

  /// - Throws: `NetworkError` if the parameters are not the network's, `ComputeError` if it cannot be computed.
  public init(
    _ network: Network, _ parameters: Parameters, runtime: Runtime,
    suppression: NonMaximumSuppression = NonMaximumSuppression()
  ) throws {
    detect = network.detect
    self.suppression = suppression
    plans = PlanCache(try ParameterMemory(folding: network, parameters, runtime: runtime))
  }

  /// One pass over the loader's images.
  /// - Parameters:
  ///   - loss: evaluated too when given, as YOLOv5 does while it trains.
  ///   - onImage: called with each image and what was found in it, most confident first, in the image's pixels.
  ///   - onBatch: called after each batch with the images done so far and their total.
  /// - Throws: `DatasetError` for an image that cannot be decoded, `ComputeError` for a shape that cannot be planned.
  public mutating func evaluate(
    _ loader: ValidationLoader, loss: DetectionLoss? = nil,
    onImage: (LabelledImage, [Detection]) throws -> Void = { _, _ in },
    onBatch: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
  ) throws -> EvaluationResult {
    var averagePrecision = AveragePrecision()
    var confusion = ConfusionMatrix(classCount: detect.classCount)
    var lossEvaluation = loss.map { LossEvaluation(loss: $0) }
    var done = 0
    let batches = loader.batches()
    defer { batches.stop() }
    while let batch = try batches.next() {
      let plan = try plans.plan(batchSize: batch.count, height: batch.height, width: batch.width)
      plan.run(batch.images)
      lossEvaluation?.add(batch, plan)
      let truths = groundTruths(batch)
      for image in 0..<batch.count {
        let detections = suppression(
          plan.predictions(image, of: detect, objectnessAbove: suppression.confidenceThreshold)
        ).map { $0.placed(back: batch.placements[image]) }
        averagePrecision.addImage(
          confidences: detections.map(\.confidence), classes: detections.map(\.classIndex),
          correct: DetectionMatching.correct(detections, truths[image]), labelClasses: truths[image].map(\.classIndex))
        confusion.addImage(detections, truths[image])
        try onImage(loader.images[done + image], detections)
      }
      done += batch.count
      try onBatch(done, loader.images.count)
    }
    let curves = averagePrecision.curves()
    return EvaluationResult(
      metrics: DetectionMetrics(curves, imageCount: done), curves: curves, confusion: confusion,
      loss: lossEvaluation?.mean)
  }

  /// The labels of each image, in pixels of the original.
  private func groundTruths(_ batch: Batch) -> [[GroundTruth]] {
    var truths = Array(repeating: [GroundTruth](), count: batch.count)
    let (width, height) = (Float(batch.width), Float(batch.height))
    for target in batch.targets {
      let box = PixelBox(target.box.on(width: width, height: height))
      truths[target.imageIndex].append(
        GroundTruth(box: batch.placements[target.imageIndex].original(box), classIndex: target.classIndex))
    }
    return truths
  }
}

/// Sums the loss over batches; its gradient, which nobody asked for, is thrown away.
private struct LossEvaluation {
  var loss: DetectionLoss
  var sum = LossItems()
  var batchCount = 0

  var mean: LossItems { sum / Double(max(batchCount, 1)) }

  init(loss: DetectionLoss) { self.loss = loss }

  mutating func add(_ batch: Batch, _ plan: InferencePlan) {
    for level in plan.heads.indices {
      plan.withHead(level) { head in
        var scratch = Array(repeating: Float(0), count: head.count)
        var gradient = scratch.mutableSpan
        sum += loss.evaluate(
          level: level, shape: plan.heads[level], head: head, targets: batch.targets,
          gradient: &gradient)
      }
    }
    batchCount += 1
  }
}

extension Detection {
  func placed(back placement: Placement) -> Detection {
    Detection(box: placement.original(box), confidence: confidence, classIndex: classIndex)
  }
}
