import Foundation
import Testing

@testable import greensweep

@Suite("Times as people write them")
struct TimeTextTests {
  @Test(
    arguments: [
      ("90s", 90), ("45m", 2700), ("1.5h", 5400), ("30d", 2_592_000), ("0m", nil), ("-1h", nil), ("5", nil), ("m", nil),
      ("", nil), ("nanh", nil), ("infs", nil), ("99999999d", nil),
    ] as [(String, Double?)])
  func durations(text: String, seconds: Double?) { #expect(TimeText.seconds(text) == seconds) }

  @Test(
    arguments: [
      ("18:30", "2026-11-28T18:30:00Z"), ("06:00", "2026-11-29T06:00:00Z"),
      ("2026-12-01T07:05", "2026-12-01T07:05:00Z"),
      ("2024-02-29T00:00:59", "2024-02-29T00:00:59Z"), ("@1795890600", "2026-11-28T18:30:00Z"), ("24:00", nil),
      ("2026-02-30T00:00", nil), ("2026-13-01T00:00", nil), ("18", nil), ("18:", nil), ("@", nil), ("@-5", nil),
      ("1:2:3", nil), ("", nil), ("tomorrow", nil),
    ] as [(String, String?)])
  func moments(text: String, expected: String?) throws {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    let now = try Date("2026-11-28T12:00:00Z", strategy: .iso8601)
    let moment = TimeText.moment(text, now: now, calendar: calendar)
    #expect(moment?.formatted(.iso8601) == expected)
  }
}
