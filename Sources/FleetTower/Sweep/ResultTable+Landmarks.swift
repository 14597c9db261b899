import Plotting

/// The points of the front that have names.
extension ResultTable {
  public enum Landmark: String, CaseIterable, Sendable {
    /// The best by the first objective.
    case best
    /// The nearest to the best values of all objectives.
    case knee
    /// The one with the smallest file, or the fewest parameters where no size is known.
    case smallest
  }

  /// - Returns: nil while the front is empty, or if nothing of it has a size.
  public func row(at landmark: Landmark) -> Row? {
    // Best first by the first objective.
    let front = front
    switch landmark {
    case .best: return front.first
    case .knee:
      return ParetoFront.knee(of: front.map(values), objectives: objectives).map { front[$0] }
    case .smallest:
      for metric in [Objective.Metric.sizeMB, .parameters] {
        let known = front.filter { $0.metrics[metric.rawValue]?.isFinite == true }
        let least = known.min { $0.metrics[metric.rawValue]! < $1.metrics[metric.rawValue]! }
        if let least { return least }
      }
      return nil
    }
  }

  /// The share of the space of objectives that the front dominates; nil while nothing is judged.
  public var hypervolume: Double? {
    let judged = rows.filter { row in objectives.allSatisfy { row.value(of: $0) != nil } }
    return ParetoFront.hypervolume(of: judged.map(values), objectives: objectives)
  }

  /// The size of the front, its hypervolume and the points with names, in a line; nil while the front is empty.
  public var frontSummary: String? {
    let front = front
    guard !front.isEmpty else { return nil }
    let places = Landmark.allCases.compactMap { landmark in
      row(at: landmark).map { "@\(landmark.rawValue) \($0.trial)" }
    }
    let volume = hypervolume.map { ", hypervolume " + fixed($0, decimals: 4) } ?? ""
    let things = hasSeeds ? "configurations" : "trials"
    return "front: \(front.count) of \(rows.count) \(things)\(volume), \(places.joined(separator: ", "))"
  }

  private func values(of row: Row) -> [Double] { objectives.map { row.value(of: $0) ?? .infinity } }
}
