import Compute

/// Execution plans of one parameter memory by the shape of their batches: those used last, because each holds the
/// memory of a whole step. An epoch of equal shapes needs two, its last batch being smaller.
struct TrainingPlanCache {
  private static let limit = 3

  private let memory: ParameterMemory
  /// The one used last stands last.
  private var plans: [TrainingPlan] = []

  init(_ memory: ParameterMemory) { self.memory = memory }

  mutating func plan(batchSize: Int, height: Int, width: Int) throws -> TrainingPlan {
    let known = plans.firstIndex { plan in
      plan.batchSize == batchSize && plan.imageHeight == height && plan.imageWidth == width
    }
    if let known {
      plans.append(plans.remove(at: known))
    } else {
      // Given back first, so that the old and the new memory are not held at once.
      if plans.count == Self.limit { plans.removeFirst() }
      plans.append(try TrainingPlan(memory, batchSize: batchSize, imageHeight: height, imageWidth: width))
    }
    return plans[plans.count - 1]
  }
}
