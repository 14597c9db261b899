import JSON
import Wording

/// Settings that belong together. A group is a struct whose members are settings or other groups: adding a setting is
/// adding a line to it.
public protocol SettingGroup: Sendable {
  static var all: SettingList<Self> { get }
}

/// A group's settings, found once.
public struct SettingList<Group: SettingGroup>: Sendable {
  public let group: Group
  /// In the order of their lines.
  public let settings: [any AnySetting]
  let byKey: [String: any AnySetting]

  init(_ group: Group) {
    self.group = group
    settings = Self.settings(in: group)
    byKey = Dictionary(uniqueKeysWithValues: settings.map { ($0.key, $0) })
  }

  private static func settings(in group: Any) -> [any AnySetting] {
    Mirror(reflecting: group).children.flatMap { member -> [any AnySetting] in
      if let setting = member.value as? any AnySetting { [setting] } else { settings(in: member.value) }
    }
  }
}

/// The values chosen for a group's settings: `choices.epochs` is typed, and `values` is how it is written. A setting
/// that is not chosen has its fallback.
@dynamicMemberLookup
public struct Choices<Group: SettingGroup>: AnyChoices {
  public private(set) var values: [String: PlainValue] = [:]

  /// Nothing is chosen.
  public init() {
    for setting in Self.settings where setting.isAlwaysWritten && setting.isInItsPlace {
      values[setting.key] = setting.plainFallback
    }
  }

  /// Values as they were written. Those of a wrong type and unknown keys are kept, so that whoever passes choices on
  /// loses nothing.
  public init(_ values: [String: PlainValue]) {
    for (key, value) in values { self.values[key] = Group.all.byKey[key]?.plain(value) ?? value }
  }

  public static var settings: [any AnySetting] { Group.all.settings }

  public subscript<Value>(dynamicMember path: KeyPath<Group, Setting<Value>>) -> Value {
    get {
      let setting = Group.all.group[keyPath: path]
      return values[setting.key].flatMap(Value.read) ?? setting.fallback
    }
    set {
      let setting = Group.all.group[keyPath: path]
      values[setting.key] = newValue == setting.fallback && !setting.isAlwaysWritten ? nil : newValue.plain
    }
  }

  public var problem: String? {
    for (key, value) in values.sorted(by: { $0.key < $1.key }) {
      guard let setting = Group.all.byKey[key] else { continue }
      guard setting.plain(value) != nil else {
        return "\(key) \(value.canonicalJSON.shortened()) has the wrong type: use \(setting.rule.advice)"
      }
      if let problem = setting.rule.problem(key, value) { return problem }
    }
    return nil
  }

  public var unknownKeys: [String] { values.keys.filter { Group.all.byKey[$0] == nil }.sorted() }
}

/// Choices of any group.
public protocol AnyChoices: Hashable, Sendable {
  static var settings: [any AnySetting] { get }
  var values: [String: PlainValue] { get }
  init()
  init(_ values: [String: PlainValue])
  /// The first value that is wrong by itself, in words; nil if all are right.
  var problem: String? { get }
  /// The keys of no setting, which a newer program may have written.
  var unknownKeys: [String] { get }
}
