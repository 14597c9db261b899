public import Compute
import Detection
public import Network
import Wording

/// A trained network from whose predictions another one learns (`DistillationLoss`).
public struct Teacher {
  /// One batch in so many is taught, for so many times the loss. A small pruned network takes little more time for a
  /// whole step than its teacher for a prediction.
  static let interval = 2

  private var plans: PlanCache<InferencePlan>
  private let detect: Detect

  /// - Throws: `NetworkError` if the parameters are not the network's.
  public init(_ network: Network, _ parameters: Parameters, runtime: Runtime) throws {
    detect = network.detect
    plans = PlanCache(try ParameterMemory(folding: network, parameters, runtime: runtime))
  }

  /// - Throws: `TrainingError` if the student's head is another one, so that the maps do not compare.
  func requireSameHead(_ student: Detect) throws(TrainingError) {
    guard detect.classCount == student.classCount, detect.strides == student.strides, detect.anchors == student.anchors
    else {
      throw TrainingError(
        "the teacher's head has \(counted(detect.classCount, "class")) and other anchors than the student's, which has "
          + "\(counted(student.classCount, "class")); give a teacher that was trained on this data set",
        isWrongRequest: true)
    }
  }

  /// Adds the gradient of the distillation loss to what the detection loss has left in the plan.
  /// - Parameter images: those of the plan's last forward pass, `N × H × W × 3` bytes.
  mutating func teach(_ student: TrainingPlan, _ images: [UInt8], _ loss: DistillationLoss) throws -> Double {
    let teacher = try plans.plan(
      batchSize: student.batchSize, height: student.imageHeight, width: student.imageWidth)
    teacher.run(images)
    var sum = 0.0
    for (level, shape) in student.heads.enumerated() {
      sum += student.withHead(level) { head in
        teacher.withHead(level) { truth in
          student.withHeadGradient(level) { gradient in
            loss.add(level: level, shape: shape, student: head, teacher: truth, gradient: &gradient)
          }
        }
      }
    }
    return sum
  }
}
