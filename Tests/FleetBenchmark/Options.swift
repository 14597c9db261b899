import Foundation
import Glibc

/// `fleet-benchmark [--OPTION VALUE]…`
struct Options {
  enum Part: String, CaseIterable {
    case throughput, latency, bulk, idle, restart
  }

  var workers = 1_000
  var jobs = 100_000
  /// Jobs finished a second where latency is measured.
  var pace = 1_000
  var idleWorkers = 10_000
  var bulkMegabytes = 256
  var bulkRounds = 3
  var parts = Part.allCases
  /// Holds the coordinator's data, and is removed in the end; must not be there before.
  var folder = NSTemporaryDirectory() + "fleet-benchmark-\(getpid())"

  init(_ arguments: ArraySlice<String>) throws {
    var rest = arguments
    while let option = rest.popFirst() {
      guard let value = rest.popFirst() else { throw Failure("\(option) needs a value") }
      switch option {
      case "--workers": workers = try number(value)
      case "--jobs": jobs = try number(value)
      case "--pace": pace = try number(value)
      case "--idle-workers": idleWorkers = try number(value)
      case "--bulk-mb": bulkMegabytes = try number(value)
      case "--bulk-rounds": bulkRounds = try number(value)
      case "--folder": folder = value
      case "--parts":
        parts = try value.split(separator: ",").map { name in
          guard let part = Part(rawValue: String(name)) else { throw Failure("there is no part \(name)") }
          return part
        }
      default: throw Failure("unknown option \(option)")
      }
    }
  }
}

private func number(_ text: String) throws -> Int {
  guard let number = Int(text), number > 0 else { throw Failure("\(text) is not a whole number above 0") }
  return number
}
