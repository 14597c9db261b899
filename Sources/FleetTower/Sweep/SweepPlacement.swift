import Settings

/// The workers that a sweep's jobs are given to, by their labels. A result does not depend on it, so it is not part of
/// what the sweep is: submitting it again with another placement changes it.
public struct SweepPlacement: Hashable, Sendable, Codable {
  /// A job is given only to workers whose labels have all these values.
  public var requires: [String: String]
  /// Among the free workers that may take a job, those come first that have more of these.
  public var prefers: [String: String]

  public init(requires: [String: String] = [:], prefers: [String: String] = [:]) {
    self.requires = requires
    self.prefers = prefers
  }

  /// Whether all workers are alike.
  public var isEmpty: Bool { requires.isEmpty && prefers.isEmpty }

  /// Whether a worker with these labels may take a job.
  public func admits(_ labels: [String: String]) -> Bool { requires.allSatisfy { labels[$0.key] == $0.value } }

  /// How many of the preferred labels a worker has.
  public func matches(_ labels: [String: String]) -> Int { prefers.count { labels[$0.key] == $0.value } }

  /// The required labels in words: `gpu=no and site=lab`.
  public var requirement: String {
    requires.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " and ")
  }

  var problem: String? {
    for labels in [requires, prefers] {
      if labels.count > LabelRule.limit { return "at most \(LabelRule.limit) labels can be required or preferred" }
      if !labels.allSatisfy({ LabelRule.allows($0.key, $0.value) }) { return LabelRule.words }
    }
    return nil
  }
}
