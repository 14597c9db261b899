/// A promise that was not kept: the seed replays it.
public struct BrokenPromise: Error, Sendable, CustomStringConvertible {
  public let seed: UInt64
  public let fault: PlantedFault?
  public let promise: String
  public let detail: String
  /// The misfortunes of the run, by number, that had no part in it.
  public internal(set) var leftOut: Set<Int> = []
  /// The events that concern it; empty until it was `explained`.
  public internal(set) var story: [String] = []

  public var description: String {
    let planted = fault.map { " with \($0.rawValue)" } ?? ""
    let shrunk = leftOut.isEmpty ? "" : " (replayed without \(leftOut.count) misfortunes that had no part in it)"
    return (["seed \(seed)\(planted) broke “\(promise)”\(shrunk): \(detail)"] + story).joined(separator: "\n")
  }

  /// The same with the least that must go wrong for it, told. Takes a few hundred runs of the seed.
  public func explained() -> BrokenPromise {
    var leftOut: Set<Int> = []
    var last = broken(without: leftOut, Story()).misfortunes
    // Halves first, then ever smaller parts: most misfortunes go away in the first few tries.
    var length = max(last / 2, 1)
    while true {
      for start in stride(from: 1, through: last, by: length) {
        let candidate = leftOut.union(start..<min(start + length, last + 1))
        guard candidate.count > leftOut.count else { continue }
        let outcome = broken(without: candidate, nil)
        if outcome.broken?.promise == promise { leftOut = candidate }
      }
      last = min(last, broken(without: leftOut, nil).misfortunes)
      if length == 1 { break }
      length /= 2
    }
    let story = Story()
    guard var broken = broken(without: leftOut, story).broken else { return self }
    broken.leftOut = leftOut
    broken.story = story.excerpt(concerning: broken.detail)
    return broken
  }

  private func broken(without leftOut: Set<Int>, _ story: Story?) -> (broken: BrokenPromise?, misfortunes: Int) {
    var cluster = SimulatedCluster(seed: seed, fault: fault, leftOut: leftOut, story: story)
    do {
      _ = try cluster.run()
      return (nil, cluster.misfortunes)
    } catch {
      return (error, cluster.misfortunes)
    }
  }
}
