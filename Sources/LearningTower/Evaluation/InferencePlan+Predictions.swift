import Compute
import Detection
import Network

extension InferencePlan {
  /// Returns the predictions of the last run for one image, decoded, where objectness exceeds the threshold.
  func predictions(_ image: Int, of detect: Detect, objectnessAbove threshold: Float) -> Predictions {
    var predictions = Predictions(classCount: detect.classCount)
    for level in heads.indices {
      withHead(level) { head in
        predictions.append(
          level: level, of: detect, shape: heads[level], head: head, image: image, objectnessAbove: threshold)
      }
    }
    return predictions
  }
}
