import JSON
import Settings

/// The limits of one attempt at a stage on the host it runs on; nil is no bound. A result does not depend on it, so it
/// is not part of a job's identity.
public struct StageLimits: Hashable, Sendable, Codable {
  /// Resident memory of the stage's process.
  public var memoryMB: Int?
  /// From the start of the process; the next attempt goes on from its newest checkpoint.
  public var timeMinutes: Double?

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

  init(_ values: [String: PlainValue]) {
    let choices = Choices<LimitSettings>(values)
    self.init(memoryMB: choices.memoryMB, timeMinutes: choices.timeMinutes)
  }

  var problem: String? {
    let settings = LimitSettings.all.group
    return settings.memoryMB.problem(memoryMB) ?? settings.timeMinutes.problem(timeMinutes)
  }
}
