import Detection
import Foundation
import Training

/// A run's epochs in the format of YOLOv5's `results.csv`: its column names, five significant digits, width 20.
enum ResultsCSV {
  private static let columns = [
    "epoch", "train/box_loss", "train/obj_loss", "train/cls_loss", "metrics/precision", "metrics/recall",
    "metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss", "val/cls_loss", "x/lr0", "x/lr1",
    "x/lr2",
  ]

  /// YOLOv5's `x/lr0` is the biases', `x/lr1` the weights' and `x/lr2` the batch norms' learning rate; it counts epochs
  /// from 0.
  static func text(_ history: [EpochSummary]) -> String {
    var lines = [columns.map { padded($0) }.joined(separator: ",")]
    for epoch in history {
      let values = [
        epoch.loss.box, epoch.loss.objectness, epoch.loss.classification, epoch.precision, epoch.recall, epoch.map50,
        epoch.map50_95, epoch.validationLoss.box, epoch.validationLoss.objectness, epoch.validationLoss.classification,
        epoch.learningRates.biases, epoch.learningRates.weights, epoch.learningRates.gammas,
      ]
      let cells = [padded("\(epoch.epoch - 1)")] + values.map { String(format: "%20.5g", $0) }
      lines.append(cells.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func padded(_ text: String) -> String {
    String(repeating: " ", count: max(0, 20 - text.count)) + text
  }
}
