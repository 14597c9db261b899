import Wording
import YAML

/// A sweep that suits a data set: what `init` writes, with the reasons as comments.
public struct SweepDraft: Hashable, Sendable {
  /// The facts about a data set on which a draft depends.
  public struct Facts: Hashable, Sendable {
    public var trainingImages: Int
    public var validationImages: Int
    public var classes: Int
    public var boxes: Int
    /// Median of the longer sides of the training images, pixels.
    public var longSide: Int
    /// The geometric mean of a box's sides as a fraction of its image's longer side: the lower quartile of the class
    /// with the smallest boxes.
    public var smallBox: Double

    public init(
      trainingImages: Int, validationImages: Int, classes: Int, boxes: Int, longSide: Int, smallBox: Double
    ) {
      self.trainingImages = trainingImages
      self.validationImages = validationImages
      self.classes = classes
      self.boxes = boxes
      self.longSide = longSide
      self.smallBox = smallBox
    }
  }

  /// Epochs of each stage. An unpruned trial trains as many in all.
  public struct Epochs: Hashable, Sendable {
    public var train: Int
    public var sparsify: Int
    public var finetune: Int
    public var all: Int { train + sparsify + finetune }

    /// - Parameter isPretrained: whether training goes on from weights, so that less of it comes before the fading.
    init(all: Int, isPretrained: Bool) {
      sparsify = max(3, all / 5)
      finetune = max(1, isPretrained ? all * 2 / 5 : all * 3 / 10)
      train = max(1, all - sparsify - finetune)
    }
  }

  public var name: String
  public var dataset: String
  public var facts: Facts
  public var imageSize: Int
  public var batchSize: Int
  public var backbones: [String]
  /// Paths by backbone.
  public var weights: [String: String]
  public var pruneRatios = [0, 0.3, 0.5, 0.7]
  public var epochs: Epochs
  public var objectives: [Objective]
  /// Comments at the head of the file, a line each.
  public var remarks: [String] = []

  /// - Parameters:
  ///   - weights: files by the backbone that can begin with them.
  ///   - objectives: those that the host can measure.
  public init(
    name: String, dataset: String, facts: Facts, weights: [String: String], objectives: [Objective]
  ) {
    self.name = SweepSpec.isName(name) ? name : "sweep"
    self.dataset = dataset
    self.facts = facts
    self.weights = weights
    self.objectives = objectives
    imageSize = Self.imageSize(for: facts)
    batchSize = facts.trainingImages < Self.fewImages ? 8 : 16
    backbones = weights.isEmpty ? ["yolov5n", "mobilenetv2"] : weights.keys.sorted()
    epochs = Epochs(all: 1, isPretrained: !weights.isEmpty)
    epochs = epochs(steps: usualSteps)
  }

  public var isPretrained: Bool { !weights.isEmpty }

  /// With fewer images, smaller batches make more steps of an epoch.
  private static let fewImages = 128
  /// A box needs so many pixels on the network's image to be found reliably: two cells of the finest grid.
  private static let boxPixels = 16.0
  private static let imageSizes = 160...640
  /// The fewest epochs: fading takes some, whatever their length.
  private static let fewestEpochs = 10

  /// Steps of all stages of a trial together, the least from which something is learned and the usual number.
  ///
  /// Measured: `yolov5n` from its official weights on BCCD (205 images) has 0.905 mAP50 after 650 steps. From scratch
  /// on 60 generated images at 160 pixels, in batches of 8, it has 0.86 after 800 and 0.91 after 1600.
  /// Where those were measured there are up to four classes.
  private static let pretrainedSteps = (least: 500, usual: 1000)
  private static let scratchSteps = (least: 1000, usual: 3000)

  /// The square root of the number of classes: a pruned network has to learn all of them again. With the 80 classes of
  /// COCO128, 1000 steps leave `yolov5n` pruned by 0.7 at 0.32 of 0.82 mAP50.
  private var usualSteps: Int {
    let steps = (isPretrained ? Self.pretrainedSteps : Self.scratchSteps).usual
    return Int(Double(steps) * max(1, (Double(facts.classes) / 4).squareRoot()))
  }

  private static func imageSize(for facts: Facts) -> Int {
    func multiple(_ pixels: Double) -> Int { Int((pixels / 32).rounded(.up)) * 32 }
    let wanted = facts.smallBox > 0 ? multiple(boxPixels / facts.smallBox) : imageSizes.upperBound
    // Enlarging adds nothing to a picture.
    let limit = min(max(multiple(Double(facts.longSide)), 64), imageSizes.upperBound)
    return min(max(wanted, imageSizes.lowerBound), limit)
  }

