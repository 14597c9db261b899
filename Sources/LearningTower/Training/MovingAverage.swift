import Foundation

/// YOLOv5's moving average of a model over its optimizer steps (`ModelEMA`).
public enum MovingAverage {
  /// The weight of the past at the `update`-th step, counted from 1: `0.9999 · (1 − exp(−update / 2000))`. It is small at
  /// first, so that the average soon forgets where the run began.
  public static func decay(update: Int) -> Double { 0.9999 * (1 - exp(-Double(update) / 2000)) }
}
