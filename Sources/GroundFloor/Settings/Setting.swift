import JSON

/// One thing that may be chosen: how a file writes it, which values make sense, what it is when nothing is chosen, and
/// what it does. Both towers read the same line, so that a stage accepts whatever a sweep file accepts for it.
public struct Setting<Value: SettingValue>: AnySetting {
  /// Its key in a sweep file and in a stage's request.
  public let key: String
  public let rule: SettingRule
  public let source: SettingSource
  public let isAlwaysWritten: Bool
  public let fallback: Value
  public let help: String

  /// - Parameters:
  ///   - fallback: the value where none is chosen.
  ///   - isAlwaysWritten: whether the fallback is written too. A new setting must not be: what is not written leaves
  ///     the keys of all jobs in which it is not chosen as they are.
  ///   - help: one sentence.
  init(
    _ key: String, _ rule: SettingRule, default fallback: Value, isAlwaysWritten: Bool = false,
    from source: SettingSource = .here, _ help: String
  ) {
    self.key = key
    self.rule = rule
    self.source = source
    self.isAlwaysWritten = isAlwaysWritten
    self.fallback = fallback
    self.help = help
  }

  /// The same setting in a group that finds its value elsewhere.
  func from(_ source: SettingSource) -> Setting {
    Setting(key, rule, default: fallback, isAlwaysWritten: isAlwaysWritten, from: source, help)
  }

  public var plainFallback: PlainValue? { fallback.plain }

  public func plain(_ value: PlainValue) -> PlainValue? { Value.read(value)?.plain }

  /// Returns the reason why a value is wrong; nil if it is right.
  public func problem(_ value: Value) -> String? { value.plain.flatMap(problem) }
}

/// A setting of any type.
public protocol AnySetting: Sendable {
  var key: String { get }
  var rule: SettingRule { get }
  var source: SettingSource { get }
  var isAlwaysWritten: Bool { get }
  var plainFallback: PlainValue? { get }
  var help: String { get }
  /// The value as this setting writes it (a number as a double although a text had `2`); nil if it has another type.
  func plain(_ value: PlainValue) -> PlainValue?
}

extension AnySetting {
  /// Returns the reason why a value of the right type is wrong; nil if it is right.
  public func problem(_ value: PlainValue) -> String? { rule.problem(key, value) }

  /// The bounds of whole numbers.
  public var integers: ClosedRange<Int> { if case .integer(let range, _) = rule { range } else { .min ... .max } }

  /// The bounds of numbers.
  public var numbers: ClosedRange<Double> {
    if case .number(let range) = rule { range } else { -.infinity ... .infinity }
  }

  /// Whether the sweep file has it where its group stands.
  public var isInItsPlace: Bool { source == .here || source == .plan }
}

/// Where a group's setting gets its value from.
public enum SettingSource: Hashable, Sendable {
  /// From the group's own place in the sweep file; it goes into the request of the stage.
  case here
  /// From there too, but it decides which stages and files there are, and no stage is told.
  case plan
  /// From the top of the sweep file, for all stages.
  case sweep
  /// From the trial: an axis of the grid.
  case trial
  /// From the stage's place in the trial.
  case step
}

/// A type that settings may have.
public protocol SettingValue: Hashable, Sendable {
  /// nil if the value has another type.
  static func read(_ value: PlainValue) -> Self?
  /// nil where nothing is chosen.
  var plain: PlainValue? { get }
}

extension Bool: SettingValue {
  public static func read(_ value: PlainValue) -> Bool? { value.bool }
  public var plain: PlainValue? { .bool(self) }
}

extension Int: SettingValue {
  public static func read(_ value: PlainValue) -> Int? { value.int }
  public var plain: PlainValue? { .int(self) }
}

extension Double: SettingValue {
  public static func read(_ value: PlainValue) -> Double? { value.double }
  public var plain: PlainValue? { .double(self) }
}

extension String: SettingValue {
  public static func read(_ value: PlainValue) -> String? { value.string }
  public var plain: PlainValue? { .string(self) }
}

extension [Int]: SettingValue {
  public static func read(_ value: PlainValue) -> [Int]? {
    guard case .array(let values) = value, values.allSatisfy({ $0.int != nil }) else { return nil }
    return values.compactMap(\.int)
  }
  public var plain: PlainValue? { .array(map { .int($0) }) }
}

extension [String: String]: SettingValue {
  public static func read(_ value: PlainValue) -> [String: String]? {
    guard case .object(let members) = value, members.values.allSatisfy({ $0.string != nil }) else { return nil }
    return members.compactMapValues(\.string)
  }
  public var plain: PlainValue? { .object(mapValues { .string($0) }) }
}

extension Optional: SettingValue where Wrapped: SettingValue {
  public static func read(_ value: PlainValue) -> Wrapped?? { Wrapped.read(value).map(Optional.some) }
  public var plain: PlainValue? { self?.plain }
}
