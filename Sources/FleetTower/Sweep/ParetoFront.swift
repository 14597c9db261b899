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
}
