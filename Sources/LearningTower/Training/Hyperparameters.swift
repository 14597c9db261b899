import Dataset
import Detection
import Wording
import YAML

/// The values of a YOLOv5 `hyp` file, under its own keys. The defaults are those of `hyp.scratch-low.yaml` (v7.0).
public struct Hyperparameters: Sendable, Hashable {
  /// Learning rate at the end of the warm-up.
  public var initialLearningRate = 0.01
  /// The last learning rate as a fraction of the first.
  public var finalLearningRateFraction = 0.01
  /// SGD's momentum, and beta1 of Adam and AdamW.
  public var momentum = 0.937
  /// Per step at the nominal batch of 64 images.
  public var weightDecay = 0.0005
  public var warmupEpochs = 3.0
  public var warmupMomentum = 0.8
  /// The rate at which biases start; the other parameters start at 0.
  public var warmupBiasLearningRate = 0.1

  /// Gains, weights and matching of the loss.
  public var loss = LossHyperparameters()
  public var augmentation = Augmentation()

  /// `iou_t`: in every YOLOv5 file, and read by no version since its loss matches by the ratio of sides.
  public var trainingIoUThreshold = 0.2
  /// `copy_paste`: pastes segmented objects; data sets of boxes have none, so it does nothing, as in YOLOv5.
  public var copyPasteProbability = 0.0

  public init() {}
}

extension Hyperparameters {
  /// One key of the file, where it is kept, and which values make sense.
  struct Field: Sendable {
    var key: String
    var path: WritableKeyPath<Hyperparameters, Double> & Sendable
    var range: ClosedRange<Double>
  }

  /// In the order of YOLOv5's files.
  static let fields: [Field] = [
    Field(key: "lr0", path: \.initialLearningRate, range: 0...10),
    Field(key: "lrf", path: \.finalLearningRateFraction, range: 0...100),
    Field(key: "momentum", path: \.momentum, range: 0...0.9999),
    Field(key: "weight_decay", path: \.weightDecay, range: 0...1),
    Field(key: "warmup_epochs", path: \.warmupEpochs, range: 0...10_000),
    Field(key: "warmup_momentum", path: \.warmupMomentum, range: 0...0.9999),
    Field(key: "warmup_bias_lr", path: \.warmupBiasLearningRate, range: 0...10),
    Field(key: "box", path: \.loss.boxGain, range: 0...100),
    Field(key: "cls", path: \.loss.classGain, range: 0...100),
    Field(key: "cls_pw", path: \.loss.classPositiveWeight, range: 0...100),
    Field(key: "obj", path: \.loss.objectnessGain, range: 0...100),
    Field(key: "obj_pw", path: \.loss.objectnessPositiveWeight, range: 0...100),
    Field(key: "iou_t", path: \.trainingIoUThreshold, range: 0...1),
    Field(key: "anchor_t", path: \.loss.anchorRatioLimit, range: 1...100),
    Field(key: "fl_gamma", path: \.loss.focalGamma, range: 0...10),
    Field(key: "label_smoothing", path: \.loss.labelSmoothing, range: 0...1),
    Field(key: "hsv_h", path: \.augmentation.hue, range: 0...1),
    Field(key: "hsv_s", path: \.augmentation.saturation, range: 0...1),
    Field(key: "hsv_v", path: \.augmentation.value, range: 0...1),
    Field(key: "degrees", path: \.augmentation.degrees, range: 0...180),
    Field(key: "translate", path: \.augmentation.translate, range: 0...1),
    Field(key: "scale", path: \.augmentation.scale, range: 0...1),
    Field(key: "shear", path: \.augmentation.shear, range: 0...89),
    Field(key: "perspective", path: \.augmentation.perspective, range: 0...0.01),
    Field(key: "flipud", path: \.augmentation.flipUpDown, range: 0...1),
    Field(key: "fliplr", path: \.augmentation.flipLeftRight, range: 0...1),
    Field(key: "mosaic", path: \.augmentation.mosaic, range: 0...1),
    Field(key: "mixup", path: \.augmentation.mixup, range: 0...1),
    Field(key: "copy_paste", path: \.copyPasteProbability, range: 0...1),
  ]

  /// Every key a `hyp` file may have.
  public static var keys: [String] { fields.map(\.key) + ["anchors"] }

  /// The values by key, as a `hyp` file has them.
  public var values: [String: Double] {
    Dictionary(uniqueKeysWithValues: Self.fields.map { ($0.key, self[keyPath: $0.path]) })
  }

  /// A `hyp` file with these values.
  public var yaml: YAMLValue {
    .mapping(Self.fields.map { YAMLValue.Entry($0.key, .double(self[keyPath: $0.path])) })
  }

  /// Sets the value of one key.
  /// - Throws: `TrainingError` for an unknown key, with the nearest known one, and for a value out of range.
  public mutating func set(_ key: String, to value: Double) throws(TrainingError) {
    if key == "anchors" {
      // Anchors per level. YOLOv5's evolved files write it; the networks here have three.
      guard value.isFinite, value.rounded() == 3 || value == 0 else {
        throw TrainingError(
          "anchors: \(value) anchors a level are not supported; leave the key out for three", isWrongRequest: true)
      }
      return
    }
    guard let field = Self.fields.first(where: { $0.key == key }) else {
      let hint = nearest(key, among: Self.keys).map { "; did you mean ‘\($0)’?" } ?? ""
      throw TrainingError("unknown hyper-parameter ‘\(key.shortened())’\(hint)", isWrongRequest: true)
    }
    guard value.isFinite, field.range.contains(value) else {
      throw TrainingError(
        "\(key): \(value) is not in \(field.range.lowerBound) … \(field.range.upperBound)", isWrongRequest: true)
    }
    self[keyPath: field.path] = value
  }

  /// The defaults with some values set by key.
  /// - Throws: `TrainingError` as `set` does.
  public init(values: [String: Double]) throws(TrainingError) {
    self.init()
    for (key, value) in values.sorted(by: { $0.key < $1.key }) { try set(key, to: value) }
  }
}

extension Hyperparameters {
  /// Reads a `hyp` file: YOLOv5's keys and numbers; what is left out keeps its default.
  /// - Throws: `TrainingError` with file and line for whatever is wrong in it.
  public init(hypYAMLPath path: String) throws(TrainingError) {
    do {
      try self.init(yaml: YAMLDocument.load(path))
    } catch let error as YAMLError {
      throw TrainingError("\(error)", isWrongRequest: true)
    } catch let error as TrainingError {
      throw error
    } catch {
      throw TrainingError("\(path): \(error)")
    }
  }

  /// Reads a mapping as it stands in a `hyp` file or in a sweep file.
  /// - Throws: `YAMLError` or `TrainingError`.
  public init(yaml: YAMLNode) throws {
    self.init()
    let mapping = try yaml.mapping
    try mapping.requireKnownKeys(Self.keys)
    for entry in mapping.entries {
      let value = try entry.value.double
      do { try set(entry.key, to: value) } catch { throw entry.value.error(error.message) }
    }
  }
}

/// Written as an object of YOLOv5's keys.
extension Hyperparameters: Codable {
  public init(from decoder: any Decoder) throws {
    try self.init(values: decoder.singleValueContainer().decode([String: Double].self))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(values)
  }
}
