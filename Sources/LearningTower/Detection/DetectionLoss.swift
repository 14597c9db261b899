import Dataset
import Foundation
import Geometry
import Network

/// The part of YOLOv5's hyper-parameters that the loss reads, unscaled as they stand in a `hyp` file; the values of
/// `hyp.scratch-low` unless given.
public struct LossHyperparameters: Sendable, Hashable, Codable {
  /// `box`, `cls`, `obj`: weights of the three parts.
  public var boxGain: Double
  public var classGain: Double
  public var objectnessGain: Double
  /// `cls_pw`, `obj_pw`: weights of the positive examples.
  public var classPositiveWeight: Double
  public var objectnessPositiveWeight: Double
  /// `anchor_t`
  public var anchorRatioLimit: Double
  /// `fl_gamma`; 0: no focal loss.
  public var focalGamma: Double
  /// `label_smoothing`: the truth is `1 − ε/2`, the rest `ε/2`.
  public var labelSmoothing: Double

  public init(
    boxGain: Double = 0.05, classGain: Double = 0.5, objectnessGain: Double = 1, classPositiveWeight: Double = 1,
    objectnessPositiveWeight: Double = 1, anchorRatioLimit: Double = 4, focalGamma: Double = 0,
    labelSmoothing: Double = 0
  ) {
    self.boxGain = boxGain
    self.classGain = classGain
    self.objectnessGain = objectnessGain
    self.classPositiveWeight = classPositiveWeight
    self.objectnessPositiveWeight = objectnessPositiveWeight
    self.anchorRatioLimit = anchorRatioLimit
    self.focalGamma = focalGamma
    self.labelSmoothing = labelSmoothing
  }
}

extension LossHyperparameters {
  /// The weights of the loss's parts as YOLOv5 scales them: by levels, classes and image size.
  func gains(of detect: Detect, imageSize: Int) -> LossItems {
    let levels = Double(detect.strides.count)
    let scale = Double(imageSize) / 640
    return LossItems(
      box: boxGain * 3 / levels, objectness: objectnessGain * scale * scale * 3 / levels,
      classification: classGain * Double(detect.classCount) / 80 * 3 / levels)
  }
}

extension Detect {
  /// How much each level's objectness counts.
  var objectnessBalance: [Double] { strides.count == 3 ? [4, 1, 0.4] : [4, 1, 0.25, 0.06, 0.02] }
}

/// The loss as YOLOv5 logs it: the three parts with their gains, without the batch size.
public struct LossItems: Sendable, Hashable, Codable {
  public var box: Double
  public var objectness: Double
  public var classification: Double

  public init(box: Double = 0, objectness: Double = 0, classification: Double = 0) {
    self.box = box
    self.objectness = objectness
    self.classification = classification
  }

  public var sum: Double { box + objectness + classification }

  public static func + (a: LossItems, b: LossItems) -> LossItems {
    LossItems(
      box: a.box + b.box, objectness: a.objectness + b.objectness, classification: a.classification + b.classification)
  }

  public static func += (a: inout LossItems, b: LossItems) { a = a + b }

  public static func / (a: LossItems, divisor: Double) -> LossItems {
    LossItems(box: a.box / divisor, objectness: a.objectness / divisor, classification: a.classification / divisor)
  }
}

/// YOLOv5's `ComputeLoss` (v7.0, autobalance off) with its gradient, level by level: the loss of a batch of `N` images
/// is `N` times the sum of the levels' items, and the gradients are of that.
///
/// Keeps its scratch memory from step to step; a level of the largest batch is what it grows to.
public struct DetectionLoss: Sendable {
  public let detect: Detect
  private let gains: LossItems
  /// `[level]`
  private let balance: [Double]
  /// `[level][anchor]`, cells.
  private let anchors: [[Anchor]]
  private let classEntropy: BinaryCrossEntropy
  private let objectnessEntropy: BinaryCrossEntropy
  private let smoothed: (positive: Float, negative: Float)
  private var assignment: AnchorAssignment
  private var matches: [AnchorMatch] = []
  /// Objectness targets of a level, `N × H × W × A`.
  private var objectness: [Float] = []

  /// - Parameter imageSize: pixels, the nominal side the gains are scaled by (`imgsz`), not the batch's own.
  public init(detect: Detect, hyperparameters: LossHyperparameters = LossHyperparameters(), imageSize: Int) {
    self.detect = detect
    gains = hyperparameters.gains(of: detect, imageSize: imageSize)
    balance = detect.objectnessBalance
    anchors = zip(detect.anchors, detect.strides).map { anchors, stride in
      anchors.map { Anchor(width: $0.width / Float(stride), height: $0.height / Float(stride)) }
    }
    classEntropy = BinaryCrossEntropy(
      positiveWeight: Float(hyperparameters.classPositiveWeight), focalGamma: Float(hyperparameters.focalGamma))
    objectnessEntropy = BinaryCrossEntropy(
      positiveWeight: Float(hyperparameters.objectnessPositiveWeight), focalGamma: Float(hyperparameters.focalGamma))
    smoothed = (
      Float(1 - 0.5 * hyperparameters.labelSmoothing), Float(0.5 * hyperparameters.labelSmoothing)
    )
    assignment = AnchorAssignment(ratioLimit: Float(hyperparameters.anchorRatioLimit))
  }

