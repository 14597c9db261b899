import Detection
import Foundation
import Pruning
import Training

/// A run's epochs in the format of YOLOv5's `results.csv`: its column names, five significant digits, width 20. Runs of
/// sparsity training have columns for the batch norms' scales besides.
enum ResultsCSV {
  static func text(_ history: [EpochSummary]) -> String {
    let names = EpochSummary.yolov5Names + (history.contains { $0.scales != nil } ? EpochSummary.scaleNames : [])
    var lines = [(["epoch"] + names).map { padded($0) }.joined(separator: ",")]
    for epoch in history {
      let cells =
        [padded("\(epoch.yolov5Epoch)")] + (epoch.yolov5Values + epoch.scaleValues).map { String(format: "%20.5g", $0) }
      lines.append(cells.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func padded(_ text: String) -> String {
    String(repeating: " ", count: max(0, 20 - text.count)) + text
  }
}

extension EpochSummary {
  /// The names of an epoch's figures in YOLOv5 v7.0, in its order. `x/lr0` is the learning rate of the biases, `x/lr1`
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

  /// The columns of sparsity training: the share of prunable channels that is zero, the share that is nearly so, and
  /// the quantiles of |gamma|.
  static let scaleNames = ["scales/zero", "scales/near_zero", "scales/gamma_10", "scales/gamma_50", "scales/gamma_90"]

  /// Empty outside sparsity training.
  var scaleValues: [Double] {
    scales.map { [$0.zeroShare, $0.nearZeroShare, $0.lowerScale, $0.medianScale, $0.upperScale] } ?? []
  }

  /// From 0.
  var yolov5Epoch: Int { epoch - 1 }
}
