import JSON

/// A word of one vocabulary. Those on which stages and files depend have a name here; the others are known where the
/// arithmetic is, and a word that only a newer program knows is passed on as it is.
public protocol VocabularyWord: SettingValue, RawRepresentable, ExpressibleByStringLiteral where RawValue == String {
  init(rawValue: String)
}

extension VocabularyWord {
  public init(stringLiteral: String) { self.init(rawValue: stringLiteral) }
  public static func read(_ value: PlainValue) -> Self? { value.string.map(Self.init) }
  public var plain: PlainValue? { .string(rawValue) }
}

/// Where optimizer, rates and augmentation come from.
public struct RecipeWord: VocabularyWord {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  /// From the number of images and epochs.
  public static let auto = RecipeWord(rawValue: "auto")
}

/// The element of maps and convolutions.
public struct PrecisionWord: VocabularyWord {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
}

/// How channels go.
public struct PolicyWord: VocabularyWord {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  /// They fade out during sparsity training.
  public static let gradual = PolicyWord(rawValue: "gradual")
}

/// The measure that scores a channel.
public struct ImportanceWord: VocabularyWord {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  /// Its effect on the loss, which is measured while the network trains.
  public static let taylor = ImportanceWord(rawValue: "taylor")
  /// A random number, which depends on the seed.
  public static let random = ImportanceWord(rawValue: "random")
}