  /// One level's share of the items, and the gradient of the whole loss by its raw map.
  /// - Parameters:
  ///   - shape: `N × H × W × A × (5 + classes)`, the shape of `head` and `gradient`.
  ///   - gradient: overwritten entirely.
  public mutating func evaluate(
    level: Int, shape: HeadShape, head: Span<Float>, targets: [Target], gradient: inout MutableSpan<Float>
  ) -> LossItems {
    precondition(
      shape.anchors == anchors[level].count && shape.valuesPerAnchor == detect.valuesPerAnchor
        && head.count == shape.count && gradient.count == shape.count, "level \(level): a head of another shape")
    precondition(
      targets.allSatisfy {
        (0..<shape.images).contains($0.imageIndex) && (0..<detect.classCount).contains($0.classIndex)
      }, "a target of an image or class that does not exist")
    gradient.update(repeating: 0)
    assignment.assign(
      targets, anchors: anchors[level], height: shape.height, width: shape.width, into: &matches)
    objectness.removeAll(keepingCapacity: true)
    objectness.append(contentsOf: repeatElement(0, count: shape.cellCount))

    let images = Double(shape.images)
    let matchCount = Double(max(matches.count, 1))
    var items = LossItems()
    items.box =
      boxLoss(
        matches, anchors: anchors[level], shape: shape, head: head, scale: gains.box * images / matchCount,
        objectness: &objectness, gradient: &gradient) * gains.box / matchCount
    if detect.classCount > 1 {
      let count = matchCount * Double(detect.classCount)
      items.classification =
        classLoss(
          matches, shape: shape, head: head, entropy: classEntropy, smoothed: smoothed,
          scale: Float(gains.classification * images / count), gradient: &gradient) * gains.classification / count
    }
    let objectnessScale = gains.objectness * balance[level] / Double(shape.cellCount)
    items.objectness =
      objectnessLoss(
        objectness, shape: shape, head: head, entropy: objectnessEntropy, scale: Float(objectnessScale * images),
        gradient: &gradient) * objectnessScale
    return items
  }
}

/// Sum of `1 − CIoU` over the matches; their gradient; the objectness targets, which are the CIoUs reached. Where
/// several matches share a cell and anchor, the last one's counts.
private func boxLoss(
  _ matches: [AnchorMatch], anchors: [Anchor], shape: HeadShape, head: Span<Float>, scale: Double,
  objectness: inout [Float], gradient: inout MutableSpan<Float>
) -> Double {
  var sum = 0.0
  for match in matches {
    let cell = shape.cell(match)
    let start = cell * shape.valuesPerAnchor
    let sigmoid = SIMD4(
      sigmoid(head[start]), sigmoid(head[start + 1]), sigmoid(head[start + 2]), sigmoid(head[start + 3]))
    let slope = sigmoid * (1 - sigmoid)
    let anchor = anchors[match.anchor]
    let anchorSize = SIMD2(Double(anchor.width), Double(anchor.height))
    // xy = 2σ − 0.5, wh = (2σ)²·anchor, all in cells.
    let centre = 2 * sigmoid.lowHalf - 0.5
    let size = 4 * sigmoid.highHalf * sigmoid.highHalf * anchorSize
    let target = SIMD4(
      Double(match.box.cx), Double(match.box.cy), Double(match.box.width), Double(match.box.height))
    let overlap = BoxOverlap.ciou.evaluate(SIMD4(lowHalf: centre, highHalf: size), target)
    sum += 1 - overlap.value
    objectness[cell] = Float(max(overlap.value, 0))
    let chain = SIMD4(lowHalf: SIMD2(repeating: 2), highHalf: 8 * sigmoid.highHalf * anchorSize) * slope
    let step = -scale * overlap.gradient * chain
    for coordinate in 0..<4 { gradient[start + coordinate] += Float(step[coordinate]) }
  }
  return sum
}

@inline(__always)
private func sigmoid(_ x: Float) -> Double { 1 / (1 + exp(-Double(x))) }

/// Sum of the class scores' cross entropy over all matches and classes.
private func classLoss(
  _ matches: [AnchorMatch], shape: HeadShape, head: Span<Float>, entropy: BinaryCrossEntropy,
  smoothed: (positive: Float, negative: Float), scale: Float, gradient: inout MutableSpan<Float>
) -> Double {
  let classes = shape.valuesPerAnchor - 5
  var sum = 0.0
  for match in matches {
    let start = shape.cell(match) * shape.valuesPerAnchor + 5
    var first = 0
    while first < classes {
      let count = min(8, classes - first)
      var logits = SIMD8<Float>()
      var target = SIMD8<Float>(repeating: smoothed.negative)
      for lane in 0..<count { logits[lane] = head[start + first + lane] }
      if (first..<first + count).contains(match.classIndex) { target[match.classIndex - first] = smoothed.positive }
      let (loss, slope) = entropy(logits, target: target)
      for lane in 0..<count {
        sum += Double(loss[lane])
        gradient[start + first + lane] += scale * slope[lane]
      }
      first += 8
    }
  }
  return sum
}

/// Sum of the objectness' cross entropy over all cells and anchors.
private func objectnessLoss(
  _ targets: [Float], shape: HeadShape, head: Span<Float>, entropy: BinaryCrossEntropy, scale: Float,
  gradient: inout MutableSpan<Float>
) -> Double {
  let stride = shape.valuesPerAnchor
  var sum = 0.0
  var first = 0
  while first < targets.count {
    let count = min(8, targets.count - first)
    var logits = SIMD8<Float>()
    var target = SIMD8<Float>()
    for lane in 0..<count {
      logits[lane] = head[(first + lane) * stride + 4]
      target[lane] = targets[first + lane]
    }
    let (loss, slope) = entropy(logits, target: target)
    for lane in 0..<count {
      sum += Double(loss[lane])
      gradient[(first + lane) * stride + 4] = scale * slope[lane]
    }
    first += 8
  }
  return sum
}
