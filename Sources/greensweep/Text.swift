import Foundation
import Wording

extension Double {
  /// With so many decimals.
  func shown(_ decimals: Int) -> String { String(format: "%.\(decimals)f", self) }

  /// Seconds as `42s`, `3m10s`, `2h05m`.
  var shownAsDuration: String {
    guard isFinite, abs(self) < 1e12 else { return "?" }
    let seconds = Int(self.rounded())
    switch seconds {
    case ..<60: return "\(max(0, seconds))s"
    case ..<3600: return String(format: "%dm%02ds", seconds / 60, seconds % 60)
    default: return String(format: "%dh%02dm", seconds / 3600, seconds % 3600 / 60)
    }
  }
}

/// Columns padded to their widest cell.
func textTable(_ rows: [[String]], rightAligned: Set<Int> = []) -> String {
  let rows = rows.map { $0.map(\.printable) }
  var widths: [Int] = []
  for row in rows {
    for (column, cell) in row.enumerated() {
      if column == widths.count { widths.append(0) }
      widths[column] = max(widths[column], cell.count)
    }
  }
  return rows.map { row in
    let cells = row.enumerated().map { column, cell in
      let gap = String(repeating: " ", count: widths[column] - cell.count)
      return rightAligned.contains(column) ? gap + cell : cell + gap
    }
    return cells.joined(separator: "  ").replacing(/\ +$/, with: "")
  }.joined(separator: "\n")
}

/// What this process and those it starts make from here on is for this user's eyes only.
func keepFilesPrivate() { umask(0o077) }

let processorCount = ProcessInfo.processInfo.activeProcessorCount
