import JSON

/// Which values a setting may have, and how a sweep file writes them.
public enum SettingRule: Hashable, Sendable {
  case truth
  case integer(ClosedRange<Int>, multipleOf: Int = 1)
  case number(ClosedRange<Double>)
  /// Layers by their numbers; a single number is how many of the first ones.
  case layers(ClosedRange<Int>)
  case word(Vocabulary)
  /// The path of a file, or a word.
  case wordOrFile(Vocabulary)
  /// One file, or one for each of some backbones.
  case fileByBackbone

  /// Sets of words that are known where the arithmetic is; the executable hands them to whoever reads a sweep file.
  public enum Vocabulary: String, CaseIterable, Sendable {
    case backbone, optimizer, hyp = "set of hyper-parameters", policy, importance, recipe, teacher, precision
  }

  /// From 0 to less than 1.
  static let fraction = SettingRule.number(0...1.0.nextDown)
  static let positive = SettingRule.number(.leastNonzeroMagnitude ... .greatestFiniteMagnitude)

  /// Whether a text of `wordOrFile` is a path.
  public static func isFile(_ text: String) -> Bool { text.contains("/") || isYAML(text) || isModel(text) }
  public static func isYAML(_ text: String) -> Bool { text.hasSuffix(".yaml") || text.hasSuffix(".yml") }

  static func isModel(_ text: String) -> Bool { [".safetensors", ".pt", ".pth"].contains { text.hasSuffix($0) } }

  /// Whether nothing may stand in place of a file.
  public var mayBeFile: Bool {
    switch self {
    case .wordOrFile, .fileByBackbone: true
    default: false
    }
  }

  /// The files that a value names.
  public func files(_ value: PlainValue) -> [String] {
    switch (self, value) {
    case (.wordOrFile, .string(let text)): SettingRule.isFile(text) ? [text] : []
    case (.word(.backbone), .string(let text)): SettingRule.isYAML(text) ? [text] : []
    case (.fileByBackbone, .object(let files)): files.values.compactMap(\.string)
    default: []
    }
  }

  /// Returns the reason why a value of the right type is wrong; nil if it is right. Words are not looked up.
  func problem(_ key: String, _ value: PlainValue) -> String? {
    switch (self, value) {
    case (.integer(let range, let step), .int(let number)):
      range.contains(number) && number % step == 0 ? nil : outOfRange(key, "\(number)")
    case (.number(let range), _) where value.double != nil:
      range.contains(value.double!) ? nil : outOfRange(key, "\(value.double!)")
    case (.layers(let range), .array(let layers)):
      layers.first { $0.int.map(range.contains) != true }.map { outOfRange(key, $0.canonicalJSON) }
    default: nil
    }
  }

  public func outOfRange(_ key: String, _ value: String) -> String { "\(key) \(value) is out of range: use \(advice)" }

  /// The values in words: `1 to 4096`.
  public var advice: String {
    switch self {
    case .truth: "true or false"
    case .integer(let range, let step):
      (step > 1 ? "a multiple of \(step) from " : "")
        + (range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)")
    case _ where self == .positive: "a number greater than 0"
    case _ where self == .fraction: "at least 0 and less than 1"
    case .number(let range): "\(shown(range.lowerBound)) to \(shown(range.upperBound))"
    case .layers(let range): "\(range.lowerBound) to \(range.upperBound)"
    case .word(let words): "the name of one \(words.rawValue)"
    case .wordOrFile(.teacher): "parent, off, or a model file"
    case .wordOrFile(let words): "the name of one \(words.rawValue), or a YAML file"
    case .fileByBackbone: "a file, or a file for each backbone"
    }
  }
}

/// To three decimals, whole numbers without.
private func shown(_ bound: Double) -> String {
  Int(exactly: bound).map(String.init) ?? "\((bound * 1000).rounded() / 1000)"
}
