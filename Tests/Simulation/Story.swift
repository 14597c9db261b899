/// The story of a run. It is told only when a run is replayed for a reader, as nearly all runs have none.
final class Story {
  private struct Line {
    let at: Int64
    let text: String
    let isFate: Bool
  }

  private var lines: [Line] = []
  /// The job and the worker of each attempt: an attempt concerns its job, and a job all its attempts and their workers.
  private var attempts: [(attempt: String, job: String, worker: String)] = []

  func append(_ text: String, at time: Int64, isFate: Bool) {
    lines.append(Line(at: time, text: text, isFate: isFate))
  }

  func link(attempt: String, job: String, worker: String) { attempts.append((attempt, job, worker)) }

  /// The lines that name what the detail names or what that leads to, and the misfortunes of those who took part.
  func excerpt(concerning detail: String) -> [String] {
    var subjects = Story.names(in: detail)
    var participants: Set<String> = []
    for _ in 0..<2 {
      for link in attempts where subjects.contains(link.attempt) || subjects.contains(link.job) {
        subjects.formUnion([link.attempt, link.job])
        participants.insert(link.worker)
      }
    }
    participants.formUnion(subjects)
    let chosen = lines.filter { line in
      let names = Story.names(in: line.text)
      return line.isFate ? names.isEmpty || !names.isDisjoint(with: participants) : !names.isDisjoint(with: subjects)
    }
    let told = chosen.suffix(Story.lineLimit).map { "\($0.at) ms: \($0.text)" }
    return chosen.count > told.count ? ["(\(chosen.count - told.count) earlier lines left out)"] + told : told
  }

  private static let lineLimit = 80

  /// Attempts (`#12`), jobs (eight hex digits), workers (`w2`) and sweeps (`sweep0-…`).
  private static func names(in text: String) -> Set<String> {
    let words = text.split { !($0.isLetter || $0.isNumber || $0 == "#" || $0 == "-") }
    return Set(words.filter { $0.count == 8 || ($0.contains(where: \.isNumber) && Int($0) == nil) }.map(String.init))
      .filter { name in
        name.hasPrefix("#") || name.hasPrefix("sweep") || name.hasPrefix("w")
          || (name.count == 8 && name.allSatisfy(\.isHexDigit))
      }
  }
}
