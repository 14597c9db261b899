import Foundation

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

/// Makes all files that this process and its children create from here on readable for this user only.
func keepFilesPrivate() { umask(0o077) }
