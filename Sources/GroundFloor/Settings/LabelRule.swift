import Wording

/// The form of the labels that tell workers apart: a key and a value, which are compared as text.
public enum LabelRule {
  /// Labels of a worker, or of a sweep's wish.
  public static let limit = 256
  static let byteLimit = 256

  public static let words = "a label is a key without ‘=’ and a value, each in one line of at most \(byteLimit) bytes"

  public static func allows(_ key: String, _ value: String) -> Bool {
    !key.contains("=")
      && [key, value].allSatisfy { (1...byteLimit).contains($0.utf8.count) && $0.oneLine == $0 }
  }
}
