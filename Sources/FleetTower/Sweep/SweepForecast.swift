/// A forecast of a sweep's jobs and of the time they take, made before anything of it runs.
public struct SweepForecast: Hashable, Sendable, Codable {
  /// The jobs of one stage.
  public struct Row: Hashable, Sendable, Codable {
    public var stage: Stage
    public var jobs: Int
    /// The jobs there would be if no two trials shared one.
    public var jobsUnshared: Int
    /// The epochs of all its jobs together; 0 where there are none.
    public var epochs: Int
    /// The time of all its jobs together, while all workers are busy.
    public var seconds: Double
    public var secondsUnshared: Double

    enum CodingKeys: String, CodingKey {
      case stage, jobs, epochs, seconds
      case jobsUnshared = "jobs_unshared"
      case secondsUnshared = "seconds_unshared"
    }
  }

  public var trials: Int
  public var workers: Int
  /// In the order of the stages; only those that have jobs.
  public var rows: [Row]
  /// From the start to the end of the sweep.
  public var seconds: Double

  /// - Parameters:
  ///   - seconds: what each node of the tree takes while all workers are busy.
  ///   - speedAlone: how many times faster a job runs while all other workers are idle.
  public init(_ tree: StageTree, seconds: [Double], workers: Int, speedAlone: Double = 1) {
    trials = tree.trials.count
    self.workers = workers
    var rows: [Stage: Row] = [:]
    for (index, node) in tree.nodes.enumerated() {
      rows[node.stage, default: Row(node.stage)].jobs += 1
      rows[node.stage]!.epochs += tree.configuration(of: index).epochs
      rows[node.stage]!.seconds += seconds[index]
    }
    for index in tree.nodesOfTrial.joined() {
      rows[tree.nodes[index].stage]!.jobsUnshared += 1
      rows[tree.nodes[index].stage]!.secondsUnshared += seconds[index]
    }
    self.rows = rows.values.sorted { $0.stage < $1.stage }
    self.seconds = Schedule(tree, seconds, workers: workers, speedAlone: speedAlone).makespan()
  }

  public var jobs: Int { rows.reduce(0) { $0 + $1.jobs } }
  public var jobsUnshared: Int { rows.reduce(0) { $0 + $1.jobsUnshared } }
  /// The work of all jobs, one after the other.
  public var workSeconds: Double { rows.reduce(0) { $0 + $1.seconds } }
  public var workSecondsUnshared: Double { rows.reduce(0) { $0 + $1.secondsUnshared } }
}

extension SweepForecast.Row {
  fileprivate init(_ stage: Stage) {
    self.init(stage: stage, jobs: 0, jobsUnshared: 0, epochs: 0, seconds: 0, secondsUnshared: 0)
  }
}

/// The order in which a coordinator hands out the jobs of one sweep: the longest remaining way first, and benchmarks
/// one after the other while nothing else runs.
private struct Schedule {
  private let tree: StageTree
  private let seconds: [Double]
  private let workers: Int
  private let speedAlone: Double
  private let children: [[Int]]

  /// Larger trees are not played through.
  private static let playedNodes = 100_000

  init(_ tree: StageTree, _ seconds: [Double], workers: Int, speedAlone: Double) {
    self.tree = tree
    self.seconds = seconds
    self.workers = workers
    self.speedAlone = speedAlone
    var children = [[Int]](repeating: [], count: tree.nodes.count)
    for (index, node) in tree.nodes.enumerated() { for source in node.sources { children[source].append(index) } }
    self.children = children
  }

  func makespan() -> Double {
    let benchmarks = tree.nodes.indices.filter { tree.nodes[$0].stage == .benchmark }
    let measuring = benchmarks.reduce(0) { $0 + seconds[$1] }
    guard tree.nodes.count <= Self.playedNodes else {
      return max((seconds.reduce(0, +) - measuring) / Double(workers), longestWay()) + measuring
    }
    return played() + measuring
  }

  private func longestWay() -> Double {
    var below = seconds
    for index in tree.nodes.indices.reversed() {
      for source in tree.nodes[index].sources { below[source] = max(below[source], seconds[source] + below[index]) }
    }
    return below.max() ?? 0
  }

  private func played() -> Double {
    /// Ascending by what remains, so that the last one is next.
    var ready: [Int] = []
    var running: [(node: Int, left: Double)] = []
    var time = 0.0
    func insert(_ nodes: [Int]) {
      for node in nodes where tree.nodes[node].stage != .benchmark {
        let cost = tree.nodes[node].remainingCost
        let place = ready.partitioningIndex { tree.nodes[$0].remainingCost >= cost }
        ready.insert(node, at: place)
      }
    }
    var pending = tree.nodes.map(\.sources.count)
    insert(tree.nodes.indices.filter { pending[$0] == 0 })
    while true {
      while running.count < workers, let node = ready.popLast() { running.append((node, seconds[node])) }
      guard let least = running.map(\.left).min() else { return time }
      let idle = workers > 1 ? Double(workers - running.count) / Double(workers - 1) : 0
      time += least / (1 + (speedAlone - 1) * idle)
      for index in running.indices { running[index].left -= least }
      let done = running.filter { $0.left <= 0 }.map(\.node)
      running.removeAll { $0.left <= 0 }
      for child in done.flatMap({ children[$0] }) {
        pending[child] -= 1
        if pending[child] == 0 { insert([child]) }
      }
    }
  }
}

extension Array {
  /// The first index from which on the predicate holds; the elements must be sorted by it.
  fileprivate func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if predicate(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
