/// Which trials no other trial beats on every objective.
public enum ParetoFront {
  /// - Parameter points: for each trial its value per objective, nil where it has not been measured.
  /// - Returns: for each trial whether it lies on the front. A trial that lacks a value is not on the front and beats
  ///   nobody; trials with equal values are on the front together.
  ///
  /// Sorted by the first objective (then the second …), a trial can only be beaten by one before it, and if it is, then
  /// by one that is on the front: the cost is the number of trials times the size of the front.
  public static func membership(of points: [[Double?]], objectives: [Objective]) -> [Bool] {
    let complete = points.indices.filter { index in
      points[index].count == objectives.count && points[index].allSatisfy { $0?.isFinite == true }
    }
    // Turned so that smaller is better everywhere.
    var costs = [[Double]](repeating: [], count: points.count)
    for index in complete {
      costs[index] = zip(points[index], objectives).map { $1.direction == .minimize ? $0! : -$0! }
    }
    var isOnFront = [Bool](repeating: false, count: points.count)
    var front: [Int] = []
    for index in complete.sorted(by: { costs[$0].lexicographicallyPrecedes(costs[$1]) }) {
      guard !front.contains(where: { dominates(costs[$0], costs[index]) }) else { continue }
      front.append(index)
      isOnFront[index] = true
    }
    return isOnFront
  }

  private static func dominates(_ a: [Double], _ b: [Double]) -> Bool {
    a != b && zip(a, b).allSatisfy { $0 <= $1 }
  }

  /// The share of the box between the best and the worst values that the front dominates: 1 if one trial is best in
  /// everything. The reference point lies a tenth of the range beyond the worst values.
  /// - Parameter points: values per objective of all trials that are judged.
  /// - Returns: nil without points, or if the front is too large to compute it at once.
  public static func hypervolume(of points: [[Double]], objectives: [Objective]) -> Double? {
    let isMember = membership(of: points, objectives: objectives)
    let costs = scaled(points, objectives)
    let front = Set(zip(costs, isMember).filter(\.1).map(\.0)).sorted { $0.lexicographicallyPrecedes($1) }
    guard !front.isEmpty, !objectives.isEmpty else { return nil }
    var effort = 1.0
    for _ in 1..<max(2, objectives.count) { effort *= Double(front.count) }
    guard effort <= 1e7 else { return nil }
    var whole = 1.0
    for _ in objectives { whole *= reference }
    return dominatedVolume(front, dimensions: objectives.count) / whole
  }

  /// The index of the member that is nearest to the best values of the front, with each objective scaled to the front's
  /// own range; the first of several. nil for an empty front.
  public static func knee(of front: [[Double]], objectives: [Objective]) -> Int? {
    let distances = scaled(front, objectives).map { $0.reduce(0) { $0 + $1 * $1 } }
    return distances.indices.min { distances[$0] < distances[$1] }
  }

  private static let reference = 1.1

  /// 0 for the best value of each objective and 1 for the worst; 0 where all are equal.
  private static func scaled(_ points: [[Double]], _ objectives: [Objective]) -> [[Double]] {
    var scaled = points
    for (axis, objective) in objectives.enumerated() {
      let values = points.map { objective.direction == .minimize ? $0[axis] : -$0[axis] }
      guard let low = values.min(), let high = values.max() else { continue }
      for index in points.indices { scaled[index][axis] = high > low ? (values[index] - low) / (high - low) : 0 }
    }
    return scaled
  }

  /// The volume between the points and the reference, by slices along the last dimension.
  private static func dominatedVolume(_ points: [[Double]], dimensions: Int) -> Double {
    if dimensions == 1 { return reference - (points.map { $0[0] }.min() ?? reference) }
    let sorted = points.sorted { $0[dimensions - 1] < $1[dimensions - 1] }
    var volume = 0.0
    if dimensions == 2 {
      var best = reference
      for (index, point) in sorted.enumerated() {
        best = min(best, point[0])
        let next = index + 1 < sorted.count ? sorted[index + 1][1] : reference
        volume += (reference - best) * (next - point[1])
      }
      return volume
    }
    for index in sorted.indices {
      let next = index + 1 < sorted.count ? sorted[index + 1][dimensions - 1] : reference
      let depth = next - sorted[index][dimensions - 1]
      if depth > 0 { volume += depth * dominatedVolume(Array(sorted[...index]), dimensions: dimensions - 1) }
    }
    return volume
  }
}
