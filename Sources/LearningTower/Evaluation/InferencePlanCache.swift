import Compute
import Detection
import Network

/// Plans of one trained network for the shapes that come up. Rectangular batches come sorted by shape, so a few plans
/// serve a whole data set; the one unused longest makes room.
struct InferencePlanCache {
  private struct Key: Hashable {
    var batchSize: Int
    var height: Int
    var width: Int
  }

  let network: Network
  let parameters: Parameters
  let runtime: Runtime
  private let capacity = 3
  /// The one used last stands last.
  private var plans: [(key: Key, plan: InferencePlan)] = []

  init(_ network: Network, _ parameters: Parameters, runtime: Runtime) {
    self.network = network
    self.parameters = parameters
    self.runtime = runtime
  }

  mutating func plan(batchSize: Int, height: Int, width: Int) throws -> InferencePlan {
    let key = Key(batchSize: batchSize, height: height, width: width)
    if let index = plans.firstIndex(where: { $0.key == key }) {
      plans.append(plans.remove(at: index))
    } else {
      if plans.count == capacity { plans.removeFirst() }
      let plan = try InferencePlan(
        network, parameters, batchSize: batchSize, imageHeight: height, imageWidth: width, runtime: runtime)
      plans.append((key, plan))
    }
    return plans[plans.count - 1].plan
  }
}

extension InferencePlan {
  /// What the last run says about one image, decoded, where objectness exceeds the threshold.
  func predictions(_ image: Int, of detect: Detect, objectnessAbove threshold: Float) -> Predictions {
    var predictions = Predictions(classCount: detect.classCount)
    for level in heads.indices {
      withHead(level) { head in
        predictions.append(
          level: level, of: detect, shape: heads[level], head: head, image: image,
          objectnessAbove: threshold)
      }
    }
    return predictions
  }
}
