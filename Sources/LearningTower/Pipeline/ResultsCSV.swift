import Detection
import Foundation
import Training

/// A run's epochs in the format of YOLOv5's `results.csv`: its column names, five significant digits, width 20.
enum ResultsCSV {
  static func text(_ history: [EpochSummary]) -> String {
    var lines = [(["epoch"] + EpochSummary.yolov5Names).map { padded($0) }.joined(separator: ",")]
    for epoch in history {
      let cells = [padded("\(epoch.yolov5Epoch)")] + epoch.yolov5Values.map { String(format: "%20.5g", $0) }
      lines.append(cells.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func padded(_ text: String) -> String {
    String(repeating: " ", count: max(0, 20 - text.count)) + text
  }
}

extension EpochSummary {
  /// What YOLOv5 v7.0 calls the figures of an epoch, in its order. `x/lr0` is the learning rate of the biases, `x/lr1`
  /// that of the weights, `x/lr2` that of the batch norms' scales.
  static let yolov5Names = [
    "train/box_loss", "train/obj_loss", "train/cls_loss", "metrics/precision", "metrics/recall", "metrics/mAP_0.5",
    "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss", "val/cls_loss", "x/lr0", "x/lr1", "x/lr2",
  ]

  var yolov5Values: [Double] {
    [
      loss.box, loss.objectness, loss.classification, precision, recall, map50, map50_95, validationLoss.box,
      validationLoss.objectness, validationLoss.classification, learningRates.biases, learningRates.weights,
      learningRates.gammas,
    ]
  }

  /// From 0.
  var yolov5Epoch: Int { epoch - 1 }
}
