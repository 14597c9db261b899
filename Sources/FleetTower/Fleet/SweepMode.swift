import Sweep

/// The mode of a sweep that is not cancelled, as an operator sets it.
public enum SweepMode: String, CaseIterable, Hashable, Sendable, Codable {
  /// Its jobs start as slots come free.
  case active
  /// Nothing of it starts; what runs is handed back with its newest checkpoint, so that its slots are free at once.
  case paused
  /// Nothing of it starts; what runs is finished.
  case stopped
}
