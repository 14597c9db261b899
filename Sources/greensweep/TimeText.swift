import Foundation
import Wording

/// Times as people write them.
enum TimeText {
  /// Returns the seconds of `90s`, `45m`, `1.5h` or `30d`; nil for anything else, and beyond thirty years.
  static func seconds(_ text: String) -> Double? {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    guard let unit = text.last.flatMap({ units[$0] }), let count = Double(text.dropLast()), count > 0,
      count * unit <= 1_000_000_000
    else { return nil }
    return count * unit
  }

  /// The moment that `18:30` (the next one), `2026-11-28T18:30` or `@1795890600` means; nil for anything else.
  static func moment(_ text: String, now: Date, calendar: Calendar) -> Date? {
    if text.hasPrefix("@") {
      guard let seconds = Int(text.dropFirst()), (0...100_000_000_000).contains(seconds) else { return nil }
      return Date(timeIntervalSince1970: Double(seconds))
    }
    let numbers = text.split(omittingEmptySubsequences: false) { "-T:".contains($0) }.map { Int($0) }
    let signs = text.filter { !$0.isNumber }
    guard numbers.allSatisfy({ $0 != nil }) else { return nil }
    var parts = DateComponents()
    switch signs {
    case ":": (parts.hour, parts.minute) = (numbers[0], numbers[1])
    case "--T:", "--T::":
      (parts.year, parts.month, parts.day) = (numbers[0], numbers[1], numbers[2])
      (parts.hour, parts.minute, parts.second) = (numbers[3], numbers[4], numbers.count > 5 ? numbers[5] : 0)
    default: return nil
    }
    guard parts.isValidTime else { return nil }
    if signs == ":" { return calendar.nextDate(after: now, matching: parts, matchingPolicy: .nextTime) }
    return parts.isValidDate(in: calendar) ? calendar.date(from: parts) : nil
  }
}

extension DateComponents {
  fileprivate var isValidTime: Bool {
    (0...23).contains(hour ?? 0) && (0...59).contains(minute ?? 0) && (0...59).contains(second ?? 0)
  }
}

extension Arguments {
  /// The seconds that the option names.
  func duration(_ name: String) throws -> Double? {
    try string(name).map { text in
      guard let seconds = TimeText.seconds(text) else {
        throw UsageError("\(name) takes a time such as 45m, 2h or 30d, not ‘\(text.shortened())’")
      }
      return seconds
    }
  }

  func moment(_ name: String) throws -> Date? {
    try string(name).map { text in
      guard let moment = TimeText.moment(text, now: .now, calendar: .current) else {
        throw UsageError("\(name) takes a time such as 18:30 or 2026-11-28T18:30, not ‘\(text.shortened())’")
      }
      return moment
    }
  }
}
