import Network

/// The steps of a plan, each with what it moves and computes and how long it takes.
public struct PlanReport: Sendable, Hashable, Codable {
  public struct Line: Sendable, Hashable, Codable {
    /// The node of the network, such as `model.2.cv1.conv`; empty for work that belongs to none.
    public var node = ""
    /// The kind of work.
    public var operation: String
    /// Bytes of all operands in one run.
    public var bytes = 0
    /// Arithmetic operations in one run.
    public var operations = 0
    /// The mean over the lanes, so that all lines together take as long as the run.
    public var seconds: Double
    /// The seconds of each lane in one run; empty for work that does not run in lanes.
    public var laneSeconds: [Double] = []

    enum CodingKeys: String, CodingKey {
      case node, operation, bytes, seconds
      case operations = "flops"
      case laneSeconds = "lane_seconds"
    }
  }

  /// The lines in the order in which their steps run. The last one is the time that lanes wait for each other.
  public var lines: [Line]

  /// Adds a line for work beside the plan.
  public mutating func add(_ operation: String, seconds: Double) {
    lines.append(Line(operation: operation, seconds: seconds))
  }

  /// The sums of the lines that share a key, in the order in which the keys appear.
  /// - Parameter key: the node and the operation under which a line is shown.
  public func sums(by key: (Line) -> (node: String, operation: String)) -> [Line] {
    var sums: [Line] = []
    var places: [[String]: Int] = [:]
    for line in lines {
      let (node, operation) = key(line)
      if let place = places[[node, operation]] {
        sums[place].bytes += line.bytes
        sums[place].operations += line.operations
        sums[place].seconds += line.seconds
        sums[place].laneSeconds = zip(sums[place].laneSeconds, line.laneSeconds).map { $0 + $1 }
      } else {
        places[[node, operation]] = sums.count
        sums.append(line)
        (sums[sums.count - 1].node, sums[sums.count - 1].operation) = (node, operation)
      }
    }
    return sums
  }
}

extension ExecutionPlan {
  /// From here on the time of each step is taken; what was taken before is forgotten.
  public func startTiming() { executor.stopwatch = Stopwatch(executor.program) }

  /// The steps, each with its share of the time of `runs` runs since `startTiming`.
  public func report(runs: Int) -> PlanReport {
    let program = executor.program
    func line(_ step: Int?) -> PlanReport.Line {
      let lanes = (executor.stopwatch?.seconds(step) ?? []).map { $0 / Double(max(runs, 1)) }
      let seconds = lanes.reduce(0, +) / Double(max(lanes.count, 1))
      guard let step else {
        return PlanReport.Line(operation: "waiting for other lanes", seconds: seconds, laneSeconds: lanes)
      }
      let cost = program.cost(of: program.steps[step])
      return PlanReport.Line(
        node: program.network.nodes[program.steps[step].node].name,
        operation: program.steps[step].instruction.name, bytes: cost.bytes, operations: cost.operations,
        seconds: seconds, laneSeconds: lanes)
    }
    return PlanReport(lines: program.steps.indices.map { line($0) } + [line(nil)])
  }
}
