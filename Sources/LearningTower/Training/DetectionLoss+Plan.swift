import Compute
import Dataset
import Detection
import Network

extension DetectionLoss {
  /// The loss items of a plan's last forward pass; leaves the gradients of `N ×` their sum in the plan, ready for its
  /// backward pass.
  public mutating func evaluate(_ plan: TrainingPlan, targets: [Target]) -> LossItems {
    var items = LossItems()
    for (level, shape) in plan.heads.enumerated() {
      items += plan.withHead(level) { head in
        plan.withHeadGradient(level) { gradient in
          evaluate(level: level, shape: shape, head: head, targets: targets, gradient: &gradient)
        }
      }
    }
    return items
  }
}
