/// The word of `candidates` nearest to a misspelt one, to suggest in an error message: fewest insertions, deletions,
/// replacements and swaps of neighbours, upper and lower case counting alike; the earlier one of equals.
/// - Returns: nil when even the nearest differs in more than a third of its letters (but at least two).
public func nearest(_ word: String, among candidates: [String]) -> String? {
  let letters = Array(word.lowercased().prefix(100))
  var best: (word: String, distance: Int)?
  for candidate in candidates {
    let other = Array(candidate.lowercased())
    let distance = editDistance(letters, other)
    guard distance <= max(2, max(letters.count, other.count) / 3), distance < max(letters.count, other.count) else {
      continue
    }
    if distance < best?.distance ?? .max { best = (candidate, distance) }
  }
  return best?.word
}

/// Optimal string alignment distance; three rows of the table are enough.
private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  var beforePrevious: [Int] = []
  var previous = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var cost = min(previous[j + 1] + 1, row[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforePrevious[j - 1] + 1) }
      row.append(cost)
    }
    (beforePrevious, previous) = (previous, row)
  }
  return previous[b.count]
}

/// `1 job`, `2 jobs`, `3 classes`.
/// - Parameter noun: one that takes an s, or es after an s or x.
public func counted(_ number: Int, _ noun: String) -> String {
  "\(number) \(noun)\(number == 1 ? "" : noun.last == "s" || noun.last == "x" ? "es" : "s")"
}
