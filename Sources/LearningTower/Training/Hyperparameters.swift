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

  /// Gains of the loss terms, before they are scaled to the classes and the image size.
  public var boxGain = 0.05
  public var classGain = 0.5
  public var objectnessGain = 1.0
  /// Weights of the positive answers in the cross entropies.
  public var classPositiveWeight = 1.0
  public var objectnessPositiveWeight = 1.0
  /// In every YOLOv5 file; the loss of v6.0 and later does not read it.
  public var trainingIoUThreshold = 0.2
  /// A target matches an anchor if their sides differ by less than this factor.
  public var anchorRatioLimit = 4.0
  /// 0 is plain cross entropy.
  public var focalGamma = 0.0
  public var labelSmoothing = 0.0

  /// Fractions of the hue circle, of saturation and of value.
  public var hueGain = 0.015
  public var saturationGain = 0.7
  public var valueGain = 0.4
  /// Degrees, to either side.
  public var rotationDegrees = 0.0
  /// Fraction of the image's side, to either side.
  public var translation = 0.1
  /// Gain to either side of 1.
  public var scaling = 0.5
  /// Degrees, to either side.
  public var shearDegrees = 0.0
  public var perspective = 0.0
  public var verticalFlipProbability = 0.0
  public var horizontalFlipProbability = 0.5
  public var mosaicProbability = 1.0
  public var mixupProbability = 0.0
  /// Pastes segmented objects; data sets of boxes have none, so it does nothing, as in YOLOv5.
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
    Field(key: "box", path: \.boxGain, range: 0...100),
    Field(key: "cls", path: \.classGain, range: 0...100),
    Field(key: "cls_pw", path: \.classPositiveWeight, range: 0...100),
    Field(key: "obj", path: \.objectnessGain, range: 0...100),
    Field(key: "obj_pw", path: \.objectnessPositiveWeight, range: 0...100),
    Field(key: "iou_t", path: \.trainingIoUThreshold, range: 0...1),
    Field(key: "anchor_t", path: \.anchorRatioLimit, range: 1...100),
    Field(key: "fl_gamma", path: \.focalGamma, range: 0...10),
    Field(key: "label_smoothing", path: \.labelSmoothing, range: 0...1),
    Field(key: "hsv_h", path: \.hueGain, range: 0...1),
    Field(key: "hsv_s", path: \.saturationGain, range: 0...1),
    Field(key: "hsv_v", path: \.valueGain, range: 0...1),
    Field(key: "degrees", path: \.rotationDegrees, range: 0...180),
    Field(key: "translate", path: \.translation, range: 0...1),
    Field(key: "scale", path: \.scaling, range: 0...1),
    Field(key: "shear", path: \.shearDegrees, range: 0...89),
    Field(key: "perspective", path: \.perspective, range: 0...0.01),
    Field(key: "flipud", path: \.verticalFlipProbability, range: 0...1),
    Field(key: "fliplr", path: \.horizontalFlipProbability, range: 0...1),
    Field(key: "mosaic", path: \.mosaicProbability, range: 0...1),
    Field(key: "mixup", path: \.mixupProbability, range: 0...1),
    Field(key: "copy_paste", path: \.copyPasteProbability, range: 0...1),
  ]

  /// Every key a `hyp` file may have.
  public static var keys: [String] { fields.map(\.key) + ["anchors"] }

  /// The values by key, as a `hyp` file has them.
  public var values: [String: Double] {
    Dictionary(uniqueKeysWithValues: Self.fields.map { ($0.key, self[keyPath: $0.path]) })
  }

  /// Sets the value of one key.
  /// - Throws: `TrainingError` for an unknown key, with the nearest known one, and for a value out of range.
  public mutating func set(_ key: String, to value: Double) throws(TrainingError) {
    if key == "anchors" {
      // Anchors per level. YOLOv5's evolved files write it; the networks here have three.
      guard value.isFinite, value.rounded() == 3 || value == 0 else {
        throw TrainingError("anchors: \(value) anchors a level are not supported; leave the key out for three")
      }
      return
    }
    guard let field = Self.fields.first(where: { $0.key == key }) else {
      let hint = nearest(key, among: Self.keys).map { "; did you mean ‘\($0)’?" } ?? ""
      throw TrainingError("unknown hyper-parameter ‘\(key)’\(hint)")
    }
    guard value.isFinite, field.range.contains(value) else {
      throw TrainingError("\(key): \(value) is not in \(field.range.lowerBound) … \(field.range.upperBound)")
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
      throw TrainingError("\(error)")
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
