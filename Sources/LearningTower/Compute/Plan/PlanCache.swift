/// Plans of one parameter memory by the shape of their batches: those used last, because each holds the memory of a
/// whole run. An epoch of equal shapes needs two, its last batch being smaller; rectangular batches come sorted by
/// shape.
public struct PlanCache<Plan: BatchPlan> {
  private let limit = 3
  private let memory: ParameterMemory
  /// The one used last stands last.
  private var plans: [Plan] = []

  public init(_ memory: ParameterMemory) { self.memory = memory }

  public mutating func plan(batchSize: Int, height: Int, width: Int) throws -> Plan {
    let known = plans.firstIndex { ($0.batchSize, $0.imageHeight, $0.imageWidth) == (batchSize, height, width) }
    if let known {
      plans.append(plans.remove(at: known))
    } else {
      // Given back first, so that the old and the new memory are not held at once.
      if plans.count == limit { plans.removeFirst() }
      plans.append(try Plan(memory, batchSize: batchSize, imageHeight: height, imageWidth: width))
    }
    return plans[plans.count - 1]
  }
}