  public var batchesPerEpoch: Int { max(1, (facts.trainingImages + batchSize - 1) / batchSize) }
  public var steps: Int { epochs.all * batchesPerEpoch }

  private func epochs(steps: Int) -> Epochs {
    Epochs(all: max(Self.fewestEpochs, (steps + batchesPerEpoch - 1) / batchesPerEpoch), isPretrained: isPretrained)
  }

  /// The draft with the fewest epochs that make sense.
  public var shortest: SweepDraft {
    var draft = self
    draft.epochs = epochs(steps: (isPretrained ? Self.pretrainedSteps : Self.scratchSteps).least)
    return draft
  }

  /// Drafts of less and less work: fewer backbones, then fewer ratios.
  private var smaller: [SweepDraft] {
    var drafts = [self]
    while drafts.last!.backbones.count > 1 {
      var draft = drafts.last!
      draft.weights[draft.backbones.removeLast()] = nil
      drafts.append(draft)
    }
    var draft = drafts.last!
    draft.pruneRatios = [0, 0.5]
    return drafts + [draft]
  }

  /// The draft that makes the most of some time: as many epochs as fit, up to three times the usual ones; and where the
  /// fewest of them do not fit, fewer backbones and ratios.
  /// - Parameter seconds: how long a sweep takes.
  /// - Returns: nil if nothing that makes sense fits; the shortest draft tells how much would.
  public func fitting(
    budgetSeconds budget: Double, seconds: (SweepDraft) throws -> Double
  ) rethrows -> (fitting: SweepDraft?, least: SweepDraft) {
    for draft in smaller {
      guard try seconds(draft.shortest) <= budget else { continue }
      func lasting(_ epochs: Int) -> SweepDraft {
        var result = draft
        result.epochs = Epochs(all: epochs, isPretrained: isPretrained)
        return result
      }
      var (fits, beyond) = (draft.shortest.epochs.all, epochs.all * 3 + 1)
      while beyond - fits > 1 {
        let middle = (fits + beyond) / 2
        if try seconds(lasting(middle)) <= budget { fits = middle } else { beyond = middle }
      }
      return (lasting(fits), draft.shortest)
    }
    return (nil, smaller.last!.shortest)
  }

  /// The sweep file.
  /// - Parameter duration: how long it will take, in words.
  public func text(duration: String) -> String {
    func scalar(_ text: String) -> String { String(YAMLValue.string(text).yamlText.dropLast()) }
    func list(_ words: [String]) -> String { "[" + words.joined(separator: ", ") + "]" }
    let weightsText =
      weights.isEmpty
      ? ""
      : ", weights: {"
        + weights.sorted { $0.key < $1.key }.map { "\(scalar($0.key)): \(scalar($0.value))" }
        .joined(separator: ", ") + "}"
    let start = isPretrained ? "from the weights beside the data" : "from scratch"
    let head =
      [
        "Written by 'greensweep init' for \(counted(facts.trainingImages, "training image")) and "
          + "\(counted(facts.validationImages, "validation image")) of \(counted(facts.classes, "class")) with "
          + "\(counted(facts.boxes, "box")).",
        "Run it with 'greensweep run'; it takes about \(duration) on the machine it was written on.",
      ] + remarks
    return head.map { "# \($0.oneLine)\n" }.joined() + """
      name: \(scalar(name))
      dataset: \(scalar(dataset))
      # Half of the images are up to \(facts.longSide) pixels long. Of the class with the smallest boxes, a quarter
      # is smaller than \(Int((facts.smallBox * Double(imageSize)).rounded())) pixels at this size.
      image_size: \(imageSize)
      batch_size: \(batchSize)
      # Optimizer, rates and augmentation that suit the number of images and epochs; 'greensweep plan' lists them.
      recipe: auto
      grid:
        backbone: \(list(backbones.map(scalar)))
        prune_ratio: \(list(pruneRatios.map { $0 == 0 ? "0" : "\($0)" }))  # share of channels that go; 0: baseline
      stages:  # \(steps) steps in all, \(start); every trial trains for as many epochs
        train:    {epochs: \(epochs.train)\(weightsText)}
        sparsify: {epochs: \(epochs.sparsify)}  # channels fade out
        finetune: {epochs: \(epochs.finetune)}
      # What this machine can measure.
      objectives: \(list(objectives.map(\.description)))

      """
  }
}
