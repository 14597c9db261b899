/// What one attempt at a stage may use on the box it runs on; nil is no bound. A result does not depend on it, so it is
/// no part of what a job is.
public struct StageLimits: Hashable, Sendable, Codable {
  /// Resident memory of the stage's process.
  public var memoryMB: Int?
  /// From the start of the process; the next attempt goes on from its newest checkpoint.
  public var timeMinutes: Double?

  public static let memoryMBRange = 16...(1 << 24)
  /// A second to a year.
  public static let timeMinutesRange = 1.0 / 60...525_600

  public init(memoryMB: Int? = nil, timeMinutes: Double? = nil) {
    self.memoryMB = memoryMB
    self.timeMinutes = timeMinutes
  }

  public var isEmpty: Bool { self == StageLimits() }

  /// Within both bounds.
  public func stricter(_ other: StageLimits) -> StageLimits {
    func lesser<Value: Comparable>(_ a: Value?, _ b: Value?) -> Value? { [a, b].compactMap { $0 }.min() }
    return StageLimits(
      memoryMB: lesser(memoryMB, other.memoryMB), timeMinutes: lesser(timeMinutes, other.timeMinutes))
  }

  /// Within either bound.
  public func looser(_ other: StageLimits) -> StageLimits {
    func greater<Value: Comparable>(_ a: Value?, _ b: Value?) -> Value? {
      if let a, let b { max(a, b) } else { nil }
    }
    return StageLimits(
      memoryMB: greater(memoryMB, other.memoryMB), timeMinutes: greater(timeMinutes, other.timeMinutes))
  }

  var problem: String? {
    if let memoryMB, !Self.memoryMBRange.contains(memoryMB) { return "memory_limit_mb must lie in 16...16777216" }
    if let timeMinutes, !Self.timeMinutesRange.contains(timeMinutes) {
      return "time_limit_minutes must lie between a second (0.017) and a year (525600)"
    }
    return nil
  }
}
